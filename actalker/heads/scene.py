"""The scene: a photograph around its face, namely the ground, and the sheet of hair and shoulders over it."""

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

SURE = 0.2, 0.9  # values of the outline that count as 0, and as 1
MARGIN = 1.3  # cm beside the outline that may still show the person
RAMP = 0.6  # cm over which the fill fades out beyond them
HAIR = 1.35  # of the head's radii: the ellipse of head and hair, where there is no outline
FRONT = 6.0  # cm, z in head space: the face as it is seen from the front
STILL = 0.02  # pixels: a way shorter than this is none
MOUTH = -3.6, 2.8, 2.0  # y of its middle, reach aside and up, cm in head space
CALM = 0.2, 0.7  # cm that the mouth moves: up to here it is calm, from here on it is not
OPEN = 0.25, 0.6  # cm between the lips: from none to all of the mouth's inside is the photograph's
COVERED = 0.6  # of the face that an outline must cover


@dataclass(frozen=True)
class Origin:
    """Where the pixels of a frame come from, over the scene's box (h, w).

    field (h, w, 2): the way from a pixel to its place in the photograph, pixels right and down; 0 where it is
    not known. known (h, w) in [0, 1]: how far a pixel is the photograph's own.
    """

    field: np.ndarray
    known: np.ndarray


class Scene:
    """A photograph that is prepared once and then drawn around any face.

    image (H, W, 3) uint8; person (H, W) in [0, 1]: the outline; pose: of the photographed head; rest (n, 3),
    places (n, 2), depths (n,): the face's vertices at rest, as in `FaceLayer`; opening: cm between its lips.
    Attributes: box, x0, y0, x1, y1, outside of which no pixel ever changes; outlined, whether the outline
    covers the face; if not, a soft ellipse replaces it.
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
        self.outlined = _covered(person, places[rest[:, 2] > FRONT]) >= COVERED
        if not self.outlined:
            person = np.maximum(person, _ellipse(person.shape, camera, pose))
        (x, y), z = np.abs(rest[:, :2].T - [[0], [MOUTH[0]]]), rest[:, 2]
        self.mouth = np.flatnonzero((x < MOUTH[1]) & (y < MOUTH[2]) & (z > FRONT))
        inside = inner(image)
        self.sheet = Sheet(person, inside, camera, pose, rest=rest, places=places, depths=depths)
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
            picture=picture,
            plate=plate,
            share=share,
            cells=cells,
            middle=self.sheet.middle,
            inside=inside,
            corner=(x0, y0),
            step=self.sheet.step,
            pad=PAD,
        )

    def draw(self, layer: FaceLayer, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Draws the frame of a moved face.

        Returns the frame (H, W, 3) uint8, and the sheet's sources, which `origin` takes.
        """
        frame = self.image.copy()
        sources = self.sheet.sources(pose, layer.vertices - layer.rest)
        compose(frame, self.behind, sources, layer, self._calm(layer))
        return frame, sources

    def _calm(self, layer: FaceLayer) -> float:
        """How far the photograph's own inside of an open mouth moves with the lips: 1 in a calm mouth."""
        mouth = np.linalg.norm(layer.vertices[self.mouth] - layer.rest[self.mouth], axis=1)
        return self.shown * float(1 - smooth(mouth.max(initial=0.0), *CALM))

    def origin(self, layer: FaceLayer, sources: np.ndarray) -> Origin:
        """Where the pixels of a frame come from; sources: as `draw` returned them for this layer."""
        x0, y0, x1, y1 = self.box
        there, person, filled, s = layers(
            self.behind.picture, self.behind.share, sources,
            step=self.sheet.step, pad=PAD, bounds=self.behind.inside, x0=x0, y0=y0,
        )  # fmt: skip
        here = np.stack(np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5), -1).astype(np.float32)
        sheet = person >= 0.5
        field = np.where(sheet[..., None], (there - here) * s[..., None], 0)
        known = 1 - s * np.where(sheet, 1 - person, person + filled)
        part, face = overlap(sized(self.box), sized(layer.box))
        weight = layer.weight[face]
        alpha = cover(
            there[part], person[part], s[part],
            middle=self.sheet.middle, step=self.sheet.step, pad=PAD, x0=x0, y0=y0,
            alpha=layer.alpha[face], weight=weight, kind=layer.kind[face], calm=np.float32(self._calm(layer)),
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


def _covered(person: np.ndarray, places: np.ndarray) -> float:
    """The share of the face's places (n, 2), pixels, that the outline covers."""
    x, y = np.clip(places.astype(int), 0, (person.shape[1] - 1, person.shape[0] - 1)).T
    return float(person[y, x].mean())


def _ellipse(shape: tuple[int, int], camera: Camera, pose: Pose) -> np.ndarray:
    """The outline (h, w) in [0, 1] of a head with some hair and a neck, with a soft edge."""
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
    """Whether any pixel of each cell of a grid of `shape` is touched, bool.

    touched (h, w) begins `PAD` cells inside the grid; pixels outside of it count as `beyond`.
    """
    whole = np.full((shape[0] * step, shape[1] * step), beyond)
    whole[PAD * step :, PAD * step :][: touched.shape[0], : touched.shape[1]] = touched
    return np.asarray(whole.reshape(shape[0], step, shape[1], step).any((1, 3)))
