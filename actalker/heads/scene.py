"""All of a photograph but the face: the sheet with hair and shoulders over the ground, and how they meet the
face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .border import inner
from .camera import Camera, to_camera
from .ground import ground
from .kernels import Behind, compose
from .layer import FaceLayer
from .plain_scene import cover, layers, overlap, sized
from .sheet import CENTRE, PAD, RADII, Pose, Sheet, smooth

SURE = 0.2, 0.9  # of the outline: what counts as nothing, and as all
MARGIN = 1.3  # cm beside the outline that are not trusted to be ground
RAMP = 0.6  # cm over which the fill fades out beyond them
HAIR = 1.35  # of the head's radii, where no outline is found
FRONT = 6.0  # cm, z in head space: the face as it is seen from the front
STILL = 0.02  # pixels: what is nearer to itself is itself
MOUTH = -3.6, 2.8, 2.0  # y of its middle, reach aside and up, cm in head space
CALM = 0.2, 0.7  # cm that it moves
OPEN = 0.25, 0.6  # cm between the lips of a photograph that shows the mouth's inside
FOUND = 0.6  # of the face that an outline must hold


@dataclass(frozen=True)
class Origin:
    """Where a frame's pixels come from, over the scene's box (h, w).

    field (h, w, 2): from a pixel to its place in the photograph, pixels right and down; 0 where it is not
    known. known (h, w) in [0, 1]: how far a pixel is the photograph's own.
    """

    field: np.ndarray
    known: np.ndarray


class Scene:
    """A photograph made ready once.

    image (H, W, 3) uint8; person (H, W) in [0, 1], the outline; rest (n, 3), places (n, 2), depths (n,): the
    face's vertices when nothing moves, as `FaceLayer` has them; opening: cm between its lips. box: x0, y0,
    x1, y1, outside which nothing ever changes. outlined: whether the outline held the face; where it did not,
    a soft ellipse stands for it.
    """

    def __init__(
        self,
        image: np.ndarray,
        person: np.ndarray,
        camera: Camera,
        pose: Pose,
        rest: np.ndarray,
        places: np.ndarray,
        depths: np.ndarray,
        opening: float = 0.0,
    ) -> None:
        self.image = image
        self.shown = float(smooth(np.array(opening), *OPEN))
        person = np.clip((person - SURE[0]) / (SURE[1] - SURE[0]), 0, 1).astype(np.float32)
        self.outlined = _held(person, places[rest[:, 2] > FRONT]) >= FOUND
        if not self.outlined:
            person = np.maximum(person, _ellipse(person.shape, camera, pose))
        (x, y), z = np.abs(rest[:, :2].T - [[0], [MOUTH[0]]]), rest[:, 2]
        self.mouth = np.flatnonzero((x < MOUTH[1]) & (y < MOUTH[2]) & (z > FRONT))
        inside = inner(image)
        self.sheet = Sheet(person, inside, camera, pose, rest, places, depths)
        self.box = x0, y0, x1, y1 = self.sheet.box
        part = slice(y0, y1), slice(x0, x1)
        scale = self.sheet.scale
        plate, share, strands = ground(image[part], person[part], MARGIN * scale, RAMP * scale)
        person[part] = np.maximum(person[part], strands)
        picture = np.dstack([image, np.rint(person * 255).astype(np.uint8)])
        some = _cells((picture[part][..., 3] > 0) | (share > 0), self.sheet.step, self.sheet.shape)
        bare = _cells(picture[part][..., 3] < 255, self.sheet.step, self.sheet.shape, beyond=True)
        cells = np.where(bare, some, 2).astype(np.uint8)
        self.behind = Behind(
            picture, plate, share, cells, self.sheet.middle, inside, (x0, y0), self.sheet.step, PAD
        )

    def draw(self, layer: FaceLayer, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """The frame (H, W, 3) uint8 of a moved face at a pose, and the sheet's sources, for `origin`."""
        frame = self.image.copy()
        sources = self.sheet.sources(pose, layer.vertices - layer.rest)
        corner = layer.box[:2]
        compose(
            frame,
            self.behind,
            sources,
            layer.alpha,
            layer.colour,
            layer.source,
            layer.weight,
            layer.kind,
            self._calm(layer),
            corner,
        )
        return frame, sources

    def _calm(self, layer: FaceLayer) -> float:
        """1 while an open mouth stays as it is: then the photograph's own inside of it goes with the lips."""
        mouth = np.linalg.norm(layer.vertices[self.mouth] - layer.rest[self.mouth], axis=1)
        return self.shown * float(1 - smooth(mouth.max(initial=0.0), *CALM))

    def origin(self, layer: FaceLayer, sources: np.ndarray) -> Origin:
        """Where the pixels of a frame come from, of a layer and the sheet's sources that `draw` gave."""
        x0, y0, x1, y1 = self.box
        there, person, filled, s = layers(
            self.behind.picture, self.behind.share, sources, self.sheet.step, PAD, self.behind.inside, x0, y0
        )
        here = np.stack(np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5), -1).astype(np.float32)
        sheet = person >= 0.5
        field = np.where(sheet[..., None], (there - here) * s[..., None], 0)
        known = 1 - s * np.where(sheet, 1 - person, person + filled)
        part, face = overlap(sized(self.box), sized(layer.box))
        weight = layer.weight[face]
        alpha = cover(
            there[part], person[part], s[part], self.sheet.middle, self.sheet.step, PAD, x0, y0,
            layer.alpha[face], weight, layer.kind[face], np.float32(self._calm(layer)),
        )  # fmt: skip
        way = np.where((alpha * weight > 0)[..., None], layer.source[face] - here[part], 0)
        way = np.where((way**2).sum(-1, keepdims=True) < STILL**2, 0, way)
        # where both layers show the same place it is known, whatever the one covers of the other
        agree = np.exp(-4 * ((way - field[part]) ** 2).sum(-1))
        over, under = alpha * weight, (1 - alpha) * known[part]
        mixed = (over[..., None] * way + under[..., None] * field[part]) / np.maximum(over + under, 1e-6)[
            ..., None
        ]
        chosen = np.where((over > under)[..., None], way, field[part])
        field[part] = agree[..., None] * mixed + (1 - agree[..., None]) * chosen
        known[part] = np.maximum(over, under) + agree * np.minimum(over, under)
        return Origin((field * (known > 0)[..., None]).astype(np.float32), known.astype(np.float32))


