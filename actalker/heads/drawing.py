"""A portrait whose head moves: the whole photograph is drawn again, frame by frame."""

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
    """One drawn frame.

    frame (H, W, 3) uint8: the photograph with its head moved. Outside of `box` (x0, y0, x1, y1, pixels), and
    wherever nothing visibly moves, it has the photograph's own bytes. pose (6,): the relative pose that was
    drawn. damped: degrees by which its turn falls short of the pose that was asked for, because the
    photograph does not show more of the head.
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
        """The way from each pixel of `box` to its place in the photograph: (h, w, 2) pixels right, down."""
        return self._origin.field

    @property
    def known(self) -> np.ndarray:
        """How far each pixel of `box` is the photograph's own at the place of `field`, (h, w) in [0, 1]."""
        return self._origin.known

    @cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """Masks (h, w) in [0, 1] over `box` of the moved face: `mouth`, `upper` (eyes and brows), `face`."""
        rig, layer = self._face.rig, self._layer
        there = to_camera(layer.vertices, layer.rotation, layer.translation)
        places = self._face.fit.camera.project(there)
        raster = rasterise(places, there[:, 2], rig.triangles, layer.box)
        shares = np.stack([rig.mouth, rig.upper, np.ones_like(rig.mouth)], -1)
        values = interpolate(raster, rig.triangles, there[:, 2], shares)
        x0, y0, x1, y1 = self.box
        whole = np.zeros((y1 - y0, x1 - x0, 3), np.float32)
        part, face = overlap(sized(self.box), sized(layer.box))
        whole[part] = values[face]
        return {name: whole[..., k] for k, name in enumerate(("mouth", "upper", "face"))}


class HeadPortrait:
    """A portrait that is prepared once and then drawn in any pose and expression.

    image (H, W, 3) uint8, of any size; fit: the head in it, in the same pixels; outline (H, W) in [0, 1]: the
    person (`outline.person_outline`). The attribute `outlined` says whether the outline covers the face; if
    not, a soft ellipse replaces it. Raises: ValueError for another dtype, or an outline of another size.
    """

    def __init__(self, image: np.ndarray, fit: HeadFit, outline: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"the image is {image.dtype} of shape {image.shape}; (H, W, 3) uint8 is needed")
        if outline.shape != image.shape[:2]:
            raise ValueError(
                f"the outline has shape {outline.shape}; the image's {image.shape[:2]} is needed"
            )
        self.image, self.fit = np.ascontiguousarray(image), fit
        self._pose = fit.pose
        face = self._face = PortraitFace(self.image, fit, outline)
        self._scene = Scene(
            self.image,
            outline,
            fit.camera,
            Pose(fit.R, fit.T, float(self._pose[2])),
            rest=face.rest,
            places=face.places,
            depths=face.depths,
            opening=face.opening,
        )
        self.outlined = self._scene.outlined

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels: outside of it no frame ever differs from the photograph."""
        return self._scene.box

    def draw(self, coefficients: np.ndarray, pose: np.ndarray, gaze: np.ndarray) -> Drawn:
        """Draws one frame of a relative motion (`HeadMotion`); all zero gives the photograph's own bytes.

        coefficients (54,); pose (6,): yaw, pitch, roll in degrees, then x, y, z of the pivot in cm; gaze (2,)
        in degrees. Turns beyond what the photograph shows are damped (`turning.limited`). Raises: ValueError
        where an argument has another shape or is not finite.
        """
        for name, values, count in (
            ("coefficients", coefficients, len(COEFFICIENTS)),
            ("pose", pose, 6),
            ("gaze", gaze, 2),
        ):
            if np.shape(values) != (count,) or not np.isfinite(values).all():
                raise ValueError(f"{name}: {count} finite numbers are needed, not {np.array(values)!r:.80}")
        drawn = limited(self._pose, np.asarray(pose, np.float64))
        there = self._pose + drawn
        R = rotation(*there[:3])
        T = shift_of(R, there[3:])
        layer = self._face.draw(coefficients, gaze, R, T)
        frame, sources = self._scene.draw(layer, Pose(R, T, float(there[2])))
        damped = float(np.abs(np.asarray(pose, np.float64)[:3] - drawn[:3]).max())
        return Drawn(
            frame=frame,
            box=self.box,
            pose=drawn,
            damped=damped,
            _face=self._face,
            _scene=self._scene,
            _layer=layer,
            _sources=sources,
        )
