"""Gates: exact times, what is refused and where, round trips, and the training draw."""

import json
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.control.gates import Gates, draw_gates
from actalker.errors import InputError

F25 = Fraction(25)
SIGNALS = ["audio", "expression", "text"]


def test_the_example_of_the_design():
    gates = Gates({"audio": 1.0, "expression": [(0, 1.2, 0.0), (1.2, None, 1.0)]})
    assert gates.values("audio", 3, F25).tolist() == [1, 1, 1]
    assert gates.values("expression", 5, F25, start=28).tolist() == [0, 0, 1, 1, 1]  # frame 30 is at 1.2 s
    assert gates == Gates.parse(["audio=1", "expression=0@0-1.2,1@1.2-"], ["audio", "expression"])
    assert str(gates) == "audio=1 expression=0@0-1.2,1@1.2-"


def test_times_that_no_piece_names_are_open():
    gates = Gates({"text": [(1, 2, 0.25), (3, 4, 0)]})
    assert gates.values("text", 6, Fraction(1)).tolist() == [1, 0.25, 1, 0, 1, 1]


TIME = st.fractions(0, 20, max_denominator=1001)
VALUE = st.floats(0, 1)


@st.composite
def schedules(draw):
    """A number, or pieces with gaps in any order."""
    if draw(st.booleans()):
        return draw(VALUE)
    times = sorted(draw(st.lists(TIME, min_size=2, max_size=8, unique=True)))
    pieces = [(a, b, draw(VALUE)) for a, b in zip(times[::2], times[1::2], strict=False)]
    if draw(st.booleans()):
        pieces.append((times[-1], None, draw(VALUE)))
    return draw(st.permutations(pieces))


@settings(max_examples=100, deadline=None)
@given(
    gate=schedules(),
    fps=st.sampled_from([Fraction(24000, 1001), F25, Fraction(30000, 1001)]),
    start=st.integers(0, 300),
)
def test_values_are_those_of_a_plain_look_up(gate, fps, start):
    values = Gates({"audio": gate}).values("audio", 40, fps, start)
    for k in range(40):
        t = (start + k) / fps
        pieces = [(Fraction(0), None, gate)] if isinstance(gate, float) else gate
        held = [v for a, b, v in pieces if a <= t and (b is None or t < b)]
        assert values[k] == np.float32(held[0] if held else 1)


@settings(max_examples=100, deadline=None)
@given(gates=st.fixed_dictionaries({name: schedules() for name in SIGNALS}))
def test_writing_and_reading_agree(gates):
    gates = Gates(gates)
    assert Gates.parse(str(gates), SIGNALS) == gates
    assert Gates.parse(reversed(str(gates).split()), SIGNALS) == gates


def test_the_sidecar_is_json_and_can_be_read_back():
    gates = Gates.parse(["audio=0.5@0.04-1.2,0@2-", "text=0"], SIGNALS)
    described = gates.describe()
    assert described["audio"][0] == [0, 0.04, 1] and described["expression"] == 1
    assert Gates(json.loads(json.dumps(described))) == gates


@pytest.mark.parametrize(
    "text, says",
    [
        ("audio", "no '='"),
        ("audoi=1", "'audoi' is unknown; did you mean 'audio'"),
        ("audio=", "column 7.*cannot read ''"),
        ("audio=x", "column 7.*cannot read 'x'"),
        ("audio=nan", r"column 7.*nan is outside \[0, 1\]"),
        ("audio=inf", "column 7.*outside"),
        ("audio=-0.1", "column 7.*outside"),
        ("audio=1.5", "column 7.*outside.*guidance"),
        ("audio=0@0-1,2@1-", "column 13.*outside"),
        ("audio=0@", "column 7.*cannot be read"),
        ("audio=0@1", "column 7.*cannot be read"),
        ("audio=0@1-nan", "column 7.*cannot be read"),
        ("audio=0@-1-2", "column 7.*negative"),
        ("audio=0@2-1", "column 7.*not after its start"),
        ("audio=0@0-1,1@0.5-2", "column 13.*overlaps 0-1"),
        ("audio=0@1-,1@5-6", "column 12.*overlaps 1-"),
        ("audio=0,1@5-6", "column 9.*overlaps 0-"),
        ("audio=0@0-1,,1@2-", "column 13.*cannot read ''"),
        ("audio=0@0-1@2-3", "column 7.*cannot be read"),
        ("audio=0@1/0-3", "column 7.*zero"),
    ],
)
def test_what_is_refused_and_where(text, says):
    with pytest.raises(InputError, match=says):
        Gates.parse([text], SIGNALS)