def _held(person: np.ndarray, places: np.ndarray) -> float:
    """The share of the face's places (n, 2) that the outline holds."""
    x, y = np.clip(places.astype(int), 0, (person.shape[1] - 1, person.shape[0] - 1)).T
    return float(person[y, x].mean())


def _ellipse(shape: tuple[int, int], camera: Camera, pose: Pose) -> np.ndarray:
    """A head with some hair and a neck, (h, w) in [0, 1], its edge soft over a third of it."""
    middle = to_camera(CENTRE, pose.R, pose.T)
    scale = camera.focal / middle[2]
    turned = np.radians(pose.roll)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    cx, cy = camera.project(middle)
    across = ((x - cx) * np.cos(turned) + (y - cy) * np.sin(turned)) / scale
    along = ((y - cy) * np.cos(turned) - (x - cx) * np.sin(turned)) / scale
    head = np.hypot(across / RADII[0], along / RADII[1]) / HAIR
    neck = np.where(along > 0, np.abs(across) / RADII[0], np.inf)
    return (1 - smooth(np.minimum(head, neck), 0.8, 1.1)).astype(np.float32)


def _cells(touched: np.ndarray, step: int, shape: tuple[int, int], beyond: bool = False) -> np.ndarray:
    """Whether any pixel of a grid's cells is touched; touched (h, w) lies `PAD` cells inside the grid of
    `shape`.
    """
    whole = np.full((shape[0] * step, shape[1] * step), beyond)
    whole[PAD * step :, PAD * step :][: touched.shape[0], : touched.shape[1]] = touched
    return np.asarray(whole.reshape(shape[0], step, shape[1], step).any((1, 3)))
