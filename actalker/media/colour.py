"""Converts video of a high dynamic range (HDR) or a wide gamut to pictures for an SDR display.

Letters: h w rows and columns. Linear light is in units of SDR's white.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

UNKNOWN = (0, 2)  # reserved, unspecified: numbers of ITU-T H.273, as all that follow
BT2020, DCI_P3, DISPLAY_P3 = 9, 11, 12  # primaries
PQ, HLG = 16, 18  # transfer characteristics
BT2020_MATRIX = 9
WHITE = 203.0  # cd/m², SDR's white in an HDR picture (ITU-R BT.2408)
PEAK = 1000.0  # cd/m², the brightest that is kept apart: HLG's nominal peak, and that of most PQ masters
HLG_GAMMA = 1.2  # of the system at that peak (ITU-R BT.2100)
KNEE = 0.8  # linear light below which tones are left as they are
GAMMA = 2.2  # of an SDR display
LUMA = (0.2627, 0.6780, 0.0593)  # of BT.2020
TO_709 = {  # linear RGB of these primaries, white D65, to BT.709's (from the chromaticities of H.273)
    BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    DISPLAY_P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
TO_709[DCI_P3] = TO_709[DISPLAY_P3]  # files say so and mean D65


@dataclass(frozen=True)
class Colours:
    """What light the numbers of a video stand for. primaries, transfer: numbers of ITU-T H.273."""

    primaries: int
    transfer: int

    @property
    def hdr(self) -> bool:
        """Whether the transfer is PQ or HLG."""
        return self.transfer in (PQ, HLG)

    @property
    def converted(self) -> bool:
        """Whether an SDR display would show the numbers wrongly."""
        return self.hdr or self.primaries in TO_709

    def to_sdr(self, picture: np.ndarray) -> np.ndarray:
        """Convert (h, w, 3) uint16, RGB of full range, to (h, w, 3) uint8 for an SDR display.

        HDR: SDR's white is at 203 cd/m² (ITU-R BT.2408), and tones up to four fifths of it stay. Brighter
        ones, up to 1000 cd/m², are compressed into the rest; all channels are scaled by the brightest of the
        three, so that hues stay.
        """
        light = _light(self.transfer)[picture]
        if self.transfer == HLG:  # scene light to display light (BT.2100, the OOTF)
            scene = light @ np.array(LUMA, np.float32)
            light *= (np.maximum(scene, 1e-6) ** (HLG_GAMMA - 1) * (PEAK / WHITE))[..., None]
        matrix = TO_709.get(BT2020 if self.hdr and self.primaries in UNKNOWN else self.primaries)
        if matrix is not None:
            light = np.maximum(light @ np.array(matrix, np.float32).T, 0)
        if self.hdr:
            brightest = light.max(axis=2, keepdims=True)
            light *= _pressed(brightest) / np.maximum(brightest, 1e-6)
        steps = np.round(np.clip(light, 0, 1) * 65535).astype(np.uint16)
        return _codes()[steps]


def _pressed(light: np.ndarray) -> np.ndarray:
    """Compress light up to PEAK / WHITE into [0, 1]: unchanged below KNEE, smooth there, 1 at the peak."""
    most = (PEAK / WHITE - KNEE) / (1 - KNEE)
    over = np.clip((light - KNEE) / (1 - KNEE), 0, most)
    return np.where(light > KNEE, KNEE + (1 - KNEE) * over * (1 + over / most**2) / (1 + over), light)


@lru_cache(maxsize=3)
def _light(transfer: int) -> np.ndarray:
    """The linear light of each 16-bit code, (65536,) float32; HLG's is the scene's, with 1 at its peak."""
    code = np.arange(65536) / 65535
    if transfer == PQ:  # SMPTE ST 2084
        root = code ** (1 / 78.84375)
        light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        return (light * 10000 / WHITE).astype(np.float32)
    if transfer == HLG:  # BT.2100, the inverse OETF
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)
    return (code**GAMMA).astype(np.float32)


@lru_cache(maxsize=1)
def _codes() -> np.ndarray:
    """The code of an SDR display for each 16-bit step of linear light, (65536,) uint8."""
    return np.round((np.arange(65536) / 65535) ** (1 / GAMMA) * 255).astype(np.uint8)
