"""What noise a training step adds."""

import pytest
import torch
from models import small_model, some_conditions

from actalker.diffusion.objective import ObjectiveConfig, denoising_loss


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
