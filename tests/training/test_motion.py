"""Motion as a training: the truth under gates, what the network is told, and that it learns."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from motion_models import MOTION, motion_model

from actalker.data.performances.dataset import PerformanceConfig, PerformanceDataset
from actalker.data.performances.told import conditions, number_regions, truth
from actalker.data.sample import collate
from actalker.diffusion.objective import ObjectiveConfig
from actalker.errors import InputError
from actalker.heads.face_map import MOUTH, NUMBERS, face_map, weights
from actalker.pipeline.model.folder import save_model
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel
from actalker.training.auxiliary import Leak, auxiliary_losses, close_one_gate
from actalker.training.module import TrainingModule
from actalker.training.motion import denoise_motion
from actalker.training.optimizer import OptimizerConfig
from actalker.training.strategies import (
    MotionStrategy,
    StrategyConfig,
    WindowStrategy,
    cut_window,
    vary_conditions,
)

TOKENS = {"audio": 4, "expression": 11, "text": 2}
IN_MOUTH = torch.tensor([name.startswith(MOUTH) for name in NUMBERS])


@pytest.fixture(scope="module")
def batch():
    data = PerformanceDataset(PerformanceConfig(frames=6, seconds=2), 6)
    return collate([data[k] for k in range(6)])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TalkingHeadModel(ModelConfig.from_dict(MOTION))


def gated(batch, **gates):
    made = batch.gates.clone()
    for k, name in enumerate(batch.names()):
        made[:, k] = gates.get(name, 0.0)
    return replace(batch, gates=made)


def one_step(model, batch, strategy, seed, readers=None):
    """A denoised batch, and its auxiliary losses by name."""
    generator = torch.Generator().manual_seed(seed)
    denoised = denoise_motion(model, batch, ObjectiveConfig(), generator, strategy)
    listed = auxiliary_losses(strategy.motion, generator, readers)
    return denoised, {name: loss(denoised) for name, _, loss in listed}


def test_a_signal_alone_moves_the_whole_face_and_beside_others_its_own_region(batch):
    names = batch.names()
    part = {name: batch.parts[:, k] for k, name in enumerate(names)}
    alone = truth(gated(batch, expression=1.0))
    torch.testing.assert_close(alone, part["expression"])
    both = truth(gated(batch, audio=1.0, expression=0.5))
    torch.testing.assert_close(both[..., IN_MOUTH], part["audio"][..., IN_MOUTH])
    torch.testing.assert_close(both[..., ~IN_MOUTH], 0.5 * part["expression"][..., ~IN_MOUTH])
    every = truth(gated(batch, audio=1.0, expression=1.0, text=0.25))
    asked = part["audio"] * IN_MOUTH + part["expression"] * ~IN_MOUTH + 0.25 * part["text"]
    torch.testing.assert_close(every, asked)
    assert truth(gated(batch)).abs().max() == 0


def test_regions_of_numbers_are_those_of_the_map(batch):
    """What a number's map says lies inside the region that the number is said to be of."""
    known = number_regions(batch.portrait)
    for name in ("mouth", "upper"):
        mask, basis = face_map().regions[name], face_map().basis
        inside = (abs(basis * mask).sum((1, 2, 3)) > 0) & (known[name].numpy() == 0)
        assert not inside.any(), [NUMBERS[k] for k in inside.nonzero()[0]]


def test_the_network_is_told_what_a_drawn_portrait_tells_it(batch, model):
    told = conditions(model, batch)
    assert told.reference.shape == (6, 24, 32, 32)
    assert {name: t.shape[2] for name, t in told.tokens.items()} == TOKENS
    own = model.codec.read(told.reference[:, -4:])
    follow = torch.tensor([name.startswith("eyeLook") for name in NUMBERS])
    torch.testing.assert_close(own[:, ~follow], batch.portrait[:, ~follow], atol=2e-3, rtol=0)


def test_without_regions_each_signal_acts_on_the_whole_face(batch, model):
    every = gated(batch, audio=1.0, expression=1.0)
    assert len({region.sum() for region in conditions(model, every).regions.values()}) > 1
    whole = TalkingHeadModel(ModelConfig.from_dict({**MOTION, "sampling": {"regions": False}}))
    assert all(region.min() == 1 for region in conditions(whole, every).regions.values())


