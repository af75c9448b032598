"""The signals in training samples: made from clips of real people, and unpacked for the encoders.

Letters: b batch, f frames, s side in pixels, K phases, L bytes of a phrase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..heads.articulation import ARTICULATORS
from .audio import SpeechFeatures
from .expression import AugmentStrategy, augment
from .script import Script
from .text import TextEncoder


@dataclass(frozen=True, eq=False)
class ClipWindow:
    """A window of a clip of a real person.

    frames: number of frames, f.
    first: number of the first frame in the clip.
    rate: exact frames per second.
    features: (f, ...) features of the speech; None without sound.
    silence: (f, ...) features of silence.
    script: the clip's script; None if it has none.
    phases: number of phases that the script's arrays have room for, K.
    motion: arrays of the face's motion, as the expression's encoder takes them.
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
    """A signal in a window of a real clip.

    arrays: name -> array, the inputs of the signal's encoder.
    present: whether the clip has the signal.
    shown: (f,) bool, True at frames whose input shows the motion that the signal asks for; None: all.
    asks: whether the signal by itself accounts for all of the motion in the window; if not, it asks for none.
    """

    arrays: Mapping[str, Tensor]
    present: bool = True
    shown: np.ndarray | None = None
    asks: bool = True


def speech_of_clip(window: ClipWindow) -> ClipSignal:
    """Return the speech of a window, or silence where it has none."""
    features = window.silence if window.features is None else window.features
    return ClipSignal({"features": torch.from_numpy(features)}, window.features is not None)


def motion_of_clip(window: ClipWindow) -> ClipSignal:
    """Return the face's motion in a window; it is not shown where its confidence is 0."""
    confidence = window.motion.get("confidence")
    return ClipSignal(window.motion, shown=None if confidence is None else confidence.numpy() > 0)


def script_of_clip(window: ClipWindow) -> ClipSignal:
    """Return the script of a window.

    The motion that a phase of the script caused cannot be separated from the person's other motion. So `asks`
    is False: the motion asked for by the script is set to 0. This is right at frames outside all phases only,
    and `shown` is True at these frames only.
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
    """Return the features of speech in float32.

    Args:
        arrays: one array (b, f, ...), features of speech or articulators.
        encoder: the model's encoder of speech.
        generator, strategy: ignored; speech is not augmented here.
    Raises: InputError for features of another shape than the encoder reads.
    """
    ((name, speech),) = arrays.items()
    source = cast("SpeechFeatures", encoder.source)
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
    """Return crops of a driver's face in [-1, 1], augmented where there is a generator.

    Args:
        arrays: `crops` (b, f, 3, s, s) and `rest` (b, 3, s, s), 0 to 255; or numbers of a head's motion,
            which are returned as they are.
        encoder: ignored.
        generator: source of the augmentation's draws; None changes nothing.
        strategy: settings of the augmentation.
    """
    if "crops" not in arrays:
        return dict(arrays)
    faces = torch.cat([arrays["rest"][:, None], arrays["crops"]], dim=1).float() / 127.5 - 1
    if generator is not None:
        faces = augment(faces, generator, strategy)
    return {"crops": faces[:, 1:], "rest": faces[:, 0]}
