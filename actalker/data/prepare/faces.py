"""Stage `track`: follows the face of a clip and finds the square that holds it.

The limits ask for one face that is large enough, visible throughout and not turned away.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...faces.crop import Crop
from ...faces.track import Track, track_face
from ...faces.upright import LIES
from .cut import clip_frames
from .settings import FinderConfig, TrackConfig, TrackLimits
from .stages import Values, Work


def measure_track(work: Work, config: tuple[TrackConfig, FinderConfig]) -> Values:
    """Measure where and how well a clip shows a face, in frames sampled at `TrackConfig.fps`.

    Returns a dictionary:
        looked: number of sampled frames.
        face_share: share of these frames with a face; with 0 the other values below are left out.
        others_share: share of frames with several faces.
        face_height: median height of the face, in pixels.
        square: (x, y, side) of the square around the face for the whole clip (`face_square`).
        turns: quarter turns of a picture that lies on its side; left out for an upright one.
        yaw: 95th percentile of |yaw| in degrees, where the finder gives poses.
    """
    settings, look = config
    track = follow(clip_frames(work, Fraction(settings.fps)), look)
    looked = len(track.faces)
    if not track.found:
        return {"face_share": 0.0, "others_share": 0.0, "looked": looked}
    boxes = track.boxes()
    x0, y0, x1, y1 = work.before["cut"].values["box"]
    square = face_square(track, (y1 - y0, x1 - x0), settings.margin)
    values: Values = {
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
    """Track the face through frames (h, w, 3) uint8 with the chosen finder."""
    return track_face(frames, look.finder, None if look.model is None else Path(look.model))


def face_square(track: Track, size: tuple[int, int], margin: float) -> Crop:
    """Return the square around a face: the median canonical crop times `margin`, or larger for a moving face.

    The square lies inside the picture of `size` (h, w) as far as the picture is large enough.
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


def judge_track(values: Values, limits: TrackLimits) -> str | None:
    """Return the reason to reject a clip, or None.

    Rejected are clips whose face is missing, hidden, small, turned away or not the only one.
    """
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
