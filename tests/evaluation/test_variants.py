"""Variants with seeds against each other, and signals that contradict."""

import numpy as np
import pytest

from actalker.data.performances.told import truth
from actalker.data.sample import collate
from actalker.evaluation.targets import performances
from actalker.evaluation.targets.items import Shown
from actalker.evaluation.targets.measures import MEASURES
from actalker.evaluation.targets.variants import compare, compared_table, variants
from actalker.heads.face_map import MOUTH, NUMBERS

NAME = "performances: jaw, r with what is asked for"


def test_models_that_differ_in_a_number_are_seeds_of_a_variant():
    models = [f"runs/{name}-{k}/model" for k in (1, 2, 3) for name in ("full", "no-regions")]
    assert variants(models) == {
        name: [f"runs/{name}-{k}/model" for k in (1, 2, 3)] for name in ("full", "no-regions")
    }
    assert variants(["a-1", "a-2", "b-1", "c"]) == {}
    assert variants(["x/a-1", "x/a-2", "y/b-1", "y/b-2"]) == {
        "x/a": ["x/a-1", "x/a-2"],
        "y/b": ["y/b-1", "y/b-2"],
    }


def shown(values):
    """What was seen of models whose jaw agrees so far: model -> values."""
    return {m: Shown(m, {}, {}, [{"r": {"jaw": float(v)}} for v in row]) for m, row in values.items()}


@pytest.fixture
def rows(monkeypatch):
    def made(values):
        monkeypatch.setattr("actalker.evaluation.targets.variants.MEASURES", {NAME: MEASURES[NAME]})
        return compare(variants(list(values)), shown(values))[0].values

    return made


def test_a_difference_that_all_seeds_and_items_have_is_told_from_chance(rows):
    rng = np.random.default_rng(0)
    clips = rng.normal(size=200)  # what is hard in a clip is so for every model
    values = {f"full-{k}": clips + 0.01 * rng.normal(size=200) for k in range(3)}
    values |= {f"same-{k}": clips + 0.01 * rng.normal(size=200) for k in range(3)}
    values |= {f"worse-{k}": clips - 0.5 + 0.01 * rng.normal(size=200) for k in range(3)}
    found = rows(values)
    assert found["worse"].mean - found["full"].mean == pytest.approx(-0.5, abs=0.01)
    assert -0.51 < found["worse"].low < -0.5 < found["worse"].high < -0.49  # items are the same: no spread
    assert found["same"].low < 0 < found["same"].high < 0.01
    assert found["full"].high - found["full"].low == pytest.approx(2 * 1.96 / 200**0.5, rel=0.2)
    text = compared_table(compare(variants(list(values)), shown(values)))
    assert "**" in text.split("|")[-2] and "**" not in text.split("|")[-3]


def test_seeds_that_differ_widen_the_interval(rows):
    """Against the closed form: the mean of three that are drawn from three."""
    clips = np.random.default_rng(0).normal(size=500) * 1e-3
    values = {f"full-{k}": clips for k in range(3)}
    values |= {f"other-{k}": clips + shift for k, shift in enumerate((-1.0, 0.0, 1.0))}
    other = rows(values)["other"]
    draws = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], (100000, 3)).mean(1)
    assert (other.low, other.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.01)
    assert other.mean == pytest.approx(0, abs=1e-3)


def test_what_a_driver_puts_into_the_mouth_is_lost_there_alone(monkeypatch):
    """A model that lets half of the driver's mouth through: r as of the sum of the two, counted by hand."""
    data = performances._data()
    batch, other = collate([data[0]]), collate([data[1]])
    k = batch.names().index("expression")
    mouth = np.array([name.startswith(MOUTH) for name in NUMBERS])
    driver = other.parts[0, k].numpy() * mouth * 0.5

    def leaking(model, told):
        opened = told.gates[0, k].numpy()[:, None]
        alone = (told.gates.sum((0, 2)) > 0).sum() == 1
        return truth(told)[0].numpy() + (0 if alone else driver * opened)

    monkeypatch.setattr(performances, "moved", leaking)
    found = performances.conflict(None, batch, other)
    assert found["upper"] == {"alone": pytest.approx(1), "beside": pytest.approx(1)}
    speech = batch.parts[0, batch.names().index("audio")].numpy() * mouth
    sees = other.shown[0, k].numpy()[:, None]
    moves = [j for j in np.flatnonzero(mouth) if speech[:, j].std() >= performances.MOVES]
    expected = np.median([np.corrcoef(speech[:, j], (speech + driver * sees)[:, j])[0, 1] for j in moves])
    assert found["mouth"]["alone"] == pytest.approx(1)
    assert found["mouth"]["beside"] == pytest.approx(expected, abs=1e-6) and expected < 0.97
