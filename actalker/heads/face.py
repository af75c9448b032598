"""A portrait's face, prepared once, and its layer for any expression, pose and gaze.

A point of the face has the photograph's own colour wherever the photograph shows it, elsewhere a colour that
fits the portrait. Letters: n drawn vertices, t triangles, (H, W) the photograph, (h, w) the face's box in it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion

from . import kernels
from .camera import FLIP, to_camera
from .eyeballs import ROWS, STEP, parameters, seen_map, whole_map
from .eyes import ball
from .fit import HeadFit
from .glasses import HELD, glasses, under_frame
from .inside import darkness, forward, inside_colours, lip_colour, own_inside
from .kernels import Box
from .layer import EYE_LEFT, EYE_RIGHT, MOUTH, SKIN, FaceLayer
from .rig import face_rig
from .shape import BLINKS, FaceShape
from .skin import View, blur, fill_colours, lashes_above, teeth_on_lips
from .teeth import childlike, own_teeth, teeth
from .zips import smoothstep

INSIDE_BACK = 0.8  # cm: lips that roll in do not let teeth and gums through
BALL_BACK = 0.2  # cm by which the eyeballs stand back: they would come through the lids
CUT = (0.2, 0.9)  # cm from the photograph's border over which the layer gives way
TURNED = 5.0  # degrees of turning over which the face's outline goes from what is behind to the mesh
OWN_RIM = (0.1, 0.3)  # cm above a lid's edge: there its own lashes and liner go along
LASH_APART = 0.11  # cm
LASH_DARK = 0.45  # of the skin: the lightest a line of lashes may be
UPPER_RIM = (0.5, 0.25)  # cm from where lips touch: from here on a photograph shows seam or teeth
LOWER_RIM = (0.3, 0.1)
SLIT = 0.12  # cm of opening below which no light comes in
PUSHED = 1.6  # a cm: how fast it grows dark behind lips that are pushed forward
WARM = np.array([-0.3, 0.25, 0.3], np.float32)  # of what light is left there, red is most
GLOW = 0.28  # of the lips' colour: what light there is deep inside
AT_LIPS = (8.5, 9.8)  # z, cm: what lies behind is not seen between lips that meet
INNER_DARK = 0.4  # how much darker the lips' inner edge is when they open
SEAM, SEAM_DARK = 0.5, 0.35  # of the lips' colour between shut lips; how much darker they are beside it


class PortraitFace:
    """The face of one portrait, which `draw` moves.

    image (H, W, 3) uint8; fit: its head; outline (H, W) in [0, 1]: the person; child: the teeth, 0 an
    adult's, 1 a small child's, None for what the face's proportions say. Attributes: rig, the mesh that all
    portraits share; rest (n, 3), places (n, 2), depths (n,), as in `FaceLayer`; opening, cm between the lips.
    """

    def __init__(
        self, image: np.ndarray, fit: HeadFit, outline: np.ndarray, child: float | None = None
    ) -> None:
        rig = self.rig = face_rig()
        self.fit, self.R, self.T = fit, fit.R, fit.T
        self.image = np.ascontiguousarray(image, np.float32) / np.float32(255)
        person = np.tensordot(fit.identity, rig.identities[: len(fit.identity)], 1) + fit.offset[rig.rows]
        if child is None:
            child = childlike(rig, person)
        self.form = FaceShape(rig, fit, (rig.neutral + person + teeth(rig, child)).astype(np.float32))
        self.scale = float(fit.camera.focal / fit.T[2])
        raster = self._look()
        x0, y0, x1, y1 = raster.box
        shown = own_teeth(
            rig, self.image[y0:y1, x0:x1], self.kinds0, self.places - np.array([x0, y0]), self.scale
        )
        if shown.lower:
            self.form.base += (teeth(rig, child, shown.lower) - teeth(rig, child)).astype(np.float32)
            raster = self._look()
        view = View.of(
            rig, self.image, outline,
            there=to_camera(self.rest, fit.R, fit.T), places=self.places, raster=raster, scale=self.scale,
        )  # fmt: skip
        self.visible = view.visibility(rig) * own_inside(rig, view, shown.mask)
        if (worn := glasses(rig, view)) > 0:
            self.form.hold(HELD * worn * under_frame(rig), self.rest)
        self.opening, self.forward = rig.lips.middle(self.rest), forward(rig, self.rest)
        no_lip = teeth_on_lips(rig, view) if self.opening > SLIT else np.zeros(len(rig.rows), np.float32)
        self.fill = fill_colours(rig, view, self.visible, no_lip)
        self.lashes_above = lashes_above(rig, view, self.fill)
        lash = self._lashes(view)
        masks = np.dstack([self._masks(), shown.mask])
        self._eyes(view, masks)
        self.inside = inside_colours(
            rig, view, self.visible, light=self.light, skin=self.skin, tint=self.tint, teeth=shown
        )
        lip = lip_colour(rig, view, self.visible)
        self.seam, self.glow = SEAM * lip, GLOW * lip
        skin = rig.kind == SKIN
        low = np.zeros(len(skin), bool)
        low[rig.lips.zip.moved[rig.lips.zip.low]] = True
        near = np.where(low, smoothstep(rig.lips.away, *LOWER_RIM), smoothstep(rig.lips.away, *UPPER_RIM))
        self.at_rims = np.maximum(skin * near, no_lip).astype(np.float32)
        self.at_inner = (skin * smoothstep(rig.lips.away, 0.35, 0.0)).astype(np.float32)
        self.at_lips = smoothstep(rig.neutral[:, 2:], *AT_LIPS)
        self.at_seam = (skin * smoothstep(rig.lips.away, 0.12, 0.02)).astype(np.float32)
        self.areas = kernels.areas(self.places, rig.triangles)
        self._edges(view)
        chin, nose = self.places[rig.ibug68[8]], self.places[rig.ibug68[27]]
        grain = np.full_like(self.image, 0.5)
        grain[y0:y1, x0:x1] += (view.crop - blur(view.crop, 0.14 * self.scale)).clip(-0.04, 0.04)
        self.paint = kernels.Paint(
            self.image, masks, (x0, y0),
            tables=self.tables, grain=grain, cheek=0.33 * (chin - nose), lash=lash,
        )  # fmt: skip
        self.mouth_wall, self.tooth = rig.kind == MOUTH, rig.is_part("teeth_upper")

    def _look(self) -> kernels.Raster:
        """Sets the portrait's own shape and its place in the photograph; returns the mesh drawn there."""
        self.rest = self.form(np.zeros(len(self.fit.coefficients), np.float32))
        there = to_camera(self.rest, self.R, self.T)
        self.places, self.depths = self.fit.camera.project(there).astype(np.float32), there[:, 2]
        box = self._box(self.places)
        raster = kernels.rasterise(
            self.places, self._behind(self.depths), self.rig.triangles, box, self.rig.one_sided
        )
        self.kinds0 = np.where(raster.triangle >= 0, self.rig.kinds[np.maximum(raster.triangle, 0)], 255)
        return raster

    def _box(self, places: np.ndarray) -> Box:
        """The pixels of the photograph that the skin and the eyes may cover."""
        h, w = self.image.shape[:2]
        here = places[self.rig.kind != MOUTH]
        (x0, y0), (x1, y1) = np.floor(here.min(0) - 2).astype(int), np.ceil(here.max(0) + 2).astype(int)
        x0, y0 = max(0, min(x0, w - 2)), max(0, min(y0, h - 2))
        return int(x0), int(y0), int(min(w, max(x1, x0 + 2))), int(min(h, max(y1, y0 + 2)))

    def _behind(self, depths: np.ndarray) -> np.ndarray:
        """Depths (n,) at which vertices are drawn: eyeballs and the mouth's inside stand back."""
        kind = self.rig.kind
        return (depths + BALL_BACK * (kind >= EYE_LEFT) + INSIDE_BACK * (kind == MOUTH)).astype(np.float32)

    def _masks(self) -> np.ndarray:
        """Where the photograph shows the mouth's inside and the eyeballs, each loose and tight: (h, w, 4)."""
        size = max(1, round(0.1 * self.scale))
        out = np.empty((*self.kinds0.shape, 4), np.float32)
        for k, kinds in enumerate(((MOUTH,), (EYE_LEFT, EYE_RIGHT))):
            here = np.isin(self.kinds0, kinds)
            tight = binary_erosion(here, iterations=size + (k == 1 and size > 1))
            for m, mask in enumerate((here, tight)):
                out[..., 2 * k + m] = blur(mask.astype(np.float32), 0.05 * self.scale)
        return out

    def _lashes(self, view: View) -> np.ndarray:
        """The lashes as the edges of the portrait's lids show them, (5,).

        Their colour, how dense they are, and how far single ones can be told apart.
        """
        rig = self.rig
        edge = np.concatenate([lids.zip.upper for lids in rig.lids])
        rims = kernels.bilinear(view.crop, view.places[edge])
        dark = rims[rims.mean(1) <= np.quantile(rims.mean(1), 0.3)].mean(0)
        skin = self.fill[np.maximum(rig.lids[0].skin, rig.lids[1].skin) > 0.5].mean(0)
        dense = np.clip((0.95 - dark.mean() / max(skin.mean(), 1e-3)) / 0.4, 0.6, 1)
        single = np.clip((LASH_APART * self.scale - 1.5) / 2, 0, 1)
        return np.append(np.minimum(0.85 * dark, LASH_DARK * skin), [dense, single])

    def _eyes(self, view: View, masks: np.ndarray) -> None:
        """Sets the eyeballs and their maps, the white's colour, and the portrait's light and its tint."""
        fit, rig = self.fit, self.rig
        self.balls = [ball(rig.model, fit.identity, side, fit.offset) for side in (0, 1)]
        maps = []
        for side, kind in enumerate((EYE_LEFT, EYE_RIGHT)):
            shown = np.where(self.kinds0 == kind, masks[..., 3], 0)
            maps.append(
                seen_map(
                    view.crop, view.box[:2], shown, self.balls[side],
                    camera=fit.camera, R=fit.R, T=fit.T, gaze=fit.gaze[side],
                )
            )  # fmt: skip
        beyond = STEP * (np.arange(ROWS) + 0.5) > 1.15 * np.radians(fit.iris)
        white = np.concatenate([colours[beyond][known[beyond]] for colours, known in maps])
        skin = self.skin = self.fill[(rig.kind == SKIN) & (np.abs(rig.neutral[:, 1]) < 2)].mean(0)
        self.tint = float(np.clip(np.ptp(skin) / max(skin.max(), 1e-3) / 0.25, 0, 1))
        if len(white) > 8:
            value = white.mean(1)
            low, high = np.quantile(value, [0.3, 0.8])
            self.white = white[(value >= low) & (value <= high)].mean(0)
            self.light = white[value >= high].mean(0) * 1.18
        else:
            self.white = np.clip(skin * 1.1, 0, 0.9)
            self.light = self.white * 1.15
        bright = max(1.1 * self.light.mean(), skin.mean() * (1.2 + (1 - skin.mean()) ** 2))
        self.light = np.minimum(bright * (0.5 + 0.5 * self.light / max(self.light.mean(), 1e-3)), 0.92)
        self.tables = np.stack([whole_map(*known, fit.iris, self.white, self.light) for known in maps])

    def _edges(self, view: View) -> None:
        """Sets where the layer gives way to what is behind it, and how far triangles may stretch.

        outline, cover (n,): alpha while the head is not turned, and at most. most (t,): how many times its
        area in the photograph a triangle may have before its own pixels are dropped.
        """
        rig = self.rig
        N, marks = rig.neutral, rig.ibug68
        side = (rig.kind == SKIN) & (rig.mouth < 0.2)
        for middle, away in ((N[marks[[36, 39]]], 2.4), (N[marks[[42, 45]]], 2.4), (N[marks[[30]]], 3.5)):
            side &= np.linalg.norm(N - middle.mean(0), axis=1) > away
        self.outline = np.where(side, smoothstep(-view.facing, 0.12, 0.4), 1).astype(np.float32)
        shown = kernels.bilinear(view.blurred, view.places)
        other = np.abs(shown - self.fill).sum(1) / np.maximum(self.fill.sum(1), 0.15) * (view.facing < 0.1)
        zone = side * (np.abs(N[:, 0]) > 4.5) * (N[:, 1] > -5.5)
        hair = smoothstep(rig.spread(other, 6), 0.32, 0.5) * zone
        h, w = self.image.shape[:2]  # what lies along the photograph's own border is not drawn into it
        away = np.minimum(self.places, np.array([w, h]) - self.places).min(1) / self.scale
        self.cover = ((1 - rig.spread(hair, 6) * zone) * smoothstep(away, *CUT)).astype(np.float32)
        self.most = (1.5 + 1.5 * smoothstep(-view.facing[rig.triangles].mean(1), 0.3, 0.65)).astype(
            np.float32
        )

    def draw(
        self, coefficients: np.ndarray, gaze: np.ndarray, rotation: np.ndarray, translation: np.ndarray
    ) -> FaceLayer:
        """The layer of an expression in a pose.

        coefficients (54,) and gaze (2,), degrees to the image's right and down, are relative to the
        portrait's own; rotation (3, 3) and translation (3,) to camera space are not.
        """
        rig, fit = self.rig, self.fit
        V = self.form(coefficients)
        there = to_camera(V, rotation.astype(np.float32), translation.astype(np.float32))
        places = fit.camera.project(there)
        depths = self._behind(there[:, 2])
        raster = kernels.rasterise(places, depths, rig.triangles, self._box(places), rig.one_sided)
        turned = self._turned(rotation)
        shares = [self.form.lid_share(coefficients, k) for k in BLINKS]
        still = self._still(V, gaze, shares, turned)
        values = self._values(V, places, shares, still, turned)
        eyes = [
            parameters(ball, camera=fit.camera, R=fit.R, T=fit.T, gaze=portrait_gaze, moved=gaze)
            for ball, portrait_gaze in zip(self.balls, fit.gaze, strict=True)
        ]
        alpha, colour, source, weight, kind = kernels.paint(
            raster, rig.triangles, rig.kinds, depths, values,
            portrait=self.paint, eyes=np.stack(eyes), still=still,
            reach=np.maximum(np.array([0.22, 0.2], np.float32) * self.scale, 1.0),
        )  # fmt: skip
        return FaceLayer(
            box=raster.box,
            alpha=alpha,
            colour=colour,
            source=source,
            weight=weight,
            kind=kind,
            vertices=V,
            rest=self.rest,
            places=self.places,
            depths=self.depths,
            rotation=rotation,
            translation=translation,
        )

    def _values(
        self, V: np.ndarray, places: np.ndarray, shares: list[float], still: np.ndarray, turned: float
    ) -> np.ndarray:
        """The values (n, 15) that `kernels.paint` takes, of vertices V (n, 3) at `places` (n, 2), pixels.

        shares: of the lids, how far they shut; still (3,) and turned: as `_still` and `_turned` give them.
        """
        rig = self.rig
        values = np.empty((len(V), 15), np.float32)
        values[:, :2], values[:, 2] = self.places * self.depths[:, None], self.depths
        eyes = rig.kind >= EYE_LEFT
        values[eyes, :3] = V[eyes]
        values[:, 3] = self._weights(V, places, shares, turned)
        values[:, 4] = np.where(self.mouth_wall | (rig.lips.away < 1.0), still[0], 1 - turned)
        for lids, share in zip(rig.lids, shares, strict=True):
            values[:, 4] = np.minimum(values[:, 4], 1 - lids.skin * min(abs(share) / 0.1, 1.0))
        values[:, 5] = rig.border * np.minimum(turned + (1 - turned) * self.outline, self.cover)
        values[:, 6:9] = self.fill
        self._mouth_values(values, V, still)
        values[:, 9] = np.where(self.mouth_wall, self.tooth, rig.lids[0].skin + rig.lids[1].skin)
        self._lid_values(values, shares)
        return values

    def _mouth_values(self, values: np.ndarray, V: np.ndarray, still: np.ndarray) -> None:
        """Lights the mouth's inside and the lips beside it, in columns 3 and 6 to 8 of `values`."""
        rig, wall = self.rig, self.mouth_wall
        # lips pushed forward take the teeth's light
        lit = np.exp(-PUSHED * max(forward(rig, V) - self.forward, 0))
        dark = darkness(rig, V, self.tint) * lit ** (1 + self.tint * WARM)
        x, gap = rig.lips.zip.columns(V)
        slit = smoothstep(np.interp(V[:, 0], x, gap[:, 0], left=0, right=0), 0.0, SLIT)[:, None]
        inside = self.inside * dark + (1 - dark) * self.glow
        seam = (1 - slit) * self.at_lips
        values[wall, 6:9] = (inside + seam * (self.seam - inside))[wall]
        shut = (1 - slit[:, 0]) * (1 - still[0])
        values[wall, 3] *= (1 - shut[wall]) * smoothstep(lit, 0.5, 0.95)
        dim = 1 - SEAM_DARK * shut * self.at_seam
        inner = ((1 - shut) * self.at_inner)[:, None]
        values[:, 6:9] *= dim[:, None] * (1 - inner * INNER_DARK * (1 + self.tint * WARM))

    def _lid_values(self, values: np.ndarray, shares: list[float]) -> None:
        """Fills columns 10 to 14 of `values` (n, 15): the lids, each shut by its share.

        They hold the blink's drop, the distance to the upper edge, the place across the eye, how far the lid
        is shut, and how far lashes lie on the lower lid.
        """
        values[:, 10:] = (0, 9, 0, 0, 0)
        for lids, share in zip(self.rig.lids, shares, strict=True):
            shut = float(smoothstep(np.array(share), 0.08, 0.5))
            near = lids.near
            values[near, 10], values[near, 11] = lids.drop[near], lids.above[near]
            values[near, 12] = lids.across[near]
            values[near, 13] = shut * lids.over[near]
            values[near, 14] = float(smoothstep(np.array(share), 0.75, 1.0)) * lids.under[near]

    def _turned(self, rotation: np.ndarray) -> float:
        """0 in the portrait's own pose, 1 from TURNED degrees of yaw or pitch on."""
        toward = (FLIP @ rotation @ self.R.T @ FLIP)[:, 2]
        return float(np.clip(np.degrees(np.arccos(np.clip(toward[2], -1, 1))) / TURNED, 0, 1))

    def _still(self, V: np.ndarray, gaze: np.ndarray, shares: list[float], turned: float) -> np.ndarray:
        """(3,) of the mouth and both eyeballs: 1 while nothing there has moved, 0 where it clearly has.

        A lid that goes down covers the ball and leaves the rest of it as it is.
        """
        lips = np.concatenate([self.rig.lips.zip.lower, self.rig.lips.zip.upper])
        mouth = np.abs(V[lips] - self.rest[lips]).max() / 0.15
        eyes = [max(float(np.hypot(*gaze)) / 2.0, -share / 0.1) for share in shares]
        return 1 - np.clip(np.maximum([mouth, *eyes], turned), 0, 1).astype(np.float32)

    def _weights(self, V: np.ndarray, places: np.ndarray, shares: list[float], turned: float) -> np.ndarray:
        """(n,) in [0, 1]: share of the photograph's own pixels in the colour.

        It is less where the photograph stretches, at the rims of lips that part, and on lids that shut.
        """
        rig = self.rig
        most = self.most - 0.45 * turned * (self.most < 2.5)
        unstretched = kernels.unstretched(places, rig.triangles, self.areas, most, rig.count)
        weights = self.visible * smoothstep(unstretched, 0.25, 0.95)
        changed = np.clip(abs(rig.lips.middle(V) - self.opening) / 0.2, 0, 1)
        weights *= 1 - changed * self.at_rims
        for lids, share in zip(rig.lids, shares, strict=True):
            hidden = np.maximum(lids.hidden, self.lashes_above * lids.over * smoothstep(lids.above, *OWN_RIM))
            weights = weights * (1 - smoothstep(np.array(share), 0.08, 0.5) * hidden)
        return weights
