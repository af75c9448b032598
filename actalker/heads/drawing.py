"""A portrait whose head moves: the whole photograph, drawn frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .camera import rotation, shift_of, to_camera
from .face import PortraitFace
from .fit import HeadFit
from .kernels import interpolate, rasterise
from .layer import FaceLayer
from .model import COEFFICIENTS
from .plain_scene import overlap, sized
from .scene import Origin, Scene
from .sheet import Pose
from .turning import limited


@dataclass(frozen=True, eq=False)
class Drawn:
    """A frame.

    frame (H, W, 3) uint8: the whole photograph with the head moved; outside of `box` (x0, y0, x1, y1), and
    wherever nothing is seen to move, the photograph's own bytes. pose (6,): what was drawn, relative as it
    was asked. damped: by how many degrees the turn fell short of what was asked, because the photograph does
    not show more.
    """

    frame: np.ndarray
    box: tuple[int, int, int, int]
    pose: np.ndarray
    damped: float
    _face: PortraitFace
    _scene: Scene
    _layer: FaceLayer
    _sources: np.ndarray

    @cached_property
    def _origin(self) -> Origin:
        return self._scene.origin(self._layer, self._sources)

    @property
    def field(self) -> np.ndarray:
        """(h, w, 2) over `box`: from a pixel to its place in the photograph, pixels right and down."""
        return self._origin.field

    @property
    def known(self) -> np.ndarray:
        """(h, w) in [0, 1] over `box`: how far a pixel is the photograph's own at that place."""
        return self._origin.known

    @cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """`mouth`, `upper` (eyes and brows) and `face`, (h, w) in [0, 1] over `box`, as they lie in the
        frame.
        """
        rig, layer = self._face.rig, self._layer
        there = to_camera(layer.vertices, layer.rotation, layer.translation)
        places = self._face.fit.camera.project(there)
        raster = rasterise(places, there[:, 2], rig.triangles, layer.box)
        shares = np.stack([rig.mouth, rig.upper, np.ones_like(rig.mouth)], -1)
        values = interpolate(raster, rig.triangles, there[:, 2], shares)
        x0, y0, x1, y1 = self.box
        whole = np.zeros((y1 - y0, x1 - x0, 3), np.float32)
        here, there = overlap(sized(self.box), sized(layer.box))
        whole[here] = values[there]
        return {name: whole[..., k] for k, name in enumerate(("mouth", "upper", "face"))}


class HeadPortrait:
    """A portrait made ready once.

    image (H, W, 3) uint8, of any size; fit: the head in it, in the same pixels; outline (H, W) in [0, 1]: the
    person (`outline.person_outline`). outlined: whether the outline held the face; where not, a soft ellipse
    stands for it. Raises: ValueError where the outline is not the image's size.
    """

    def __init__(self, image: np.ndarray, fit: HeadFit, outline: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"the image is {image.dtype} of shape {image.shape}; (H, W, 3) uint8 is needed")
        if outline.shape != image.shape[:2]:
            raise ValueError(
                f"the outline has shape {outline.shape}; the image's {image.shape[:2]} is needed"
            )
        self.image, self.fit = np.ascontiguousarray(image), fit
        self._own = fit.pose
        face = self._face = PortraitFace(self.image, fit, outline)
        rest = Pose(fit.R, fit.T, float(self._own[2]))
        self._scene = Scene(
            self.image, outline, fit.camera, rest, face.rest, face.places, face.depths, face.opening
        )
        self.outlined = self._scene.outlined

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels: outside nothing ever changes."""
        return self._scene.box

    def draw(self, coefficients: np.ndarray, pose: np.ndarray, gaze: np.ndarray) -> Drawn:
        """One frame of a relative motion, `HeadMotion`'s reading: all zero gives the photograph, byte for
        byte.

        coefficients (54,); pose (6,): yaw, pitch, roll in degrees, the pivot's x, y, z in cm; gaze (2,) in
        degrees. Turns beyond what the photograph shows are damped (`turning.limited`). Raises: ValueError
        where shapes or numbers are none.
        """
        for name, values, count in (
            ("coefficients", coefficients, len(COEFFICIENTS)),
            ("pose", pose, 6),
            ("gaze", gaze, 2),
        ):
            if np.shape(values) != (count,) or not np.isfinite(values).all():
                raise ValueError(f"{name}: {count} finite numbers are needed, not {np.array(values)!r:.80}")
        drawn = limited(self._own, np.asarray(pose, np.float64))
        there = self._own + drawn
        R = rotation(*there[:3])
        T = shift_of(R, there[3:])
        layer = self._face.draw(coefficients, gaze, R, T)
        frame, sources = self._scene.draw(layer, Pose(R, T, float(there[2])))
        damped = float(np.abs(np.asarray(pose, np.float64)[:3] - drawn[:3]).max())
        return Drawn(frame, self.box, drawn, damped, self._face, self._scene, layer, sources)
