"""The factors around a network, against their papers' formulas and diffusers' scheduler of SVD."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from models import small_model, some_conditions

from actalker.diffusion.precondition import Precondition, PreconditionConfig
from actalker.errors import InputError


class Recorder:
    """A network that gives a constant, or what it is asked to, and remembers what it saw."""

    def __init__(self, output=0.5):
        self.output = output

    def __call__(self, x, noise, conditions):
        self.x, self.noise = x, noise
        return SimpleNamespace(output=torch.zeros_like(x) + self.output)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 1.0, 30.0])
def test_the_four_factors_are_edms(sigma):
    network, data = Recorder(), 0.5
    x = torch.randn(1, 2, 3, 8, 8)
    estimate = Precondition(network, PreconditionConfig(data))(x, torch.tensor([sigma]), None)
    skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2) ** 0.5
    torch.testing.assert_close(estimate, skip * x + out * 0.5)
    torch.testing.assert_close(network.x, x / (sigma**2 + data**2) ** 0.5)
    torch.testing.assert_close(network.noise, torch.tensor([0.25 * np.log(sigma)]).float())


def test_v_with_sigma_data_1_is_svds():
    """The network output under which diffusers' scheduler of SVD sees the same clean estimate."""
    svd = EulerDiscreteScheduler(
        prediction_type="v_prediction",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_type="continuous",
        timestep_spacing="leading",
    )
    svd.set_timesteps(10)
    svd.set_begin_index(3)
    x, sigma = torch.randn(1, 2, 3, 8, 8), svd.sigmas[3]
    ours = Precondition(Recorder(), PreconditionConfig(1.0, "v"))(x, sigma[None], None)
    theirs = svd.step(torch.full_like(x, 0.5), svd.timesteps[3], x).pred_original_sample
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 0.01, 1.0, 30.0, float("inf")])
def test_the_velocity_of_flow_matching_gives_the_clean_latents_at_every_noise_level(sigma):
    """x = (1 - t) x_0 + t n moves by n - x_0, also where there is noise alone, at σ = ∞."""
    clean, unit = torch.randn(2, 1, 2, 3, 8, 8).double()
    network = Recorder(unit - clean)
    denoise = Precondition(network, PreconditionConfig(prediction="flow"))
    level = torch.tensor([sigma], dtype=torch.float64)
    noisy = denoise.noised(clean, unit, level)
    t = 1.0 if np.isinf(sigma) else sigma / (1 + sigma)
    torch.testing.assert_close(noisy, (1 - t) * clean + t * unit)
    torch.testing.assert_close(denoise(noisy, level, None), clean)
    assert torch.equal(network.x, noisy)
    torch.testing.assert_close(network.noise, torch.tensor([t]).double())


@pytest.mark.parametrize("prediction", ["edm", "v"])
def test_an_error_of_the_network_counts_alike_at_every_noise_level(prediction):
    """λ(σ) c_out² = 1 (Karras et al. 2022, eq. 8): how far two outputs of one network are apart, and how far
    the clean estimates are that come of them.
    """
    model, sigma = small_model(), torch.tensor([0.02, 0.3, 2.0, 90.0])
    x = torch.randn(4, 2, 192, 8, 8) * (1 + sigma.view(-1, 1, 1, 1, 1))
    data = 1.0 if prediction == "v" else 0.3
    clean, output = (
        Precondition(model.network, PreconditionConfig(data, kind)) for kind in (prediction, "sample")
    )

    def apart(denoiser):
        one, other = (denoiser(x, sigma, some_conditions(model, 4, 2, seed)) for seed in (0, 1))
        return (one - other).square().mean((1, 2, 3, 4))

    torch.testing.assert_close(clean.weight(sigma) * apart(clean), apart(output), rtol=1e-3, atol=0)


@pytest.mark.parametrize("prediction", ["edm", "v", "sample", "flow"])
def test_half_precision_rounds_the_estimate_once(prediction):
    """Factors of three digits would shift every estimate by up to half a percent."""
    denoise = Precondition(Recorder(), PreconditionConfig(0.3, prediction))
    x, sigma = torch.randn(2, 1, 3, 8, 8).bfloat16(), torch.tensor([0.123, 1.7])
    assert torch.equal(denoise(x, sigma, None), denoise(x.float(), sigma, None).bfloat16())


def test_other_predictions_are_refused_by_name():
    with pytest.raises(InputError, match="prediction 'velocity' is unknown; .*edm, v, sample, flow"):
        Precondition(Recorder(), PreconditionConfig(prediction="velocity"))
