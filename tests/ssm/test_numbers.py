"""Scans take real numbers as floats; what is none is refused by every entry, by the name of its tensor."""

import numpy as np
import pytest
import torch

from actalker.errors import InputError
from actalker.ssm import BACKENDS, ordered_scan, selective_scan, ssd_scan


def scanned():
    one = torch.ones
    return {
        "u": one(1, 6, 4),
        "delta": one(1, 6, 4),
        "A": -one(4, 3),
        "B": one(1, 6, 3),
        "C": one(1, 6, 3),
        "D": one(4),
        "delta_bias": one(4),
        "state": one(1, 4, 3),
    }


def ordered():
    one = torch.ones
    rows = {"u": one(6, 4), "delta": one(6, 2, 4), "A": -one(2, 4, 3), "B": one(6, 2, 3), "C": one(6, 2, 3)}
    more = {"D": one(2, 4), "delta_bias": one(2, 4), "state": one(1, 2, 4, 3)}
    return {**rows, **more, "order": torch.arange(6).repeat(2, 1), "lengths": torch.tensor([6]), "results": 6}


def by_heads():
    one = torch.ones
    given = {"x": one(1, 6, 2, 4), "dt": one(1, 6, 2), "A": -one(2), "B": one(1, 6, 3), "C": one(1, 6, 3)}
    return {**given, "D": one(2), "dt_bias": one(2), "state": one(1, 2, 4, 3)}


ENTRIES = [
    (selective_scan, scanned()),
    (ordered_scan, ordered()),
    (ssd_scan, by_heads()),
]
CASES = [
    pytest.param(entry, given, name, id=f"{entry.__name__}-{name}")
    for entry, given in ENTRIES
    for name, value in given.items()
    if torch.is_tensor(value) and value.is_floating_point()
]


@pytest.mark.parametrize("entry, given, name", CASES)
def test_complex_and_whole_numbers_are_refused(entry, given, name):
    wrong = {
        torch.complex64: rf"scan: {name} is complex64; give real numbers as floats, {name}\.real",
        torch.int64: rf"scan: {name} is int64; give real numbers as floats, {name}\.float\(\)",
        torch.bool: rf"scan: {name} is bool",
    }
    for dtype, message in wrong.items():
        with pytest.raises(InputError, match=message):
            entry(**{**given, name: given[name].to(dtype)})
    with pytest.raises(InputError, match=f"scan: {name} is of type ndarray; give a torch.Tensor"):
        entry(**{**given, name: np.ones(3)})


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_backend_takes_a_complex_decay(backend):
    given = scanned()
    given["A"] = torch.complex(given["A"], torch.ones(4, 3))
    with pytest.raises(InputError, match="A is complex64"):
        selective_scan(**given, backend=backend)


@pytest.mark.parametrize("lengths", [torch.tensor([6.0]), torch.tensor([6 + 0j]), torch.tensor([True] * 6)])
def test_lengths_are_whole_numbers(lengths):
    with pytest.raises(InputError, match="give one whole number a sequence"):
        selective_scan(**scanned(), lengths=lengths)
