"""The outline of the person in a picture, by MediaPipe's selfie segmenter, which comes with this package."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from ..errors import InputError
from ..faces.face import Box
from ..faces.landmarker import landmarker_refuses, silently

SHIPPED = Path(__file__).parents[1] / "assets" / "selfie_segmenter" / "selfie_segmentation.tflite"
SIDE = 256  # pixels of the network's input
CLOSER = 4.0  # side of the second, closer crop, in sides of the face's box
SMALL = 0.6  # of the picture's longer side: a larger crop would tell no more than the whole picture
EDGE = 0.2  # of half the crop's side: over this its outline fades into that of the whole picture


def person_outline(image: np.ndarray, face: Box | None = None) -> np.ndarray:
    """The share of each pixel of a picture (h, w, 3) uint8 that a person covers, (h, w) float32 in [0, 1].

    face: x0, y0, x1, y1 in pixels, or None. If it is small in the picture, a crop around it is segmented a
    second time. Raises: InputError where MediaPipe does not run.
    """
    h, w = image.shape[:2]
    outline = _seen(image)
    if face is None:
        return outline
    half = CLOSER * max(face[2] - face[0], face[3] - face[1]) / 2
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    left, top = max(0, round(x - half)), max(0, round(y - half))
    right, bottom = min(w, round(x + half)), min(h, round(y + half))
    if max(right - left, bottom - top) > SMALL * max(h, w) or min(right - left, bottom - top) < 2:
        return outline
    part = np.s_[top:bottom, left:right]
    inside = np.zeros((h, w), bool)
    inside[part] = True
    near = np.minimum(distance_transform_edt(inside)[part] / (EDGE * half), 1).astype(np.float32)
    outline[part] += near * (_seen(image[part]) - outline[part])
    return outline


def _seen(image: np.ndarray) -> np.ndarray:
    """The network's outline of a picture (h, w, 3) uint8: (h, w) float32 in [0, 1]."""
    import mediapipe

    h, w = image.shape[:2]
    segmenter = _segmenter()
    small = Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BOX)
    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.asarray(small))
    mask = segmenter.segment(picture).confidence_masks[-1].numpy_view()
    whole = Image.fromarray(np.array(mask, np.float32).reshape(SIDE, SIDE))
    return np.clip(np.asarray(whole.resize((w, h), Image.Resampling.BICUBIC)), 0, 1)


@lru_cache(maxsize=1)
def _segmenter() -> Any:  # an ImageSegmenter of MediaPipe, which has no types
    """MediaPipe's segmenter, loaded once."""
    if (reason := landmarker_refuses(None)) is not None:
        raise InputError(f"the person's outline: {reason}")
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import ImageSegmenter, ImageSegmenterOptions

    options = ImageSegmenterOptions(base_options=BaseOptions(model_asset_path=str(SHIPPED)))
    otherwise = "is not a segmenter ({why}); install this package again"
    return silently(ImageSegmenter, options, str(SHIPPED), otherwise, call="segment")
