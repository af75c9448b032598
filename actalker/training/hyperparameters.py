"""Settings of a training as plain values, as loggers, `hparams.yaml` and checkpoints keep them, and back."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from ..pipeline.model.model import ModelConfig

S = TypeVar("S")


def plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Settings classes as dictionaries, tuples as lists, all else as it is."""
    return {name: _plain(value) for name, value in settings.items()}


def _plain(value: object) -> object:
    if isinstance(value, ModelConfig):
        value = value.as_dict()
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def arguments(checkpoint: Mapping[str, Any], function: Callable[..., object]) -> dict[str, Any]:
    """The arguments of a function that a checkpoint of our training stores, as the function takes them."""
    stored = checkpoint.get("hyper_parameters")
    if not stored:  # of a version that kept the model's settings alone
        stored = {"model": checkpoint["model_config"], "tuning": checkpoint.get("tuning", {})}
        stored |= {"objective": {}, "optimizer": {}, "strategy": {}}
    hints = get_type_hints(function)
    return {name: _restored(hints[name], value) for name, value in stored.items() if name in hints}


def _restored(hint: object, value: object) -> object:
    """A value as its type hint has it: dictionaries become settings classes, lists tuples."""
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next((kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)), None)
    if kind is not None and isinstance(value, Mapping):
        return restored(kind, value)
    return tuple(value) if get_origin(hint) is tuple and isinstance(value, (list, tuple)) else value


def restored(kind: type[S], values: Mapping[str, object]) -> S:
    """The settings of a dataclass from plain values; values that it has no field for are left out."""
    if kind is ModelConfig:
        return cast(S, ModelConfig.from_dict(values))
    hints = get_type_hints(kind)
    known = {name: _restored(hint, values[name]) for name, hint in hints.items() if name in values}
    return kind(**known)
