"""Measures of control on videos whose errors and effects are known."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from actalker.evaluation.ablate import markdown, table
from actalker.evaluation.reader import MotionReader

from actalker.data.puppets.clip import PuppetConfig, puppet_clip, render_target
from actalker.data.puppets.motion import INDEX, compose
from actalker.data.puppets.phrases import perform
from actalker.evaluation.control import phrases_shown, psnr, region_change, region_error
from actalker.evaluation.statistics import correlation, interval, is_monotone
from actalker.signals.script import Phase, Script


def test_errors_are_those_inside_the_region():
    truth, mask = torch.zeros(3, 3, 8, 8), torch.zeros(8, 8)
    mask[2:4, 2:6] = 1
    video = truth.clone()
    video[:, :, 2:4, 2:6], video[:, :, 6:] = 0.2, 0.9
    assert region_error(video, truth, mask) == pytest.approx(0.04)
    assert region_change(video, truth, mask) == pytest.approx(0.2)
    assert region_error(video, truth, 1 - mask) == pytest.approx(0.81 * 16 / 56)
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


def test_a_phrase_counts_where_its_phase_shows_it():
    script = Script(
        "", (Phase("smiles", Fraction(1, 5), Fraction(4, 5)), Phase("nods", Fraction(1), Fraction(2)))
    )
    motion = perform(script, np.arange(60) / 25)
    assert phrases_shown(motion, script, 25.0) == [True, True]
    motion[:, INDEX["smile"]] = 0
    assert phrases_shown(motion, script, 25.0) == [False, True]


def test_the_reader_reads_true_pictures_it_has_not_seen():
    good = []
    for index in range(2):
        clip = puppet_clip(77, index, PuppetConfig(frames=30, lead=False, driver_size=64))
        reader = MotionReader(clip.puppet, clip.points, renders=300)
        gates = dict.fromkeys(("audio", "expression", "text"), 1.0)
        true = compose(clip.parts, gates)[:, INDEX["jaw"]]
        good.append(correlation(reader.read(render_target(clip, gates))[:, INDEX["jaw"]], true))
    assert min(good) > 0.95, good


def cell(index, closed, opened):
    """A cell in which the audio gate's closing multiplies the mouth's error by closed / opened."""
    still = {"mouth": opened, "upper": opened}
    errors = {name: dict(still) for name in ("open", "audio closed", "expression closed", "text closed")}
    errors["audio closed"]["mouth"] = closed
    shown = {
        "open": [True, True],
        "closed": [False],
        "all open": [True],
        "true all open": [True],
        "true open": [True],
        "true closed": [],
    }
    return {
        "index": index,
        "errors": errors,
        "psnr": 30.0,
        "still": 20.0,
        "jaw_moves": 0.2,
        "jaw": 0.9,
        "jaw_true": 0.99,
        "phrases": shown,
        "monotone": {"audio": True},
        "sweep": {"audio": [0, 1, 2, 3, 4]},
        "change": {s: still for s in ("audio", "expression", "text")},
        "still_head": {"open": 1.0, "expression closed": 1.05},
    }


def test_the_table_says_what_the_cells_hold():
    rows = {row.what: row for row in table([cell(k, 4.0, 1.0) for k in range(5)])}
    mouth = rows["error in the mouth, audio closed / open"]
    assert mouth.value == pytest.approx(4) and mouth.met and mouth.low == pytest.approx(4)
    assert rows["error in the upper face, expression closed / open"].met is False
    assert rows["script phrases shown, text open, expression closed"].value == 1
    assert rows["effect grows with the audio gate, share of clips"].met
    text = markdown(list(rows.values()))
    assert "| error in the mouth, audio closed / open | 4 | 4 to 4 | >= 3.0 | yes |" in text
