"""Arrays of training samples: from clips of real people, and as encoders take them.

Letters: b batch, f frames, s side in pixels, K phases, L bytes of a phrase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..heads.articulation import ARTICULATORS
from .expression import AugmentStrategy, augment
from .script import Script
from .text import TextEncoder


@dataclass(frozen=True, eq=False)
class ClipWindow:
    """A window of a clip of real people.

    frames: how many. first: the number of the first in the clip, at `rate` frames a second. features:
    (f, ...) what is read of its speech; None without. silence: the same of no sound. script: None without.
    phases: rows for its phases. motion: its face's motion, as the encoder of expression takes it.
    """

    frames: int
    first: int
    rate: Fraction
    features: np.ndarray | None
    silence: np.ndarray
    script: Script | None
    phases: int
    motion: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class ClipSignal:
    """What a window shows of a signal.

    arrays: what its encoder takes. present: whether the clip has it. shown: (f,) bool, where it does. asks:
    whether it alone would ask for the whole motion that the window shows.
    """

    arrays: Mapping[str, Tensor]
    present: bool = True
    shown: np.ndarray | None = None
    asks: bool = True


def speech_of_clip(window: ClipWindow) -> ClipSignal:
    """The speech of a window; silence where it has none."""
    features = window.silence if window.features is None else window.features
    return ClipSignal({"features": torch.from_numpy(features)}, window.features is not None)


def motion_of_clip(window: ClipWindow) -> ClipSignal:
    """The motion of the face; it is not seen where its confidence is 0."""
    confidence = window.motion.get("confidence")
    return ClipSignal(window.motion, shown=None if confidence is None else confidence.numpy() > 0)


def script_of_clip(window: ClipWindow) -> ClipSignal:
    """The script. What a phase moved cannot be told from what the person did: it asks for nothing, and is
    shown where no phase is.
    """
    script = window.script or Script("-")
    text = TextEncoder.tokenize(script, window.rate, window.frames, window.first, phases=window.phases)
    return ClipSignal(
        {"bytes": torch.from_numpy(text.bytes), "timing": torch.from_numpy(text.timing)},
        present=window.script is not None,
        shown=np.asarray(~text.timing[:, :, 0].any(1)),
        asks=False,
    )


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
