"""The ground behind a person: the photograph without the person, filled in from beside.

Its colours come from coarser and coarser means of the visible ground, its grain from visible pixels on the
other side of the outline, so that the fill is no smooth blur.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from .kernels import fill

SIDE = 192  # pixels of the longer side of the small picture in which distances and colours are computed
STRAND = 10.0, 30.0  # of 255: the difference at which hair shows before a plain ground, and the ramp above
EDGE = 3  # of those pixels
SMOOTH = 1.5  # of those pixels: what varies faster than this is grain


def ground(
    image: np.ndarray, person: np.ndarray, margin: float, ramp: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Removes a person from a picture and fills in the ground.

    image (h, w, 3) uint8; person (h, w) in [0, 1]: the outline. margin: pixels beside the person that are
    filled too, for the outline misses strands of hair. ramp: pixels beyond over which the fill fades out.
    Returns the filled picture (h, w, 3) uint8, the share of the fill in it (h, w) float32 in [0, 1], and the
    strands beside the person (h, w) float32 in [0, 1]. Where the share is 0, pixels keep their bytes.
    """
    h, w = person.shape
    step = max(1, round(max(h, w) / SIDE))
    small = _reduce(person, step)
    inside = small > 0.04
    nothing = np.zeros((h, w), np.float32)
    if not inside.any():
        return image.copy(), nothing, nothing
    away = distance_transform_edt(~inside).astype(np.float32) * step
    clean = (away > margin + ramp) & _off_edge(small.shape)
    if clean.mean() < 0.01:  # the person is nearly all of the picture
        clean = small < 0.5
        if not clean.any():
            return image.copy(), nothing, nothing
    weight = clean.astype(np.float32)
    seen = gaussian_filter(weight, SMOOTH)
    reduced = np.stack([_reduce(image[..., c], step) for c in range(3)], -1)
    colours = gaussian_filter(reduced * weight[..., None], (SMOOTH, SMOOTH, 0))
    low = _spread(colours / np.maximum(seen, 1e-3)[..., None], np.minimum(seen * 4, 1))
    # the grain is the difference of a visible pixel from the smooth colours; where to read it: as far beyond
    # the edge of the visible ground as a pixel lies before it
    nearest = distance_transform_edt(~clean, return_distances=False, return_indices=True)
    here = np.mgrid[0 : clean.shape[0], 0 : clean.shape[1]]
    across = [
        gaussian_filter((2.0 * step * (n - g)).astype(np.float32), 3.0)
        for n, g in zip(nearest, here, strict=True)
    ]
    share = 1 - _ramp((away - margin) / max(ramp, 1e-3))
    maps = np.dstack([low, across[1], across[0], weight, share]).astype(np.float32)
    plate, whole = fill(image, maps, step)
    rough = _spread(np.abs(reduced - low).max(-1, keepdims=True), weight)
    near = 1 - _ramp(away / max(margin, 1e-3))
    beside = (whole > 0.999) & (person < 0.99)
    return plate, whole, _strands(image, plate, beside, np.dstack([near, rough]), step)


def _strands(
    image: np.ndarray, plate: np.ndarray, beside: np.ndarray, maps: np.ndarray, step: int
) -> np.ndarray:
    """Strands of hair (h, w) in [0, 1]: the picture differs from its ground by more than the ground is rough.

    beside (h, w) bool: where to look. maps (h / step, w / step, 2): how near the person is, in [0, 1], and
    the ground's roughness, of 255.
    """
    out = np.zeros(beside.shape, np.float32)
    y, x = np.nonzero(beside)
    difference = np.abs(image[y, x].astype(np.float32) - plate[y, x]).max(-1)
    at = [(y + 0.5) / step - 0.5, (x + 0.5) / step - 0.5]
    near, rough = (map_coordinates(maps[..., k], at, order=1, mode="nearest") for k in (0, 1))
    least = STRAND[0] + 2 * rough
    out[y, x] = near * _ramp((difference - least) / (STRAND[1] + rough))
    return out


def _off_edge(shape: tuple[int, int]) -> np.ndarray:
    """A mask that is False along the picture's edge, where many have a line of another colour."""
    inner = np.zeros(shape, bool)
    inner[EDGE : shape[0] - EDGE, EDGE : shape[1] - EDGE] = True
    return inner


def _ramp(t: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _reduce(plane: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks, (ceil(h / step), ceil(w / step)) float32; the last blocks repeat the edge's pixels."""
    h, w = plane.shape
    rows, columns = -(-h // step), -(-w // step)
    whole = np.pad(plane, ((0, rows * step - h), (0, columns * step - w)), mode="edge")
    return whole.reshape(rows, step, columns, step).mean((1, 3), dtype=np.float32)


def _spread(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """An image (h, w, k), filled where `weight` (h, w) is 0 from coarser and coarser means of the rest."""
    h, w = weight.shape
    if max(h, w) <= 2:
        mean = (image * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
        return np.broadcast_to(mean, image.shape).astype(np.float32)
    total = _reduce(weight, 2)
    means = np.stack([_reduce(image[..., c] * weight, 2) for c in range(image.shape[2])], -1)
    coarse = _spread(means / np.maximum(total, 1e-4)[..., None], np.minimum(total * 4, 1))
    up = _enlarge(coarse)[:h, :w]
    return image * weight[..., None] + up * (1 - weight[..., None])


def _enlarge(image: np.ndarray) -> np.ndarray:
    """An image (h, w, k) of twice the size, (2 h, 2 w, k), linear between the pixels' centres."""
    for axis in (0, 1):
        before = np.concatenate([image.take([0], axis), image.take(range(image.shape[axis] - 1), axis)], axis)
        after = np.concatenate([image.take(range(1, image.shape[axis]), axis), image.take([-1], axis)], axis)
        both = np.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis + 1)
        shape = list(image.shape)
        shape[axis] *= 2
        image = both.reshape(shape)
    return image
