"""The preview of a clip, one picture: face, regions, gates over the sound, and eight frames.

Letters: h w rows and columns of a picture, f frames.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...signals.signal import SIGNALS
from ..inputs import ClipInputs

SIDE, BAND, GAP, LINE, SHOWN = 256, 56, 12, 18, 8  # pixels; frames in the last row
INK, PAPER, FAINT = (30, 30, 34), (250, 249, 246), (205, 205, 210)
FACE, SQUARE = (214, 84, 40), (38, 110, 190)


def shown_frames(frames: int) -> list[int]:
    """Return the numbers of the frames that a preview shows: eight, spread from the first to the last."""
    return sorted({round(k) for k in np.linspace(0, frames - 1, min(SHOWN, frames))})


def preview(inputs: ClipInputs, frames: Mapping[int, np.ndarray]) -> np.ndarray:
    """Draw the preview of a clip.

    Args:
        frames: frame number -> (h, w, 3) uint8, those of `shown_frames`.
    Returns: (H, W, 3) uint8.
    """
    small, panels = SIDE // 2, 2 + len(inputs.signals)
    width = SHOWN * small + 2 * GAP
    side = min(SIDE, (width - 2 * GAP) // panels - GAP)
    height = 5 * GAP + side + 20 + LINE + len(inputs.signals) * (BAND + GAP) + small + 20
    sheet = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    bound = inputs.portrait.bound
    shown = [("portrait and face", _boxed(inputs)), bound.sketch()]
    for name, mask in inputs.masks().items():
        shown.append((f"{name} acts here", _tinted(bound.picture, bound.shown(mask), SIGNALS[name].colour)))
    for k, (title, picture) in enumerate(shown):
        x = GAP + k * (side + GAP)
        sheet.paste(_fitted(picture, side), (x, GAP + 18))
        draw.text((x, GAP), title, INK, font)
    draw.text((GAP, GAP + 20 + side), f"face: {inputs.portrait.place()}", INK, font)
    top = 2 * GAP + 20 + side + LINE
    for name in inputs.signals:
        _timeline(draw, inputs, name, (GAP, top, width - 2 * GAP, BAND), font)
        top += BAND + GAP
    for k, (number, picture) in enumerate(sorted(frames.items())):
        x = GAP + k * small
        sheet.paste(_fitted(picture, small - 4), (x, top + 18))
        draw.text((x, top), f"{float(number / inputs.fps):.2f} s", INK, font)
    return np.asarray(sheet)


def _fitted(picture: np.ndarray, side: int) -> Image.Image:
    """The whole picture in a square of `side`."""
    image = Image.fromarray(picture)
    scale = side / max(image.size)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _boxed(inputs: ClipInputs) -> np.ndarray:
    """The portrait with a box around the face, and one around the part that the model sees."""
    image = Image.fromarray(inputs.portrait.image)
    scale = min(1.0, 2 * SIDE / max(image.size))
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    draw = ImageDraw.Draw(image)
    draw.rectangle([v * scale for v in inputs.portrait.face.box], outline=FACE, width=3)
    corners = inputs.portrait.bound.seen_part()
    draw.rectangle([v * scale for v in corners], outline=SQUARE, width=3)
    return np.asarray(image)


def _tinted(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A picture with a colour laid over it where a mask (h, w) is 1."""
    share = mask[..., None] * 0.45
    mixed = picture * (1 - share) + np.asarray(colour) * share
    return mixed.round().astype(np.uint8)


def _timeline(
    draw: ImageDraw.ImageDraw,
    inputs: ClipInputs,
    name: str,
    place: tuple[int, int, int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Draw a signal's gate over the clip's waveform, and the phases of its input, into a box x, y, w, h."""
    x, y, w, h = place
    seconds = float(inputs.frames / inputs.fps)
    draw.rectangle((x, y, x + w, y + h), outline=FAINT)
    if inputs.mono is not None:
        cut = inputs.mono[: round(seconds * 16000)]
        edges = np.linspace(0, len(cut), w + 1).astype(int)
        loud = np.array(
            [np.abs(cut[a:b]).max() if b > a else 0.0 for a, b in zip(edges, edges[1:], strict=False)]
        )
        loud = loud / max(1e-6, float(loud.max()))
        for k, value in enumerate(loud):
            draw.line((x + k, y + h / 2 - value * h * 0.45, x + k, y + h / 2 + value * h * 0.45), fill=FAINT)
    for k, phase in enumerate(inputs.feeds[name].phases):
        a, b = (x + min(1.0, float(t) / seconds) * w for t in (phase.start, phase.stop))
        row = y + 18 + (k % 2) * 16
        draw.rectangle((a, row, b, row + 14), fill=FAINT)
        draw.text((a + 3, row), phase.text[: max(3, int((b - a) / 7))], INK, font)
    gate = inputs.gate(name, 0, inputs.frames)
    line = [(x + (k + 0.5) / inputs.frames * w, y + h - 2 - float(g) * (h - 4)) for k, g in enumerate(gate)]
    draw.line(
        line if len(line) > 1 else [(x, line[0][1]), (x + w, line[0][1])], fill=SIGNALS[name].colour, width=2
    )
    draw.text((x + 4, y + 2), name, SIGNALS[name].colour, font)
