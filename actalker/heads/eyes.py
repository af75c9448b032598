"""Eyes and lips of a fitted head as landmarks show them: gaze, and the openings of lips and lids."""

from __future__ import annotations

import numpy as np

from .camera import FLIP, Camera, to_camera
from .landmarks import EYE_CORNERS, IRISES, LIDS, LIP_MIDDLES, eyes_distance
from .model import INDEX, HeadModel

LOOK = np.array([34.0, 29.0])  # degrees sideways, and up or down, that eyeLook = 1 means in ARKit's takes
SHUT = 0.10  # of an eye's width: what the landmarks of a shut eye's lids still are apart
QUIET = 0.028  # of the eyes' distance: lips whose landmarks are less apart than half of it are shut
SIDES = ("sclera_r", "sclera_l")  # the eyeballs of the image's left and right eye


def ball(
    model: HeadModel, identity: np.ndarray, side: int, offset: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Centre (3,) in head space and radius, cm, of the eyeball on the image's left (side 0) or right (1).

    offset (n, 3): of the vertices (`HeadFit.offset`), or None.
    """
    rows = slice(*model.part_range(SIDES[side]))
    vertices = model.shape(identity, np.zeros(0), rows)
    low, high = vertices.min(0), vertices.max(0)
    moved = 0.0 if offset is None else offset[rows].mean(0)
    return (low + high) / 2 + moved, float((high - low)[:2].mean() / 2)


def gaze_of(
    points: np.ndarray, camera: Camera, R: np.ndarray, T: np.ndarray, balls: list[tuple[np.ndarray, float]]
) -> tuple[np.ndarray, float]:
    """The gaze of both eyes, and the radius of their irises.

    points (478, 2): landmarks, pixels. balls: centre and radius of the image's left and right eyeball.
    Returns (2, 2) degrees to the image's right and down, relative to the head, of each eye; and the radius as
    an angle at the eyeball's middle, degrees.
    """
    looks, sizes = [], []
    for first, (centre, radius) in zip(IRISES, balls, strict=True):
        there = to_camera(np.asarray(centre, np.float64), R, T)
        rays = camera.ray(points[first : first + 5])
        along = rays @ there
        hit = rays * (along - np.sqrt(np.maximum(along**2 - there @ there + radius**2, 0)))[:, None] - there
        hit /= np.linalg.norm(hit, axis=1, keepdims=True)
        x, y, z = (FLIP @ R).T @ hit[0]
        looks.append((np.degrees(np.arctan2(x, z)), np.degrees(np.arctan2(-y, np.hypot(x, z)))))
        sides = hit[[1, 3]] @ hit[0]  # lids hide the edge above and below
        sizes.append(np.degrees(np.arccos(np.clip(sides, -1, 1))))
    return np.array(looks), float(np.clip(np.mean(sizes), 14, 34))


def look(coefficients: np.ndarray, gaze: np.ndarray) -> np.ndarray:
    """Coefficients (..., 53 or 54) whose eyeLook shapes follow a gaze (..., 2), degrees right and down."""
    out = coefficients.copy()
    x, y = np.moveaxis(np.asarray(gaze) / LOOK, -1, 0)
    for name, value in (("Out_L", x), ("In_R", x), ("In_L", -x), ("Out_R", -x)):
        out[..., INDEX[f"eyeLook{name}"]] = np.clip(value, 0, 1)
    for side in "LR":
        out[..., INDEX[f"eyeLookDown_{side}"]] = np.clip(y, 0, 1)
        out[..., INDEX[f"eyeLookUp_{side}"]] = np.clip(-y, 0, 1)
    return out


def openings(
    points: np.ndarray, camera: Camera, R: np.ndarray, T: np.ndarray, skin: np.ndarray
) -> tuple[float, np.ndarray]:
    """How far lips and lids are open, measured along the head's up.

    points (478, 2): landmarks, pixels. skin (468, 3): the landmarks of the fitted head, head space.
    Returns the gap between the middles of the inner lips, cm, where small gaps count as none; and the
    openings (2,) of the image's left and right eye, as shares of the eye's width, 0 where the lids are shut.
    """
    pairs = np.array([LIP_MIDDLES, *LIDS])
    places = skin[pairs].mean(1)
    ends = camera.project(to_camera(np.stack([places, places + (0.0, 0.1, 0.0)], 1), R, T))
    up = (ends[:, 1] - ends[:, 0]) / 0.1  # pixels a cm
    lips, *lids = ((points[pairs[:, 0]] - points[pairs[:, 1]]) * up).sum(1) / (up**2).sum(1)
    share = np.clip((lips / (QUIET * eyes_distance(skin)) - 0.6) / 0.8, 0, 1)
    corners = skin[np.array(EYE_CORNERS)]
    width = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)
    return float(max(lips, 0) * share**2 * (3 - 2 * share)), np.maximum(lids / width - SHUT, 0)