def test_a_signal_given_twice_is_refused():
    with pytest.raises(InputError, match="given twice"):
        Gates.parse(["audio=1", "audio=0"], SIGNALS)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=30), st.text("0123456789.-@,/e naif", max_size=30).map("audio=".__add__)))
def test_any_text_is_read_or_refused(text):
    try:
        values = Gates.parse([text], SIGNALS).values("audio", 50, F25)
        assert ((values >= 0) & (values <= 1)).all()
    except InputError:
        pass


@pytest.mark.parametrize(
    "gate, says",
    [
        (2.0, "outside"),
        (float("nan"), "outside"),
        ([(0, 1, -1.0)], "outside"),
        ([(-1, 1, 0.5)], "negative"),
        ([(2, 1, 0.5)], "not after"),
        ([(0, 2, 0.5), (1, 3, 0.5)], "hold at 1 s"),
        ([(0, None, 0), (9, 10, 1)], "hold at 9"),
        ([(float("nan"), 1, 0.5)], "not a number"),
        ([(0, float("inf"), 0.5)], "not a number"),
    ],
)
def test_wrong_gates_in_code_are_refused_too(gate, says):
    with pytest.raises(InputError, match=says):
        Gates({"audio": gate})


def test_the_same_gate_written_otherwise_is_equal():
    assert Gates({"text": [(1, None, 0), (0, 1, 0)]}) == Gates({"text": 0})
    assert Gates({"text": [(0, 2, 1)]}) == Gates.all_open(["text"]) != Gates({"text": [(0, 2, 0)]})


def test_which_signals_are_open():
    gates = Gates.parse(["audio=0@0-1", "text=0", "expression=0@0-1,0@1-"], SIGNALS)
    assert gates.open_signals() == ("audio",)  # open from 1 s on; two closed halves are closed
    assert gates.change(audio=0.0, text=0.1).open_signals() == ("text",)
    assert Gates.all_open(SIGNALS).open_signals() == tuple(SIGNALS)
    assert Gates.all_closed(SIGNALS).open_signals() == ()
    with pytest.raises(InputError, match="did you mean 'audio'"):
        gates.values("audi", 3, F25)


def test_the_draw_has_the_stated_chances():
    generator = torch.Generator().manual_seed(0)
    draws = [draw_gates(SIGNALS, generator) for _ in range(4000)]
    values = np.array([[g.values(name, 1, F25)[0] for name in SIGNALS] for g in draws])
    assert (values.max(axis=1) > 0).all()  # never all closed
    assert abs((values == 1).all(axis=1).mean() - (0.4 + 0.6 / 7 * 0.75**3)) < 0.03
    subsets = Counter(tuple(row > 0) for row in values)
    assert len(subsets) == 7
    assert all(abs(n / 4000 - 0.6 / 7) < 0.02 for subset, n in subsets.items() if not all(subset))
    some = values[(values == 0).any(axis=1)]
    open_ones = some[some > 0]
    assert abs((open_ones < 1).mean() - 0.25) < 0.03
    assert abs(open_ones[open_ones < 1].mean() - 0.5) < 0.03


def test_the_draw_follows_its_generator_and_its_settings():
    a, b = (draw_gates(SIGNALS, torch.Generator().manual_seed(5), 0.0) for _ in range(2))
    assert a == b
    generator = torch.Generator().manual_seed(0)
    assert all(draw_gates(["audio"], generator, 0.0, 0.0) == Gates({"audio": 1}) for _ in range(20))
    assert all(draw_gates(SIGNALS, generator, 1.0, 1.0) == Gates.all_open(SIGNALS) for _ in range(20))
    with pytest.raises(InputError, match="no signal"):
        draw_gates([], generator)


def test_python_takes_the_command_lines_text_and_refuses_other_shapes():
    assert Gates({"audio": "0@0-1.2,1@1.2-"}) == Gates({"audio": [(0, 1.2, 0)]})
    assert Gates({"audio": "0.5"}) == Gates({"audio": 0.5})
    for odd in ("loud", None, [1, 2], [(0, 1)], [(0, 1, "x")], object()):
        with pytest.raises(InputError, match="gate"):
            Gates({"audio": odd})
