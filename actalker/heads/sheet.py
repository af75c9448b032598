"""The sheet: hair, ears, neck and shoulders of a photograph as a soft surface that follows the head.

Each node of a square grid over the head's box has a point in head space: on the face a point of the mesh,
beside the face a point of an ellipsoid. When a head turns, hair at its outline goes out of sight and other
hair appears, and the outline stays as wide. So nodes at the outline do not turn with the head: they follow
the outline of the moved ellipsoid. Down the neck the motion fades: shoulders follow a little, the trunk
does not move. Where the photograph's border cuts the person, nothing is drawn in from beyond the border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d
from scipy.spatial import cKDTree

from .camera import FLIP, Camera, pivot_of, to_camera
from .kernels import Box, inverse

CENTRE = np.array([0.0, 3.0, 0.0])  # of the head as an ellipsoid, head space, cm
RADII = np.array([8.0, 11.5, 9.5])
CHIN, BROW = np.array([0.0, -9.5, 9.0]), np.array([0.0, 6.0, 10.7])
UP, ASIDE, DOWN = 22.0, 22.0, 36.0  # cm from the centre that the box reaches
CELL = 0.6  # cm a cell of the grid
TEMPLES = 3.5, 7.0  # y, cm in head space: above, the mesh's edge is no edge of the head
RAYS = 72  # directions in which the face's edge is measured
SHARP = 9.0  # how narrow a direction is: 9 takes in about 27 degrees to either side
PAD = 12  # cells around the box, so that no motion reaches the grid's edges
SHOULDERS = 0.3  # share of the pivot's motion that shoulders follow
MIDDLE = 0.6, 2.2  # cm from the face's edge in the photograph: from its sides to its middle
EYES = 3.1, 3.6, 2.8, 2.0  # |x|, y, radii, cm in head space: always part of the face's middle
MOUTH = 0.0, -3.7, 3.6, 2.8  # likewise
EVEN = 2.0  # cells over which pushed nodes are smoothed
EAR = 0.6  # share of the motion of the face's edge that an ear beside it follows
STEEP = 0.8  # cm a cm: how fast the surface beside the face falls back
LEAST = 0.35  # of a cell's width: the least that is left where the face pushes the hair


@dataclass(frozen=True)
class Pose:
    """The pose of a head: R (3, 3) and T (3,) to camera space, and its roll in degrees."""

    R: np.ndarray
    T: np.ndarray
    roll: float


def smooth(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, a smooth cubic between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Sheet:
    """The grid over a photograph, with `PAD` cells around its box, prepared once for all poses.

    person (h, w) in [0, 1]: coverage of the photograph by the person.
    inside: the part of the photograph that may move.
    camera, pose: the camera, and the pose of the photographed head.
    rest (n, 3), places (n, 2), depths (n,): the face's vertices in the portrait, as in `FaceLayer`.

    Attributes:
        box: x0, y0, x1, y1 in pixels.
        scale: pixels per cm.
        step: pixels per cell.
        shape: rows r and columns c of the nodes.
        nodes (r, c, 2): their places in the photograph, pixels.
        middle (r, c, 1) in [0, 1]: weight of the face's middle, 0 towards the face's outline.
    """

    def __init__(
        self,
        person: np.ndarray,
        inside: Box,
        camera: Camera,
        pose: Pose,
        rest: np.ndarray,
        places: np.ndarray,
        depths: np.ndarray,
    ) -> None:
        self.camera, self.pose = camera, pose
        middle = to_camera(CENTRE, pose.R, pose.T)
        self.scale = camera.focal / middle[2]  # pixels a cm
        self.step = max(2, round(CELL * self.scale))
        self.box = _box(camera.project(middle), self.scale, pose, inside)
        x0, y0, x1, y1 = self.box
        xs, ys = (
            np.arange(low - PAD * self.step, high + (PAD + 1) * self.step, self.step, dtype=np.float32)
            for low, high in ((x0, x1), (y0, y1))
        )
        self.shape = len(ys), len(xs)
        self.nodes = np.stack(np.meshgrid(xs, ys), -1)  # (rows, columns, 2) pixels
        self._depth(places, depths)
        self._shares(person, rest, places)
        self._border(person, inside)

    def _depth(self, places: np.ndarray, depths: np.ndarray) -> None:
        """Sets `points`, `face` and `middle`.

        points (r, c, 3): the nodes' points in head space, cm. face (r, c) in [0, 1]: coverage by the mesh.
        """
        camera, pose = self.camera, self.pose
        ray = np.concatenate(
            [(self.nodes - (camera.cx, camera.cy)) / camera.focal, np.ones((*self.shape, 1))], -1
        )
        middle = to_camera(CENTRE, pose.R, pose.T)
        # the ellipsoid's front: solve |(R^T FLIP (t ray - T) - CENTRE) / RADII| = 1 for the nearer t; beside
        # it, its limb
        unit = (ray @ (FLIP @ pose.R)) / RADII
        start = -((middle @ (FLIP @ pose.R)) / RADII)
        a, b, c = (unit**2).sum(-1), unit @ start, start @ start - 1
        ball = (-b - np.sqrt(np.maximum(b * b - a * c, 0))) / a
        ball = gaussian_filter(ball, 1.0)
        # the mesh's own depth: the nearest vertex of a cell
        at = np.rint((places - self.nodes[0, 0]) / self.step).astype(int)
        inside = (at >= 0).all(1) & (at[:, 0] < self.shape[1]) & (at[:, 1] < self.shape[0])
        mesh = np.full(self.shape, np.inf)
        np.minimum.at(mesh, (at[inside, 1], at[inside, 0]), depths[inside])
        hit = np.isfinite(mesh).astype(np.float64)
        more = np.where(hit > 0, mesh - ball, 0.0)
        weight = gaussian_filter(hit, 1.5)
        depth = ball + gaussian_filter(more, 1.5) / (weight + 0.05)
        self.face = smooth(weight, 0.3, 0.9)
        beside, near = distance_transform_edt(self.face < 0.9, return_indices=True)
        depth = np.minimum(depth, depth[tuple(near)] + STEEP * beside * self.step / self.scale)
        depth = gaussian_filter(depth, 1.0)
        points = ((ray * depth[..., None] - pose.T) @ (FLIP @ pose.R)).astype(np.float32)
        self.points = points
        within = distance_transform_edt(weight > 0.45) * self.step / self.scale
        x, y, front = np.abs(points[..., 0]), points[..., 1], smooth(points[..., 2], 2.0, 5.0)
        eyes, mouth = ((np.hypot((x - a) / c, (y - b) / d)) for a, b, c, d in (EYES, MOUTH))
        features = (1 - smooth(np.minimum(eyes, mouth), 0.7, 1.0)) * front
        self.middle = np.maximum(smooth(within, *MIDDLE), features)[..., None].astype(np.float32)

    def _shares(self, person: np.ndarray, rest: np.ndarray, places: np.ndarray) -> None:
        """Sets the weights with which each node follows head, outline, shoulders and expression.

        follow (r, c): weight of the head's motion.
        outer (r, c): weight, within that motion, of the motion of the head's outline.
        body (r, c): weight of the pivot's motion, for shoulders.
        near (r c, 4): indices of the face's vertices whose displacement by the expression a node follows.
        near_weight (r c, 4): the weights of these vertices.
        """
        camera, pose = self.camera, self.pose
        h, w = person.shape
        chin, brow = (camera.project(to_camera(point, pose.R, pose.T)) for point in (CHIN, BROW))
        tall = max(float(np.linalg.norm(chin - brow)), 11 * self.scale)
        down = (chin - brow) / np.linalg.norm(chin - brow)
        below = (self.nodes - chin) @ down / tall
        across = np.abs(
            (self.nodes - camera.project(to_camera(CENTRE, pose.R, pose.T))) @ np.array([-down[1], down[0]])
        )
        aside = 1 - smooth(across / self.scale, 15.0, 21.0)
        self.follow = (1 - smooth(below, -0.1, 0.95)) * aside
        self.body = SHOULDERS * (1 - smooth(below, 0.5, 1.5)) * (1 - self.follow)
        at = np.rint(self.nodes).astype(int)
        inner = person[np.clip(at[..., 1], 0, h - 1), np.clip(at[..., 0], 0, w - 1)]
        inner = np.maximum(inner, self.face)
        cell = self.step / self.scale
        within, beyond = (distance_transform_edt(mask) * cell for mask in (inner > 0.5, inner <= 0.5))
        self.outer = (np.exp(-((within / 2.2) ** 2)) * (1 - self.face)).astype(np.float32)
        self.outer = gaussian_filter(self.outer, 1.0)
        fade = 1 - smooth(beyond, 1.5, 11.0)
        self.follow, self.body = (
            (self.follow * fade).astype(np.float32),
            (self.body * fade).astype(np.float32),
        )
        front = np.flatnonzero(rest[:, 2] > 2.0)
        x, y = np.abs(rest[front, 0]), rest[front, 1]
        self.edge = front[(x > 4.0) | (y > 5.5) | (y < -7.0)][::2]  # what may be the face's edge
        self.edge_rest = rest[self.edge]
        self._rim(person, within, places[self.edge])
        distance, near = cKDTree(places[front]).query(self.nodes.reshape(-1, 2), k=4)
        weight = 1 / (distance / self.scale + 0.1)
        weight *= np.exp(-((distance[:, :1] / self.scale / 3.0) ** 2)) / weight.sum(1, keepdims=True)
        self.near, self.near_weight = front[near].astype(np.int32), weight.astype(np.float32)

    def _rim(self, person: np.ndarray, within: np.ndarray, places: np.ndarray) -> None:
        """Sets the weights with which each node follows the face's edge.

        rim (r, c, 1): weight of nodes where the edge of the mesh is the person's outline.
        ear (r, c, 1): weight of an ear or of short hair, which the edge takes along as it moves inwards.
        person: see the class. places (m, 2): the vertices that may be the edge, pixels.
        within (r, c): distance from a node to the person's outline, cm.
        """
        middle = self.camera.project(to_camera(CENTRE, self.pose.R, self.pose.T))
        self.reach = _reach(places - middle)
        angles = 2 * np.pi * np.arange(RAYS) / RAYS
        along = np.arange(0, 5.0, 0.25) * self.scale
        way = np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
        at = np.rint(middle + way * (self.reach[:, None] + along)[..., None]).astype(int)
        x, y = (np.clip(at[..., k], 0, person.shape[1 - k] - 1) for k in (0, 1))
        over = np.cumprod(person[y, x] > 0.5, 1).sum(1) * 0.25  # cm of the person beyond the mesh
        over = gaussian_filter(over, 1.5, mode="wrap")
        bare, ear = 1 - smooth(over, 0.8, 2.0), EAR * (1 - smooth(over, 2.0, 4.5))
        offset = self.nodes - middle
        turn = np.arctan2(offset[..., 1], offset[..., 0]) / (2 * np.pi) * RAYS % RAYS
        self.ray = turn.astype(int) % RAYS
        self.ray_share = turn - turn.astype(int)
        below = 1 - smooth(self.points[..., 1], *TEMPLES)  # the mesh ends at the forehead, the head does not
        rims = [self._along(s) * np.exp(-((within / r) ** 2)) * below for s, r in ((bare, 1.5), (ear, 2.5))]
        self.rim, self.ear = (gaussian_filter(rim, 1.0)[..., None].astype(np.float32) for rim in rims)

    def _along(self, values: np.ndarray) -> np.ndarray:
        """Values (RAYS,) by direction from the head's middle, interpolated at the nodes: (r, c)."""
        return values[self.ray] * (1 - self.ray_share) + values[(self.ray + 1) % RAYS] * self.ray_share

    def _border(self, person: np.ndarray, inside: Box) -> None:
        """Sets where the photograph's border and the box stop motion.

        inwards (4, r, c): factor on motion away from the left, top, right and bottom border; 0 where the
        border cuts the person.
        free (r, c, 1): factor on all motion, 0 at sides of the box that lie inside the photograph.
        """
        left, top, right, low = inside
        reach = 4.5 * self.scale
        x, y = self.nodes[..., 0], self.nodes[..., 1]
        x0, y0, x1, y1 = self.box
        sides = (x - x0, x0 > left), (y - y0, y0 > top), (x1 - x, x1 < right), (y1 - y, y1 < low)
        inner = [distance for distance, within in sides if within]
        free = smooth(np.min([*inner, np.full(x.shape, np.inf)], 0) / reach, 0.0, 1.0)
        self.free = free[..., None].astype(np.float32)
        inwards = []
        for edge, along, distance in (
            (person[:, left : left + 3].max(1), y, x - left),
            (person[top : top + 3].max(0), x, y - top),
            (person[:, right - 3 : right].max(1), y, right - x),
            (person[low - 3 : low].max(0), x, low - y),
        ):
            cut = gaussian_filter(edge.astype(np.float64), 3.0 * self.scale, mode="nearest")
            cut = smooth(
                np.interp(along.ravel(), np.arange(len(cut)) + 0.5, cut).reshape(along.shape), 0.0, 0.3
            )
            inwards.append(1 - cut * (1 - smooth(distance / reach, 0.0, 1.0)))
        self.inwards = np.array(inwards, np.float32)

    def moved(self, pose: Pose, shift: np.ndarray) -> np.ndarray:
        """The nodes (r, c, 2), pixels, after the head moved to a pose.

        shift (n, 3): displacement of the face's vertices by its expression, head space, cm.
        """
        near = (shift[self.near] * self.near_weight[..., None]).sum(1).reshape(self.points.shape)
        surface = self.camera.project(to_camera(self.points + near, pose.R, pose.T))
        way = (surface - self.nodes) * (1 - self.outer[..., None])
        way += (self._outline(pose) - self.nodes) * self.outer[..., None]
        way += (self._edge(pose, shift, 1.0) - self.nodes - way) * np.maximum(self.ear - self.rim, 0)
        way += (self._edge(pose, shift, 1.4) - self.nodes - way) * self.rim
        way *= self.follow[..., None]
        before, after = (self.camera.project(pivot_of(p.R, p.T)) for p in (self.pose, pose))
        way += self.body[..., None] * (after - before)
        way = gaussian_filter(way, (0.8, 0.8, 0))
        way[..., 0] = np.where(way[..., 0] > 0, self.inwards[0], self.inwards[2]) * way[..., 0]
        way[..., 1] = np.where(way[..., 1] > 0, self.inwards[1], self.inwards[3]) * way[..., 1]
        moved = (self.nodes + way * self.free).astype(np.float32)
        at = (self.camera.project(to_camera(CENTRE, pose.R, pose.T)) - self.nodes[0, 0]) / self.step
        column, row = np.clip(np.rint(at), 0, (self.shape[1] - 1, self.shape[0] - 1)).astype(int)
        least = LEAST * self.step
        _ordered(moved[..., 0], column, least)
        _ordered(moved[..., 1].T, row, least)
        for axis in (0, 1):  # rows pushed one by one would stand like stairs; a mean keeps their order
            moved[..., axis] = gaussian_filter1d(moved[..., axis], EVEN, axis=axis)
        return moved

    def _outline(self, pose: Pose) -> np.ndarray:
        """The nodes (r, c, 2) moved with the head's outline: the ellipsoid's limb, scaled to reach them."""
        turned = np.radians(pose.roll - self.pose.roll)
        c, s = np.cos(turned), np.sin(turned)
        places, limbs, distances = [], [], []
        before = self.nodes - self.camera.project(to_camera(CENTRE, self.pose.R, self.pose.T))
        after = before @ np.array([[c, s], [-s, c]])
        for p, way in ((self.pose, before), (pose, after)):
            middle = to_camera(CENTRE, p.R, p.T)
            places.append(self.camera.project(middle))
            distances.append(middle[2])
            unit = way / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6)
            limbs.append(np.linalg.norm((unit @ (FLIP @ p.R)[:2]) * RADII, axis=-1, keepdims=True))
        return places[1] + after * (limbs[1] / limbs[0]) * (distances[0] / distances[1])

    def _edge(self, pose: Pose, shift: np.ndarray, most: float) -> np.ndarray:
        """The nodes (r, c, 2) moved with the face's edge, the farthest vertex of the mesh in their direction.

        most: the largest factor by which their distance from the head's middle may grow.
        """
        turned = np.radians(pose.roll - self.pose.roll)
        c, s = np.cos(turned), np.sin(turned)
        old, new = (self.camera.project(to_camera(CENTRE, p.R, p.T)) for p in (self.pose, pose))
        vertices = self.edge_rest + shift[self.edge]
        now = self.camera.project(to_camera(vertices, pose.R, pose.T)) - new
        grown = np.clip(_reach(now @ np.array([[c, -s], [s, c]])) / self.reach, 0.7, most)
        return new + (self.nodes - old) @ np.array([[c, s], [-s, c]]) * self._along(grown)[..., None]

    def sources(self, pose: Pose, shift: np.ndarray) -> np.ndarray:
        """Return, for each node, the place (r, c, 2) in the photograph that the sheet shows there.

        pose, shift: as in `moved`.
        """
        return inverse(self.nodes, self.moved(pose, shift), self.step)


