"""Tokens of a batch of training clips."""

from __future__ import annotations

import torch
from torch import Tensor

from ..pipeline.model.model import TalkingHeadModel
from ..signals.expression import AugmentStrategy
from ..signals.signal import SIGNALS
from .sample import Gated


def batch_tokens(
    model: TalkingHeadModel,
    batch: Gated,
    generator: torch.Generator | None = None,
    strategy: AugmentStrategy | None = None,
) -> dict[str, Tensor]:
    """Signal -> tokens (b, f, n, d), of every signal of the model.

    generator: inputs are changed at random as the strategy says (`Signal.unpack`).
    Raises: InputError for clips without one of the model's signals, or with another form of it.
    """
    batch.rows(model.signals)  # the clips have these signals and no other
    arrays = {}
    for name in model.signals:
        arrays[name], unpack = batch.arrays[name], SIGNALS[name].unpack
        if unpack is not None:
            how = strategy or AugmentStrategy()
            arrays[name] = unpack.load()(arrays[name], model.encoders[name], generator, how)
    return model.tokens(arrays)
