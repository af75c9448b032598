"""Make the encoders of a model from their settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import cast

import torch
from torch import nn

from ..errors import InputError, one_of
from .audio import SpeechFeatures
from .signal import IDENTITY, IDENTITY_ENCODERS, SIGNALS, Kind

NONE = "none"  # kind of a signal that the model does not take


def make_encoder(signal: str, settings: Mapping[str, object]) -> nn.Module:
    """Make an encoder of a signal, or of `identity`, with new weights.

    settings: `kind` and the fields of that kind's dataclass; or `class_path` and `init_args` of a class
        of the user's. Without a kind it is the signal's default.
    Raises: InputError for unknown kinds, unknown settings, and classes that are no encoder.
    """
    values, kinds = dict(settings), kinds_of(signal)
    if "class_path" in values:
        return _imported_encoder(signal, values)
    kind = one_of(cast("str", values.pop("kind", next(iter(kinds)))), kinds, f"kind of {signal} encoder")
    config = kinds[kind].settings.load()
    for name in values:
        one_of(name, {f.name for f in fields(config)}, f"setting of the {kind} encoder of {signal}")
    encoder: nn.Module = kinds[kind].encoder.load()(config(**values))
    return encoder


def kinds_of(signal: str) -> Mapping[str, Kind]:
    """Return the kinds of encoder of a signal, or of `identity`; the first is the default."""
    return IDENTITY_ENCODERS if signal == IDENTITY else SIGNALS[signal].encoders


def _imported_encoder(signal: str, values: Mapping[str, object]) -> nn.Module:
    """Make an encoder of the user's from the path of its class. Raises InputError for what is none."""
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
        encoder = kind(**dict(cast("Mapping[str, object]", values.get("init_args") or {})))
    except TypeError as error:
        raise InputError(f"model.{signal}.init_args: {error}; give the arguments of {path}") from None
    wanted = ("null", "absent", *(() if signal == IDENTITY else SIGNALS[signal].needs))
    missing = [part for part in wanted if not hasattr(encoder, part)]
    if missing:
        raise InputError(
            f"model.{signal}.class_path: {path} has no {' and no '.join(missing)}; see "
            "actalker.signals.SignalEncoder"
        )
    return encoder


def speech_of(audio: Mapping[str, object]) -> SpeechFeatures:
    """Return the features that an encoder of speech with these settings reads.

    The global random state is left as it was. Raises InputError for settings of no encoder.
    """
    with torch.random.fork_rng(devices=[]):
        return cast("SpeechFeatures", make_encoder("audio", audio).source)
