"""What is measured of a generated clip, alone or beside the real one: one function a metric.

Letters: f frames, h w picture size, p landmarks, y the mean luminance of a frame (Rec. 601, of 255).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from skimage.metrics import structural_similarity

from ..faces.face import SCHEMES
from ..signals.syncnet import FPS, SIDE, SyncScore, load_syncnet, sync_boxes, sync_score
from .clip import Clip, Unmeasurable

LUMA = np.array([0.299, 0.587, 0.114])
SHUT, OPEN = 0.6, 0.8  # of a clip's usual opening of the lids: below, a blink begins; above, it is over
LIDS = {  # of each eye: rows of the upper and of the lower lid
    "mediapipe478": (([159, 158], [145, 153]), ([386, 385], [374, 380])),
    "ibug68": (([37, 38], [41, 40]), ([43, 44], [47, 46])),
}
LONGEST_BLINK = 0.5  # seconds: what lasts longer is a closed eye


@dataclass(frozen=True)
class Weights:
    """Files that some metrics need."""

    syncnet: Path | None = None
    arcface: Path | None = None


Measure = Callable[[Clip, "Clip | None", Weights], float]


@dataclass(frozen=True)
class Metric:
    """What a number is. formula: its protocol in words. worst: what a clip that has none counts as, where the
    mean is taken over all clips; None: no such mean. needs: `reference`, `landmarks`, `sound`, or a field of
    `Weights`.
    """

    name: str
    unit: str
    better: Literal["higher", "lower", "none"]
    formula: str
    measure: Measure
    needs: tuple[str, ...] = ()
    worst: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def same_form(made: Clip, real: Clip | None) -> tuple[np.ndarray, np.ndarray]:
    """Frames of both, cut to the shorter one. Raises: Unmeasurable for other sizes or rates."""
    assert real is not None
    if made.fps != real.fps:
        raise Unmeasurable("frame rates differ")
    if made.frames.shape[1:] != real.frames.shape[1:]:
        raise Unmeasurable("picture sizes differ")
    count = min(len(made.frames), len(real.frames))
    if abs(len(made.frames) - len(real.frames)) > made.fps:
        raise Unmeasurable("lengths differ by more than a second")
    return made.frames[:count], real.frames[:count]


def psnr(made: Clip, real: Clip | None, weights: Weights) -> float:
    one, other = same_form(made, real)
    errors = [((a.astype(float) - b) ** 2).mean() for a, b in zip(one, other, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / max(e, 1e-10)) for e in errors]))


def ssim(made: Clip, real: Clip | None, weights: Weights) -> float:
    one, other = same_form(made, real)
    if min(one.shape[1:3]) < 11:
        raise Unmeasurable("pictures are smaller than 11 pixels")
    given = {"channel_axis": 2, "data_range": 255, "gaussian_weights": True, "sigma": 1.5}
    pairs = zip(one, other, strict=True)
    return float(
        np.mean([structural_similarity(a, b, use_sample_covariance=False, **given) for a, b in pairs])
    )


def landmark_distance(made: Clip, real: Clip | None, mouth: bool) -> float:
    """Mean distance of landmarks over the real face's distance between the eyes, in each frame."""
    same_form(made, real)
    assert real is not None
    if made.scheme != real.scheme:
        raise Unmeasurable("landmarks are of two kinds")
    scheme = SCHEMES[real.scheme]
    rows = list(scheme.lips) if mouth else slice(None)
    count = min(len(made.landmarks), len(real.landmarks))
    one, other = made.landmarks[:count], real.landmarks[:count]
    apart = np.linalg.norm(one[:, rows] - other[:, rows], axis=-1).mean(1)
    eyes = [other[:, list(side)].mean(1) for side in (scheme.eye_left, scheme.eye_right)]
    between = np.linalg.norm(eyes[0] - eyes[1], axis=-1)
    return float((apart / np.maximum(between, 1e-6)).mean())


def lmd(made: Clip, real: Clip | None, weights: Weights) -> float:
    return landmark_distance(made, real, mouth=False)


def mouth_lmd(made: Clip, real: Clip | None, weights: Weights) -> float:
    return landmark_distance(made, real, mouth=True)