def _reach(offsets: np.ndarray) -> np.ndarray:
    """Return the largest distance of points (m, 2) from 0 in each of RAYS directions, (RAYS,), pixels.

    It is a smooth function of the points.
    """
    angles = 2 * np.pi * np.arange(RAYS) / RAYS
    along = offsets @ np.stack([np.cos(angles), np.sin(angles)])
    far = np.linalg.norm(offsets, axis=1)[:, None]
    # a point counts in its own direction and, ever less, in those beside it
    cosine = along / np.maximum(far, 1e-6)
    return (far * np.maximum(1 - SHARP * (1 - cosine), 0)).max(0)


def _ordered(places: np.ndarray, start: int, least: float) -> None:
    """Keeps the values of rows (r, c) in order, in place, so that a face pushes the hair and nothing folds.

    From column `start` outwards each value is at least `least` beyond the one before.
    """
    steps = (np.arange(places.shape[1]) - start) * places.dtype.type(least)
    slack = places - steps
    right, left = slack[:, start:], slack[:, start::-1]
    places[:, start:] += np.maximum.accumulate(right, 1) - right
    places[:, start::-1] += np.minimum.accumulate(left, 1) - left


def _box(middle: np.ndarray, scale: float, pose: Pose, inside: Box) -> Box:
    """The box around the head that may change, clipped to `inside`: x0, y0, x1, y1 in pixels."""
    down = (FLIP @ pose.R)[:2, 1] * -1
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    side = np.array([-down[1], down[0]])
    corners = np.array([middle + scale * (a * side * ASIDE + b * down) for a in (-1, 1) for b in (-UP, DOWN)])
    low, high = corners.min(0), corners.max(0)
    left, top = np.clip(np.floor(low), inside[:2], inside[2:]).astype(int)
    right, bottom = np.clip(np.ceil(high), inside[:2], inside[2:]).astype(int)
    return int(left), int(top), int(right), int(bottom)
