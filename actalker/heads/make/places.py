"""The places of MediaPipe's 478 landmarks on the mesh.

First they are read from pictures of the model itself: heads of random identity, pose and expression are
drawn, the landmarker reads them, and a landmark's place is the one in the middle of all skin points under it.
Then portraits correct them: the head is fitted, and the places move by the fits' average residual.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from ...faces.face import Face
from ...faces.landmarker import find_by_landmarker
from ..camera import FLIP, Camera, rotation, to_camera
from ..fit import fit_head
from ..landmarks import INNER_LIPS, INNER_LOWER, INNER_UPPER, IRISES, LIPS, MESH
from ..model import HeadModel
from .draw import IRIS_ANGLE, colours, draw

PICTURES, SIDE = 120, 384
YAWS, PITCHES = (-25, -12, 0, 12, 25), (-12, 0, 12)  # degrees
CENTRE = np.array([0.0, -1.5, 2.0])  # of the face, head space
AWAY = 95.0  # cm
FAR = 6.0  # pixels: a landmark further from the skin does not count
ROUNDS, SHIFT = 2, 0.8  # rounds of correction by portraits, and the share of the residual that each applies
MOUTH, LOWER = 2.6, 0.5  # cm from the lips' middle to their vertices; a jaw moves the lower lip's by more
COLUMN, EVEN = 0.08, 0.04  # cm: width of the columns in which a lip's end is looked for; tolerance of its end
CANDIDATES = 12  # triangles that a point is projected on


def from_pictures(model: HeadModel) -> HeadModel:
    """Return a copy of the model with its skin landmarks where MediaPipe finds them in drawings of the model.

    The landmarks of the inner lips are then moved to the edges of the lips (`_rim`).
    """
    random, colour = np.random.default_rng(0), colours(model)
    turns = [(yaw, pitch) for yaw in YAWS for pitch in PITCHES]
    seen: list[list[np.ndarray]] = [[] for _ in range(MESH)]
    for k in range(PICTURES):
        yaw, pitch = turns[k % len(turns)]
        R = rotation(*(np.array([yaw, pitch, 0]) + random.normal(size=3) * (3, 3, 5)))
        identity = 0.7 * random.normal(size=len(model.identities))
        opened = k % 2 == 1
        smile = (
            {"jawOpen": random.uniform(0.15, 0.45), "mouthSmile": random.uniform(0, 0.4)} if opened else {}
        )
        T = np.array([0, 0, AWAY]) - to_camera(CENTRE, R, np.zeros(3))
        vertices = model.shape(identity, model.coefficients(**smile))
        camera = Camera(2.2 * SIDE, SIDE / 2, SIDE / 2)
        picture, skin, place = draw(model, vertices, R, T, camera, side=SIDE, colour=colour)
        faces = find_by_landmarker(picture)
        if not faces or faces[0].landmarks is None:
            continue
        i, j = np.nonzero(skin)
        far, nearest = cKDTree(np.stack([j, i], 1) + 0.5).query(faces[0].landmarks[:MESH])
        at = place[i[nearest], j[nearest]]
        for l in range(MESH):
            if far[l] < FAR and (opened or l not in LIPS):  # the edges of closed lips are one
                seen[l].append(at[l])
    middle, spread = np.zeros((MESH, 3)), np.zeros(MESH)
    for l, places in enumerate(seen):
        distances = np.linalg.norm(np.array(places)[:, None] - np.array(places), axis=2)
        best = distances.sum(1).argmin()
        middle[l], spread[l] = places[best], np.median(distances[best])
    for lip, upper in ((INNER_UPPER, True), (INNER_LOWER, False)):
        rim = _rim(model, upper)
        for l in lip:
            middle[l] = [np.interp(middle[l, 0], rim[:, 0], rim[:, k]) for k in range(3)]
    return _placed(model, middle, np.arange(MESH), spread)


def _rim(model: HeadModel, upper: bool) -> np.ndarray:
    """The line (k, 3) on the neutral mesh along which a lip of an open mouth ends, by growing x.

    On drawn lips the landmarker puts the upper lip's inner landmarks on its front; this line replaces them.
    """
    opened = model.shape(np.zeros(0), model.coefficients(jawOpen=0.3))
    middle = model.neutral[model.ibug68[[62, 66]]].mean(0)  # between the lips
    near = np.linalg.norm(model.neutral - middle, axis=1) < MOUTH
    lip = near & (np.arange(len(near)) < model.part_range("face")[1])
    dropped = opened[:, 1] - model.neutral[:, 1] < -LOWER
    rows = np.flatnonzero(lip & (dropped != upper))
    line = []
    for x in np.arange(model.neutral[rows, 0].min(), model.neutral[rows, 0].max(), COLUMN):
        column = rows[np.abs(model.neutral[rows, 0] - x) < COLUMN]
        height = opened[column, 1] * (1 if upper else -1)
        ends = column[height < height.min() + EVEN]
        line.append(ends[model.neutral[ends, 2].argmax()])
    chosen = model.neutral[np.unique(line)]
    return chosen[chosen[:, 0].argsort()]


def from_portraits(model: HeadModel, portraits: Iterable[tuple[Face, tuple[int, int]]]) -> HeadModel:
    """Return a copy of the model with its landmarks shifted by the median residual of fits to portraits.

    portraits: for each picture, the face in it, and the picture's (height, width). The landmarks of the inner
    lips are not shifted: their residual measures how far the mouth is open.
    """
    portraits = list(portraits)
    moved = np.setdiff1d(np.arange(MESH), INNER_LIPS)
    for _ in range(ROUNDS):
        left = []
        for face, size in portraits:
            assert face.landmarks is not None
            fit = fit_head(face.landmarks, size, face.expression, model=model)
            h = model.at_landmarks(model.shape(fit.identity, fit.coefficients))[:MESH].astype(np.float64)
            there = to_camera(h, fit.R, fit.T)
            missed = (face.landmarks[:MESH] - fit.camera.project(there)) * there[:, 2:] / fit.camera.focal
            left.append(np.concatenate([missed, np.zeros((MESH, 1))], 1) @ (FLIP @ fit.R))
        shift = np.median(left, 0)
        places = model.at_landmarks(model.neutral)[:MESH] + SHIFT * shift
        model = _placed(model, places[moved], moved, model.landmark_spread[moved])
    return model


def _placed(model: HeadModel, places: np.ndarray, landmarks: np.ndarray, spread: np.ndarray) -> HeadModel:
    """The model with `landmarks` (k,) moved to the points of the neutral skin nearest to `places` (k, 3).

    spread (k,): their `landmark_spread`.
    """
    vertices, weights = model.landmark_vertices.copy(), model.landmark_weights.copy()
    spreads = model.landmark_spread.copy()
    skin = model.triangles[(model.triangles < model.part_range("face")[1]).all(1)]
    vertices[landmarks], weights[landmarks] = _nearest(model.neutral, skin, places)
    spreads[landmarks] = spread
    return replace(model, landmark_vertices=vertices, landmark_weights=weights, landmark_spread=spreads)


def with_irises(model: HeadModel) -> HeadModel:
    """The model with landmarks of the irises: the front of each eyeball, four points on the iris' edge."""
    vertices, weights = model.landmark_vertices.copy(), model.landmark_weights.copy()
    edge = np.radians(IRIS_ANGLE)
    to = np.array([(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)]) * np.sin(edge)
    ahead = np.concatenate([to, np.sqrt(1 - (to**2).sum(1, keepdims=True))], 1)
    for first, part in zip(IRISES, ("sclera_r", "sclera_l"), strict=True):
        start, stop = model.part_range(part)
        ball = model.neutral[start:stop]
        low, high = ball.min(0), ball.max(0)
        rows = slice(first, first + 5)
        places = (low + high) / 2 + ahead * (high - low)[:2].mean() / 2
        triangles = model.triangles[((model.triangles >= start) & (model.triangles < stop)).all(1)]
        vertices[rows], weights[rows] = _nearest(model.neutral, triangles, places)
    return replace(model, landmark_vertices=vertices, landmark_weights=weights)


def _nearest(mesh: np.ndarray, triangles: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points of a mesh nearest to places (k, 3), as vertices (k, 3) and their weights (k, 3)."""
    near = cKDTree(mesh[triangles].mean(1)).query(places, CANDIDATES)[1]
    vertices, weights = np.zeros((len(places), 3), np.int32), np.zeros((len(places), 3), np.float32)
    for k, place in enumerate(places):
        least = float("inf")
        for t in triangles[near[k]]:
            corners = mesh[t].astype(np.float64)
            edges = (corners[1:] - corners[0]).T
            u, v = np.linalg.lstsq(edges, place - corners[0], rcond=None)[0]
            weight = np.clip([1 - u - v, u, v], 0, 1)
            weight /= weight.sum()
            if (distance := float(np.linalg.norm(weight @ corners - place))) < least:
                least, vertices[k], weights[k] = distance, t, weight
    return vertices, weights
