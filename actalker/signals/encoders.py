"""The encoders that a model may have, by signal and kind."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from ..errors import InputError, one_of
from .audio import SpeechFeatures
from .signal import IDENTITY, IDENTITY_ENCODERS, SIGNALS, Kind

NONE = "none"  # the kind of encoder that a model has not


def make_encoder(signal: str, given: Mapping[str, Any]) -> nn.Module:
    """The encoder that a signal's settings ask for. Raises: InputError for unknown kinds and settings."""
    values, kinds = dict(given), kinds_of(signal)
    if "class_path" in values:
        return _own_encoder(signal, values)
    kind = one_of(values.pop("kind", next(iter(kinds))), kinds, f"kind of {signal} encoder")
    settings = kinds[kind].settings.load()
    for name in values:
        one_of(name, {f.name for f in fields(settings)}, f"setting of the {kind} encoder of {signal}")
    encoder: nn.Module = kinds[kind].encoder.load()(settings(**values))
    return encoder


def kinds_of(signal: str) -> Mapping[str, Kind]:
    """The kinds of encoder that a signal, or `identity`, may have; the first is the usual one."""
    return IDENTITY_ENCODERS if signal == IDENTITY else SIGNALS[signal].encoders


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
    wanted = ("null", "absent", *(() if signal == IDENTITY else SIGNALS[signal].needs))
    missing = [part for part in wanted if not hasattr(made, part)]
    if missing:
        raise InputError(
            f"model.{signal}.class_path: {path} has no {' and no '.join(missing)}; see "
            "actalker.signals.SignalEncoder"
        )
    return made


def speech_of(audio: Mapping[str, Any]) -> SpeechFeatures:
    """What an encoder of speech reads, by its settings. Raises: InputError for settings of none."""
    with torch.random.fork_rng(devices=[]):
        source: SpeechFeatures = make_encoder("audio", audio).source  # type: ignore[assignment]
    return source
