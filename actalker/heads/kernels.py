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

    triangle (h, w) int32: index of the triangle, -1 where there is none.
    corner (h, w, 2): weights, on screen, of the triangle's first two corners; the third is 1 - their sum.
    near (h, w): 1 / depth, 1 / cm.
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

    places (n, 2): the vertices, pixels; depths (n,) > 0: distances of the vertices from the camera, cm.
    cull: True leaves out triangles that show their backs; one bool for all triangles, or (t,) bool. The
    corners of a front run clockwise on screen (y down), as in the model's file.
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
    """Return the share of the triangles at each vertex that have not stretched on screen, (n,) in [0, 1].

    A triangle counts 1 while area / before <= most, 0 from area / before = 2 most on, a smooth cubic between.

    places (n, 2): the vertices now, pixels.
    before (t,): areas of the triangles before, as `areas` gives them.
    most (t,): largest ratio of a triangle that counts fully.
    count (n,): number of triangles at each vertex.
    """
    out = (1 / count).astype(np.float32)
    compiled.unstretched(
        np.ascontiguousarray(places, np.float32), triangles, before, most.astype(np.float32), out
    )
    return out


def shade(kind: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return the factor (h, w) in (0, 1] by which lips and lids darken what lies in their opening.

    kind (h, w): the kind of each pixel, as in `layer`.
    reach (2,): pixels over which the shadow fades, in the mouth and on the eyes.
    """
    out = np.ones(kind.shape, np.float32)
    compiled_paint.shade(kind, reach.astype(np.float32), out)
    return out


@dataclass(frozen=True)
class Paint:
    """The fixed data for painting a portrait's face, the same for all frames.

    image (H, W, 3) in [0, 1]: the photograph.
    masks (h, w, 5) in [0, 1]: parts of the photograph from its pixel `corner` on. By channel:
        0, 1: the mouth's inside, generous and strict
        2, 3: the eyeballs, generous and strict
        4: the upper teeth
    corner: x, y of the masks' first pixel in the photograph.
    tables (2, rows, columns, 3): the colours of both eyeballs (`eyeballs.whole_map`).
    grain (H, W, 3): the fine texture of the skin, 0.5 is neutral.
    cheek (2,): offset in pixels from painted skin to the place, on a cheek, whose grain it gets.
    lash (5,): RGB of the lashes, their density, and the visibility of single lashes in [0, 1].
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

    kinds (t,): the kind of each triangle, as in `layer`.
    depths (n,): distance of the vertices from the camera, cm.
    eyes (2, 37): parameters of both eyes, from `eyeballs.parameters`.
    still (3,) in [0, 1], for the mouth and both eyes: 1 while nothing there has moved.
    reach (2,): see `shade`.
    values (n, 15): values at the vertices, by column:
        0-2: skin and mouth: x depth, y depth, depth, with x, y the place in the photograph; eyes: the point
            in head space, cm
        3: weight of the photograph's own pixels in the colour
        4: least value of that weight at a pixel whose source has not moved
        5: opacity
        6-8: RGB where the photograph does not show the place
        9: skin: weight of an upper lid, which gets grain; mouth: 1 for an upper tooth
        10: lids: drop of the vertex by a full blink, cm
        11: lids: distance to the upper lid's edge, cm
        12: lids: position across the eye, -1 to 1
        13: lids: closure, 1 is shut
        14: lids: weight of the lashes that lie on the skin below a shut eye

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
    """Fills parts of an image (h, w, 3) uint8 with smooth colours and the grain of a visible pixel.

    A filled pixel is smooth colour + visible x (image - smooth colour, both at the visible pixel).
    maps (h / step, w / step, 7), read bilinearly; by channel:
        0-2: smooth RGB, 0 to 255
        3, 4: offset to the visible pixel, pixels right and down
        5: 1 where the image shows the ground, 0 where it does not; `visible` is its value at the offset
        6: opacity of the fill
    step: pixels per cell of the maps.
    Returns the filled image (h, w, 3) uint8, unchanged where the opacity is 0, and the opacity (h, w).
    """
    return compiled_scene.fill(image, maps, step)


def inverse(nodes: np.ndarray, moved: np.ndarray, step: int) -> np.ndarray:
    """Invert a warp: return, for each node, the place (r, c, 2) whose content the warp moves to the node.

    nodes (r, c, 2): a square grid, pixels; step: pixels per cell.
    moved (r, c, 2): the places to which the warp moves the nodes.
    """
    return compiled_scene.inverse(nodes, moved, step)


@dataclass(frozen=True)
class Behind:
    """The fixed data for drawing what is behind a face, the same for all frames.

    It covers the box (h, w) that may change, and a grid over the box (`sheet.Sheet`).
    picture (H, W, 4) uint8: the photograph's RGB, and its coverage by the person, 255 is full.
    plate (h, w, 3) uint8: the photograph with the person removed and the ground filled in.
    share (h, w) in [0, 1]: opacity of the fill in the plate.
    cells (r, c) uint8: per cell of the grid, 0 without person or fill, 2 if the person fills it, else 1.
    middle (r, c, 1) in [0, 1]: per node, the weight of the face's middle, 0 towards the face's outline.
    inside: the part of the photograph that pixels are read from.
    corner: x, y of the box's first pixel in the photograph.
    step: pixels per cell.
    pad: cells of the grid around the box on each side.
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

    frame (H, W, 3) uint8: the photograph.
    sources (r, c, 2): for each node of the grid, the place in the photograph that the sheet shows there.
    layer: the face, drawn over the sheet.
    calm in [0, 1]: weight with which the sheet, not the face's layer, shows the mouth's inside; it is 1 when
        the photograph shows an open mouth that hardly moves.
    """
    compiled_scene.compose(
        frame, behind.picture, behind.plate, behind.share, sources, behind.step, behind.pad, behind.cells,
        behind.middle, behind.inside, *behind.corner, layer.alpha, layer.colour, layer.source, layer.weight,
        layer.kind, np.float32(calm), *layer.box[:2],
    )  # fmt: skip
