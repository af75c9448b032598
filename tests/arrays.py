"""Short ways to the arrays of training clips."""

from torch import Tensor


def of(batch, name: str) -> Tensor:
    """An array of a clip by `signal.name`."""
    signal, _, array = name.partition(".")
    return batch.arrays[signal][array]
