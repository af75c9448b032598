"""Clips of models whose noise is that of flow matching, and noise that samplers add on the way."""

from types import SimpleNamespace

import pytest
import torch
from models import small_model, some_conditions

from actalker.pipeline.generate import generate
from actalker.pipeline.model.memory import LATENTS
from actalker.pipeline.model.model import TalkingHeadModel
from actalker.pipeline.options import RunOptions
from actalker.pipeline.sampling_plan import sampling_plan
from actalker.pipeline.steps import Steps

FLOW = {
    "precondition": {"prediction": "flow"},
    "sampling": {"steps": 3, "spacing": "flow", "noise_shift": 3.0, "shared_noise": 0.5},
}


def latents(model, conditions, frames=8, **how):
    more = {name: how.pop(name) for name in ("observer", "latents") if name in how}
    plan = sampling_plan(RunOptions(**how), model.config.sampling)
    return torch.cat(list(generate(model, conditions.frames, frames, plan, arrangement=LATENTS, **more)))


@pytest.fixture(scope="module")
def model():
    return small_model(**FLOW)


@pytest.fixture(scope="module")
def conditions(model):
    return some_conditions(model, f=8)


@pytest.mark.parametrize(
    "how", [{"sampler": "dpm2"}, {"sampler": "consistency"}, {"windows": "shifted"}], ids=str
)
def test_flow_matching_starts_from_noise_alone(model, conditions, how):
    """The network is told t from 1 down, and sees noise of unit variance first."""
    seen = []
    handle = model.network.register_forward_pre_hook(
        lambda module, given: seen.append((given[0].float().std(), given[1].flatten()[0]))
    )
    drawn = latents(model, conditions, seed=1, **how)
    handle.remove()
    assert drawn.isfinite().all()
    even = torch.linspace(1, 0, 4)[:3]
    told = torch.stack([t for _, t in seen])
    expected = 3 * even / (1 + 2 * even)
    order = (3, 2) if how.get("windows") == "shifted" else (2, 3)  # windows take turns, or follow one another
    expected = expected[:, None].expand(order).flatten() if order[0] == 3 else expected.repeat(2)
    torch.testing.assert_close(told, expected)
    assert seen[0][0] == pytest.approx(1, abs=0.05)
    assert torch.equal(latents(model, conditions, seed=1, **how), drawn)
    assert not torch.equal(latents(model, conditions, seed=2, **how), drawn)


def test_a_model_of_flow_matching_is_written_and_read(model, conditions, tmp_path):
    model.save_pretrained(tmp_path / "model")
    again = TalkingHeadModel.from_pretrained(tmp_path / "model")
    assert again.config.precondition == model.config.precondition
    assert again.config.sampling == model.config.sampling
    assert torch.equal(latents(again, conditions), latents(model, conditions))


def test_its_callbacks_are_told_t(model, conditions):
    told = []
    pipeline = SimpleNamespace(model=model, _interrupt=False)
    steps = Steps(pipeline, callback=lambda _, step, timestep, tensors: told.append((step, float(timestep))))
    latents(model, conditions, 6, observer=steps)
    assert told == [(0, 1.0), (1, pytest.approx(6 / 7)), (2, pytest.approx(3 / 5))]


def test_noise_that_is_added_on_the_way_belongs_to_the_seed(conditions):
    """Also where the caller brings the noise that a clip starts from."""
    model = small_model()
    how = {"latents": torch.randn(1, 8, 192, 8, 8), "sampler": "consistency", "steps": 2}
    one = latents(model, conditions, seed=1, **how)
    assert torch.equal(latents(model, conditions, seed=1, **how), one)
    assert not torch.equal(latents(model, conditions, seed=2, **how), one)
    how["steps"] = 1
    assert torch.equal(latents(model, conditions, seed=1, **how), latents(model, conditions, seed=2, **how))
