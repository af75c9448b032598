"""Noise levels against diffusers' schedulers and closed forms; unit noise by its correlations."""

import numpy as np
import pytest
import torch
from diffusers import CMStochasticIterativeScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

from actalker.diffusion.noise import (
    FrameNoise,
    NoiseConfig,
    clip_noise,
    distilled,
    exploding,
    flow,
    karras,
    log_normal,
    noised,
    straight,
)
from actalker.errors import InputError
from actalker.pipeline.model.model import ModelConfig, SamplingConfig

STEPS = [1, 2, 3, 10, 25]


@pytest.mark.parametrize("steps", STEPS)
def test_karras_levels_are_diffusers(steps):
    theirs = EDMEulerScheduler(sigma_min=0.02, sigma_max=40.0)
    theirs.set_timesteps(steps)
    assert torch.equal(karras(steps, 0.02, 40.0), theirs.sigmas)
    assert torch.equal(NoiseConfig(0.02, 40.0).sigmas(steps, "dpm2"), theirs.sigmas)


@pytest.mark.parametrize("steps", STEPS)
def test_levels_of_a_consistency_model_are_diffusers(steps):
    theirs = CMStochasticIterativeScheduler(num_train_timesteps=1000, sigma_min=0.002, sigma_max=80.0)
    theirs.set_timesteps(steps)
    torch.testing.assert_close(distilled(steps, 0.002, 80.0), theirs.sigmas, rtol=1e-6, atol=0)
    assert torch.equal(NoiseConfig(0.002, 80.0).sigmas(steps, "consistency"), distilled(steps, 0.002, 80.0))


@pytest.mark.parametrize("shift", [1.0, 5.0])
@pytest.mark.parametrize("steps", STEPS)
def test_levels_of_flow_matching_are_diffusers(steps, shift):
    """There t is called sigma, and callers bring even steps, as those of Flux."""
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))
    sigmas = NoiseConfig(spacing="flow", noise_shift=shift).sigmas(steps)
    assert torch.isinf(sigmas[0]) and torch.equal(sigmas, flow(steps, shift))
    torch.testing.assert_close(straight(sigmas)[1], theirs.sigmas, rtol=1e-6, atol=1e-7)


def test_noise_levels_are_log_normal():
    drawn = torch.cat([log_normal(16, 0.3, 0.8, torch.Generator().manual_seed(k)) for k in range(200)]).log()
    assert drawn.mean() == pytest.approx(0.3, abs=0.05) and drawn.std() == pytest.approx(0.8, abs=0.05)
    batch = log_normal(4, 0.3, 0.8, torch.Generator().manual_seed(1)).log().sort().values
    quarters = 0.3 + 0.8 * torch.special.ndtri(torch.tensor([0.25, 0.5, 0.75]))
    assert (batch[:3] < quarters).all() and (batch[1:] > quarters).all()


def test_with_the_logarithm_of_a_shift_as_mean_they_are_flow_matchings():
    """Quantiles of t' = shift t / (1 + (shift - 1) t), t the logistic function of a normal number."""
    t = torch.sigmoid(torch.randn(20_000, generator=torch.Generator().manual_seed(0)))
    shifted = 5 * t / (1 + 4 * t)
    ours = straight(log_normal(20_000, float(np.log(5)), 1.0, torch.Generator().manual_seed(1)))[1]
    at = torch.linspace(0.05, 0.95, 19)
    torch.testing.assert_close(ours.quantile(at), shifted.quantile(at), rtol=0, atol=0.01)


def test_both_paths_have_the_noise_level_as_ratio_and_end_at_the_clean_latents():
    clean, unit = torch.randn(2, 1, 2, 3, 4, 4)
    sigma = torch.tensor([0.0, 0.3, 7.0])
    for path in (exploding, straight):
        signal, noise = path(sigma)
        torch.testing.assert_close(noise / signal, sigma)
        assert torch.equal(noised(path, clean, unit, sigma[0]), clean)
    torch.testing.assert_close(noised(exploding, clean, unit, sigma[2]), clean + 7 * unit)
    assert torch.equal(noised(straight, clean, unit, torch.tensor(torch.inf)), unit)


def test_noise_belongs_to_the_frame():
    noise = FrameNoise((2, 4, 4), seed=3, shared=0.6)
    assert torch.equal(noise.frames(5, 9), noise.frames(0, 20)[:, 5:9])
    assert not torch.equal(noise.frames(5, 6), FrameNoise((2, 4, 4), seed=4, shared=0.6).frames(5, 6))
    many = FrameNoise((3, 32, 32), seed=1, shared=0.6).frames(0, 6)
    assert many.std() == pytest.approx(1, abs=0.05)
    assert correlation(many[0, 0], many[0, 1]) == pytest.approx(0.6, abs=0.06)


def test_further_draws_are_new_and_as_repeatable_as_the_first():
    noise = FrameNoise((3, 32, 32), seed=1, shared=0.6)
    second = noise.frames(0, 6, 1)
    assert torch.equal(second[:, 2:4], FrameNoise((3, 32, 32), 1, 0.6).frames(2, 4, 1))
    assert second.std() == pytest.approx(1, abs=0.05)
    assert correlation(second[0, 0], second[0, 1]) == pytest.approx(0.6, abs=0.06)
    for other in (noise.frames(0, 6), noise.frames(0, 6, 2)):
        assert correlation(second, other) == pytest.approx(0, abs=0.04)
    own = FrameNoise((3, 32, 32), 1, 0.6, first=torch.zeros(1, 6, 3, 32, 32))
    assert not own.frames(0, 6).any() and torch.equal(own.frames(0, 6, 1), second)


def test_noise_of_training_is_shared_as_much_as_asked():
    noise = clip_noise(torch.zeros(2, 3, 8, 32, 32), 0.7, torch.Generator().manual_seed(0))
    assert float((noise[:, 0] * noise[:, 1]).mean()) == pytest.approx(0.7, abs=0.03)


def test_spacings_are_refused_that_are_none_or_that_the_model_cannot_read():
    with pytest.raises(InputError, match="spacing 'even' is unknown; .*karras, flow"):
        NoiseConfig(spacing="even")
    with pytest.raises(
        InputError, match="noise alone, which prediction edm cannot read; give spacing karras"
    ):
        ModelConfig(sampling=SamplingConfig(spacing="flow"))


def correlation(one, other):
    return float(np.corrcoef(one.flatten(), other.flatten())[0, 1])
