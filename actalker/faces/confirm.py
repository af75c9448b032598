"""Tells whether a window of a picture shows a face, and exactly where, by a linear classifier of gradients.

A cascade answers at eyes, cheeks and sleeves too, and does not know which of its answers holds the whole
face. So squares of many sizes and places around each answer are scored by their histograms of gradients
(Dalal & Triggs 2005): how much they look like a pair of eyes, a nose and a mouth at their canonical places.
The weights are fitted by `benchmarks/fit_faces.py` to portraits of people who do not exist.

Letters: k squares, d features. A square is x, y, side: the canonical one of `crop.py`, in pixels.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

WEIGHTS = Path(__file__).parents[1] / "assets" / "face_gradients.npz"
WINDOW, CELL, BINS = 36, 6, 18  # pixels a side of the window that is scored, and of a cell; directions
CENTRE, PART = (0.5, 0.55), 0.66  # of the canonical square: the window, from the forehead to the chin
SMALL = 90  # pixels a side of the canonical square in the picture that windows are cut from
SIZES = 1.12 ** np.arange(-5, 11)  # times the answer's; the cascade takes faces for smaller more often
PLACES = np.arange(-2, 3) * 0.09  # sides from the answer's middle, in both directions
SAME_SIZE, SAME_PLACE = 1.35, 0.25  # squares that differ by less hold the same face at the same place


def search(grey: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The face near a square (3,) of a picture (h, w) of 0 to 255.

    Returns: the square (3,) of the face, its score, and its lead over squares of other sizes or places.
    """
    x, y, side = square
    middle = np.array([x + CENTRE[0] * side, y + CENTRE[1] * side])
    squares = []
    for size in side * SIZES:
        for down in PLACES:
            for right in PLACES:
                at = middle + size * np.array([right, down])
                squares.append((*(at - size * np.array(CENTRE)), size))
    tried = np.array(squares)
    scores = score(grey, tried, min(1.0, SMALL / side))
    best = tried[scores.argmax()]
    same = same_face(tried, best)
    weights = np.exp(scores[same] - scores.max())
    square = np.average(tried[same], axis=0, weights=weights)
    return square, float(scores.max()), float(scores.max() - scores[~same].max())


def same_face(squares: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Which of the squares (k, 3) show the face of one square (3,) at the same place and size: (k,) bool."""
    apart = squares[:, :2] + squares[:, 2:] / 2 - square[:2] - square[2] / 2
    sizes = np.maximum(squares[:, 2] / square[2], square[2] / squares[:, 2])
    return (sizes <= SAME_SIZE) & (np.hypot(*apart.T) <= SAME_PLACE * square[2])


def score(grey: np.ndarray, squares: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """How much squares (k, 3) look like a face at its canonical place: (k,), above 0 where a face is likely.

    grey: (h, w) of 0 to 255. scale: by which the picture is shrunk first, which is faster.
    """
    weights, bias = _weights()
    picture = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = np.asarray(picture.resize(size, Image.Resampling.BOX))
    return gradients(windows(small, squares * scale)) @ weights + bias


def windows(grey: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """The windows of squares (k, 3) of a picture (h, w): (k, WINDOW, WINDOW) float32."""
    pixels = np.clip(grey, 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels)
    return np.stack([_cut(picture, pixels, square) for square in squares])


def _cut(picture: Image.Image, pixels: np.ndarray, square: np.ndarray) -> np.ndarray:
    """The window of a square, (WINDOW, WINDOW) float32; outside the picture its border repeats."""
    x, y, side = square
    half = PART * side / 2
    left, top = x + CENTRE[0] * side - half, y + CENTRE[1] * side - half
    right, bottom = left + 2 * half, top + 2 * half
    if left < 0 or top < 0 or right > picture.width or bottom > picture.height:
        x0, y0 = int(np.floor(left)) - 2, int(np.floor(top)) - 2
        rows = np.clip(np.arange(y0, int(np.ceil(bottom)) + 2), 0, picture.height - 1)
        columns = np.clip(np.arange(x0, int(np.ceil(right)) + 2), 0, picture.width - 1)
        picture = Image.fromarray(pixels[np.ix_(rows, columns)])
        left, right, top, bottom = left - x0, right - x0, top - y0, bottom - y0
    size = (WINDOW, WINDOW)
    cut = picture.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.asarray(cut, np.float32)


def gradients(cuts: np.ndarray) -> np.ndarray:
    """The histograms of gradients (k, d) of windows (k, WINDOW, WINDOW) of 0 to 255."""
    k, cells = len(cuts), WINDOW // CELL
    light = np.sqrt(cuts)
    down, right = np.zeros_like(light), np.zeros_like(light)
    down[:, 1:-1] = light[:, 2:] - light[:, :-2]
    right[:, :, 1:-1] = light[:, :, 2:] - light[:, :, :-2]
    steep = np.hypot(right, down)
    angle = np.arctan2(down, right) % (2 * np.pi) / (2 * np.pi) * BINS
    lower = np.floor(angle)
    share = angle - lower
    at = np.arange(WINDOW) // CELL
    place = (np.arange(k)[:, None, None] * cells + at[:, None]) * cells + at
    counts = np.zeros(k * cells * cells * BINS)
    for step, amount in ((0, steep * (1 - share)), (1, steep * share)):
        index = place * BINS + (lower.astype(int) + step) % BINS
        counts += np.bincount(index.ravel(), amount.ravel(), minlength=counts.size)
    histograms = counts.reshape(k, cells, cells, BINS).astype(np.float32)
    parts = (histograms[:, i : i + cells - 1, j : j + cells - 1] for j in (0, 1) for i in (0, 1))
    blocks = np.concatenate([*parts], axis=-1)
    blocks = np.minimum(blocks / np.sqrt((blocks**2).sum(-1, keepdims=True) + 1.0), 0.2)
    return (blocks / np.sqrt((blocks**2).sum(-1, keepdims=True) + 1e-3)).reshape(k, -1)


@lru_cache(maxsize=1)
def _weights() -> tuple[np.ndarray, float]:
    """The classifier's weights (d,) and bias."""
    with np.load(WEIGHTS) as file:
        return file["weights"].astype(np.float32), float(file["bias"])
