"""Short ways to the arrays of training clips."""

import torch
from torch import Tensor


def of(batch, name: str) -> Tensor:
    """An array of a clip by `signal.name`."""
    signal, _, array = name.partition(".")
    return batch.arrays[signal][array]


def check_same(one, other) -> None:
    """Two clips hold the same numbers under the same names; NaN is the same as NaN."""
    first, second = one.tensors(), other.tensors()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value.nan_to_num(), second[name].nan_to_num()), name
