"""Samplers against diffusers' schedulers, each with its own preconditioning, and against closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from actalker.diffusion.noise import distilled, exploding, flow, karras, straight
from actalker.diffusion.precondition import Precondition, PreconditionConfig
from actalker.diffusion.sampling import (
    SAMPLERS,
    Context,
    Known,
    Sampling,
    consistency,
    dpm2,
    euler,
    sample,
)

STEPS = [1, 2, 3, 10, 25]
SHAPE = (2, 3, 4, 5, 5)


def network(x, noise):
    """Anything that depends on both."""
    return torch.tanh(2 * x) * torch.cos(noise) + 0.3 * noise


def denoiser(prediction, sigma_data):
    """Our denoiser around `network`, for samplers: (x, σ) -> clean estimate."""

    def called(x, noise, conditions):
        return SimpleNamespace(output=network(x, noise.view(-1, 1, 1, 1, 1)))

    ours = Precondition(called, PreconditionConfig(sigma_data, prediction))
    return lambda x, sigma: ours(x, sigma.expand(len(x)), None)


def close(ours, theirs):
    assert float((ours - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(
    "sampler, kind", [(euler, EDMEulerScheduler), (dpm2, EDMDPMSolverMultistepScheduler)]
)
@pytest.mark.parametrize("prediction, name", [("edm", "epsilon"), ("v", "v_prediction")])
def test_edm_is_diffusers(sampler, kind, prediction, name, steps):
    theirs = kind(sigma_min=0.02, sigma_max=40.0, sigma_data=0.5, prediction_type=name)
    theirs.set_timesteps(steps)
    x = begin = torch.randn(SHAPE) * theirs.sigmas[0]
    for timestep in theirs.timesteps:
        output = network(theirs.scale_model_input(x, timestep), timestep)
        x = theirs.step(output, timestep, x).prev_sample
    close(sampler(denoiser(prediction, 0.5), begin, karras(steps, 0.02, 40.0)), x)


@pytest.mark.parametrize("shift", [1.0, 5.0])
@pytest.mark.parametrize("steps", STEPS)
def test_flow_matching_is_diffusers(steps, shift):
    """From noise alone, t = 1, where σ is infinite."""
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))
    x = begin = torch.randn(SHAPE)
    for timestep in theirs.timesteps:
        x = theirs.step(network(x, timestep / 1000), timestep, x).prev_sample
    close(euler(denoiser("flow", 1.0), begin, flow(steps, shift), Context(straight)), x)


@pytest.mark.parametrize("steps", STEPS)
def test_consistency_is_diffusers_with_the_same_noise(steps):
    theirs = CMStochasticIterativeScheduler(
        num_train_timesteps=1000, sigma_min=0.02, sigma_max=40.0, sigma_data=0.5, clip_denoised=False
    )
    theirs.set_timesteps(steps)

    def denoise(x, sigma):
        skip, out = theirs.get_scalings_for_boundary_condition(sigma)
        return skip * x + out * network(x, sigma)

    x = begin = torch.randn(SHAPE) * 40
    generator = torch.Generator().manual_seed(1)
    for k, timestep in enumerate(theirs.timesteps):
        theirs.scale_model_input(x, timestep)
        x = theirs.step(network(x, theirs.sigmas[k]), timestep, x, generator=generator).prev_sample
    again = torch.Generator().manual_seed(1)
    fresh = Context(fresh=lambda draw: torch.randn(SHAPE, generator=again))
    close(consistency(denoise, begin, distilled(steps, 0.02, 40.0), fresh), x)


def gaussian(path, mean, width):
    """The clean estimate of data N(mean, width²)."""

    def denoise(x, sigma):
        signal, noise = path(sigma)
        gain = width**2 * signal / ((signal * width) ** 2 + noise**2)
        return mean + gain * (x - signal * mean)

    return denoise


def levels(path, steps):
    return flow(steps, 3.0) if path is straight else karras(steps, 0.002, 80.0)


@pytest.mark.parametrize("path", [exploding, straight])
@pytest.mark.parametrize("sampler, off", [(dpm2, 0.05), (euler, 0.15)])
def test_a_gaussian_is_drawn_with_its_mean_and_width(sampler, off, path):
    sigmas = levels(path, 30)
    x = torch.randn(4, 1, 8, 32, 32) * path(sigmas[0])[1]
    drawn = sampler(gaussian(path, 0.7, 0.3), x, sigmas, Context(path))
    assert drawn.mean() == pytest.approx(0.7, abs=0.01)
    assert drawn.std() == pytest.approx(0.3, rel=off)


@pytest.mark.parametrize("path", [exploding, straight])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_consistency_function_draws_its_distribution_in_few_steps(steps, path):
    """For data N(mean, width²) it is known: the end of the exact flow, at any noise level."""
    mean, width = 0.7, 0.3

    def consistent(x, sigma):
        signal, noise = path(sigma)
        return mean + (x - signal * mean) * width / ((signal * width) ** 2 + noise**2).sqrt()

    sigmas = flow(steps) if path is straight else distilled(steps, 0.002, 80.0)
    draws = torch.randn(steps + 1, 4, 1, 8, 32, 32)
    drawn = consistency(
        consistent, draws[0] * path(sigmas[0])[1], sigmas, Context(path, fresh=draws.__getitem__)
    )
    assert drawn.mean() == pytest.approx(mean, abs=0.01)
    assert drawn.std() == pytest.approx(width, rel=0.05)


def test_samplers_that_add_noise_say_so():
    with pytest.raises(ValueError, match="adds noise at every step"):
        consistency(gaussian(exploding, 0.7, 0.3), torch.randn(SHAPE), distilled(2, 0.002, 80.0))


@pytest.mark.parametrize("path", [exploding, straight])
def test_the_order_of_a_sampler_is_its_error_when_steps_are_halved(path):
    """Against the exact flow to σ = 0.1, from where one step goes on to it: errors fall by 2 and by 4."""
    mean, width, top, end = 0.2, 0.5, 5.0, 0.1
    unit = torch.randn(1, 1, 4, 16, 16).double()

    def at(sigma):
        signal, noise = path(torch.tensor(sigma).double())
        spread = ((signal * width) ** 2 + noise**2).sqrt()
        return signal * mean + spread * unit

    def error(sampler, steps):
        sigmas = torch.linspace(np.log(top), np.log(end), steps + 1).double().exp()
        end_of = sampler(gaussian(path, mean, width), at(float(sigmas[0])), sigmas, Context(path))
        return float((end_of - at(float(sigmas[-1]))).abs().mean())

    assert error(euler, 64) / error(euler, 128) == pytest.approx(2, rel=0.1)
    assert error(dpm2, 64) / error(dpm2, 128) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("path", [exploding, straight])
@pytest.mark.parametrize("name", SAMPLERS)
def test_latents_that_are_known_stand_at_every_noise_level_and_at_the_end(name, path):
    """The denoiser sees them with the clip's own noise at each level, as x is there."""
    values, unit = torch.randn(2, 1, 4, 2, 3, 3)
    where = torch.tensor([1.0, 0, 0, 1]).view(1, 4, 1, 1, 1)
    seen = []

    def denoise(x, sigma):
        seen.append((x, sigma))
        return 0.5 * x + 1

    draws = [unit, *torch.randn(4, *unit.shape)]
    above_0 = name == "consistency" and path is exploding
    sigmas = distilled(4, 0.002, 80.0) if above_0 else levels(path, 4)
    how = Sampling(sigmas, window=4, sampler=SAMPLERS[name], path=path)
    drawn = sample(denoise, draws.__getitem__, how, Known(values, where))
    assert len(seen) == 4 and torch.equal(drawn[:, [0, 3]], values[:, [0, 3]])
    assert not torch.equal(drawn[:, 1:3], values[:, 1:3])
    for x, sigma in seen:
        signal, noise = path(sigma)
        torch.testing.assert_close(x[:, [0, 3]], (signal * values + noise * unit)[:, [0, 3]])
