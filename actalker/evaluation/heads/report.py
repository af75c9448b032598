"""The report of `ablate --preset heads`: a table with targets, and a page with strips of pictures.

Portraits and pairs are measured one by one and kept in `cells/`: a second start makes only what is missing.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image
from typing_extensions import NotRequired, TypedDict

from ...errors import InputError
from ...provenance import file_hash, versions, whole_file, write_sidecar
from ..cells import CELL_FOLDER, Job, Measured, key_of, run_cells
from ..jobs import HERE, Workers
from ..statistics import mean, median
from ..tables import Range, markdown_table, verdict
from . import drivers as carried
from . import portraits as drawn

MEASURED = 1  # to be raised when something is measured in another way: old cells are not taken then
SPOKEN = 20  # portraits that say the sentence
SHUT = 0.11  # lids' opening over the eye's width that counts as shut: what MediaPipe reads of shut eyes
PAIRED = 4  # portraits that each driver moves
WIDE = 220  # pixels of a picture on the page


@dataclass(frozen=True)
class Row:
    """Hold one line of the table.

    met: whether the target is met; None where there is no target, or no value.
    """

    what: str
    value: float
    target: str
    met: bool | None


class HeadCell(TypedDict):
    """Hold the values of a cell.

    kind: `portrait`, `video` (a driver drawn again on its own first frame) or `direct` (a driver that moves a
        portrait).
    files: names of the video, the portrait, or both.
    numbers: name of a measure -> value; empty where the files were refused.
    strip: pictures side by side, as JPEG in base64.
    refused: the error message where nothing could be measured.
    """

    kind: str
    files: list[str]
    numbers: dict[str, float]
    strip: NotRequired[str]
    refused: NotRequired[str]


@dataclass(frozen=True)
class HeadStudy:
    """Describe what is measured.

    portraits, drivers: files of portraits and of driver videos.
    workers: the processes to use.
    face_model: MediaPipe's face_landmarker.task for portraits; None for the file that the package finds.
    """

    portraits: tuple[Path, ...]
    drivers: tuple[Path, ...]
    workers: Workers = HERE
    face_model: Path | None = None

    @property
    def jobs(self) -> list[Job]:
        """Return the jobs: first one for each portrait.

        Then follow, for each video, one that draws it again from its own first frame, and one for each of the
        first four portraits, which it drives.
        """
        out = [
            self._job("portrait", (path,), k < SPOKEN, self.face_model)
            for k, path in enumerate(self.portraits)
        ]
        for video in self.drivers:
            out.append(self._job("video", (video,)))
            out += [self._job("direct", (video, path)) for path in self.portraits[:PAIRED]]
        return out

    @staticmethod
    def _job(kind: str, files: tuple[Path, ...], speech: bool = False, face_model: Path | None = None) -> Job:
        """Return the job of one cell. speech: whether the portrait also says `sentence.TEXT`."""
        hashes = [file_hash(path) for path in (*files, *((face_model,) if face_model else ()))]
        key = key_of("head", MEASURED, kind, speech, hashes)
        return Job(key, partial(_measured, kind, files, speech, face_model))


def run_heads(study: HeadStudy, folder: Path, tick: Callable[[], None] = lambda: None) -> list[HeadCell]:
    """Run the jobs whose cells are missing; returns the values of all cells, in the order of the jobs.

    tick: called once for each job.
    """
    cells = run_cells(study.jobs, folder / CELL_FOLDER, study.workers, tick)
    return cast(list[HeadCell], cells)


def _measured(kind: str, files: tuple[Path, ...], speech: bool, face_model: Path | None) -> Measured:
    """Measure one portrait, video or pair; the cell has numbers and a strip of pictures, or `refused`."""
    values: HeadCell = {"kind": kind, "files": [file.name for file in files], "numbers": {}}
    try:
        if kind == "portrait":
            head = drawn.open_portrait(files[0], face_model)
            values["numbers"], pictures = drawn.measure(head, speech), drawn.sheet(head)
        elif kind == "video":
            values["numbers"], pictures = carried.reconstruct(files[0])
        else:
            values["numbers"], pictures = carried.direct(*files)
        strip = np.concatenate([_narrow(picture) for picture in pictures], axis=1)
        values["strip"] = _jpeg(strip)
    except InputError as error:
        values["refused"] = str(error)
    return Measured(values)


def _narrow(picture: np.ndarray) -> np.ndarray:
    h, w = picture.shape[:2]
    return np.asarray(Image.fromarray(picture).resize((WIDE, round(h * WIDE / w)), Image.Resampling.LANCZOS))


def _jpeg(picture: np.ndarray) -> str:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=88)
    return base64.b64encode(data.getvalue()).decode()


def table(cells: Sequence[HeadCell]) -> list[Row]:
    """Return the rows of the report: those of videos, of portraits, then of pairs."""
    return [*_of_videos(cells), *_of_portraits(cells), *_of_pairs(cells)]


def _row(what: str, value: float, low: float | None = None, high: float | None = None) -> Row:
    """Return a row with the target low <= value <= high."""
    target = Range(low, high)
    return Row(what, value, str(target), target.holds(value))


def markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    cells = ([row.what, f"{row.value:.3g}", row.target, verdict(row.met)] for row in rows)
    return markdown_table(["", "value", "target", "met"], cells)


def _values(cells: Sequence[HeadCell], kind: str, name: str) -> np.ndarray:
    """Return the values of one measure in all cells of a kind, without NaN and refused cells."""
    measured = [c for c in cells if c["kind"] == kind and "refused" not in c]
    values = np.array([c["numbers"].get(name, np.nan) for c in measured], float)
    return values[~np.isnan(values)]


def _of_videos(cells: Sequence[HeadCell]) -> Iterator[Row]:
    for name, low, high in (
        ("landmarks", None, 0.013),
        ("opening r", 0.97, None),
        ("width r", 0.93, None),
        ("PSNR gain", 3.0, None),
    ):
        values = _values(cells, "video", name)
        if len(values):
            worst = values.max() if high is not None else values.min()
            said = f"first frame and track, {len(values)} videos: {name}"
            yield _row(f"{said}, mean", float(values.mean()), low, high)
            yield _row(f"{said}, worst", float(worst))


def _of_portraits(cells: Sequence[HeadCell]) -> Iterator[Row]:
    def values(name: str) -> np.ndarray:
        return _values(cells, "portrait", name)

    count = len(values("still"))
    if not count:
        return
    asked = f"asked and read, {count} portraits, median"
    for name in (*drawn.ASKED, *drawn.GAZES):
        yield _row(f"{asked} r: {name}", median(values(f"r {name}")), 0.95)
    for name in drawn.TURNS:
        yield _row(f"{asked} r: {name}", median(values(f"r {name}")), 0.99)
    for name in ("yaw", "pitch"):
        yield _row(f"{asked} slope: {name}", median(values(f"slope {name}")), 0.8, 1.1)
    for name, low, high in (("p b m", 0.95, 1.0), ("f v", 0.5, 0.9), ("t d n s z l", 0.15, 0.3)):
        shares = values(f"speech: {name}")
        yield _row(f"sentence, {len(shares)} portraits: closed at {name}", mean(shares), low, high)
    yield _row("slow turn: change over the field's own, median", median(values("flicker")), None, 1.1)
    yield _row(
        "slow turn: change where nothing moves (of 255), worst",
        _most(values("flicker where nothing moves")),
        None,
        0,
    )
    shut = values("lids shut") <= SHUT
    yield _row(f"eyes shut when asked (lids' gap <= {SHUT}), share", mean(shut), 0.9)
    yield _row("nothing moves: change (of 255), worst", _most(values("still")), None, 0)
    yield _row("background while the head turns (of 255), worst", _most(values("background")), None, 0)
    yield _row("field against frames, median PSNR, dB", median(values("field")), 45)
    for name, low in (("expression", 0.9), ("turned", 0.75)):
        sharp = median(values(f"sharpness, {name}"))
        yield _row(f"sharpness over the portrait's own, {name}, median", sharp, low, 1.1)


def _of_pairs(cells: Sequence[HeadCell]) -> Iterator[Row]:
    for name in (*carried.SHAPES, *carried.ANGLES):
        values = _values(cells, "direct", name)
        if len(values):
            what = f"direct, {len(values)} pairs whose driver moves it: median r of {name}"
            yield _row(what, median(values), 0.8 if name in carried.SHAPES else 0.9)


def _most(values: np.ndarray) -> float:
    return float(np.max(values)) if len(values) else float("nan")


def write_heads(folder: Path, study: HeadStudy, command: str, cells: Sequence[HeadCell]) -> Path:
    """Write `heads.md`, `heads.json` and the page `heads.html`; returns the path of the page."""
    rows = table(cells)
    refused = [c for c in cells if "refused" in c]
    text = (
        f"`{command}`\n\n{len(study.portraits)} portraits, {len(study.drivers)} videos.\n\n{markdown(rows)}"
    )
    if refused:
        text += "\nRefused:\n\n" + "".join(f"- {c['refused']}\n" for c in refused)
    with whole_file(folder / "heads.md", overwrite=True) as work:
        work.write_text(text, encoding="utf-8")
    write_sidecar(
        folder / "heads.json",
        {
            "command": command,
            "versions": versions(),
            "rows": [asdict(row) for row in rows],
            "cells": [{k: v for k, v in cell.items() if k != "strip"} for cell in cells],
        },
        overwrite=True,
    )
    page = folder / "heads.html"
    with whole_file(page, overwrite=True) as work:
        work.write_text(_page(command, rows, cells), encoding="utf-8")
    return page


def _page(command: str, rows: Sequence[Row], cells: Sequence[HeadCell]) -> str:
    body = "".join(
        f"<tr><th>{escape(r.what)}</th><td>{r.value:.3g}</td><td>{escape(r.target)}</td>"
        f"<td>{'' if r.met is None or not r.target else 'yes' if r.met else '<b>no</b>'}</td></tr>"
        for r in rows
    )
    sheets = "".join(
        f"<section><h2>{escape(' + '.join(c['files']))}</h2>"
        + (
            f"<p>{escape(c['refused'])}</p>"
            if "refused" in c
            else f'<img src="data:image/jpeg;base64,{c["strip"]}" alt="{escape(c["kind"])}">'
        )
        + "</section>"
        for c in cells
    )
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#1e1e22;background:#faf9f6}"
        "table{border-collapse:collapse}"
        "th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ddd}"
        "th{text-align:left;font-weight:400}section{overflow-x:auto}h2{font-size:1rem;margin:1.2rem 0 .2rem}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Heads</title>'
        f'<link rel="icon" href="data:,"><style>{style}</style></head><body><h1>Heads</h1>'
        f"<p><code>{escape(command)}</code></p><table><tr><th></th><td>value</td><td>target</td><td>met</td></tr>"
        f"{body}</table>{sheets}</body></html>"
    )
