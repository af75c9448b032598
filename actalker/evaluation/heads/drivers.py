"""Measures of heads that a video drives: the video's own first frame, and portraits.

Letters: f frames, H W picture size.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, Delaunay

from ...faces.find import find_upright
from ...faces.landmarker import look_closer
from ...heads.drawing import HeadPortrait
from ...heads.fit import fit_head
from ...heads.outline import person_outline
from ...heads.track import track
from ...media.video import probe, read_frames
from ..models import pipeline_of
from ..statistics import correlation, psnr
from . import reading

LONGEST = 75  # frames that are measured of a video
MOVES = 0.05  # standard deviation of a blendshape that moves
TURNS = 1.0  # degrees, of an angle that moves
SHAPES = ("jawOpen", "mouthSmile", "eyeBlink", "browInnerUp")
ANGLES = ("yaw", "pitch", "roll")


def frames_of(video: Path) -> list[np.ndarray]:
    """Return the first frames of a video, (h, w, 3) uint8, with a longer side of at most 1280 pixels."""
    return [reading.at_most(frame) for frame in islice(read_frames(video), LONGEST)]


def reconstruct(video: Path) -> tuple[dict[str, float], list[np.ndarray]]:
    """Draw a video again from its first frame and the tracked motion, and compare both.

    Returns: name -> number; and six pictures (2 h, w, 3), each a true frame above the drawn one.
    """
    real = frames_of(video)
    fps = probe(video).fps
    motion, identity = track(((float(k / fps), frame) for k, frame in enumerate(real)), str(video))
    first = find_upright(real[0], None, None, str(video)).face
    first = look_closer(real[0], first) or first
    assert first.landmarks is not None
    fit = fit_head(first.landmarks, real[0].shape[:2], first.expression, identity=identity)
    head = HeadPortrait(real[0], fit, person_outline(real[0], first.box))
    moves = motion.relative(motion[:1])
    drawn = [head.draw(moves.coefficients[k], moves.pose[k], moves.gaze[k]).frame for k in range(len(real))]
    true, read = reading.read_frames(real), reading.read_frames(drawn)
    seen = true.found & read.found
    seen[0] = False
    apart = np.linalg.norm(true.points[seen, :468] - read.points[seen, :468], axis=-1).mean(1)
    gains = []
    for k in np.flatnonzero(seen):
        face = _hull(true.points[k, :468], real[k].shape[:2])
        gains.append(_psnr_inside(drawn[k], real[k], face) - _psnr_inside(real[0], real[k], face))
    numbers = {
        "landmarks": float((apart / true.eyes[seen]).mean()),
        "opening r": correlation(true.opening[seen], read.opening[seen]),
        "width r": correlation(true.width[seen], read.width[seen]),
        "PSNR gain": float(np.mean(gains)),
        "frames": float(seen.sum()),
    }
    shown = np.linspace(0, len(real) - 1, 6).round().astype(int)
    return numbers, [np.concatenate([real[k], drawn[k]]) for k in shown]


def _hull(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (h, w) bool, whether a pixel is inside the landmarks' outline."""
    h, w = size
    outline = Delaunay(points[ConvexHull(points).vertices])
    rows, columns = np.mgrid[:h, :w]
    inside = outline.find_simplex(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], 1)) >= 0
    return inside.reshape(h, w)


def _psnr_inside(one: np.ndarray, other: np.ndarray, mask: np.ndarray) -> float:
    """Return the PSNR in dB of two pictures (h, w, 3) inside a mask (h, w)."""
    return psnr(((one.astype(float) - other) ** 2)[mask].mean(), least=reading.LEAST_ERROR)


def direct(video: Path, portrait: Path) -> tuple[dict[str, float], list[np.ndarray]]:
    """Drive a portrait by a video with the model `direct`, and compare MediaPipe's readings of both.

    Returns: r of each blendshape and angle that the driver moves; and six drawn frames.
    """
    pipeline = pipeline_of("direct")
    real = frames_of(video)
    request = pipeline.prepare(portrait, expression=real, fps=probe(video).fps, size=reading.LARGEST)
    drawn = list(pipeline.stream(request))
    true, read = reading.read_frames(real[: len(drawn)]), reading.read_frames(drawn)
    seen = true.found & read.found
    numbers = {}
    for name in SHAPES:
        asked = true.shape(name)[seen]
        if asked.std() >= MOVES:
            numbers[name] = correlation(asked, read.shape(name)[seen])
    for k, name in enumerate(ANGLES):
        asked = true.pose[seen, k]
        if asked.std() >= TURNS:
            numbers[name] = correlation(asked, read.pose[seen, k])
    shown = np.linspace(0, len(drawn) - 1, 6).round().astype(int)
    return numbers, [drawn[k] for k in shown]
