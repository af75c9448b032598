"""Measures of control on videos whose errors and effects are known."""

import numpy as np
import pytest
import torch

from actalker.evaluation.control import psnr, region_change
from actalker.evaluation.statistics import correlation, interval, is_monotone


def test_changes_are_those_inside_the_region():
    truth, mask = torch.zeros(3, 3, 8, 8), torch.zeros(8, 8)
    mask[2:4, 2:6] = 1
    video = truth.clone()
    video[:, :, 2:4, 2:6], video[:, :, 6:] = 0.2, 0.9
    assert region_change(video, truth, mask) == pytest.approx(0.2)
    assert region_change(video, truth, 1 - mask) == pytest.approx(0.9 * 16 / 56)
    assert psnr(torch.full_like(truth, 0.1), truth) == pytest.approx(20, abs=1e-3)


def test_correlation_is_numpys_and_0_for_what_does_not_move():
    a, b = np.random.default_rng(0).normal(size=(2, 30))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(a, np.ones(30)) == 0


def test_monotone_and_interval():
    assert is_monotone([0, 0.1, 0.2]) and not is_monotone([0, 0.1, 0.1])
    rows = np.random.default_rng(1).normal(3.0, 1.0, 400)
    low, high = interval(rows, lambda r: float(r.mean()))
    assert low < rows.mean() < high and high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)
