"""Stage `motion`: tracks how the head moves, for models that learn motion and not pictures.

Letters: f frames.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from ...faces.crop import Crop
from .cut import clip_frames
from .settings import MotionConfig, MotionLimits
from .stages import Values, Work

MOTION = "motion.npz"
MOST = 768  # pixels of a square's side: landmarks of larger faces are no better


def measure_motion(work: Work, config: MotionConfig) -> Values:
    """Write motion.npz: the track of the head at the times of the clip's frames, an absolute `HeadMotion`.

    times (f,) float64, seconds; coefficients (f, 54), pose (f, 6), gaze (f, 2) and confidence (f,) float32;
    shot (f,) int32; identity (m,) float32, one for the clip. The frames are those of `render`, in the same
    square, but read from the source in its size, because the encoded clip may be smaller; the square leaves
    out other faces, which may be larger.
    Returns `seen`, the share of frames with a face, and `sure`, the median confidence of these.
    Raises: InputError where there is no human face to follow.
    """
    from ...heads.track import track

    square, fps = Crop(*work.before["track"].values["square"]), Fraction(config.fps)
    side = max(1, min(round(square.side), MOST))
    frames = ((float(k / fps), square.apply(frame, side)) for k, frame in enumerate(clip_frames(work, fps)))
    motion, identity = track(frames, str(work.entry.video), Path(config.model))
    numbers = {name: getattr(motion, name) for name in ("coefficients", "pose", "gaze", "confidence")}
    np.savez_compressed(
        work.folder / MOTION,
        times=motion.times.astype(np.float64),
        shot=motion.shot.astype(np.int32),
        identity=identity.astype(np.float32),
        **{name: values.astype(np.float32) for name, values in numbers.items()},
    )
    seen = motion.confidence > 0
    return {
        "frames": len(motion),
        "seen": round(float(seen.mean()), 4),
        "sure": round(float(np.median(motion.confidence[seen])), 4),
    }


def judge_motion(values: Values, limits: MotionLimits) -> str | None:
    """The reason to reject a clip whose head was lost too often or tracked badly, or None."""
    if values["seen"] < limits.seen:
        return (
            f"its head is followed in {values['seen']:.0%} of the frames, less than "
            f"--motion_limits.seen {limits.seen:g}"
        )
    if values["sure"] < limits.sure:
        return (
            f"its head is followed badly, confidence {values['sure']:.2f}, less than "
            f"--motion_limits.sure {limits.sure:g}"
        )
    return None
