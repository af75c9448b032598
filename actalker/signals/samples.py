"""Arrays of training samples as encoders take them. Letters: b batch, f frames, s side in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..heads.articulation import ARTICULATORS
from .expression import AugmentStrategy, augment


def unpack_speech(
    arrays: Mapping[str, Tensor],
    encoder: nn.Module,
    generator: torch.Generator | None,
    strategy: AugmentStrategy,
) -> dict[str, Tensor]:
    """Speech in float32. Raises: InputError where the encoder reads another form of it."""
    ((name, speech),) = arrays.items()
    source: Any = encoder.source
    size, form = tuple(speech.shape[2:]), tuple(source.form)
    if size != form and not (size == (len(ARTICULATORS),) and hasattr(encoder, "articulators")):
        raise InputError(
            f"the clips' speech is {size} numbers a frame, model.audio reads {form}; give the data the "
            "settings of that encoder: `whisper`, or `audio`, or none"
        )
    return {name: speech.float()}


def unpack_motion(
    arrays: Mapping[str, Tensor],
    encoder: nn.Module,
    generator: torch.Generator | None,
    strategy: AugmentStrategy,
) -> dict[str, Tensor]:
    """Crops of a driver's face in [-1, 1], changed as the strategy says where a generator is given; numbers
    of a head's motion stay as they are.
    """
    if "crops" not in arrays:
        return dict(arrays)
    faces = torch.cat([arrays["rest"][:, None], arrays["crops"]], dim=1).float() / 127.5 - 1
    if generator is not None:
        faces = augment(faces, generator, strategy)
    return {"crops": faces[:, 1:], "rest": faces[:, 0]}
