"""The mesh of a portrait's face for any coefficients: linear shapes, then exact lids, lips and tongue."""

from __future__ import annotations

import numpy as np

from .fit import HeadFit
from .model import INDEX
from .rig import Rig
from .zips import smoothstep

BLINKS = (INDEX["eyeBlink_R"], INDEX["eyeBlink_L"])  # of the image's left and right eye
JAW, TONGUE = INDEX["jawOpen"], INDEX["tongueOut"]


class FaceShape:
    """The face of one person. base (n, 3): the vertices without expression, head space, cm.

    portrait (54,): the coefficients of the portrait's own expression.
    """

    def __init__(self, rig: Rig, fit: HeadFit, base: np.ndarray) -> None:
        self.rig, self.base, self.portrait = rig, base, fit.coefficients
        self.rest = base
        self.stiff: np.ndarray | None = None

    def hold(self, share: np.ndarray, rest: np.ndarray) -> None:
        """Stiffen the skin in all later calls: multiply each vertex's displacement from `rest` by 1 - share.

        It is used for skin under the frame of glasses. Lids, lips and tongue are set exactly after it.
        share (n,) in [0, 1]; rest (n, 3): the vertices in the portrait, head space, cm.
        """
        self.stiff, self.rest = share[:, None], rest

    def __call__(self, coefficients: np.ndarray) -> np.ndarray:
        """The vertices (n, 3), head space, cm, for relative coefficients (54,)."""
        rig, portrait = self.rig, self.portrait
        asked = portrait + coefficients
        linear = asked.copy()
        linear[list(BLINKS)] = portrait[list(BLINKS)]
        on = np.flatnonzero(np.abs(linear[: len(rig.shapes)]) > 1e-4)
        V = self.base + np.tensordot(linear[on].astype(np.float32), rig.shapes[on], 1)
        if self.stiff is not None:
            V += self.stiff * (self.rest - V)
        for lids, k in zip(rig.lids, BLINKS, strict=True):
            share = self.lid_share(coefficients, k)
            if abs(share) > 1e-4:
                lids.shut(V, share)
        rig.lips.set(V, float(rig.model.opening(asked)), float(max(asked[JAW], 0)))
        if asked[TONGUE] > 0.02:
            self._tongue(V, float(asked[TONGUE]))
        return V

    def lid_share(self, coefficients: np.ndarray, blink: int) -> float:
        """Return the fraction of the portrait's eye opening by which a lid shuts; below 0 it opens wider.

        blink: one of BLINKS, the index of the eye's coefficient.
        """
        return float(np.clip(coefficients[blink], -0.6, 1.0))

    def _tongue(self, V: np.ndarray, out: float) -> None:
        """Puts the tongue out, in place: `out` up to 0.5 lifts its tip behind the teeth, more pushes it out.

        The model has no shape for it.
        """
        rig = self.rig
        tongue = np.flatnonzero(rig.is_part("tongue"))
        upper, lower = V[rig.is_part("teeth_upper")], V[rig.is_part("teeth_lower")]
        front = [teeth[teeth[:, 2] > teeth[:, 2].max() - 0.6] for teeth in (upper, lower)]
        edge = front[0][:, 1].min()
        reach = smoothstep(rig.neutral[tongue, 2], 6.0, 9.6)
        tip = tongue[rig.neutral[tongue, 2] > rig.neutral[tongue, 2].max() - 0.5]
        beyond = float(smoothstep(np.array(out), 0.55, 0.95))
        low = V[rig.lips.zip.lower[14:19], 1].mean()
        # behind the upper teeth, then in front of their edge, well above the lower lip
        top = (1 - beyond) * (edge + 0.08) + beyond * max(
            0.5 * (edge + front[1][:, 1].max()) + 0.1, low + 0.3
        )
        t = reach * min(2 * out, 1.0)
        V[tongue, 1] += t * (top + 0.35 * (V[tongue, 1] - V[tip, 1].max()) - V[tongue, 1])
        ahead = (1 - beyond) * 0.7 + beyond * (front[0][:, 2].max() + 0.4 - V[tip, 2].max())
        V[tongue, 2] += reach * min(2 * out, 1.0) * ahead
