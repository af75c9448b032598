"""Settings of a training as plain values, as loggers, `hparams.yaml` and checkpoints keep them, and back."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from ..pipeline.model.model import ModelConfig


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings classes as dictionaries, tuples as lists, all else as it is."""
    return {name: _plain(value) for name, value in settings.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def arguments(checkpoint: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a function that a checkpoint of our training stores, as the function takes them."""
    stored = checkpoint.get("hyper_parameters")
    if not stored:  # of a version that kept the model's settings alone
        stored = {"model": checkpoint["model_config"], "tuning": checkpoint.get("tuning", {})}
        stored |= {"objective": {}, "optimizer": {}, "strategy": {}}
    hints, out = get_type_hints(function), {}
    for name, value in stored.items():
        if name in hints:
            kinds = get_args(hints[name]) if isinstance(hints[name], types.UnionType) else (hints[name],)
            kind = next((kind for kind in kinds if is_dataclass(kind)), None)
            out[name] = restored(kind, value) if kind and isinstance(value, Mapping) else value  # type: ignore[arg-type]
    return out


def restored(kind: type, values: Mapping[str, Any]) -> Any:
    """The settings of a dataclass from plain values; values that it has no field for are left out."""
    if kind is ModelConfig:
        return ModelConfig.from_dict(values)
    hints = get_type_hints(kind)
    known = {}
    for each in fields(kind):
        if each.name in values:
            value, hint = values[each.name], hints[each.name]
            if is_dataclass(hint) and isinstance(value, Mapping):
                value = restored(hint, value)  # type: ignore[arg-type]
            known[each.name] = tuple(value) if get_origin(hint) is tuple else value
    return kind(**known)
