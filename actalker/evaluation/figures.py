"""Pictures of a study: heat maps, lips and waveform, change by signal and region; videos side by side.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..extras import need
from ..media.writer import VideoWriter
from ..provenance import made_by, whole_file
from .effects import REGIONS, Context, Control, apart
from .study import Cell

PANEL, CAPTION = 256, 30  # pixels
INK, PAPER = (30, 30, 34), (250, 249, 246)
MOST_CURVES = 6
ENDINGS = (".png", ".pdf")
DRAWN = {"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def side_by_side(titles: Sequence[str], frames: Sequence[np.ndarray], columns: int = 0) -> np.ndarray:
    """Join frames into one picture (h, w, 3) uint8, each under its title.

    columns: frames in a row; 0 puts all into one row.
    """
    columns = columns or len(frames)
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (PANEL * columns, (PANEL + CAPTION) * rows), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for k, (title, frame) in enumerate(zip(titles, frames, strict=True)):
        x, y = k % columns * PANEL, k // columns * (PANEL + CAPTION)
        picture = Image.fromarray(frame).resize((PANEL, PANEL), Image.Resampling.BICUBIC)
        sheet.paste(picture, (x, y + CAPTION))
        while font.getlength(title) > PANEL - 8:
            title = title[:-2].rstrip(" ,…") + "…"
        draw.text((x + PANEL // 2, y + CAPTION // 2), title, INK, font, anchor="mm")
    return np.asarray(sheet)


def write_video(path: Path, cell: Cell, context: Context) -> None:
    """Write a cell's frames with its case's sound."""
    frames = cell.frames
    says, size = made_by(), frames.shape[1:3]
    with VideoWriter(path, context.fps, size, context.sound, True, threads=1, says=says) as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))


def write_grid(path: Path, cells: Sequence[Cell], context: Context) -> None:
    """Write all settings of a case as one captioned video."""
    columns = math.ceil(math.sqrt(len(cells)))
    rows = -(-len(cells) // columns)
    titles, videos = [cell.setting.name for cell in cells], [cell.frames for cell in cells]
    size = ((PANEL + CAPTION) * rows, PANEL * columns)
    with VideoWriter(path, context.fps, size, context.sound, True, threads=1, says=made_by()) as writer:
        for k in range(min(len(video) for video in videos)):
            writer.write(side_by_side(titles, [np.asarray(video[k]) for video in videos], columns))


def heat_maps(cells: Sequence[Cell]) -> list[np.ndarray]:
    """Return, per setting, a heat map (h, w, 3) uint8 of its mean change from the first, on one scale."""
    maps = [apart(cell.frames, cells[0].frames) for cell in cells]
    top = max(1.0, max(float(np.quantile(m, 0.995)) for m in maps))
    colours = _plain("matplotlib").colormaps["inferno"]
    return [(colours(np.clip(m / top, 0, 1))[..., :3] * 255).round().astype(np.uint8) for m in maps]


def draw_curves(path: Path, cells: Sequence[Cell], context: Context) -> bool:
    """Draw the lips' opening under each setting in front of the waveform, as PNG and PDF.

    Returns False, and draws nothing, where no opening is known.
    """
    shown = [cell for cell in cells if cell.curve is not None][:MOST_CURVES]
    if not shown:
        return False
    plt = _plain("matplotlib.pyplot")
    with plt.rc_context(DRAWN):
        figure, axis = plt.subplots(figsize=(7.2, 2.6))
        for k, cell in enumerate(shown):
            assert cell.curve is not None
            times = np.arange(len(cell.curve)) / float(context.fps)
            axis.plot(times, cell.curve, label=cell.setting.name, lw=2.0 if k == 0 else 1.1)
        if context.sound is not None:
            wave = context.sound.mono(4000)
            behind = axis.twinx()
            behind.plot(np.arange(len(wave)) / 4000, wave, color="0.8", lw=0.5)
            behind.set(yticks=[])
            axis.set_zorder(behind.get_zorder() + 1)
            axis.patch.set_visible(False)
        axis.set(
            xlabel="seconds", ylabel="lips' opening", xlim=(0, len(shown[0].frames) / float(context.fps))
        )
        axis.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=8)
        _save(plt, figure, path)
    return True


def draw_independence(path: Path, controls: Sequence[Control]) -> bool:
    """Draw a matrix, signals by regions, of the mean change in the region when the signal's gate closes.

    The files are a PNG and a PDF.

    Returns False, and draws nothing, where no gate was closed.
    """
    if not controls:
        return False
    plt = _plain("matplotlib.pyplot")
    matrix = np.array([[c.regions[r].mean if r in c.regions else np.nan for r in REGIONS] for c in controls])
    with plt.rc_context({**DRAWN, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure, axis = plt.subplots(figsize=(3.6, 0.55 * len(controls) + 1.1))
        axis.imshow(matrix, cmap="Blues", aspect="auto", vmin=0)
        axis.set(xticks=range(len(REGIONS)), xticklabels=REGIONS)
        axis.set(yticks=range(len(controls)), yticklabels=[c.signal for c in controls])
        axis.tick_params(length=0)
        axis.set_title("change when the gate closes (of 255)", fontsize=9)
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if value > 0.6 * np.nanmax(matrix) else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
        _save(plt, figure, path)
    return True


def _plain(name: str) -> ModuleType:
    """Import a part of matplotlib, set to draw to files only."""
    import importlib

    need("eval", "matplotlib").use("Agg")
    return importlib.import_module(name)


def _save(plt: ModuleType, figure: Any, path: Path) -> None:
    for ending in ENDINGS:
        with whole_file(path.with_suffix(ending), overwrite=True) as work:
            # no date: the same study gives the same bytes
            metadata = {"CreationDate": None} if ending == ".pdf" else {}
            figure.savefig(work, bbox_inches="tight", metadata=metadata)
    plt.close(figure)
