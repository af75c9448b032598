"""A portrait and the face in it, as a model's codec sees it."""

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
    """A portrait. bound: the codec that knows it. head: (h, w, 3) uint8, its face at its canonical place: who
    it is.

    image: the picture, set upright by `turns` quarter turns counter-clockwise. crop: what a model sees of it
    whose codec makes pictures. finder: who found the face.
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
        """(h, w, 3) uint8, what is seen of it."""
        return self.bound.picture

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Region -> where a signal may act, in [0, 1]."""
        return self.bound.masks

    def place(self) -> str:
        """In words, who found the face, and what is seen of the picture."""
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
    """Read a portrait, find its face, and bind the codec to it.

    Args:
        source: a file or an RGB array (h, w, 3) uint8.
        size: (height, width) of what models of pictures see, or a square's side.
        crop: `face` cuts the face at its canonical place; `none` takes the largest cut in the middle.
        face_index: which face, largest first, when there are several.
        codec: the model's; None: the square alone is seen.
        view, limit: what is shown, and how large (`Sitter`).
    Raises: InputError for unreadable pictures, pictures without a face, and those that the codec cannot use.
    """
    image = checked_picture(source, "portrait") if isinstance(source, np.ndarray) else read_image(source)
    name = "portrait" if isinstance(source, np.ndarray) else str(source)
    found = find_upright(image, face_model, face_index, name)
    image, face = found.image, found.face
    square = head = canonical_crop(face)
    if crop == "none":
        if codec is not None and codec.moves:
            raise InputError("crop none: this model moves the head in the photograph; give --view photo")
        square = centred_crop(image.shape, size)
    sitter = Sitter(image, face, square, size, name, view, limit)
    bound: Bound = SquarePortrait.of(sitter) if codec is None else codec.bound(sitter)
    return Portrait(bound, head.apply(image, size), image, square, face, found.finder, found.turns)
