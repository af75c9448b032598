"""The head's kernels: rasterising, interpolation, reading of pictures, and the colours of a frame.

Where numba is installed it compiles them; otherwise numpy does the same slowly. This module alone chooses.
Letters: (H, W) the photograph, (h, w) a box of it, n vertices, t triangles, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from . import plain, plain_paint, plain_scene
from .layer import FaceLayer

compiled: ModuleType
compiled_paint: ModuleType
compiled_scene: ModuleType
try:
    from . import compiled, compiled_paint, compiled_scene
except ImportError:  # no numba for this Python or machine
    compiled, compiled_paint, compiled_scene = plain, plain_paint, plain_scene

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels


@dataclass(frozen=True)
class Raster:
    """The nearest triangle at every pixel of a box.

    triangle (h, w) int32: its index, -1 where there is none. corner (h, w, 2): weights, on screen, of its
    first two corners. near (h, w): 1 / depth.
    """

    box: Box
    triangle: np.ndarray
    corner: np.ndarray
    near: np.ndarray

    @property
    def depth(self) -> np.ndarray:
        """The distance (h, w) from the camera, cm; infinite where there is no triangle."""
        with np.errstate(divide="ignore"):
            return np.where(self.triangle >= 0, 1 / self.near, np.inf).astype(np.float32)


def rasterise(
    places: np.ndarray, depths: np.ndarray, triangles: np.ndarray, box: Box, cull: bool | np.ndarray = True
) -> Raster:
    """Draws triangles (t, 3) int32 into a z-buffer over `box`.

    places (n, 2): the vertices, pixels; depths (n,) > 0: their distances from the camera. cull: whether
    triangles that show their backs are left out, for all or (t,) bool; fronts run clockwise on screen (y
    down), as in the model's file.
    """
    h, w = box[3] - box[1], box[2] - box[0]
    triangle, corner = np.full((h, w), -1, np.int32), np.zeros((h, w, 2), np.float32)
    near = np.zeros((h, w), np.float32)
    nearness = (1 / depths).astype(np.float32)
    places = np.ascontiguousarray(places, np.float32)
    culled = np.full(len(triangles), cull) if isinstance(cull, bool) else cull
    compiled.rasterise(places, nearness, triangles, box[0], box[1], culled, triangle, corner, near)
    return Raster(box, triangle, corner, near)


def interpolate(raster: Raster, triangles: np.ndarray, depths: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Vertices' values (n, c) at a raster's pixels, correct in perspective: (h, w, c), 0 beside the mesh."""
    out = np.zeros((*raster.triangle.shape, values.shape[1]), np.float32)
    nearness, values = (1 / depths).astype(np.float32), np.ascontiguousarray(values, np.float32)
    compiled.interpolate(raster.triangle, raster.corner, raster.near, triangles, nearness, values, out)
    return out


