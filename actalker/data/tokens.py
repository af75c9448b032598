"""The tokens of a batch of training clips, by a model's encoders."""

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
    """Signal -> tokens (b, f, n, d), for every signal of the model.

    generator, strategy: how inputs are augmented at random (`Signal.unpack`).
    Raises: InputError for clips whose signals are not the model's, or have another form.
    """
    batch.rows(model.signals)  # the clips have these signals and no other
    arrays = {}
    for name in model.signals:
        arrays[name], unpack = batch.arrays[name], SIGNALS[name].unpack
        if unpack is not None:
            how = strategy or AugmentStrategy()
            arrays[name] = unpack.load()(arrays[name], model.encoders[name], generator, how)
    return model.tokens(arrays)
