"""The weights that a training begins with: those of another model, for the parts that both models have."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from ..errors import InputError
from ..pipeline.model.folder import load_model, read_settings
from ..pipeline.model.model import ModelConfig
from ..pipeline.model.svd import is_svd, read_svd


def settings_of(start: str | None) -> ModelConfig:
    """The settings of the model that a training begins with.

    Raises: InputError where it begins with none, or with SVD, which has no settings of ours.
    """
    if start is None or is_svd(start):
        raise InputError("model.model: is not given; give the model's settings, or a model.start of ours")
    return read_settings(start)


def begin(model: nn.Module, start: str, fresh: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Load the weights of `start` into a model, which may have further parts.

    Args:
        start: name, folder or hub id of a model of ours, or SVD's folder as diffusers lays it out.
        fresh: `*` patterns of the names of weights that are not loaded and keep their random initialisation.
    Returns: the phrases that `start` was taught (`ModelConfig.phrases`).
    Raises: InputError for weights that have no place in the model, and for patterns that name none.
    """
    phrases: tuple[tuple[str, ...], ...] = ()
    if is_svd(start):
        weights = read_svd(start)
    else:
        beginning = load_model(start)
        weights, phrases = beginning.state_dict(), beginning.config.phrases
    placed = model.state_dict()
    left: set[str] = set()
    for pattern in fresh:
        named = set(fnmatch.filter([*placed, *weights], pattern))
        if not named:
            inside = any(name.startswith(pattern.rstrip(".") + ".") for name in placed)
            hint = f"'{pattern.rstrip('.')}.*' does" if inside else f"they are called {next(iter(placed))}"
            raise InputError(f"model.fresh: '{pattern}' names no weight; {hint}")
        left |= named
    loaded = {name: value for name, value in weights.items() if name not in left}
    for name, value in loaded.items():
        if name not in placed or placed[name].shape != value.shape:
            raise InputError(
                f"model.start: {start} has {name} {tuple(value.shape)}, which the model to train has not; "
                "give it the settings of that model, or let the part begin anew with "
                f"--model.fresh '[\"{_part(name)}.*\"]'"
            )
    missing = model.load_state_dict(loaded, strict=False).missing_keys
    if missing:
        rank_zero_info(f"{len(missing)} weights begin fresh, such as {missing[0]}")
    return phrases


def _part(name: str) -> str:
    """The part of the model that a weight belongs to, `encoders.audio` of `encoders.audio.null`."""
    return ".".join(name.split(".")[:2])
