"""The head's kernels: z-buffered triangles, vertices' values at pixels, reads of pictures, colours of a
frame.

numba compiles them where it is installed; otherwise numpy does the same slowly. This file alone chooses.
Letters: H, W the photograph, h, w a box of it, n vertices, t triangles, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import plain, plain_paint, plain_scene

compiled: Any
compiled_paint: Any
compiled_scene: Any
try:
    from . import compiled, compiled_paint, compiled_scene
except ImportError:  # no numba for this Python or machine
    compiled, compiled_paint, compiled_scene = plain, plain_paint, plain_scene

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels


@dataclass(frozen=True)
class Raster:
    """What lies nearest in a box: triangle (h, w) int32, -1 where nothing; corner (h, w, 2) weights, on
    screen, of its first two corners; near (h, w), 1 / depth.
    """

    box: Box
    triangle: np.ndarray
    corner: np.ndarray
    near: np.ndarray

    @property
    def depth(self) -> np.ndarray:
        """(h, w) distance from the camera; infinite where nothing is."""
        with np.errstate(divide="ignore"):
            return np.where(self.triangle >= 0, 1 / self.near, np.inf).astype(np.float32)


def rasterise(
    places: np.ndarray, depths: np.ndarray, triangles: np.ndarray, box: Box, cull: bool | np.ndarray = True
) -> Raster:
    """Triangles (t, 3) int32 of vertices at `places` (n, 2), pixels, and `depths` (n,) > 0, z-buffered over
    `box`.

    cull: leave out what shows its back, all or (t,) bool; fronts run clockwise on screen (y down) as the
    model's files have them.
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
    """Vertices' values (n, c) at a raster's pixels, right in perspective: (h, w, c), 0 where nothing is."""
    out = np.zeros((*raster.triangle.shape, values.shape[1]), np.float32)
    nearness, values = (1 / depths).astype(np.float32), np.ascontiguousarray(values, np.float32)
    compiled.interpolate(raster.triangle, raster.corner, raster.near, triangles, nearness, values, out)
    return out


