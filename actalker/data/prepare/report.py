"""The data report: one HTML page that opens offline. It shows which clips are usable, why others are not, and
how the data looks.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...media.video import read_frames
from ...provenance import whole_file
from .cut import CLIP
from .features import FEATURES
from .manifest import Row
from .probe import THUMB

SHEET = 24  # pictures of each status
LOOKS = 20  # clips with regions drawn
BINS = 16
WIDE, HIGH = 300, 90  # of a histogram
HISTOGRAMS = {
    "length, s": "duration",
    "face height, pixels of the source": "face_height",
    "yaw, degrees": "yaw",
    "speech level, dB": "level",
    "sharpness": "sharpness",
    "brightness": "brightness",
    "head motion, bucket": "head_motion",
    "expression motion, bucket": "expression_motion",
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em;
  color: #222; background: #fff }
figure { display: inline-block; margin: 0 .6em .8em 0; vertical-align: top; width: 160px; font-size: 12px;
  overflow-wrap: anywhere }
figure.wide { width: 300px }
img { max-width: 100%; border-radius: 3px }
table { border-collapse: collapse }
td, th { padding: .15em .8em; border-bottom: 1px solid #ddd; text-align: left }
svg { background: #f6f6f6; border-radius: 3px }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 }
  svg { background: #262626 }
  td, th { border-color: #444 }
}
"""


def write_report(path: Path, rows: Sequence[Row], folder: Callable[[str], Path]) -> None:
    """Write the page. rows: of the manifest. folder: turns a clip's key into the folder of its results."""
    good = [row for row in rows if row["status"] == "ok"]
    parts = [
        f"<h1>{len(good)} of {len(rows)} usable</h1>",
        "<h2>Why not</h2>",
        _reasons(rows),
        "<h2>How the usable clips are</h2>",
        *(_histogram(title, [row[name] for row in good]) for title, name in HISTOGRAMS.items()),
        *(_counts(name, good) for name in ("actions", "emotions")),
        f"<h2>{min(LOOKS, len(good))} of them, with face, mouth and landmarks</h2>",
        *(_drawn(row, folder(row["key"])) for row in _some(good, LOOKS)),
    ]
    for status in ("ok", "rejected", "failed"):
        of = [row for row in rows if row["status"] == status]
        parts.append(f"<h2>{status}: {len(of)}</h2>")
        parts += [_thumb(row, folder(row["key"])) for row in _some(of, SHEET)]
    page = (
        f"<!doctype html><meta charset=utf-8><title>data report</title><style>{STYLE}</style>{''.join(parts)}"
    )
    with whole_file(path, overwrite=True) as work:
        work.write_text(page, encoding="utf-8", errors="backslashreplace")


def _some(rows: Sequence[Row], count: int) -> list[Row]:
    """A choice of rows that is arbitrary and the same every time: by the hash at a key's end."""
    return sorted(rows, key=lambda row: row["key"][-12:])[:count]


def _reasons(rows: Sequence[Row]) -> str:
    counts = Counter((row["status"], row["stage"], row["reason"]) for row in rows if row["status"] != "ok")
    lines = [
        f"<tr><td>{count}<td>{status}<td>{html.escape(stage)}<td>{html.escape(reason)}"
        for (status, stage, reason), count in counts.most_common(40)
    ]
    if not lines:
        return "<p>All are."
    return f"<table><tr><th>clips<th>status<th>stage<th>reason{''.join(lines)}</table>"


def _histogram(title: str, values: Sequence[float | None]) -> str:
    known = np.array([value for value in values if value is not None], float)
    if known.size == 0:
        return f"<figure class=wide><p>{title}: not measured</figure>"
    counts, edges = np.histogram(known, BINS)
    step, top = WIDE / BINS, max(1, counts.max())
    bars = []
    for k, count in enumerate(counts):
        high = HIGH * count / top
        bars.append(
            f'<rect x="{k * step:.1f}" y="{HIGH - high:.1f}" width="{step - 1:.1f}" height="{high:.1f}" '
            f'fill="#4878a8"><title>{edges[k]:.4g} to {edges[k + 1]:.4g}: {count}</title></rect>'
        )
    span = f"{known.min():.4g} to {known.max():.4g}, median {np.median(known):.4g}"
    box = f'viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}"'
    return f"<figure class=wide><svg {box}>{''.join(bars)}</svg><br>{title}: {span}</figure>"


def _counts(name: str, rows: Sequence[Row]) -> str:
    counts = Counter(label for row in rows for label in json.loads(row[name] or "[]"))
    if not counts:
        return ""
    lines = "".join(f"<tr><td>{html.escape(label)}<td>{count}" for label, count in counts.most_common())
    return f"<h3>{name}</h3><table>{lines}</table>"


def _thumb(row: Row, folder: Path) -> str:
    picture = folder / "probe" / THUMB
    shown = f'<img src="{_data(picture.read_bytes())}">' if picture.is_file() else ""
    return f"<figure>{shown}<br>{html.escape(row['clip'])}<br>{html.escape(row['reason'])}</figure>"


def _drawn(row: Row, folder: Path) -> str:
    """The clip's middle frame with its regions' outlines and its landmarks."""
    middle = row["frames"] // 2
    frame = list(read_frames(folder / "render" / CLIP, limit=middle + 1))[-1]
    with np.load(folder / "features" / FEATURES) as features:
        tinted = frame.astype(np.float32)
        for name, colour in (("face", (60, 120, 255)), ("mouth", (255, 90, 60))):
            edge = _edge(features[name] >= 128)
            tinted[edge] = colour
        marks = features["landmarks"][middle] if "landmarks" in features else np.zeros((0, 2))
    picture = Image.fromarray(tinted.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for x, y in marks[::3].tolist():
        pen.ellipse((x - 1, y - 1, x + 1, y + 1), (120, 255, 120))
    picture.thumbnail((300, 300))
    caption = " ".join(part for part in (row["clip"], row["caption"]) if part)
    return (
        f'<figure class=wide><img src="{_data(_jpeg(picture))}"><br>{html.escape(caption)}<br>'
        f"{row['duration']:.2f} s, face {row['face_height']:.0f} pixels</figure>"
    )


def _edge(inside: np.ndarray) -> np.ndarray:
    """The pixels within one of a mask's border, (h, w) bool."""
    edge = np.zeros_like(inside)
    for axis in (0, 1):
        change = np.diff(inside, axis=axis, prepend=False) != 0
        for shift in (-1, 0, 1):
            edge |= np.roll(change, shift, axis)
    return edge


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()


def _data(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
