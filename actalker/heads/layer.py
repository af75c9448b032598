"""The face's layer of one frame: the pixels that the mesh of face, eyes and mouth covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOTHING, SKIN, MOUTH, EYE_LEFT, EYE_RIGHT = 255, 0, 1, 2, 3
"""The kind of a pixel or of a vertex; left and right are the image's, MOUTH is the mouth's inside."""


@dataclass(frozen=True)
class FaceLayer:
    """The face drawn over a box of the photograph, and the geometry it was drawn from.

    box: x0, y0, x1, y1 in whole pixels of the photograph, inside it; (h, w) is its size.
    alpha (h, w) in [0, 1]: opacity; 0 beside the mesh and where it gives way to what is behind it.
    colour (h, w, 3) in [0, 1]: RGB.
    source (h, w, 2): x, y in the photograph, pixels (centres at .5), of the point that a pixel shows.
    weight (h, w) in [0, 1]: share of the photograph's own pixels in the colour; where it is 0, `source`
    means nothing.
    kind (h, w) uint8: one of SKIN, MOUTH, EYE_LEFT, EYE_RIGHT, NOTHING.

    vertices (n, 3): the moved face in head space, cm; rest (n, 3): the portrait's own face.
    places (n, 2): pixels of `rest` in the photograph; depths (n,): its distance from the camera, cm.
    rotation (3, 3), translation (3,): the pose of the moved head, to camera space.
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
