"""The skin of a portrait: which vertices the photograph shows, and colours for those it does not show.

Letters: n vertices, t triangles, (h, w) the face's box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, grey_dilation, minimum_filter
from scipy.sparse import diags, identity
from scipy.sparse.linalg import splu

from .kernels import Box, Raster, bilinear, normals
from .layer import MOUTH
from .lids import Lids
from .rig import Rig
from .zips import smoothstep

FACING = 0.12  # z of the normal in camera space: a vertex turned further away is not visible
BEHIND, JUST_BEHIND = 0.12, 0.06  # cm behind the nearest surface that still count as visible; in the mouth
SPREAD = 0.08  # weight of the neighbours' colours against a known one
LID_FROM_BELOW = 0.5  # share of the colour under the eye in a lid's
LID_DARKER = 0.94
LASHES = (0.05, 0.09)  # contrast of fine detail, of the light, above which there are lashes
NEAR_EYE = (1.5, 1.1)  # cm above an eye within which they are looked for
PAINTED = (0.08, 0.22)  # of the skin's colour: a difference from it that is make-up
DARK, SHADED = 0.72, 0.93  # of the light under the eye, under the brow: darker pixels between are no skin


@dataclass(frozen=True, eq=False)
class View:
    """The photograph around a face, and how it shows the mesh.

    crop (h, w, 3) in [0, 1]: the photograph in `box`; blurred (h, w, 3): the same, softened; person (h, w):
    the outline. places (n, 2): the vertices, pixels of the crop. scale: pixels a cm. facing (n,): z of the
    vertices' normals in camera space, -1 towards the camera. seen (n,) bool: whether a vertex is visible.
    """

    box: Box
    crop: np.ndarray
    blurred: np.ndarray
    person: np.ndarray
    places: np.ndarray
    scale: float
    facing: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(
        cls,
        rig: Rig,
        image: np.ndarray,
        person: np.ndarray,
        there: np.ndarray,
        places: np.ndarray,
        raster: Raster,
        scale: float,
    ) -> View:
        """The view of a face in a photograph `image` (H, W, 3).

        person (H, W) in [0, 1]: the outline. there (n, 3): the vertices in camera space; places (n, 2): the
        same in pixels of the photograph. raster: the mesh drawn there. scale: pixels a cm.
        """
        x0, y0, x1, y1 = raster.box
        crop, person = image[y0:y1, x0:x1], person[y0:y1, x0:x1]
        if np.median(person[raster.triangle >= 0]) < 0.5:  # an outline beside the face says nothing
            person = np.ones_like(person)
        places = (places - np.array([x0, y0], np.float32)).astype(np.float32)
        depth = raster.depth
        far = grey_dilation(np.where(np.isfinite(depth), depth, -1e9), size=3)
        inside = ((places > 0) & (places < [x1 - x0, y1 - y0])).all(1)
        j, i = np.clip(places.astype(int), 0, [x1 - x0 - 1, y1 - y0 - 1]).T
        facing = normals(there, rig.triangles)[:, 2]
        lying = np.where(rig.kind == MOUTH, depth[i, j] + JUST_BEHIND, far[i, j] + BEHIND)
        seen = (there[:, 2] < lying) & (facing < FACING) & inside
        return cls(
            box=raster.box,
            crop=crop,
            blurred=blur(crop, 0.085 * scale),
            person=person,
            places=places,
            scale=scale,
            facing=facing,
            seen=seen,
        )

    def visibility(self, rig: Rig) -> np.ndarray:
        """How far the photograph shows each vertex, (n,) in [0, 1]: a soft form of `seen`."""
        seen = self.seen.astype(np.float32)
        v = np.minimum(seen, rig.neighbours @ seen)
        v = 0.5 * v + 0.5 * (rig.neighbours @ v)
        inside = smoothstep(0.7 * seen + 0.3 * (rig.neighbours @ seen), 0.3, 0.7)  # teeth have hidden sides
        v = np.where(rig.kind == MOUTH, inside, v)
        soft = blur(self.person, 0.06 * self.scale)
        return (v * smoothstep(bilinear(soft[..., None], self.places)[:, 0], 0.5, 0.9)).astype(np.float32)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """An image (h, w) or (h, w, c), blurred by a Gaussian of sigma pixels."""
    return gaussian_filter(image, (sigma, sigma, 0)[: image.ndim], truncate=2.5)


def teeth_on_lips(rig: Rig, view: View) -> np.ndarray:
    """Lip vertices at which the photograph shows teeth or the mouth's dark instead, (n,) in [0, 1].

    Landmarks of an open mouth lie a little inside it: what differs much from the lip's own colour is no lip.
    """
    colours = bilinear(view.crop, view.places)
    out = np.zeros(len(rig.rows), np.float32)
    low = np.zeros(len(rig.rows), bool)
    low[rig.lips.zip.moved[rig.lips.zip.low]] = True
    for side in (low, ~low):
        lip = rig.is_part("face") & side & view.seen
        sure, near = lip & (rig.lips.away > 0.3) & (rig.lips.away < 0.75), lip & (rig.lips.away < 0.6)
        if sure.sum() < 5:
            continue
        usual = np.median(colours[sure], 0)
        off = np.abs(colours[near] - usual).sum(1) / max(usual.sum(), 0.1)
        out[near] = smoothstep(off, 0.22, 0.4)
    return np.maximum(out, np.minimum(2 * (rig.neighbours @ out), 1) * (rig.lips.away < 0.6))


def lashes_above(rig: Rig, view: View, fill: np.ndarray) -> np.ndarray:
    """Skin above an open eye that its lashes, folds or make-up cover, (n,) in [0, 1].

    A shut eye takes them along and uncovers that skin. fill (n, 3): the skin's colours (`fill_colours`).
    """
    off = np.abs(bilinear(view.blurred, view.places) - fill).sum(1) / np.maximum(fill.sum(1), 0.15)
    light = view.crop.mean(2)
    fine = np.abs(light - blur(light, 0.15 * view.scale)) / np.maximum(light, 0.1)
    detail = bilinear(blur(fine, 0.12 * view.scale)[..., None], view.places)[:, 0]
    out = np.zeros(len(rig.rows), np.float32)
    for lids in rig.lids:
        zone = lids.over * smoothstep(lids.above, *NEAR_EYE) * smoothstep(rig.from_brow, 0.35, 0.65)
        out = np.maximum(out, zone * np.maximum(smoothstep(detail, *LASHES), smoothstep(off, *PAINTED)))
    return np.maximum(out, rig.neighbours @ out).astype(np.float32)


def fill_colours(rig: Rig, view: View, visible: np.ndarray, no_lip: np.ndarray) -> np.ndarray:
    """Colours (n, 3) of the skin, spread over the mesh from the vertices that the photograph shows clearly.

    Lashes, brows, the rims of lips and lids, and skin that is covered or seen at a grazing angle are no
    sources: their colours would look like soot elsewhere. visible (n,): as of `View.visibility`. no_lip (n,):
    as of `teeth_on_lips`.
    """
    colours = bilinear(view.blurred, view.places)
    size = max(3, int(0.4 * view.scale) | 1)
    whole = minimum_filter((view.person > 0.9).astype(np.float32), size=size)
    whole = bilinear(whole[..., None], view.places)[:, 0] > 0.9
    lips = (rig.lips.away < 0.3) | (no_lip > 0.1)
    source = (visible > 0.8) & (view.facing < -0.4) & whole & ~rig.no_fill & ~lips & rig.is_part("face")
    below = [_below(rig, lids, source) for lids in rig.lids]
    for lids, under in zip(rig.lids, below, strict=True):  # lashes, make-up and folds are darker than skin
        over = source & (lids.over > 0)
        light, clear = colours.mean(1), over & (lids.above > 1.0) & (lids.above < 1.7)
        if under.sum() > 5:
            source &= ~(over & (lids.above < 1.2) & (light < DARK * np.median(light[under])))
        if clear.sum() > 5:
            source &= ~(over & (lids.above < 1.2) & (light < SHADED * np.median(light[clear])))
    skin = np.flatnonzero(rig.is_part("face", "mouth", "socket_l", "socket_r"))
    if source.sum() < 30:
        source = visible > 0.5
    w = source[skin].astype(np.float64)
    A = rig.adjacency[skin][:, skin]
    laplacian = diags(np.asarray(A.sum(1)).ravel()) - A
    system = diags(w) + SPREAD * laplacian + 1e-7 * identity(len(skin))
    solved = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
        w[:, None] * colours[skin]
    )
    fill = np.zeros((len(rig.rows), 3), np.float32)
    fill[skin] = solved
    for lids, under in zip(rig.lids, below, strict=True):
        if under.sum() > 5:
            share = LID_FROM_BELOW * lids.skin[:, None]
            fill += share * (LID_DARKER * np.median(colours[under], 0) - fill)
    return fill


def _below(rig: Rig, lids: Lids, source: np.ndarray) -> np.ndarray:
    """The vertices of clear skin under an eye, (n,) bool; source (n,) bool: those of clear skin anywhere."""
    x = rig.neutral[lids.zip.lower, 0]
    inside = (rig.neutral[:, 0] > x.min()) & (rig.neutral[:, 0] < x.max())
    return source & inside & (rig.neutral[:, 1] < 2.3) & (rig.neutral[:, 1] > 0.9)
