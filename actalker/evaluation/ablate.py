"""The ablation: held-out puppets under every setting of the gates, one table of rows with their targets.

Each puppet is one cell, kept in `cells/` under the hash of the model and the settings: a second start makes
only what is missing.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..media.image import write_png
from ..pipeline.find import find_model
from ..pipeline.folder import check_files, load_model
from ..provenance import versions, whole_file, write_sidecar
from .jobs import read_kept, run_jobs
from .puppets import LONG, SETTINGS, SIGNALS, measure
from .statistics import interval

SHEETS = 6  # puppets that are shown as pictures
MEASURED = 2  # to be raised when puppets are drawn or measured in another way: old cells are not taken then


@dataclass(frozen=True)
class AblationConfig:
    """What is measured."""

    model: str = "tiny"
    puppets: int = 64
    seed: int = 1000
    frames: int = LONG
    steps: int | None = None
    engine: str = "processes"
    workers: int = 1
    address: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table. low, high: bootstrap 95 % interval over clips."""

    what: str
    value: float
    low: float
    high: float
    target: str
    met: bool | None


def run_cells(
    config: AblationConfig, folder: Path, tick: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Measure every puppet that has not been measured; returns the cells in order."""
    hashes = check_files(find_model(config.model))
    told = {k: getattr(config, k) for k in ("seed", "frames", "steps")}
    told |= {"model": sorted(hashes.items()), "measured": MEASURED}
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    cells = folder / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    paths = [cells / f"{key}-{index:04d}.json" for index in range(config.puppets)]
    missing = [k for k, path in enumerate(paths) if read_kept(path) is None]
    for _ in range(config.puppets - len(missing)):
        tick()
    jobs = [(config, index, str(paths[index]), str(folder)) for index in missing]
    for _ in run_jobs(_cell, jobs, config.engine, config.workers, config.address):
        tick()
    return [json.loads(path.read_text()) for path in paths]


_LOADED: dict[str, Any] = {}


def _cell(config: AblationConfig, index: int, path: str, folder: str) -> None:
    """Measure one puppet and write its numbers, the first few their pictures too."""
    if config.model not in _LOADED:
        _LOADED[config.model] = load_model(config.model)
    row, videos = measure(_LOADED[config.model], config.seed, index, config.frames, config.steps)
    if index < SHEETS:
        write_png(Path(folder) / f"puppet{index:02d}.png", contact_sheet(videos), overwrite=True)
    with whole_file(Path(path), overwrite=True) as work:
        work.write_text(json.dumps(row))


def contact_sheet(videos: dict[str, Tensor], columns: int = 9) -> np.ndarray:
    """Rows: the truth and each setting; columns: frames. (h, w, 3) uint8 with the settings' names."""
    from PIL import Image, ImageDraw, ImageFont

    rows = [
        torch.cat(list(v[np.linspace(0, len(v) - 1, columns).round().astype(int)]), dim=2)
        for v in videos.values()
    ]
    sheet = Image.fromarray((torch.cat(rows, dim=1).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy())
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for k, name in enumerate(videos):
        draw.text(
            (3, k * rows[0].shape[1] + 2), name, (255, 255, 255), font, stroke_width=1, stroke_fill=(0, 0, 0)
        )
    return np.asarray(sheet)


def table(cells: list[dict[str, Any]]) -> list[Row]:
    """The rows of the report, from the cells."""
    return list(_rows(cells))


def _rows(cells: list[dict[str, Any]]) -> Iterator[Row]:
    def ratio(what: str, setting: str, region: str, target: str, good: Callable[[float], bool]) -> Row:
        pairs = np.array([[c["errors"][setting][region], c["errors"]["open"][region]] for c in cells])
        return _row(what, pairs, _over, target, good)

    yield ratio(
        "error in the mouth, audio closed / open", "audio closed", "mouth", ">= 3.0", lambda v: v >= 3
    )
    yield ratio(
        "error in the upper face, audio closed / open",
        "audio closed",
        "upper",
        "0.97 to 1.03",
        lambda v: 0.97 <= v <= 1.03,
    )
    yield ratio(
        "error in the upper face, expression closed / open",
        "expression closed",
        "upper",
        ">= 2.0",
        lambda v: v >= 2,
    )
    still = np.array([[c["still_head"]["expression closed"], c["still_head"]["open"]] for c in cells])
    yield _row(
        "error in the mouth, expression closed / open, head still",
        still,
        _over,
        "0.9 to 1.1",
        lambda v: 0.9 <= v <= 1.1,
    )
    moving = [c for c in cells if c["jaw_moves"] >= 0.05]
    for what, key, least in (
        ("correlation of the lips' opening with the true jaw", "jaw", 0.85),
        ("the same read from true pictures", "jaw_true", 0.95),
    ):
        values = np.array([c[key] for c in moving])
        yield _row(what, values, _mean, f">= {least}", partial(operator.le, least))
    for what, key, target, good in (
        ("script phrases shown, text open, expression closed", "open", ">= 0.8", lambda v: v >= 0.8),
        ("script phrases shown, text and expression closed", "closed", "<= 0.3", lambda v: v <= 0.3),
        ("the same on true pictures, text open", "true open", ">= 0.95", lambda v: v >= 0.95),
        ("the same on true pictures, text closed", "true closed", "", None),
        ("script phrases shown, all gates open", "all open", "", None),
        ("the same on true pictures, all gates open", "true all open", "", None),
    ):
        counts = np.array([[sum(c["phrases"][key]), len(c["phrases"][key])] for c in cells])
        yield _row(what, counts, _over, target, good)
    yield _row(
        "PSNR against the true frames, all open (dB)",
        np.array([c["psnr"] for c in cells]),
        _mean,
        ">= 25",
        lambda v: v >= 25,
    )
    yield _row("PSNR of the still portrait (dB)", np.array([c["still"] for c in cells]), _mean, "", None)
    for signal in SIGNALS:
        monotone = np.array([c["monotone"][signal] for c in cells if signal in c["monotone"]], float)
        yield _row(
            f"effect grows with the {signal} gate, share of clips",
            monotone,
            _mean,
            ">= 0.9",
            lambda v: v >= 0.9,
        )


def _over(rows: np.ndarray) -> float:
    total = rows.sum(0)
    return float(total[0] / total[1]) if total[1] else float("nan")


def _mean(rows: np.ndarray) -> float:
    return float(rows.mean()) if len(rows) else float("nan")


def _row(
    what: str,
    rows: np.ndarray,
    statistic: Callable[[np.ndarray], float],
    target: str,
    good: Callable[[float], bool] | None,
) -> Row:
    value = statistic(rows)
    low, high = interval(rows, statistic) if len(rows) else (float("nan"), float("nan"))
    return Row(what, value, low, high, target, None if good is None else bool(good(value)))


def markdown(rows: list[Row]) -> str:
    """The table as Markdown."""
    lines = ["| | value | 95 % interval | target | met |", "|---|---|---|---|---|"]
    for row in rows:
        met = "" if row.met is None else ("yes" if row.met else "**no**")
        interval = "" if np.isnan(row.low) else f"{row.low:.3g} to {row.high:.3g}"
        lines.append(f"| {row.what} | {row.value:.3g} | {interval} | {row.target} | {met} |")
    return "\n".join(lines) + "\n"


def write_report(
    folder: Path,
    config: AblationConfig,
    command: str,
    cells: list[dict[str, Any]],
    portraits: dict[str, Any] | None = None,
) -> None:
    """`ablation.json`, `ablation.md` and the plots."""
    rows = table(cells) if cells else []
    extra = portraits["rows"] if portraits else []
    text = f"`{command}`\n\n{markdown(rows)}"
    if extra:
        text += f"\nOn portraits, measured with MediaPipe's landmarks:\n\n{markdown(extra)}"
    with whole_file(folder / "ablation.md", overwrite=True) as work:
        work.write_text(text)
    write_sidecar(
        folder / "ablation.json",
        {
            "command": command,
            "settings": asdict(config),
            "gates": SETTINGS,
            "model": check_files(find_model(config.model)),
            "versions": versions(),
            "rows": [asdict(row) for row in [*rows, *extra]],
            "cells": cells,
            "portraits": None if portraits is None else portraits["cells"],
        },
        overwrite=True,
    )
    if cells:
        plots(folder, cells)


def plots(folder: Path, cells: list[dict[str, Any]]) -> None:
    """Gate sweeps and the signal-by-region matrix of changes."""
    from ..extras import need

    need("eval", "matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for signal in SIGNALS:
        sweeps = np.array([c["sweep"][signal] for c in cells if signal in c["sweep"]])
        if len(sweeps):
            share = sweeps / np.maximum(sweeps[:, -1:], 1e-9)
            axes[0].plot([0, 0.25, 0.5, 0.75, 1], np.median(share, 0), marker="o", label=signal)
    axes[0].set(xlabel="gate", ylabel="effect, share of the open gate's", title="a gate's effect")
    axes[0].legend()
    matrix = np.array(
        [[np.mean([c["change"][s][r] for c in cells]) for r in ("mouth", "upper")] for s in SIGNALS]
    )
    axes[1].imshow(matrix, cmap="Blues")
    axes[1].set(
        xticks=[0, 1],
        xticklabels=["mouth", "upper"],
        yticks=range(3),
        yticklabels=SIGNALS,
        title="change when the gate closes",
    )
    for (row, column), value in np.ndenumerate(matrix):
        axes[1].text(column, row, f"{255 * value:.2f}", ha="center", va="center")
    figure.tight_layout()
    with whole_file(folder / "ablation.png", overwrite=True) as work:
        figure.savefig(work, dpi=110)
    plt.close(figure)
