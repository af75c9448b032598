"""The training objective: the denoising error, weighted by noise level and by region of the face.

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
    """The distribution of noise levels and noise, and the weights of errors by region."""

    p_mean: float = 0.7
    """Mean of ln σ; 0.7 as SVD was fine-tuned. In flow matching, where t is then logit-normal, the logarithm
    of the shift."""

    p_std: float = 1.6
    """Standard deviation of ln σ."""

    shared_noise: float = 0.0
    """Share in [0, 1) of the noise's variance that is the same in all frames of a clip (Ge et al. 2023)."""

    noise_offset: float = 0.0
    """Standard deviation of a number added to each channel of a clip's noise (0.05 in ACTalker's release)."""

    region_weight: float = 0.0
    """Additional weight of errors inside the face."""

    mouth_weight: float = 0.0
    """Additional weight of errors inside the mouth, which is small and moves fast."""


@dataclass(frozen=True)
class Losses:
    """The denoising error of one batch, and its parts.

    total: scalar, the loss to minimise: the mean of by_item.
    mouth, upper, rest: scalars, mean squared errors without weights in the mouth, in the face beside
        the mouth, and outside the face.
    by_item: (b,) weighted error of each clip, detached.
    sigma: (b,) its noise level.
    clean: (b, f, c, h, w) the clean estimate.
    noisy: (b, f, c, h, w) the noisy latents that it was made from.
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
    """Return the mean loss in each third of the noise levels, `low`, `middle`, `high`, for those drawn."""
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
    """Compute the denoising error of one batch, E λ(σ) (D(x_0 + n; σ) - x_0)² (Karras et al. 2022, eq. 8).

    ACTalker's eq. 8 has the plain error of the noise estimate. Here errors count alike at every noise level,
    and more inside the face and the mouth, by the config's weights.

    Args:
        denoiser: D, the network with its preconditioning.
        latents: (b, f, c, h, w), x_0.
        conditions: of the same clips, with the maps `face` and `mouth`.
        config: distribution of the noise, and weights.
        generator: source of noise levels and noise, on the CPU.
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
    return Losses(
        total,
        mouth=in_mouth,
        upper=in_upper,
        rest=in_rest,
        by_item=by_item.detach(),
        sigma=sigma,
        clean=clean,
        noisy=noisy,
    )