def bilinear(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """image (H, W, c) at places (..., 2) x, y, held at the border: (..., c)."""
    flat = np.ascontiguousarray(places.reshape(-1, 2), np.float32)
    out = np.empty((len(flat), image.shape[2]), np.float32)
    compiled.bilinear(np.ascontiguousarray(image, np.float32), flat, out)
    return out.reshape(*places.shape[:-1], image.shape[2])


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (n, 3) of vertices (n, 3)."""
    out = np.zeros((len(vertices), 3), np.float32)
    compiled.normals(np.ascontiguousarray(vertices, np.float32), triangles, out)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def areas(places: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area (t,) of triangles on screen, square pixels, negative where they face the camera."""
    out = np.empty(len(triangles), np.float32)
    compiled.areas(np.ascontiguousarray(places, np.float32), triangles, out)
    return out


def unstretched(
    places: np.ndarray, triangles: np.ndarray, before: np.ndarray, most: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """(n,) in [0, 1]: 1 at vertices whose triangles' areas on screen are at most `most` (t,) times what they
    were `before` (t,), falling to 0 at twice that. count (n,): in how many triangles a vertex is.
    """
    out = (1 / count).astype(np.float32)
    compiled.unstretched(
        np.ascontiguousarray(places, np.float32), triangles, before, most.astype(np.float32), out
    )
    return out


def shade(kind: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Shadow (h, w) in (0, 1] of the lips and lids on what lies in their opening; reach (2,), pixels: how
    deep it falls into the mouth, onto the eyes. kind (h, w) as in `layer`.
    """
    out = np.ones(kind.shape, np.float32)
    compiled_paint.shade(kind, reach.astype(np.float32), out)
    return out


@dataclass(frozen=True)
class Paint:
    """What stays the same over a portrait's frames.

    image (H, W, 3) in [0, 1]. masks (h, w, 5), from pixel `corner` on, of the photograph: the inside of the
    mouth, loose and tight; the eyes', loose and tight; the upper teeth. tables (2, rows, columns, 3): the
    eyes' maps, see `eyeballs`. grain (H, W, 3) around .5: of skin, read `cheek` (2,) pixels away. lash
    (5,): colour, density, how far single lashes are told apart.
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
    """Alpha (h, w), colour (h, w, 3), source (h, w, 2), weight (h, w), kind (h, w) of a frame.

    kinds (t,) of `layer`. values (n, 15): the place in the photograph times its depth, the depth (of the
    eyes' vertices: where they are in head space); weight of the photograph; how far an unmoved pixel stands
    as it is; alpha; RGB where the photograph is silent; skin: share of grain, in the mouth: whether an
    upper tooth; of the lids: the blink's drop, distance to the upper edge, place across, how shut, lashes
    below. eyes (2, 37): as `eyeballs.parameters` gives them. still (3,) of mouth and eyes: 1 while nothing
    there has moved.
    """
    h, w = raster.triangle.shape
    kind = np.where(raster.triangle >= 0, kinds[np.maximum(raster.triangle, 0)], 255).astype(np.uint8)
    shadow = shade(kind, reach)
    alpha, weight = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    colour, source = np.zeros((h, w, 3), np.float32), np.zeros((h, w, 2), np.float32)
    compiled_paint.paint(
        raster.triangle,
        raster.corner,
        raster.near,
        triangles,
        kinds,
        (1 / depths).astype(np.float32),
        np.ascontiguousarray(values, np.float32),
        raster.box[0],
        raster.box[1],
        portrait.image,
        portrait.masks,
        np.float32(portrait.corner[0]),
        np.float32(portrait.corner[1]),
        eyes.astype(np.float32),
        portrait.tables,
        still.astype(np.float32),
        shadow,
        portrait.grain,
        portrait.cheek.astype(np.float32),
        portrait.lash.astype(np.float32),
        alpha,
        colour,
        source,
        weight,
        kind,
    )
    smooth, cover = colour.copy(), alpha.copy()
    compiled_paint.soften(
        kind, raster.near, source, raster.box[0], raster.box[1], colour, alpha, smooth, cover, weight
    )
    return cover, smooth, source, weight, kind


def fill(image: np.ndarray, maps: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture (h, w, 3) uint8 where the share of maps is 0, else smooth colours with the grain of a place
    beside; and the share (h, w).

    maps (h / step, w / step, 7): colours RGB, the way to a seen place in pixels right and down, whether a
    place is seen, share of the fill.
    """
    return compiled_scene.fill(image, maps, step)


def inverse(nodes: np.ndarray, moved: np.ndarray, step: int) -> np.ndarray:
    """What lies at the nodes (r, c, 2) of a square grid, `step` pixels a cell, when they have moved to
    `moved`: (r, c, 2) places of origin.
    """
    return compiled_scene.inverse(nodes, moved, step)


@dataclass(frozen=True)
class Behind:
    """What stays the same of what is behind a face, over a box that begins at `corner` and is a grid's cells.

    picture (H, W, 4) uint8: the photograph and the person's share. plate (h, w, 3) uint8, share (h, w): the
    ground, and how much of it is filled. cells (r, c) uint8: 0 where neither person nor fill is, 2 where all
    is person. middle (r, c, 1): how far a node belongs to the face's middle. inside: the part of the
    photograph that is drawn from. step: pixels a cell; pad: cells
    of the grid that lie around the box on each side.
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


def compose(
    frame: np.ndarray,
    behind: Behind,
    sources: np.ndarray,
    alpha: np.ndarray,
    colour: np.ndarray,
    source: np.ndarray,
    weight: np.ndarray,
    kind: np.ndarray,
    calm: float,
    corner: tuple[int, int],
) -> None:
    """The ground, the sheet over it and the face over both, into `frame` (H, W, 3) uint8, which holds the
    photograph.

    sources (r, c, 2): what the sheet shows at the grid's nodes. alpha, colour, source, weight, kind: the face
    as `layer` has it, its box from `corner` on. calm in [0, 1]: how far the mouth's inside is the sheet's.
    """
    compiled_scene.compose(
        frame, behind.picture, behind.plate, behind.share, sources, behind.step, behind.pad, behind.cells,
        behind.middle, behind.inside, *behind.corner, alpha, colour, source, weight, kind,
        np.float32(calm), *corner,
    )  # fmt: skip
