"""Stage `track`: one face, large enough, seen all along, not turned away; and the square that holds it.

Letters: k frames looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...faces.crop import Crop
from ...faces.track import Track, track_face
from ...faces.upright import LIES
from .cut import clip_frames
from .settings import FinderConfig, TrackConfig, TrackLimits
from .stages import Work


def measure_track(work: Work, config: tuple[TrackConfig, FinderConfig]) -> dict[str, Any]:
    """Find the face, how much of the clip shows it, its size and turn, and the square around all of it."""
    settings, look = config
    track = follow(clip_frames(work, Fraction(settings.fps)), look)
    looked = len(track.faces)
    if not track.found:
        return {"face_share": 0.0, "others_share": 0.0, "looked": looked}
    boxes = track.boxes()
    x0, y0, x1, y1 = work.before["cut"].values["box"]
    square = face_square(track, (y1 - y0, x1 - x0), settings.margin)
    values: dict[str, Any] = {
        "face_share": round(track.share, 4),
        "others_share": round(float(np.mean(np.asarray(track.counts) > 1)), 4),
        "face_height": round(float(np.median(boxes[:, 3] - boxes[:, 1])), 2),
        "square": [square.x, square.y, square.side],
        "looked": looked,
    }
    if track.turns:
        values["turns"] = track.turns
    poses = track.poses()
    if poses is not None:
        values["yaw"] = round(float(np.percentile(np.abs(poses[:, 0]), 95)), 2)
    return values


def follow(frames: Iterable[np.ndarray], look: FinderConfig) -> Track:
    """The face through frames, by the finder that was settled."""
    return track_face(frames, look.finder, None if look.model is None else Path(look.model))


def face_square(track: Track, size: tuple[int, int], margin: float) -> Crop:
    """The median canonical square, grown by `margin` and until it holds the face wherever it goes.

    It lies inside the picture (h, w), as far as the picture is large enough.
    """
    h, w = size
    canonical, boxes = track.crop(), track.boxes()
    low, high = np.percentile(boxes[:, :2], 2, axis=0), np.percentile(boxes[:, 2:], 98, axis=0)
    middle = canonical.x + canonical.side / 2, canonical.y + canonical.side / 2
    reach = max(*(abs(v - middle[k % 2]) for k, v in enumerate((*low, *high))))
    side = min(max(margin * canonical.side, 2.1 * reach), float(min(h, w)))
    x = min(max(middle[0] - side / 2, 0.0), w - side)
    y = min(max(middle[1] - side / 2, 0.0), h - side)
    return Crop(round(x, 2), round(y, 2), round(side, 2))


def judge_track(values: dict[str, Any], limits: TrackLimits) -> str | None:
    """No face, not enough of it, other faces, too small, or turned away."""
    if values["face_share"] == 0:
        return f"shows no face in {values['looked']} frames"
    if values["face_share"] < limits.face_share:
        return (
            f"shows the face in {values['face_share']:.0%} of the frames, less than "
            f"--track_limits.face_share {limits.face_share:g}"
        )
    if values.get("turns"):
        return "{}; turn it {}".format(*LIES[values["turns"]])
    if values["others_share"] > limits.others_share:
        return (
            f"shows several faces in {values['others_share']:.0%} of the frames, more than "
            f"--track_limits.others_share {limits.others_share:g}"
        )
    if values["face_height"] < limits.face_height:
        return (
            f"its face is {values['face_height']:.0f} pixels high, less than "
            f"--track_limits.face_height {limits.face_height:g}"
        )
    if values.get("yaw", 0.0) > limits.yaw:
        return f"its face turns {values['yaw']:.0f} degrees, more than --track_limits.yaw {limits.yaw:g}"
    return None
