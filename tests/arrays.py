"""Access to the arrays of training clips, and their comparison."""

import torch
from torch import Tensor

from actalker.data.sample import Sample


def of(batch: Sample, name: str) -> Tensor:
    """An array of a clip by `signal.name`."""
    signal, _, array = name.partition(".")
    return batch.arrays[signal][array]


def check_same(one: Sample, other: Sample) -> None:
    """Asserts that two clips have the same numbers under the same names; NaN counts as equal to NaN."""
    first, second = one.tensors(), other.tensors()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value.nan_to_num(), second[name].nan_to_num()), name