def lid_opening(landmarks: np.ndarray, scheme: str) -> np.ndarray:
    """Distance between the lids over the eye's width, the mean of both eyes, (f,)."""
    corners = (SCHEMES[scheme].eye_left, SCHEMES[scheme].eye_right)
    ratios = []
    for (inner, outer), (upper, lower) in zip(corners, LIDS[scheme], strict=True):
        height = np.linalg.norm(landmarks[:, upper].mean(1) - landmarks[:, lower].mean(1), axis=-1)
        width = np.linalg.norm(landmarks[:, inner] - landmarks[:, outer], axis=-1)
        ratios.append(height / np.maximum(width, 1e-6))
    return np.mean(ratios, axis=0)


def blinks(opening: np.ndarray, fps: float) -> list[float]:
    """Seconds of each blink in a curve of the lids' opening (f,).

    A blink begins where the opening falls below 0.6 of its upper quartile, and is over where it is above 0.8
    of it again; closed eyes that stay so for more than half a second are none.
    """
    usual = float(np.quantile(opening, 0.75))
    found, begun = [], None
    for k, value in enumerate(opening):
        if begun is None and value < SHUT * usual:
            begun = k
        elif begun is not None and value > OPEN * usual:
            seconds = (k - begun) / fps
            if seconds <= LONGEST_BLINK:
                found.append(seconds)
            begun = None
    return found


def blink_rate(made: Clip, real: Clip | None, weights: Weights) -> float:
    found = blinks(lid_opening(made.landmarks, made.scheme), float(made.fps))
    return 60 * len(found) / (len(made.frames) / float(made.fps))


def blink_length(made: Clip, real: Clip | None, weights: Weights) -> float:
    found = blinks(lid_opening(made.landmarks, made.scheme), float(made.fps))
    if not found:
        raise Unmeasurable("no blink")
    return float(np.mean(found))


def smoothness_of(frames: np.ndarray) -> float:
    """1 less how far odd frames are from the mean of their neighbours (VBench's idea, without its network).

    frames: (f, h, w, 3) uint8. NaN for less than three.
    """
    odd = [
        np.abs(frames[k] - (frames[k - 1].astype(np.float32) + frames[k + 1]) / 2).mean()
        for k in range(1, len(frames) - 1, 2)
    ]
    return 1 - float(np.mean(odd)) / 255 if odd else float("nan")


def smoothness(made: Clip, real: Clip | None, weights: Weights) -> float:
    return _long_enough(smoothness_of(made.frames))


def _long_enough(value: float) -> float:
    if np.isnan(value):
        raise Unmeasurable("less than three frames")
    return value


def luminance(frames: np.ndarray) -> np.ndarray:
    """Mean luminance of each frame, (f,)."""
    return frames.mean((1, 2)) @ LUMA


def flicker_of(frames: np.ndarray) -> float:
    """Mean second difference of the mean luminance, of 255. NaN for less than three frames."""
    return float(np.abs(np.diff(luminance(frames), 2)).mean()) if len(frames) > 2 else float("nan")


def flicker(made: Clip, real: Clip | None, weights: Weights) -> float:
    return _long_enough(flicker_of(made.frames))


def colour_drift(made: Clip, real: Clip | None, weights: Weights) -> float:
    second = max(1, round(float(made.fps)))
    first, last = made.frames[:second].mean((0, 1, 2)), made.frames[-second:].mean((0, 1, 2))
    return float(np.linalg.norm(last - first))


