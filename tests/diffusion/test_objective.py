"""What noise a training step adds, and how errors are weighed."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from models import small_model, some_conditions

from actalker.diffusion.objective import ObjectiveConfig, denoising_loss
from actalker.diffusion.precondition import Precondition, PreconditionConfig


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_a_clips_channel_has_an_offset_in_common_everywhere(offset):
    """Means of f·h·w places vary by their noise's 1 / f·h·w and by offset²; what is left is unit noise."""
    model, b, f, side = small_model(), 4, 3, 8
    losses = denoising_loss(
        model.denoise,
        torch.zeros(b, f, 192, side, side),
        some_conditions(model, b, f),
        ObjectiveConfig(noise_offset=offset),
        torch.Generator().manual_seed(0),
    )
    noise = losses.noisy / losses.sigma.view(-1, 1, 1, 1, 1)
    means = noise.mean((1, 3, 4), keepdim=True)
    places = f * side * side
    assert float(means.square().mean()) == pytest.approx(offset**2 + 1 / places, rel=0.2)
    assert float((noise - means).square().mean()) == pytest.approx(1 - 1 / places, rel=0.02)
    between = means[:, :, 1:] * means[:, :, :-1]  # every channel has its own
    assert float(between.mean()) == pytest.approx(0, abs=0.2 * (offset**2 + 1 / places))


@pytest.mark.parametrize("prediction", ["edm", "v", "sample", "flow"])
def test_the_loss_of_a_silent_network_is_that_of_its_target(prediction):
    """What the output should have been, squared: of flow matching n - x_0, of `sample` x_0 itself, of the
    others (c_skip x - x_0) / c_out (Karras et al. 2022, eq. 8).
    """
    model, data = small_model(), 0.4
    latents = torch.randn(3, 2, 192, 8, 8)
    silent = Precondition(
        lambda x, noise, conditions: SimpleNamespace(output=torch.zeros_like(x)),
        PreconditionConfig(data, prediction),
    )
    make = torch.Generator().manual_seed(0)
    losses = denoising_loss(silent, latents, some_conditions(model, 3, 2), ObjectiveConfig(p_mean=0.3), make)
    s = losses.sigma.view(-1, 1, 1, 1, 1)
    if prediction == "flow":
        noise = (losses.noisy - latents / (1 + s)) * (1 + s) / s
        assert float(noise.std()) == pytest.approx(1, abs=0.02)
        target = noise - latents
    elif prediction == "sample":
        target = latents
    else:
        target = (data**2 / (s**2 + data**2) * losses.noisy - latents) * (s**2 + data**2).sqrt() / (s * data)
    torch.testing.assert_close(losses.by_item, target.square().mean((1, 2, 3, 4)), rtol=1e-3, atol=0)


def test_the_loss_is_weighed_by_region():
    model = small_model()
    told = some_conditions(model, 2, 3)
    latents = torch.randn(2, 3, 192, 8, 8)

    def loss(weight, where=None, mouth=0.0):
        one = told if where is None else replace(told, maps={"face": where, "mouth": where})
        return denoising_loss(
            model.denoise,
            latents,
            one,
            ObjectiveConfig(region_weight=weight, mouth_weight=mouth),
            torch.Generator().manual_seed(1),
        )

    plain, weighed = loss(0.0), loss(3.0)
    none, full = (fill(told.maps["face"]) for fill in (torch.zeros_like, torch.ones_like))
    torch.testing.assert_close(loss(3.0, none).by_item.mean(), loss(3.0, none).total)
    assert weighed.total > plain.total
    by_hand = loss(0.0, full).by_item * (1 + 3 + 5)
    torch.testing.assert_close(loss(3.0, full, mouth=5.0).by_item, by_hand, rtol=1e-4, atol=1e-5)
