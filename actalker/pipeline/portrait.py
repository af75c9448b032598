"""A portrait, the face in it, and a model's codec that is bound to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..codecs.codec import Bound, Codec, Sitter
from ..codecs.pixels import SquarePortrait
from ..errors import InputError
from ..faces.crop import Crop, canonical_crop, centred_crop
from ..faces.face import Face
from ..faces.find import find_upright
from ..faces.upright import LIES
from ..media.image import Size, read_image
from ..signals.objects import checked_picture


@dataclass
class Portrait:
    """A portrait that a model is bound to.

    bound: the model's codec, bound to this portrait.
    head: (h, w, 3) uint8, the face at its canonical place, from which identity is read.
    image: (H, W, 3) uint8, the picture, set upright by `turns` quarter turns counter-clockwise.
    crop: the part of the image that models of pictures see.
    face: the face, in pixels of the image.
    finder: name of the face finder that found it.
    """

    bound: Bound
    head: np.ndarray
    image: np.ndarray
    crop: Crop
    face: Face
    finder: str
    turns: int

    @property
    def picture(self) -> np.ndarray:
        """The part of the portrait that the frames show, (h, w, 3) uint8."""
        return self.bound.picture

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Region -> mask (h, w) in [0, 1], 1 where a signal of the region acts."""
        return self.bound.masks

    def place(self) -> str:
        """Say in words which finder found the face, and which part of the picture the frames show."""
        turned = f"; the picture was turned {LIES[self.turns][1]}" if self.turns else ""
        return f"found by the {self.finder}; {self.bound.place()}{turned}"


def read_portrait(
    source: str | Path | np.ndarray,
    size: Size,
    crop: str = "face",
    face_model: Path | None = None,
    face_index: int | None = None,
    codec: Codec | None = None,
    view: str | None = None,
    limit: int | None = None,
) -> Portrait:
    """Read a portrait, find its face, and bind a codec to it.

    Args:
        source: a file or an RGB array (h, w, 3) uint8.
        size: (height, width) of the pictures that models of pictures see, or the side of a square.
        crop: `face` cuts the face at its canonical place; `none` takes the largest part in the middle.
        face_model: MediaPipe's face_landmarker.task; None: the one in the package.
        face_index: which of several faces, largest first; None: the largest.
        codec: the model's codec; None: one that shows the square.
        view: the part of the portrait that the frames show: `photo`, all of it, or `face`, the square around
            the face; None leaves it to the codec.
        limit: most pixels of the frames' longer side; 0: no limit; None: the codec's own.
    Raises: InputError for unreadable pictures, pictures without a face, and those that the codec cannot use.
    """
    image = checked_picture(source, "portrait") if isinstance(source, np.ndarray) else read_image(source)
    name = "portrait" if isinstance(source, np.ndarray) else str(source)
    upright = find_upright(image, face_model, face_index, name)
    image, face = upright.image, upright.face
    square = head = canonical_crop(face)
    if crop == "none":
        if codec is not None and codec.moves:
            raise InputError("crop none: this model moves the head in the photograph; give --view photo")
        square = centred_crop(image.shape, size)
    sitter = Sitter(image, face, square, size, name=name, view=view, limit=limit)
    bound: Bound = SquarePortrait.of(sitter) if codec is None else codec.bound(sitter)
    return Portrait(
        bound=bound,
        head=head.apply(image, size),
        image=image,
        crop=square,
        face=face,
        finder=upright.finder,
        turns=upright.turns,
    )
