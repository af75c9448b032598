"""Measures of lips, against curves whose values are known."""

import numpy as np
import pytest

from actalker.evaluation import lips
from actalker.evaluation.heads.sentence import closures
from actalker.heads.articulation import Phone


def said(*symbols: str, length: float = 0.2) -> list[Phone]:
    return [Phone(k * length, (k + 1) * length, symbol) for k, symbol in enumerate(symbols)]


def test_lips_close_where_they_are_lowest_around_the_middle_of_a_phone():
    phones = said("a", "p", "a", "b", "t")  # middles at 0.1, 0.3, 0.5, 0.7, 0.9 s: frames 2.5, 7.5, 12.5, ...
    opening = np.full(25, 1.0)
    opening[8] = 0.19  # 20 ms after the middle of p
    opening[16] = 0.1  # b's middle is at 17.5: 60 ms before it is too early
    opening[22] = 0.21
    assert lips.closed_at(opening, phones, lips.PRESSED).tolist() == [True, False]
    assert lips.closed_at(opening, phones, lips.RIDGE).tolist() == [False]
    assert lips.closed_at(opening, phones, lips.RIDGE, usual=1.1).tolist() == [True]
    told = closures(opening, np.arange(25.0), phones)
    assert (told["p b m"], told["t d n s z l"]) == (0.5, 0.0) and np.isnan(told["f v"])


def test_frames_without_a_face_show_nothing():
    opening = np.full(25, 1.0)
    opening[7:9] = np.nan
    assert lips.closed_at(opening, said("a", "p"), lips.PRESSED).tolist() == []
    opening[8] = 0.0
    assert lips.closed_at(opening, said("a", "p"), lips.PRESSED).tolist() == [True]


def test_values_at_phones_are_means_of_the_frames_around_their_middle():
    values = np.arange(25.0)
    assert lips.mean_at(values, said("a", "u", "i"), lips.SPREAD).tolist() == [12.5]
    assert lips.mean_at(values, said("a", "u", "i"), lips.ROUNDED).tolist() == [7.5]
    wide = lips.deviations(values)
    assert wide.mean() == pytest.approx(0) and wide.std() == pytest.approx(1)
    assert not lips.deviations(np.full(5, 3.0)).any()


def test_curves_agree_at_the_best_of_five_lags():
    rng = np.random.default_rng(0)
    curve = rng.normal(size=300)
    assert lips.agreement(curve[2:], curve, lag=2) == pytest.approx(1)
    assert lips.agreement(curve, curve[2:], lag=2) == pytest.approx(1)
    assert lips.agreement(-curve, curve) == pytest.approx(-1)
    assert abs(lips.agreement(curve[3:], curve, lag=2)) < 0.3
    holes = curve.copy()
    holes[50:60] = np.nan
    noisy = curve + rng.normal(size=300)
    known = ~np.isnan(holes)
    assert lips.agreement(noisy, holes) == pytest.approx(np.corrcoef(noisy[known], curve[known])[0, 1])
    assert np.isnan(lips.agreement(np.full(300, np.nan), curve, lag=2))


def test_a_step_is_the_mean_change_and_the_most_a_percentile():
    assert lips.step(np.array([0.0, 1.0, np.nan, 3.0, 1.0])) == pytest.approx(1.5)
    assert lips.most(np.append(np.linspace(0, 1, 101), np.nan)) == pytest.approx(0.95)


def test_lips_that_stop_while_the_voice_goes_on_are_counted():
    asked = np.r_[np.zeros(20), np.ones(80)]
    made = np.r_[np.zeros(20), np.full(60, 0.5), np.full(20, 0.15)]
    assert lips.shut_while_open(made, asked, usual=1.0) == pytest.approx(0.25)
    assert lips.shut_while_open(made, asked, usual=0.7) == 0
    assert np.isnan(lips.shut_while_open(np.full(100, np.nan), asked, usual=1.0))
