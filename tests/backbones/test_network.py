"""A backbone of another kind, which has what `Network` says and nothing more, wherever a network is used."""

from dataclasses import replace

import pytest
import torch
from models import SMALL, some_conditions
from torch import nn

from actalker.backbones import DENOISERS, Estimate
from actalker.diffusion.objective import ObjectiveConfig, denoising_loss
from actalker.pipeline.generate import generate
from actalker.pipeline.model.folder import load_model, save_model
from actalker.pipeline.model.memory import Arrangement, needed, settle
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel
from actalker.pipeline.options import RunOptions
from actalker.pipeline.sampling_plan import sampling_plan


class Plain(nn.Module):
    """Each place of a frame by itself, from the noisy latent, the portrait's, and the mean of open tokens."""

    dtype, width, sliced = torch.float32, 16, False

    def __init__(self):
        super().__init__()
        self.first, self.heard = nn.Linear(384, self.width), nn.Linear(64, self.width)
        self.last = nn.Linear(self.width, 192)

    def forward(self, sample, timestep, conditions):
        portrait = conditions.reference[:, None].expand_as(sample)
        z = self.first(torch.cat([sample, portrait], 2).movedim(2, -1))
        for name in conditions.open:
            gate = conditions.gates[name][..., None]
            z = z + (gate * self.heard(conditions.tokens[name].mean(2)))[:, :, None, None]
        return Estimate(self.last(z.relu()).movedim(-1, 2))

    def blocks(self):
        return [self.first, self.last]

    def branches(self):
        return []

    def undivided(self):
        return []

    def slice_layers(self):
        self.sliced = True


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setitem(DENOISERS, "Plain", Plain)
    torch.manual_seed(0)
    settings = {**SMALL, "denoiser": "Plain", "denoiser_args": {}}
    return TalkingHeadModel(ModelConfig.from_dict(settings)).eval().requires_grad_(False)


def frames(model, **options):
    told = some_conditions(model, 1, 8)
    arrangement = options.pop("arrangement", Arrangement())
    plan = sampling_plan(RunOptions(seed=1, **options), model.config.sampling)
    return torch.cat(list(generate(model, told.frames, 8, plan, arrangement=arrangement)))


def test_it_is_sampled_guided_arranged_and_stored(model, tmp_path):
    expected = frames(model, guidance={"audio": 2.0})
    assert expected.shape == (8, 3, 64, 64) and not torch.equal(expected, frames(model))
    small = Arrangement(together=False, decode=1, sliced=True)
    wide = needed(model, small, "cpu")
    model.network.width *= 1000
    assert needed(model, small, "cpu") > wide
    settle(model, small, torch.device("cpu"))
    assert model.network.sliced
    torch.testing.assert_close(frames(model, guidance={"audio": 2.0}, arrangement=small), expected)
    save_model(model, tmp_path / "model")
    torch.testing.assert_close(frames(load_model(tmp_path / "model"), guidance={"audio": 2.0}), expected)


def test_it_trains(model):
    model.network.requires_grad_(True)
    told, latents = some_conditions(model, 2, 3), torch.randn(2, 3, 192, 8, 8)
    loss = denoising_loss(model.denoise, latents, told, ObjectiveConfig(), torch.Generator().manual_seed(0))
    loss.total.backward()
    assert all(weight.grad.any() for weight in model.network.parameters())
    closed = replace(told, gates={s: torch.zeros_like(g) for s, g in told.gates.items()})
    other = denoising_loss(
        model.denoise, latents, closed, ObjectiveConfig(), torch.Generator().manual_seed(0)
    )
    assert other.total != loss.total
