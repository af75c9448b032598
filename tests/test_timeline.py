from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.errors import InputError
from actalker.timeline import (
    Interval,
    format_interval,
    format_seconds,
    frame_count,
    frame_time,
    parse_interval,
    parse_rate,
    parse_seconds,
)

TIME = st.fractions(0, 1000, max_denominator=60_000)
RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]


@pytest.mark.parametrize(
    "value, rate",
    [
        ("25", 25),
        (25, 25),
        (25.0, 25),
        (Fraction(25), 25),
        ("  30 ", 30),
        ("1", 1),
        ("240", 240),
        ("12.5", Fraction(25, 2)),
        ("30000/1001", Fraction(30000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        (29.97002997, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        (30.0, 30),
        (24, 24),
        ("2997/100", Fraction(2997, 100)),
        (33.333333, Fraction(100, 3)),
    ],
)
def test_rate_is_what_the_writing_stands_for(value, rate):
    assert parse_rate(value) == rate


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-25",
        "241",
        0.5,
        "fast",
        "",
        "nan",
        float("inf"),
        "25/0",
        "1e999999999",
        True,
        "25 fps",
        "1e-999999999",
        "1/" + "9" * 5000,
    ],
)
def test_rate_that_is_none_is_refused_in_one_line(value):
    with pytest.raises(InputError, match="frame rate") as caught:
        parse_rate(value)
    assert "25" in str(caught.value) and len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("1.2", Fraction(6, 5)),
        ("1.2s", Fraction(6, 5)),
        ("0", 0),
        ("1001/240", Fraction(1001, 240)),
        ("1:30", 90),
        ("1:02:03.5", Fraction(7447, 2)),
        (2, 2),
        (0.1, Fraction(1, 10)),
        (Fraction(1, 3), Fraction(1, 3)),
        ("24:00:00", 86400),
    ],
)
def test_seconds_are_exact_as_written(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "soon", "nan", "inf", "1e9", "1:2:3:4", "1e9999999999", "1/0"]
)
def test_time_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="time"):
        parse_seconds(text)


@given(fps=st.sampled_from(RATES), k=st.integers(1, 200_000))
def test_frames_and_times_are_inverse_without_drift(fps, k):
    assert frame_count(frame_time(k, fps), fps) == k
    assert frame_time(k, fps) * fps == k


@given(fps=st.sampled_from(RATES), seconds=st.fractions(0, 7200, max_denominator=48000))
def test_frame_count_is_nearest_and_at_least_one(fps, seconds):
    count = frame_count(seconds, fps)
    assert count >= 1
    assert count == 1 or abs(count / fps - seconds) <= Fraction(1, 2) / fps


def test_half_a_frame_is_rounded_up_and_decimals_are_exact():
    assert frame_count(0.1, Fraction(25)) == 3  # 2.5 frames
    assert frame_count(Fraction(3, 2), Fraction(1)) == 2
    assert frame_count(0.0, Fraction(25)) == 1


def test_interval_holds_its_start_and_not_its_stop():
    interval = Interval(Fraction(1), Fraction(2))
    assert [interval.contains(Fraction(t, 2)) for t in (1, 2, 3, 4)] == [False, True, True, False]
    assert Interval(Fraction(1)).contains(Fraction(10**6))


@pytest.mark.parametrize("start, stop", [(-1, None), (1, 1), (2, 1)])
def test_interval_that_ends_before_it_starts_is_refused(start, stop):
    with pytest.raises(InputError, match="time"):
        Interval(Fraction(start), None if stop is None else Fraction(stop))


@settings(max_examples=60, deadline=None)
@given(start=TIME, length=TIME.filter(bool), open_end=st.booleans())
def test_times_are_written_exactly(start, length, open_end):
    stop = None if open_end else start + length
    assert parse_interval(format_interval(start, stop)) == (start, stop)


@pytest.mark.parametrize(
    "value, text",
    [
        (Fraction(6, 5), "1.2"),
        (Fraction(0), "0"),
        (Fraction(30), "30"),
        (Fraction(1, 3), "1/3"),
        (Fraction(1, 1024), "0.0009765625"),
        (Fraction(1001, 240), "1001/240"),
    ],
)
def test_seconds_are_decimals_where_they_can_be(value, text):
    assert format_seconds(value) == text
