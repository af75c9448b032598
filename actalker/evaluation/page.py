"""The report of a study: one page that opens anywhere, offline; the same in Markdown, CSV, JSON, LaTeX."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from ..media.image import write_png
from ..provenance import versions, whole_file, write_sidecar
from .effects import COLUMNS, Context, Control, Value, context_of, control, effects, summary
from .figures import ENDINGS, draw_curves, draw_independence, heat_maps, write_grid, write_video
from .models import model_files
from .study import Cell, Study
from .tables import markdown_table

Table = dict[str, dict[str, Value]]  # setting -> column -> value


def tabulate(study: Study, numbers: Sequence[Sequence[dict[str, float]]]) -> Table:
    """Means over cases of every setting, in the order of COLUMNS; columns without a value are left out."""
    out: Table = {}
    for k, setting in enumerate(study.settings):
        row = {}
        for column in COLUMNS:
            value = summary([case[k][column] for case in numbers if column in case[k]])
            if value is not None:
                row[column] = value
        out[setting.name] = row
    return out


def write_study(
    folder: Path, study: Study, study_cells: Sequence[Sequence[Cell]], command: str, paper: bool = False
) -> Path:
    """Write everything into a folder; returns the page.

    `ablation.html`, `.md`, `.csv` (a row a cell), `.json`; with `paper` `ablation.tex`; a captioned video of
    all settings for each case in `grids/`, each cell's own in `videos/`, pictures in `figures/`.
    """
    for name in ("videos", "grids", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    contexts = [context_of(cells[0]) for cells in study_cells]
    numbers = [effects(cells, context) for cells, context in zip(study_cells, contexts, strict=True)]
    controls, table = control(study_cells, contexts), tabulate(study, numbers)
    drawn = draw_independence(folder / "figures" / "independence", controls)
    sections = [
        _section(folder, k, cells, context)
        for k, (cells, context) in enumerate(zip(study_cells, contexts, strict=True))
    ]
    models = sorted({s.changes.get("model", study.model) for s in study.settings})
    protocol = {
        "command": command,
        "models": {name: model_files(name) for name in models},
        "versions": versions(),
        "cases": [{**vars(case), "files": case.sources()} for case in study.cases],
        "settings": {s.name: dict(s.changes) for s in study.settings},
    }
    write_sidecar(
        folder / "ablation.json",
        {
            **protocol,
            "columns": COLUMNS,
            "table": {name: {c: asdict(v) for c, v in row.items()} for name, row in table.items()},
            "control": [asdict(row) for row in controls],
            "cells": {
                case.name: {s.name: values for s, values in zip(study.settings, rows, strict=True)}
                for case, rows in zip(study.cases, numbers, strict=True)
            },
        },
    )
    texts = {
        "ablation.md": markdown(study, table, controls, command),
        "ablation.csv": _csv(study, numbers),
        "ablation.html": _page(
            study, table, controls, sections=sections, protocol=protocol, figures=folder if drawn else None
        ),
    }
    if paper:
        texts["ablation.tex"] = latex(table)
    for name, text in texts.items():
        with whole_file(folder / name, overwrite=True) as work:
            work.write_text(text, encoding="utf-8")
    return folder / "ablation.html"


def used_columns(table: Table) -> list[str]:
    """The columns in which some setting has a value."""
    return [column for column in COLUMNS if any(column in row for row in table.values())]


def _counts(study: Study) -> str:
    cases, settings = len(study.cases), len(study.settings)
    return f"{cases} case{'s' * (cases > 1)}, {settings} setting{'s' * (settings > 1)}"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _between(value: Value) -> str:
    return "" if value.low is None or value.high is None else f"{_number(value.low)} to {_number(value.high)}"


def markdown(study: Study, table: Table, controls: Sequence[Control], command: str) -> str:
    """The tables in Markdown, with 95 % intervals over cases in brackets."""
    columns = used_columns(table)
    rows = ([name, *(_cell(row.get(column)) for column in columns)] for name, row in table.items())
    text = f"`{command}`\n\n{_counts(study)}.\n\n{markdown_table(['setting', *columns], rows)}\n"
    text += "".join(f"- {column}: {COLUMNS[column]}\n" for column in columns)
    if controls:
        head = ["signal", "responsiveness", "leakage", "grows with its gate"]
        lines = ([c.signal, _cell(c.responsiveness), _cell(c.leakage), _grows(c)] for c in controls)
        text += f"\n{markdown_table(head, lines)}"
    return text


def _grows(control: Control) -> str:
    return "" if control.monotone is None else f"{100 * control.monotone:.0f} % of cases"


def _cell(value: Value | None) -> str:
    if value is None:
        return ""
    between = _between(value)
    return _number(value.mean) + (f" ({between})" if between else "")


def _csv(study: Study, numbers: Sequence[Sequence[dict[str, float]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["case", "setting", *COLUMNS])
    for case, rows in zip(study.cases, numbers, strict=True):
        for setting, row in zip(study.settings, rows, strict=True):
            writer.writerow([case.name, setting.name, *(repr(row[c]) if c in row else "" for c in COLUMNS)])
    return text.getvalue()


TEX = {
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "\\": r"\textbackslash{}",
}


def latex(table: Table) -> str:
    """The table for a paper, in booktabs' rules; half of each interval after ±."""

    def said(text: str) -> str:
        return "".join(TEX.get(letter, letter) for letter in text)

    def cell(value: Value | None) -> str:
        if value is None:
            return "--"
        if value.low is None or value.high is None:
            return _number(value.mean)
        return f"{_number(value.mean)} $\\pm$ {_number((value.high - value.low) / 2)}"

    columns = used_columns(table)
    lines = [r"\begin{tabular}{l" + "r" * len(columns) + "}", r"\toprule"]
    lines.append(" & ".join(["setting", *map(said, columns)]) + r" \\")
    lines.append(r"\midrule")
    for name, row in table.items():
        lines.append(" & ".join([said(name), *(cell(row.get(column)) for column in columns)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _section(folder: Path, number: int, cells: Sequence[Cell], context: Context) -> str:
    """A case's part of the page; its videos and pictures are written on the way."""
    write_grid(folder / "grids" / f"case{number:02d}.mp4", cells, context)
    panels = []
    for k, (cell, heat) in enumerate(zip(cells, heat_maps(cells), strict=True)):
        video = folder / "videos" / f"case{number:02d}-{k:02d}.mp4"
        picture = folder / "figures" / f"case{number:02d}-{k:02d}-change.png"
        write_video(video, cell, context)
        write_png(picture, heat, overwrite=True)
        name = escape(cell.setting.name)
        still = "" if k == 0 else f'<img class="heat" src="{_data(picture)}" alt="change, {name}">'
        panels.append(
            f'<figure><figcaption>{name}</figcaption><video src="{_data(video)}" muted playsinline loop '
            f'preload="auto"></video>{still}</figure>'
        )
    curves = folder / "figures" / f"case{number:02d}-lips"
    shown = ""
    if draw_curves(curves, cells, context):
        shown = (
            f'<img class="curve" src="{_data(curves.with_suffix(ENDINGS[0]))}" alt="lips over the waveform">'
        )
    return (
        f'<section class="case"><h2>{escape(cells[0].case.name)}</h2><div class="bar">'
        '<button class="play">play</button><input class="seek" type="range" min="0" max="1" step="any" '
        'value="0" aria-label="time"><span class="time"></span><button class="sound">sound</button></div>'
        f'<div class="grid" style="--columns:{_columns(len(panels))}">{"".join(panels)}</div>'
        f"{shown}</section>"
    )


def _columns(count: int) -> int:
    """At most six in a row, and rows of about the same length."""
    return -(-count // -(-count // 6))


def _data(path: Path) -> str:
    """A file inside the page: nothing is fetched."""
    kind = {".mp4": "video/mp4", ".png": "image/png"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _page(
    study: Study,
    table: Table,
    controls: Sequence[Control],
    sections: Sequence[str],
    protocol: Mapping[str, object],
    figures: Path | None,
) -> str:
    columns = used_columns(table)
    head = "".join(f'<th title="{escape(COLUMNS[c])}">{escape(c.replace("_", " "))}</th>' for c in columns)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(_td(row.get(c)) for c in columns)}</tr>"
        for name, row in table.items()
    )
    rows = "".join(
        f"<tr><th>{escape(c.signal)}</th>{_td(c.responsiveness)}{_td(c.leakage)}"
        f"<td>{'' if c.monotone is None else f'{100 * c.monotone:.0f} %'}</td></tr>"
        for c in controls
    )
    keeps = ""
    if rows:
        matrix = "" if figures is None else _data(figures / "figures" / "independence.png")
        keeps = (
            "<h2>What each signal moves</h2><div class='side'><table><tr><th>signal</th>"
            "<th title='mean change in its own region when its gate closes, of 255'>responsiveness</th>"
            "<th title='mean change elsewhere over responsiveness'>leakage</th>"
            f"<th>grows with its gate</th></tr>{rows}</table>"
            f"<img class='matrix' src='{matrix}' alt='independence matrix'></div>"
        )
    protocol_text = escape(json.dumps(protocol, indent=1, default=str))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Ablation</title>'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body><h1>Ablation</h1>'
        f"<p><code>{escape(str(protocol['command']))}</code></p>"
        f"<p>{_counts(study)}. Means over cases; small: bootstrap "
        "95 % intervals. Under each video: its mean change against the first setting.</p>"
        f'<div class="wide"><table><tr><th>setting</th>{head}</tr>{body}</table></div>{keeps}'
        f"{''.join(sections)}<details><summary>Protocol</summary><pre>{protocol_text}</pre></details><script>{SCRIPT}</script></body></html>"
    )


def _td(value: Value | None) -> str:
    if value is None:
        return "<td></td>"
    between = _between(value)
    return f"<td>{_number(value.mean)}{f'<small>{between}</small>' if between else ''}</td>"


STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1e1e22;
background:#faf9f6}
h1,h2{font-weight:600}h2{margin-top:2.2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child{text-align:left}small{display:block;color:#667;font-size:.72em}
.side{display:flex;gap:2rem;align-items:flex-start;flex-wrap:wrap}.matrix{max-width:24rem;width:100%}
.grid{display:grid;grid-template-columns:repeat(var(--columns),1fr);gap:.8rem}
figure{margin:0}figcaption{font-size:.85em;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
video,.heat{width:100%;display:block;background:#000}.heat{margin-top:2px}.curve{max-width:100%;margin-top:.8rem}
.bar{display:flex;gap:.8rem;align-items:center;margin:.5rem 0}.seek{flex:1}.time{min-width:4rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8em}
"""

SCRIPT = """
for (const section of document.querySelectorAll('.case')) {
  const videos = [...section.querySelectorAll('video')], lead = videos[0];
  const play = section.querySelector('.play'), seek = section.querySelector('.seek');
  const time = section.querySelector('.time'), sound = section.querySelector('.sound');
  const all = (act) => videos.forEach(act);
  play.onclick = () => {
    if (lead.paused) { const t = lead.currentTime; all(v => { v.currentTime = t; v.play(); }); }
    else all(v => v.pause());
  };
  lead.onplay = () => { play.textContent = 'pause'; };
  lead.onpause = () => { play.textContent = 'play'; };
  seek.oninput = () => { all(v => { v.currentTime = seek.value * (lead.duration || 0); }); };
  sound.onclick = () => { lead.muted = !lead.muted; sound.textContent = lead.muted ? 'sound' : 'mute'; };
  lead.ontimeupdate = () => {
    const t = lead.currentTime;
    if (lead.duration) seek.value = t / lead.duration;
    time.textContent = t.toFixed(2) + ' s';
    videos.slice(1).forEach(v => { if (Math.abs(v.currentTime - t) > 0.06) v.currentTime = t; });
  };
}
"""
