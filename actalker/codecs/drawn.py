"""A photograph whose head is moved: the 3D head that is fitted to it, and the frames that are drawn.

Letters: f frames, H W the photograph's size, h w the frames'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import map_coordinates
from torch import Tensor

from ..errors import InputError
from ..faces.crop import canonical_crop
from ..faces.landmarker import landmarker_refuses
from ..heads.camera import Camera, to_camera
from ..heads.face_map import NUMBERS, face_map, motion_of, numbers_of
from ..heads.fit import check_fit, fit_face
from ..heads.motion import HeadMotion
from .codec import Sitter

if TYPE_CHECKING:
    from ..heads.drawing import HeadPortrait

AROUND = 1.0  # margin that is drawn around the face's square in the view `face`, in its sides
SHOWN = 256  # pixels of the longer side at which a mask is drawn before it is enlarged
INK = (214, 84, 40)  # RGB of the fitted head in sketches
ROUNDING = 1e-6  # pixels by which a side may fall short of a whole number
TOLD = 2.0  # degrees from which on a turn that falls short is reported


class DrawnPortrait:
    """A portrait that is drawn in motion, with a 3D head fitted to it; a `codec.Bound`.

    The frames show the whole photograph (view `photo`) or the part of the face's square that lies inside it
    (`face`). They have the photograph's resolution unless their longer side is above the limit. An odd side
    loses its last row or column, since H.264 takes even ones.

    masks: region -> (32, 32) in [0, 1] on the face's map.
    reference: (1, c, 32, 32), the map's positions and the portrait's own motion.
    """

    def __init__(
        self,
        lay: Callable[[Tensor], Tensor],
        read: Callable[[Tensor], Tensor],
        places: Tensor,
        sitter: Sitter,
        limit: int,
    ) -> None:
        """Fit a head to the portrait.

        Args:
            lay: motion's numbers (f, 62) -> latents (f, 4, 32, 32), as `FaceMotion.lay`.
            read: the inverse, as `FaceMotion.read`.
            places: (c, 32, 32), the network's features of positions on the map.
            sitter: the portrait and the view of it.
            limit: of the frames' longer side in pixels, where the sitter has none.
        Raises: InputError where no head can be fitted.
        """
        self._read, self.sitter, self.damped = read, sitter, 0.0
        self._cut(limit if sitter.limit is None else sitter.limit)
        if (why := landmarker_refuses(None)) is not None:
            raise InputError(f"{sitter.name}: its person's outline is found by MediaPipe; {why}")
        fit = fit_face(sitter.face, sitter.image, sitter.name)  # before the image is scaled down
        notes = check_fit(fit, sitter.image, sitter.name)
        eye = fit.camera
        camera = Camera(eye.focal * self.scale, *((eye.cx, eye.cy) - self.corner) * self.scale)
        self.fit = replace(fit, camera=camera, points=(fit.points - self.corner) * self.scale)
        fitted = f"head: fitted within {100 * self.fit.error:.1f} % of the eyes' distance"
        self.facts = (fitted, *notes)
        self.masks = {name: torch.from_numpy(mask) for name, mask in face_map().regions.items()}
        numbers = numbers_of(self.fit.motion)
        numbers[:, NUMBERS.index("x") : NUMBERS.index("z") + 1] = (
            0  # the head's place in the picture means nothing
        )
        self.reference = torch.cat([places[None], lay(torch.from_numpy(numbers))], 1)

    def _cut(self, limit: int) -> None:
        """Cut and scale the photograph that is drawn on, and set the box of it that frames show.

        In the view `face` the cut is larger than the box, so that what moves into the box is there.
        """
        image, square = self.sitter.image, self.sitter.square
        h, w = image.shape[:2]
        shown = (0, 0, w, h)
        drawn = shown
        if self.sitter.view == "face":
            square = canonical_crop(self.sitter.face)
            shown = _inside(square.x, square.y, square.side, w, h)
            margin = AROUND * square.side
            drawn = _inside(square.x - margin, square.y - margin, square.side + 2 * margin, w, h)
        longer = max(shown[2] - shown[0], shown[3] - shown[1])
        self.scale = min(1.0, limit / longer) if limit else 1.0
        self.corner = np.array(drawn[:2], float)
        part = image[drawn[1] : drawn[3], drawn[0] : drawn[2]]
        if self.scale < 1:  # the same scale in both directions: less than a pixel at the end is left out
            sides = np.array([part.shape[1], part.shape[0]])
            size = np.maximum(2, np.floor(sides * self.scale + ROUNDING))
            box = (0.0, 0.0, *np.minimum(size / self.scale, sides).tolist())
            pixels = size.astype(int).tolist()
            part = np.asarray(Image.fromarray(part).resize(pixels, Image.Resampling.LANCZOS, box=box))
        self.photograph = np.ascontiguousarray(part)
        x0, y0 = (round((shown[k] - drawn[k]) * self.scale) for k in (0, 1))
        h, w = part.shape[:2]
        x1, y1 = (min(end, round((shown[k + 2] - drawn[k]) * self.scale)) for k, end in ((0, w), (1, h)))
        self.box = (x0, y0, x1 - (x1 - x0) % 2, y1 - (y1 - y0) % 2)

    @cached_property
    def head(self) -> HeadPortrait:
        """The portrait prepared for drawing, at the first frame, since this takes a while."""
        from ..heads.drawing import HeadPortrait  # numba takes a while to load
        from ..heads.outline import person_outline

        box = (np.reshape(self.sitter.face.box, (2, 2)) - self.corner) * self.scale
        x0, y0, x1, y1 = map(float, box.ravel())
        return HeadPortrait(self.photograph, self.fit, person_outline(self.photograph, (x0, y0, x1, y1)))

    @property
    def size(self) -> tuple[int, int]:
        """Size (h, w) of the frames."""
        return self.box[3] - self.box[1], self.box[2] - self.box[0]

    @property
    def picture(self) -> np.ndarray:
        """The part of the photograph that the frames show, (h, w, 3) uint8."""
        return self._shown(self.photograph)

    def _shown(self, drawn: np.ndarray) -> np.ndarray:
        """Cut the shown box out of a drawn photograph."""
        x0, y0, x1, y1 = self.box
        return drawn[y0:y1, x0:x1]

    def place(self) -> str:
        """Return, in words, which part of the photograph the frames show, and at which size."""
        h, w = self.sitter.image.shape[:2]
        part = "the square around the face" if self.sitter.view == "face" else "the whole photograph"
        return f"{part} is shown, {self.size[1]} x {self.size[0]} pixels; the photograph has {w} x {h}"

    def seen_part(self) -> tuple[float, float, float, float]:
        """Return that part as x0, y0, x1, y1 in the photograph's pixels."""
        x0, y0, x1, y1 = np.array(self.box) / self.scale + np.tile(self.corner, 2)
        return float(x0), float(y0), float(x1), float(y1)

    def record(self) -> dict[str, object]:
        """Return the shown part, the frames' size, and the head's pose and fitting error, for the sidecar."""
        return {
            "shown": [round(v, 2) for v in self.seen_part()],
            "size": list(self.size),
            "head": {
                "pose": [round(float(v), 2) for v in self.fit.pose],
                "error": round(self.fit.error, 4),
            },
        }

    def _vertices(self) -> np.ndarray:
        """Project the map's vertices to pixels of `photograph`, (v, 2)."""
        at = self.fit.vertices()[face_map().rows].astype(np.float64)
        return self.fit.camera.project(to_camera(at, self.fit.R, self.fit.T))

    def carried(self, mask: np.ndarray) -> Tensor:
        """Carry a mask (H, W) in [0, 1] over the photograph to the face's map, (32, 32)."""
        x, y = (self._vertices() / self.scale + self.corner).T - 0.5
        values = map_coordinates(np.asarray(mask, np.float64), [y, x], order=1, mode="nearest")
        return torch.from_numpy(face_map().gathered(values).astype(np.float32))

    def shown(self, mask: Tensor) -> np.ndarray:
        """Draw a mask (32, 32) of the face's map over `picture`, (h, w) in [0, 1]."""
        h, w = self.size
        share = SHOWN / max(h, w)
        rows, columns = (max(1, round(side * share)) for side in (h, w))
        values = face_map().share @ mask.numpy().ravel().astype(np.float64)
        spread = LinearNDInterpolator((self._vertices() - self.box[:2]) * share, values, fill_value=0)
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        small = Image.fromarray(spread(x, y).astype(np.float32))
        return np.asarray(small.resize((w, h), Image.Resampling.BILINEAR)).clip(0, 1)

    def sketch(self) -> tuple[str, np.ndarray]:
        """Return a title and the picture with the fitted head's vertices as points."""
        drawn = self.picture.copy()
        h, w = self.size
        width = max(1, round(max(h, w) / SHOWN))
        for x, y in self._vertices()[::2] - self.box[:2]:
            i, j = floor(y), floor(x)
            if 0 <= i < h and 0 <= j < w:
                drawn[i : i + width, j : j + width] = INK
        return "the fitted head", drawn

    def stream(
        self, latents: Tensor, chunk: int, still: Tensor | None = None, free: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Draw latents (1, f, 4, 32, 32), and yield frames (1, 3, h, w) uint8.

        free: (f, 32, 32) in [0, 1], where the face may move. chunk and still have no effect.
        """
        if free is not None:
            latents = latents * free[None, :, None].to(latents)
        numbers = self._read(latents[0]).cpu().numpy()
        motion = motion_of(numbers, np.arange(len(numbers)))
        for coefficients, pose, gaze in zip(motion.coefficients, motion.pose, motion.gaze, strict=True):
            yield torch.from_numpy(self.draw(coefficients, pose, gaze)).permute(2, 0, 1)[None]

    def draw(self, coefficients: np.ndarray, pose: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        """Draw a frame (h, w, 3) uint8 of relative motion: coefficients (54,), pose (6,), gaze (2,).

        Units and order are those of `HeadMotion`.
        """
        drawn = self.head.draw(coefficients, pose, gaze)
        self.damped = max(self.damped, drawn.damped)
        return np.ascontiguousarray(self._shown(drawn.frame))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the frames drawn so far: turns that fell short, an outline that was not found."""
        lines = []
        if self.damped >= TOLD:
            lines.append(
                f"{self.sitter.name}: the head was asked to turn further than this photograph shows; it "
                f"turns by up to {self.damped:.0f} degrees less"
            )
        if not self.head.outlined:
            lines.append(
                f"{self.sitter.name}: the person's outline was not found; a soft ellipse moves with the face"
            )
        return tuple(lines)

    def motion(self, latents: Tensor, start: int, fps: float) -> HeadMotion:
        """Return the absolute motion: the portrait's own and what latents (1, f, 4, 32, 32) add.

        start: number of the first frame in the clip, for the times.
        """
        numbers = self._read(latents[0]).cpu().numpy()
        relative = motion_of(numbers, (start + np.arange(len(numbers))) / fps)
        return relative.absolute(self.fit.motion)


def _inside(x: float, y: float, side: float, w: int, h: int) -> tuple[int, int, int, int]:
    """Return the part of a square inside a picture (h, w), in whole pixels x0, y0, x1, y1."""
    return max(0, floor(x)), max(0, floor(y)), min(w, ceil(x + side)), min(h, ceil(y + side))