def test_what_leaks_is_nothing_where_the_network_ignores_its_signals(batch, model):
    """At the start the control layers change nothing, so closing a gate changes nothing."""
    motion = MotionStrategy(numbers=1.0, opening=1.0, leak=1.0, leak_items=4)
    denoised, losses = one_step(model, batch, StrategyConfig(motion=motion), 1)
    assert losses["leak"] == 0
    assert denoised.losses.total > 0 and losses["numbers"] > 0 and losses["opening"] > 0


def test_what_leaks_is_what_closing_a_gate_changes(batch):
    """By hand, of a network whose signals have an effect: each clip under its gates and with one closed."""
    model, generator = motion_model(), torch.Generator().manual_seed(1)
    denoised = denoise_motion(model, batch, ObjectiveConfig(), generator, StrategyConfig())
    leak = Leak(2, torch.Generator().manual_seed(4))(denoised)
    few = batch.window(slice(None), 2)
    closed = close_one_gate(few, torch.Generator().manual_seed(4))
    assert ((closed.gates != few.gates).amax(2).sum(1) <= 1).all() and (closed.gates <= few.gates).all()
    losses, told = (
        denoised.losses,
        vary_conditions(model, conditions(model, closed), StrategyConfig(), generator),
    )
    other = model.codec.read(model.denoise(losses.noisy[:2], losses.sigma[:2], told))
    change = (other - model.codec.read(losses.clean[:2])) * torch.from_numpy(weights()).float()
    change[truth(few) != truth(closed)] = 0
    assert leak.item() == pytest.approx(change.square().sum(-1).mean().item(), rel=1e-4) and leak > 0


def test_what_signals_ask_for_is_read_from_their_tokens(batch, model):
    """Against the error by hand, of what is asked for before gates and regions."""
    torch.manual_seed(2)
    readers = torch.nn.ModuleDict({s: torch.nn.Linear(n * 64, 62) for s, n in TOKENS.items()})
    strategy = StrategyConfig(motion=MotionStrategy(tokens=1.0), token_dropout=1.0)
    shut = gated(batch, expression=1.0)
    _, losses = one_step(model, shut, strategy, 1, readers)
    told, names, expected = conditions(model, shut), batch.names(), 0.0
    for name, reader in readers.items():
        read = reader(told.tokens[name].flatten(2))
        error = (read - batch.parts[:, names.index(name)]) * torch.from_numpy(weights()).float()
        expected += error.square().sum(2).mean().item()
    assert losses["tokens"].item() == pytest.approx(expected, rel=1e-4) and expected > 0


def test_it_learns(batch):
    torch.manual_seed(0)
    model = TalkingHeadModel(ModelConfig.from_dict(MOTION)).train()
    adamw = torch.optim.AdamW(model.parameters(), 3e-3)
    one_frame = WindowStrategy(short=1, short_items=6, short_chance=1.0)

    def loss(step: int) -> torch.Tensor:
        few = cut_window(batch, one_frame, torch.Generator().manual_seed(0))
        strategy = StrategyConfig(motion=MotionStrategy(opening=0.3))
        denoised, losses = one_step(model, few, strategy, step)
        return denoised.losses.total + losses["numbers"] + 0.3 * losses["opening"]

    def mean() -> float:
        with torch.no_grad():
            return sum(float(loss(1000 + k)) for k in range(4))

    before = mean()
    for step in range(30):
        adamw.zero_grad()
        loss(step).backward()
        adamw.step()
    assert mean() < 0.7 * before


def test_what_a_model_was_taught_to_be_asked_stays_known(tmp_path):
    """A later stage whose data has no scripts keeps the phrases of the model that it begins with."""
    phrases = (("smiles", "is smiling"), ("nods",))
    save_model(TalkingHeadModel(ModelConfig.from_dict({**MOTION, "phrases": phrases})), tmp_path / "old")
    parts = ObjectiveConfig(), OptimizerConfig(), StrategyConfig()
    module = TrainingModule(ModelConfig.from_dict(MOTION), *parts, start=str(tmp_path / "old"))
    module._trainer, held = SimpleNamespace(datamodule=None), {}
    module.on_save_checkpoint(held)
    assert held["model_config"]["phrases"] == phrases


def test_performances_hold_nothing_to_draw(batch):
    parts = ObjectiveConfig(), OptimizerConfig(), StrategyConfig()
    with pytest.raises(InputError, match="hold no portrait"):
        TrainingModule(ModelConfig.from_dict(MOTION), *parts).predict_step(batch, 0)