def background(made: Clip, real: Clip | None, weights: Weights) -> float:
    boxes = made.track.boxes()
    h, w = made.frames.shape[1:3]
    x0, y0 = np.floor(boxes[:, :2].min(0)).astype(int)
    x1, y1 = np.ceil(boxes[:, 2:].max(0)).astype(int)
    outside = np.ones((h, w), bool)
    outside[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = False
    if outside.mean() < 0.05:
        raise Unmeasurable("the face fills the picture")
    first = made.frames[0].astype(float)
    return float(np.mean([np.abs(frame - first)[outside].mean() for frame in made.frames]))


def av_length(made: Clip, real: Clip | None, weights: Weights) -> float:
    return abs(len(made.frames) / float(made.fps) - float(made.sound.duration))


@lru_cache(maxsize=2)
def _identity_net(path: Path) -> Any:
    from ..released.importing import depths_of, state_dict
    from ..signals.resnet import IdentityNet, load_net

    weights = state_dict(path)
    return load_net(IdentityNet(depths_of(weights)), weights, str(path))


@torch.no_grad()
def csim(made: Clip, real: Clip | None, weights: Weights) -> float:
    assert real is not None and weights.arcface is not None
    net = _identity_net(weights.arcface)

    def vectors(heads: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(heads).permute(0, 3, 1, 2).float() / 127.5 - 1
        return torch.cat([net(block) for block in pixels.split(16)])

    who = vectors(real.heads(112)[:1])
    return float((vectors(made.heads(112)) @ who.T).mean())


@lru_cache(maxsize=2)
def _sync_net(path: Path) -> Any:
    return load_syncnet(path)


def load_weights(needs: set[str], weights: Weights) -> None:
    """Read the files that metrics need. Raises: InputError for files that hold other weights."""
    if "syncnet" in needs and weights.syncnet is not None:
        _sync_net(weights.syncnet)
    if "arcface" in needs and weights.arcface is not None:
        _identity_net(weights.arcface)


@lru_cache(maxsize=8)
def _sync(clip: Clip, path: Path) -> SyncScore:
    from PIL import Image

    mono, frames = clip.sound.mono(16000), clip.at(FPS)
    boxes = clip.track.boxes()
    rows = np.minimum(np.arange(len(frames)) * len(boxes) // max(1, len(frames)), len(boxes) - 1)
    crops = []
    for frame, (x, y, side) in zip(frames, sync_boxes(boxes[rows]), strict=True):
        cut = Image.fromarray(frame).crop((round(x), round(y), round(x + side), round(y + side)))
        crops.append(np.array(cut.resize((SIDE, SIDE), Image.Resampling.BILINEAR)))
    if len(crops) < 7:
        raise Unmeasurable("less than seven frames at 25 a second")
    return sync_score(_sync_net(path), np.stack(crops), mono)


def sync_c(made: Clip, real: Clip | None, weights: Weights) -> float:
    assert weights.syncnet is not None
    return _sync(made, weights.syncnet).confidence


def sync_d(made: Clip, real: Clip | None, weights: Weights) -> float:
    assert weights.syncnet is not None
    return _sync(made, weights.syncnet).distance


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", "dB", "higher", "mean over frames of 10 log10(255² / MSE)", psnr, ("reference",)),
        Metric(
            "ssim",
            "",
            "higher",
            "mean over frames of SSIM (Wang et al. 2004), Gaussian window, σ 1.5",
            ssim,
            ("reference",),
            0.0,
        ),
        Metric(
            "lmd",
            "eye distances",
            "lower",
            "mean distance of landmarks to the reference's, over the distance between the reference's eyes",
            lmd,
            ("reference", "landmarks"),
        ),
        Metric(
            "mouth_lmd",
            "eye distances",
            "lower",
            "lmd over the lips' outline alone",
            mouth_lmd,
            ("reference", "landmarks"),
        ),
        Metric(
            "csim",
            "",
            "higher",
            "mean cosine of ArcFace's vectors of each frame and the reference's first; canonical square, 112",
            csim,
            ("reference", "arcface"),
            0.0,
        ),
        Metric(
            "sync_c",
            "",
            "higher",
            "SyncNet at 25 fps: median distance over shifts of ±15 frames, less the smallest",
            sync_c,
            ("sound", "syncnet"),
            0.0,
        ),
        Metric(
            "sync_d",
            "",
            "lower",
            "SyncNet at 25 fps: smallest mean distance over shifts of ±15 frames",
            sync_d,
            ("sound", "syncnet"),
        ),
        Metric(
            "blink_rate",
            "a minute",
            "none",
            "blinks: lids below 0.6 of their usual opening, over above 0.8, at most 0.5 s",
            blink_rate,
            ("landmarks",),
        ),
        Metric("blink_length", "s", "none", "mean length of those blinks", blink_length, ("landmarks",)),
        Metric(
            "smoothness",
            "",
            "higher",
            "1 - mean |x_k - (x_(k-1) + x_(k+1)) / 2| / 255 over odd k",
            smoothness,
        ),
        Metric(
            "flicker", "of 255", "lower", "mean |y_(k+1) - 2 y_k + y_(k-1)| of the mean luminance", flicker
        ),
        Metric(
            "colour_drift",
            "of 255",
            "lower",
            "length of the last second's mean colour less the first's",
            colour_drift,
        ),
        Metric(
            "background",
            "of 255",
            "lower",
            "mean |x_k - x_0| outside the rectangle around all of the face's boxes",
            background,
        ),
        Metric("av_length", "s", "lower", "|length of pictures - length of sound|", av_length, ("sound",)),
    )
}
