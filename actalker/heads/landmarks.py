"""Indices of MediaPipe's 478 landmarks: lips, lids, irises and the face's oval.

Left and right are the image's: the person's left eye, `_L` in the model's names, is on the image's right.
"""

from __future__ import annotations

import numpy as np

from ..faces.face import SCHEMES

COUNT = 478
MESH = 468  # points of the skin; then five of each iris
OVAL = SCHEMES["mediapipe478"].oval
# fmt: off
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,  # outer
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,  # inner
)
INNER_LIPS = LIPS[20:]
INNER_UPPER, INNER_LOWER = LIPS[31:], LIPS[21:30]  # without the corners
EYE_LEFT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
EYE_RIGHT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
# fmt: on
EYES = EYE_LEFT + EYE_RIGHT
IRISES = (468, 473)  # their middles; the four after each lie on the iris' edge: right, top, left, bottom
CORNERS = (33, 263)  # of the eyes, the outer ones; their distance is the unit of errors
LIDS = ((159, 145), (386, 374))  # upper and lower, in the middle
EYE_CORNERS = ((33, 133), (362, 263))
LIP_MIDDLES = (13, 14)  # inner edges of the upper and the lower lip


def eyes_distance(points: np.ndarray) -> np.ndarray:
    """The distance (...,) between the eyes' outer corners, in the unit of points (..., 478, 2 or 3)."""
    return np.linalg.norm(points[..., CORNERS[0], :] - points[..., CORNERS[1], :], axis=-1)
