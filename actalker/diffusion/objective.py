"""The training objective: noise levels, noise, region weights, the weighted error.

Letters: b batch, f frames, c h w a latent's channels and size, H W picture size, σ noise level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..control.conditions import Conditions
from ..regions.grid import to_grid
from .noise import clip_noise, log_normal
from .precondition import Precondition


@dataclass(frozen=True)
class ObjectiveConfig:
    """What is drawn and how errors are weighed."""

    p_mean: float = 0.7
    """Mean of ln σ (SVD's fine-tuning range: 0.7); of flow matching, whose t is then logit-normal, the
    logarithm of the shift."""

    p_std: float = 1.6
    """Standard deviation of ln σ."""

    shared_noise: float = 0.0
    """Share in [0, 1) of the noise's variance that all frames of a clip have in common (Ge et al. 2023)."""

    noise_offset: float = 0.0
    """Standard deviation of noise that a clip's channel has in common everywhere (ACTalker: 0.05)."""

    region_weight: float = 0.0
    """Extra weight of errors inside the face."""

    mouth_weight: float = 0.0
    """Extra weight of errors inside the mouth, which is small and moves fast."""


@dataclass(frozen=True)
class Losses:
    """total: what is minimised. mouth, upper, rest: plain errors by region. by_item, sigma: (b,).

    clean: the estimate, and noisy: what it was made of, (b, f, c, h, w).
    """

    total: Tensor
    mouth: Tensor
    upper: Tensor
    rest: Tensor
    by_item: Tensor
    sigma: Tensor
    clean: Tensor
    noisy: Tensor


def by_noise_level(losses: Losses, config: ObjectiveConfig) -> dict[str, Tensor]:
    """Mean loss of the items in each third of the noise levels: `low`, `middle`, `high`, as far as drawn."""
    edge = 0.4307 * config.p_std  # a third of a normal distribution lies on either side of it
    height = losses.sigma.log() - config.p_mean
    thirds = {"low": height < -edge, "middle": height.abs() <= edge, "high": height > edge}
    return {name: losses.by_item[inside].mean() for name, inside in thirds.items() if inside.any()}


def denoising_loss(
    denoiser: Precondition,
    latents: Tensor,
    conditions: Conditions,
    config: ObjectiveConfig,
    generator: torch.Generator,
) -> Losses:
    """The denoising error of one batch (Karras et al. 2022, eq. 8), with its parts.

    Args:
        latents: (b, f, c, h, w) clean.
        conditions: with maps of `face` and `mouth`.
    """
    sigma = log_normal(latents.shape[0], config.p_mean, config.p_std, generator).to(latents)
    noise = clip_noise(latents, config.shared_noise, generator, config.noise_offset)
    noisy = denoiser.noised(latents, noise, sigma)
    clean = denoiser(noisy, sigma, conditions)
    error = (clean - latents).square().mean(2)  # (b, f, h, w)
    size = (latents.shape[-2], latents.shape[-1])
    face, mouth = (to_grid(conditions.maps[name], size).to(error) for name in ("face", "mouth"))
    place = 1 + config.region_weight * face + config.mouth_weight * mouth
    by_item = denoiser.weight(sigma) * (error * place).flatten(1).mean(1)
    total = by_item.mean()
    with torch.no_grad():
        upper = (face - mouth).clamp(min=0)
        rest = 1 - face
        in_mouth, in_upper, in_rest = (
            (error * m).sum() / m.sum().clamp(min=1e-6) for m in (mouth, upper, rest)
        )
    return Losses(total, in_mouth, in_upper, in_rest, by_item.detach(), sigma, clean, noisy)
