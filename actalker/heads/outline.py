"""Where the person is in a picture, by MediaPipe's selfie segmenter, which comes with this package."""

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
SIDE = 256  # pixels that the network sees
CLOSER = 4.0  # sides of the second look, in the face's
SMALL = 0.6  # of the picture's longer side: the second look is made where its side is at most this
EDGE = 0.2  # of half its side: at its border the second look fades into the first


def person_outline(image: np.ndarray, face: Box | None = None) -> np.ndarray:
    """How much each pixel of a picture (h, w, 3) uint8 is of a person, (h, w) float32 in [0, 1].

    face: x0, y0, x1, y1 in pixels. Around one that is small in the picture the network looks a second time,
    closer. Raises: InputError where MediaPipe does not run.
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
    """The network's answer to a picture, at the picture's size."""
    import mediapipe

    h, w = image.shape[:2]
    segmenter = _segmenter()
    small = Image.fromarray(np.ascontiguousarray(image)).resize((SIDE, SIDE), Image.Resampling.BOX)
    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.asarray(small))
    mask = segmenter.segment(picture).confidence_masks[-1].numpy_view()
    whole = Image.fromarray(np.array(mask, np.float32).reshape(SIDE, SIDE))
    return np.clip(np.asarray(whole.resize((w, h), Image.Resampling.BICUBIC)), 0, 1)


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    if (reason := landmarker_refuses(None)) is not None:
        raise InputError(f"the person's outline: {reason}")
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import ImageSegmenter, ImageSegmenterOptions

    options = ImageSegmenterOptions(base_options=BaseOptions(model_asset_path=str(SHIPPED)))
    otherwise = "is not a segmenter ({why}); install this package again"
    return silently(ImageSegmenter, options, str(SHIPPED), otherwise, call="segment")
