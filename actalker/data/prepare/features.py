"""Stages `features` (landmarks, regions, pose, motion and the expression's crop), `pixels` and `latents`.

PyTorch is imported only where a clip is measured, so a second start, which only reads results, is quick.
Letters: f frames, p landmarks, s side of the clip.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...faces.track import SPARSE, at_every_frame
from ...media.video import read_frames
from .cut import CLIP
from .faces import follow
from .settings import FinderConfig, LatentsConfig, PixelsConfig
from .stages import Values, Work

if TYPE_CHECKING:
    from ...codecs.codec import Codec

FEATURES, LATENTS, PIXELS = "features.npz", "latents.npy", "pixels.npy"


def measure_features(work: Work, config: FinderConfig) -> Values:
    """Write features.npz: the face in every frame, in the clip's pixels.

    boxes: (f, 4) float32.
    landmarks: (f, p, 2) float32, where the finder gives them.
    poses: (f, 3) float32, yaw, pitch and roll in degrees, where the finder gives them.
    mouth, face: (s, s) uint8, regions over the whole clip.
    crop: (3,) x, y and side of the square that the expression encoder sees.

    Returns a dictionary:
        found: share of frames with a face; with 0 nothing is written, and the values below are left out.
        scheme: of the landmarks; this and the next three only if the finder gives landmarks.
        head_motion, expression_motion: buckets, 0 to 128 (`signals.motion.motion_buckets`).
        expression_variance: of the landmarks (`signals.motion.expression_variance`).
        pose_range: (largest - smallest) yaw, pitch and roll in degrees, if the finder gives poses.
    """
    import torch

    from ...regions.shapes import REGIONS
    from ...signals.motion import expression_variance, motion_buckets

    clip = work.before["render"].file(CLIP)
    dense = config.finder != "cascade"
    looked = [frame for k, frame in enumerate(read_frames(clip)) if dense or k % SPARSE == 0]
    track = follow(looked, config)
    if not track.found:
        return {"found": 0.0}
    total, side = work.before["render"].values["frames"], looked[0].shape[0]
    at = np.arange(total) if dense else np.arange(0, total, SPARSE)
    arrays: dict[str, Any] = {"boxes": at_every_frame(track.boxes(), at, total)}  # NumPy's stub wants Any
    values: Values = {"found": round(track.share, 4)}
    marks, poses = track.landmarks(), track.poses()
    if marks is not None:
        arrays["landmarks"] = at_every_frame(marks, at, total)
        scheme = str(track.found[0].scheme)
        values["scheme"] = scheme
        values["head_motion"], values["expression_motion"] = motion_buckets(marks, scheme)
        values["expression_variance"] = round(expression_variance(marks, scheme), 8)
    if poses is not None:
        arrays["poses"] = at_every_frame(poses, at, total)
        values["pose_range"] = [round(float(v), 2) for v in np.ptp(poses, axis=0)]
    points = [face.points() for face in track.found]
    for name in ("mouth", "face"):
        mask = REGIONS[name](points, (side, side))
        arrays[name] = (mask * 255).round().to(torch.uint8).numpy()
    square = track.crop()
    arrays["crop"] = np.array([square.x, square.y, square.side], np.float32)
    np.savez_compressed(work.folder / FEATURES, **arrays)
    return values


def judge_features(values: Values) -> str | None:
    """Return the reason to reject a clip in whose square no face is found, or None."""
    return "no face was found in its square" if values["found"] == 0 else None


def measure_latents(work: Work, config: LatentsConfig) -> Values:
    """Encode the clip by a model's codec and write latents.npy, (f, c, h, w) float16; returns their shape."""
    import torch

    codec = _codec(config.model, config.device)
    clip, parts, block = work.before["render"].file(CLIP), [], []
    frames = work.before["render"].values["frames"]
    for k, frame in enumerate(read_frames(clip)):
        block.append(torch.from_numpy(frame))
        if len(block) == config.chunk or k + 1 == frames:
            video = torch.stack(block).permute(0, 3, 1, 2)[None].to(config.device).float() / 127.5 - 1
            with torch.no_grad():
                parts.append(codec.encode(video)[0].half().cpu())
            block = []
    latents = torch.cat(parts).numpy()
    np.save(work.folder / LATENTS, latents)
    return {"shape": list(latents.shape)}


def measure_pixels(work: Work, config: PixelsConfig) -> Values:
    """Decode the clip and write pixels.npy, (f, size, size, 3) uint8, for training; returns their shape."""
    square = (config.size, config.size)
    frames = read_frames(work.before["render"].file(CLIP))
    small = [np.asarray(Image.fromarray(frame).resize(square, Image.Resampling.BILINEAR)) for frame in frames]
    np.save(work.folder / PIXELS, np.stack(small))
    return {"shape": [len(small), *small[0].shape]}


@lru_cache(maxsize=1)
def _codec(model: str, device: str) -> Codec:
    from ...pipeline.model.folder import load_model  # and all that a model is made of

    return load_model(Path(model)).codec.to(device)