def bilinear(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """An image (H, W, c) read at places (..., 2), pixels x, y, clamped to the border: (..., c)."""
    flat = np.ascontiguousarray(places.reshape(-1, 2), np.float32)
    out = np.empty((len(flat), image.shape[2]), np.float32)
    compiled.bilinear(np.ascontiguousarray(image, np.float32), flat, out)
    return out.reshape(*places.shape[:-1], image.shape[2])


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (n, 3) at vertices (n, 3): means of their triangles' normals, weighted by area."""
    out = np.zeros((len(vertices), 3), np.float32)
    compiled.normals(np.ascontiguousarray(vertices, np.float32), triangles, out)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def areas(places: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Areas (t,) of triangles on screen, square pixels; negative where they face the camera."""
    out = np.empty(len(triangles), np.float32)
    compiled.areas(np.ascontiguousarray(places, np.float32), triangles, out)
    return out


def unstretched(
    places: np.ndarray, triangles: np.ndarray, before: np.ndarray, most: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """How little the triangles around each vertex have stretched on screen, (n,) in [0, 1].

    A triangle counts 1 while its area is at most `most` (t,) times its area `before` (t,), 0 at twice that. A
    vertex has the mean of its triangles; count (n,): how many they are.
    """
    out = (1 / count).astype(np.float32)
    compiled.unstretched(
        np.ascontiguousarray(places, np.float32), triangles, before, most.astype(np.float32), out
    )
    return out


def shade(kind: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The shadow (h, w) in (0, 1] of lips and lids on what lies in their opening.

    kind (h, w): as in `layer`. reach (2,), pixels: how deep it falls into the mouth, and onto the eyes.
    """
    out = np.ones(kind.shape, np.float32)
    compiled_paint.shade(kind, reach.astype(np.float32), out)
    return out


@dataclass(frozen=True)
class Paint:
    """What painting a portrait's face needs and all its frames share.

    image (H, W, 3) in [0, 1]: the photograph. masks (h, w, 5), from its pixel `corner` on: where it shows the
    mouth's inside, loose and tight; the eyeballs, loose and tight; the upper teeth. tables (2, rows, columns,
    3): the colours of the eyeballs (`eyeballs.whole_map`). grain (H, W, 3), around .5: the skin's, read
    `cheek` (2,) pixels away from a place. lash (5,): the lashes' RGB, their density, and how far single ones
    can be told apart.
    """

    image: np.ndarray
    masks: np.ndarray
    corner: tuple[int, int]
    tables: np.ndarray
    grain: np.ndarray
    cheek: np.ndarray
    lash: np.ndarray


def paint(
    raster: Raster,
    triangles: np.ndarray,
    kinds: np.ndarray,
    depths: np.ndarray,
    values: np.ndarray,
    portrait: Paint,
    eyes: np.ndarray,
    still: np.ndarray,
    reach: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Paints the pixels of a raster.

    kinds (t,): as in `layer`. depths (n,): the vertices' distances from the camera. eyes (2, 37): as
    `eyeballs.parameters` gives them. still (3,), of the mouth and both eyes: 1 while nothing there has moved.
    reach (2,): as in `shade`. values (n, 15) of the vertices, by column:
        0-2: the place in the photograph times its depth, and that depth; of eyes, the point in head space
        3: share of the photograph's own pixels
        4: how far a pixel that has not moved keeps the photograph's own colour
        5: alpha
        6-8: RGB, where the photograph does not show the place
        9: of skin, how far it is an upper lid's, which gets grain; in the mouth, whether it is an upper tooth
        10-14: of lids, the blink's drop, the distance to the upper edge, both cm, the place across the eye,
           how far the lid is shut, how far lashes lie below it

    Returns alpha (h, w), colour (h, w, 3), source (h, w, 2), weight (h, w) and kind (h, w) of a `FaceLayer`.
    """
    h, w = raster.triangle.shape
    kind = np.where(raster.triangle >= 0, kinds[np.maximum(raster.triangle, 0)], 255).astype(np.uint8)
    shadow = shade(kind, reach)
    alpha, weight = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    colour, source = np.zeros((h, w, 3), np.float32), np.zeros((h, w, 2), np.float32)
    compiled_paint.paint(
        raster.triangle, raster.corner, raster.near, triangles, kinds, (1 / depths).astype(np.float32),
        np.ascontiguousarray(values, np.float32), raster.box[0], raster.box[1],
        portrait.image, portrait.masks, np.float32(portrait.corner[0]), np.float32(portrait.corner[1]),
        eyes.astype(np.float32), portrait.tables, still.astype(np.float32), shadow, portrait.grain,
        portrait.cheek.astype(np.float32), portrait.lash.astype(np.float32),
        alpha, colour, source, weight, kind,
    )  # fmt: skip
    smooth, cover = colour.copy(), alpha.copy()
    compiled_paint.soften(
        kind, raster.near, source, raster.box[0], raster.box[1], colour, alpha, smooth, cover, weight
    )
    return cover, smooth, source, weight, kind


def fill(image: np.ndarray, maps: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Fills parts of an image (h, w, 3) uint8 with smooth colours and the grain of a visible place.

    maps (h / step, w / step, 7): RGB; the way to a visible place, pixels right and down; whether a place is
    visible; the share of the fill. Returns the filled image (h, w, 3) uint8, unchanged where the share is 0,
    and the share (h, w).
    """
    return compiled_scene.fill(image, maps, step)


def inverse(nodes: np.ndarray, moved: np.ndarray, step: int) -> np.ndarray:
    """The inverse of a warp: the places (r, c, 2) whose content lies at the nodes after it.

    nodes (r, c, 2): a square grid of `step` pixels a cell. moved (r, c, 2): where the warp takes them.
    """
    return compiled_scene.inverse(nodes, moved, step)


@dataclass(frozen=True)
class Behind:
    """What the pixels behind a face need and all frames share, over a box that begins at `corner`.

    picture (H, W, 4) uint8: the photograph and the person's share. plate (h, w, 3) uint8, share (h, w): the
    ground, and how much of it is filled. cells (r, c) uint8, of the grid: 0 where there is neither person nor
    fill, 2 where all is person. middle (r, c, 1): how far a node belongs to the face's middle. inside: the
    part of the photograph that pixels are read from. step: pixels a cell. pad: cells of the grid around the
    box on each side.
    """

    picture: np.ndarray
    plate: np.ndarray
    share: np.ndarray
    cells: np.ndarray
    middle: np.ndarray
    inside: Box
    corner: tuple[int, int]
    step: int
    pad: int


def compose(frame: np.ndarray, behind: Behind, sources: np.ndarray, layer: FaceLayer, calm: float) -> None:
    """Draws the ground, the sheet over it and the face over both into `frame`, in place.

    frame (H, W, 3) uint8: the photograph. sources (r, c, 2): the photograph's pixels that the sheet shows at
    the grid's nodes. calm in [0, 1]: how far the sheet, not the face's layer, shows the mouth's inside.
    """
    compiled_scene.compose(
        frame, behind.picture, behind.plate, behind.share, sources, behind.step, behind.pad, behind.cells,
        behind.middle, behind.inside, *behind.corner, layer.alpha, layer.colour, layer.source, layer.weight,
        layer.kind, np.float32(calm), *layer.box[:2],
    )  # fmt: skip
