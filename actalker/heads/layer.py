"""One frame of the face's layer: what the mesh of face, eyes and mouth covers of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOTHING, SKIN, MOUTH, EYE_LEFT, EYE_RIGHT = 255, 0, 1, 2, 3  # of the image; `kind` of a pixel and of a vertex


@dataclass(frozen=True)
class FaceLayer:
    """The face drawn over a box of the photograph, and the geometry it was drawn from.

    box: x0, y0, x1, y1 in whole pixels of the photograph, inside it; (h, w) below is its size.
    alpha: (h, w) in [0, 1], 0 where the mesh does not lie or gives way to what is behind it.
    colour: (h, w, 3) RGB in [0, 1].
    source: (h, w, 2) x, y in the photograph's pixels (centres at .5) of what a pixel shows.
    weight: (h, w) in [0, 1], the share of the photograph's own pixels in the colour; where it is 0, `source`
    says nothing.
    kind: (h, w) uint8, one of SKIN, MOUTH (the inside), EYE_LEFT, EYE_RIGHT, NOTHING.

    vertices: (n, 3) head space, cm, now; rest: (n, 3) the portrait's own.
    places: (n, 2) where `rest` lies in the photograph, pixels; depths: (n,) its distance from the camera, cm.
    rotation: (3, 3), translation: (3,), the pose now.
    """

    box: tuple[int, int, int, int]
    alpha: np.ndarray
    colour: np.ndarray
    source: np.ndarray
    weight: np.ndarray
    kind: np.ndarray
    vertices: np.ndarray
    rest: np.ndarray
    places: np.ndarray
    depths: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
