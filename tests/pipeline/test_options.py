"""The description of a run as plain values, and back."""

import json
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from actalker.control.gates import Gates
from actalker.pipeline.options import RunOptions
from actalker.signals.signal import SIGNALS

OTHER = {
    "gates": {"audio": np.float32(0.3), "text": [(0, "1/3", 0.1), (Fraction(1, 2), None, 0.7)]},
    "regions": {"audio": Path("mask.png"), "text": "mouth-soft"},
    "masks": "released",
    "guidance": {"audio": np.float64(2.5), "identity": 1.5},
    "steps": np.int64(3),
    "sampler": "dpm2",
    "windows": "shifted",
    "seed": 2**40,
    "fps": Fraction(30000, 1001),
    "interpolate": 2,
    "interpolator": Path("between.pt"),
    "duration": Fraction(7, 3),
    "crop": "none",
    "view": "face",
    "size": "own",
    "face_model": Path("other.task"),
    "face_index": 1,
    "reuse": 2,
    "steady": True,
    "liveliness": 0.25,
    "starts": {"audio": Fraction(1, 3)},
}


def meaning(options: RunOptions) -> tuple[object, ...]:
    """All that a clip takes from the options, exactly."""
    read = ("rate", "seconds", "limit", "opening", "scales")
    rest = {
        option.name: str(getattr(options, option.name))
        for option in fields(RunOptions)
        if option.name not in ("gates", "guidance", "regions", "starts")
    }
    acting = {name: str(region) for name, region in options.acting.items()}
    return *(getattr(options, name) for name in read), acting, options.start("audio"), rest


@pytest.mark.parametrize("name", [None, *OTHER])
def test_a_record_makes_the_same_options(name):
    """Each field by itself and all of them, through JSON."""
    assert set(OTHER) == {option.name for option in fields(RunOptions)}
    options = RunOptions(**(OTHER if name is None else {name: OTHER[name]}))
    again = RunOptions(**json.loads(json.dumps(options.record())))
    assert meaning(again) == meaning(options)
    assert name is None or meaning(options) != meaning(RunOptions())


def test_a_record_of_gates_is_short():
    record = RunOptions(gates=Gates.all_open(SIGNALS).change(audio=0.1)).record()
    assert record["gates"] == {"audio": "0.1", "expression": "1", "text": "1"}
