"""SyncNet (Chung & Zisserman 2016): how well lips follow speech, and by how many frames they are late.

The network, its crops and its search are those of the field's reference with version 2 of its weights, whose
file loads by its own names. Video has 25 frames a second, sound 16 kHz.

Letters: f frames, k windows of five frames, n samples, t steps of 10 ms, d width of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor, nn

from ..errors import InputError
from ..weights import fill, read_torch, undrawn

RATE, FPS, SIDE = 16000, 25, 224
WINDOW = 5  # frames in a window
STEPS = 20  # steps of sound in a window
SEARCH = 15  # frames by which the sound is shifted to either side
BATCH = 16  # windows computed at once
WIDTH = 1024  # d
CROP = 0.4  # margin of the crop in half sizes of the face
OUTSIDE = 110  # grey value outside the picture
SMOOTHED = 13  # frames whose median gives a frame's box
FRAME, HOP, FFT, FILTERS, CEPSTRA, LIFTER, EMPHASIS = 400, 160, 512, 26, 13, 22, 0.97
SMALLEST = float(np.finfo(float).eps)


@dataclass(frozen=True)
class SyncScore:
    """The synchrony of a clip.

    confidence: Sync-C, the median distance over all shifts less the smallest one; higher is better.
    distance: Sync-D, the smallest distance; lower is better.
    offset: frames by which to shift the sound for the best fit, positive where it comes too early.
    """

    confidence: float
    distance: float
    offset: int


Extent = int | tuple[int, ...]
Layer = tuple[int, int, Extent, Extent, Extent, tuple[Extent, Extent, Extent] | None]
"""Channels in and out, kernel, stride, padding; kernel, stride and padding of the pooling, or None."""


def _cnn(
    kind: Callable[..., nn.Module], norm: Callable[[int], nn.Module], layers: Sequence[Layer]
) -> nn.Sequential:
    """Make a convolution, a norm, a ReLU and, where it has one, a pooling for each layer."""
    pool = nn.MaxPool2d if kind is nn.Conv2d else nn.MaxPool3d
    parts: list[nn.Module] = []
    for before, after, kernel, stride, padding, pooling in layers:
        parts += [kind(before, after, kernel, stride, padding), norm(after), nn.ReLU(inplace=True)]
        if pooling is not None:
            size, step, edge = pooling
            parts.append(pool(size, step, edge))
    return nn.Sequential(*parts)


def _head() -> nn.Sequential:
    """Make the linear layers behind one of the convolutional nets."""
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, WIDTH))


class SyncNet(nn.Module):
    """Two networks, for windows of a mouth and of sound.

    Their vectors are close for windows that belong together.
    """

    def __init__(self) -> None:
        """Make the networks with new weights."""
        super().__init__()
        self.netcnnaud = _cnn(
            nn.Conv2d,
            nn.BatchNorm2d,
            [
                (1, 64, 3, 1, 1, ((1, 1), (1, 1), 0)),
                (64, 192, 3, 1, 1, ((3, 3), (1, 2), 0)),
                (192, 384, 3, 1, 1, None),
                (384, 256, 3, 1, 1, None),
                (256, 256, 3, 1, 1, ((3, 3), (2, 2), 0)),
                (256, 512, (5, 4), 1, 0, None),
            ],
        )
        self.netfcaud, self.netfclip = _head(), _head()
        self.netcnnlip = _cnn(
            nn.Conv3d,
            nn.BatchNorm3d,
            [
                (3, 96, (5, 7, 7), (1, 2, 2), 0, ((1, 3, 3), (1, 2, 2), 0)),
                (96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1), ((1, 3, 3), (1, 2, 2), (0, 1, 1))),
                (256, 256, (1, 3, 3), 1, (0, 1, 1), None),
                (256, 256, (1, 3, 3), 1, (0, 1, 1), None),
                (256, 256, (1, 3, 3), 1, (0, 1, 1), ((1, 3, 3), (1, 2, 2), 0)),
                (256, 512, (1, 6, 6), 1, 0, None),
            ],
        )

    def lips(self, windows: Tensor) -> Tensor:
        """Map windows of crops (k, 3, 5, 224, 224) to vectors (k, 1024).

        Colours are blue, green and red, from 0 to 255.
        """
        return self.netfclip(self.netcnnlip(windows).flatten(1))

    def sound(self, windows: Tensor) -> Tensor:
        """Map windows of cepstra (k, 1, 13, 20) to vectors (k, 1024)."""
        return self.netfcaud(self.netcnnaud(windows).flatten(1))


def load_syncnet(path: str | Path) -> SyncNet:
    """Load the network, frozen, from a file such as `syncnet_v2.model`. Raises InputError for other files."""
    weights, net = read_torch(path, "SyncNet file", "give syncnet_v2.model"), undrawn(SyncNet)
    try:
        fill(net, weights, path)
    except (RuntimeError, TypeError, AttributeError) as error:
        words = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: holds no SyncNet weights ({words}); give syncnet_v2.model") from None
    return net.eval().requires_grad_(False)


@torch.no_grad()
def sync_score(net: SyncNet, crops: np.ndarray, mono: np.ndarray) -> SyncScore:
    """Measure how well a clip's lips follow its sound (Sync-C, Sync-D).

    Args:
        net: the network (`load_syncnet`).
        crops: (f, 224, 224, 3) uint8 RGB at 25 frames a second, cut by `sync_crops`.
        mono: (n,) float in [-1, 1] at 16 kHz.
    Raises: InputError for clips shorter than six frames.
    """
    cepstra = torch.from_numpy(mfcc(mono * 32768)).float()  # (t, 13)
    count = min(len(crops), len(mono) * FPS // RATE) - WINDOW
    count = min(count, (len(cepstra) - STEPS) * FPS // 100 + 1)
    if count < 1:
        raise InputError(f"{len(crops)} frames are too short for a sync score; give {WINDOW + 1} or more")
    seen, heard = [], []
    for first in range(0, count, BATCH):
        rows = range(first, min(first + BATCH, count))
        block = torch.from_numpy(crops[rows[0] : rows[-1] + WINDOW, :, :, ::-1].copy()).permute(3, 0, 1, 2)
        seen.append(net.lips(torch.stack([block[:, k - first : k - first + WINDOW] for k in rows]).float()))
        windows = [cepstra[4 * k : 4 * k + STEPS].T[None] for k in rows]
        heard.append(net.sound(torch.stack(windows)))
    return best_shift(torch.cat(seen), torch.cat(heard))


def best_shift(seen: Tensor, heard: Tensor) -> SyncScore:
    """Return the score of vectors (k, d) of lips and of sound, from their mean distance at each shift."""
    k = len(seen)
    padded = torch.nn.functional.pad(heard, (0, 0, SEARCH, SEARCH))
    shifted = torch.stack([padded[s : s + k] for s in range(2 * SEARCH + 1)])  # (shifts, k, d)
    distances = torch.nn.functional.pairwise_distance(seen.expand_as(shifted), shifted).mean(1)
    best = int(distances.argmin())
    smallest = float(distances[best])
    return SyncScore(float(distances.median()) - smallest, smallest, SEARCH - best)


def sync_crops(frames: Iterable[np.ndarray], boxes: np.ndarray) -> np.ndarray:
    """Cut the crops of a face that the network reads.

    Args:
        frames: (h, w, 3) uint8 RGB each, at 25 frames a second.
        boxes: (f, 4) the face in each frame: left, top, right, bottom in pixels.
    Returns: (f, 224, 224, 3) uint8, grey 110 outside the picture, as the reference cuts them.
    Raises: InputError for clips that are too short for the median of boxes.
    """
    if len(boxes) <= SMOOTHED // 2:
        raise InputError(
            f"{len(boxes)} frames are too short for a sync score; give {SMOOTHED // 2 + 1} or more"
        )
    pairs = zip(frames, sync_boxes(boxes).tolist(), strict=True)
    return np.stack([_cut(frame, *edges) for frame, edges in pairs])


def _cut(frame: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """Cut a rectangle of a frame, scaled to the network's size, bilinearly and without antialiasing."""
    h, w = frame.shape[:2]
    part = np.full((max(1, y1 - y0), max(1, x1 - x0), 3), OUTSIDE, np.uint8)
    inside = frame[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    top, left = max(0, -y0), max(0, -x0)
    part[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    pixels = torch.from_numpy(part).permute(2, 0, 1)[None].float()
    sized = torch.nn.functional.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return sized[0].round().byte().permute(1, 2, 0).numpy()


def sync_boxes(boxes: np.ndarray) -> np.ndarray:
    """Return the squares (f, 4) that the network reads around faces (f, 4): left, top, right, bottom, int.

    As in the reference, boxes are medians over 13 frames, with zeros beyond both ends, in whole pixels.
    """
    size = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 2
    rows = ((boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, size)
    padded = np.pad(np.stack(rows), ((0, 0), (SMOOTHED // 2, SMOOTHED // 2)))
    x, y, half = np.median(np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=1), axis=2)
    aside, below = half * (1 + CROP), half * (1 + 2 * CROP)
    edge = np.floor(below)  # the reference pads the picture by so much before it rounds
    x, y = x + edge, y + edge
    edges = np.floor(np.stack([x - aside, y - half, x + aside, y + below], axis=1)) - edge[:, None]
    return edges.astype(int)


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Return mel-frequency cepstra (t, 13) of samples (n,) at 16 kHz, as python_speech_features does."""
    emphasised = np.append(samples[:1], samples[1:] - EMPHASIS * samples[:-1]).astype(np.float64)
    count = 1 if len(emphasised) <= FRAME else 1 + math.ceil((len(emphasised) - FRAME) / HOP)
    padded = np.pad(emphasised, (0, max(0, (count - 1) * HOP + FRAME - len(emphasised))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][:count]
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
    energy = power.sum(1)
    mel = np.maximum(power @ _filters().T, SMALLEST)
    cepstra = dct(np.log(mel), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    cepstra[:, 0] = np.log(np.maximum(energy, SMALLEST))
    return cepstra


def _filters() -> np.ndarray:
    """Return triangular mel filters on whole bins of the spectrum, (filters, bins)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    bins = np.floor((FFT + 1) * hertz / RATE).astype(int)
    bank = np.zeros((FILTERS, FFT // 2 + 1))
    for row, (low, middle, high) in enumerate(zip(bins, bins[1:], bins[2:], strict=False)):
        bank[row, low:middle] = (np.arange(low, middle) - low) / max(1, middle - low)
        bank[row, middle:high] = (high - np.arange(middle, high)) / max(1, high - middle)
    return bank
