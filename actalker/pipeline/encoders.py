"""The encoders that a model may have, by signal and kind."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from ..errors import InputError, one_of
from ..signals.audio import AudioConfig, AudioEncoder
from ..signals.expression import ExpressionConfig, ExpressionEncoder
from ..signals.head import HeadConfig, HeadEncoder
from ..signals.identity import IdentityConfig, IdentityEncoder
from ..signals.motion_numbers import MotionNumbers, MotionNumbersConfig
from ..signals.own import OwnMotion, OwnMotionConfig
from ..signals.released import (
    ReleasedAudio,
    ReleasedAudioConfig,
    ReleasedIdentity,
    ReleasedIdentityConfig,
    ReleasedMotion,
    ReleasedMotionConfig,
)
from ..signals.speech import SpeechConfig, SpeechEncoder
from ..signals.text import TextConfig, TextEncoder
from ..signals.whisper import WhisperAudio, WhisperConfig

# signal -> kind -> encoder and its settings; the first kind is the usual one
ENCODERS: dict[str, dict[str, tuple[type[nn.Module], type]]] = {
    "audio": {
        "mel": (AudioEncoder, AudioConfig),
        "speech": (SpeechEncoder, SpeechConfig),
        "whisper": (WhisperAudio, WhisperConfig),
        "released": (ReleasedAudio, ReleasedAudioConfig),
    },
    "expression": {
        "crops": (ExpressionEncoder, ExpressionConfig),
        "released": (ReleasedMotion, ReleasedMotionConfig),
        "numbers": (MotionNumbers, MotionNumbersConfig),
        "head": (HeadEncoder, HeadConfig),
    },
    "text": {"bytes": (TextEncoder, TextConfig)},
    "identity": {
        "crop": (IdentityEncoder, IdentityConfig),
        "released": (ReleasedIdentity, ReleasedIdentityConfig),
        "own": (OwnMotion, OwnMotionConfig),
    },
}
NONE = "none"  # the kind of encoder that a model has not


def make_encoder(signal: str, given: Mapping[str, Any]) -> nn.Module:
    """The encoder that a signal's settings ask for. Raises: InputError for unknown kinds and settings."""
    values, kinds = dict(given), ENCODERS[signal]
    if "class_path" in values:
        return _own_encoder(signal, values)
    kind = one_of(values.pop("kind", next(iter(kinds))), kinds, f"kind of {signal} encoder")
    encoder, settings = kinds[kind]
    for name in values:
        one_of(name, {f.name for f in fields(settings)}, f"setting of the {kind} encoder of {signal}")
    return encoder(settings(**values))


def _own_encoder(signal: str, values: Mapping[str, Any]) -> nn.Module:
    """An encoder of the user's, by the path of its class. Raises: InputError when that is none."""
    for name in values:
        one_of(name, ("class_path", "init_args"), f"setting of an encoder of {signal} by its class")
    path = str(values["class_path"])
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"model.{signal}.class_path: {path} does not import ({error}); install its package, or put its "
            "folder on PYTHONPATH"
        ) from None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InputError(f"model.{signal}.class_path: {path} is no torch module; give a class of one")
    try:
        made = kind(**dict(values.get("init_args") or {}))
    except TypeError as error:
        raise InputError(f"model.{signal}.init_args: {error}; give the arguments of {path}") from None
    wanted = ("null", "absent", *(("source",) if signal == "audio" else ()))
    missing = [part for part in wanted if not hasattr(made, part)]
    if missing:
        raise InputError(
            f"model.{signal}.class_path: {path} has no {' and no '.join(missing)}; see "
            "actalker.signals.SignalEncoder"
        )
    return made
