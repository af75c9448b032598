"""Noise: the levels that training draws and sampling visits, how noise is mixed in, and a clip's unit noise.

Letters: b batch, f frames, c h w a latent's channels and size, x_0 clean latents, n unit noise, σ noise level
in [0, ∞]: the deviation of the noise over the factor of the signal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import one_of

Spacing = Literal["karras", "flow"]
RHO = 7.0  # of Karras et al.'s levels: how much closer the low ones stand
DISTILLED = 1000  # levels of a consistency model

Path = Callable[[Tensor], tuple[Tensor, Tensor]]
"""σ -> the factors of signal and noise in the noisy latents, x = signal x_0 + noise n."""


def exploding(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """x = x_0 + σ n (Karras et al. 2022): the signal's factor 1 and the noise's, shaped as sigma."""
    return torch.ones_like(sigma), sigma


def straight(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """x = (1 - t) x_0 + t n with t = σ / (1 + σ) (flow matching, Lipman et al. 2023), shaped as sigma.

    Exact at both ends: clean latents at σ = 0, noise alone at σ = ∞.
    """
    return 1 / (1 + sigma), 1 / (1 + 1 / sigma)


def noised(path: Path, clean: Tensor, unit: Tensor, sigma: Tensor) -> Tensor:
    """Latents clean (b, f, c, h, w) with unit noise of that shape, at noise level sigma, (b,) or a number."""
    signal, noise = (factor.view(-1, 1, 1, 1, 1).to(clean) for factor in path(sigma))
    return signal * clean + noise * unit


def log_normal(count: int, mean: float, deviation: float, generator: torch.Generator) -> Tensor:
    """Noise levels (count,) with ln σ ~ N(mean, deviation²), one from each quantile so that a batch covers
    the range.

    Of flow matching this is the logit-normal t of Esser et al. 2024, since logit t = ln σ; their shift
    multiplies σ, so it adds its logarithm to the mean.
    """
    quantiles = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    normal = torch.special.ndtri(quantiles.clamp(1e-4, 1 - 1e-4))
    order = torch.randperm(count, generator=generator)
    return (mean + deviation * normal[order]).exp()


@dataclass(frozen=True)
class NoiseConfig:
    """The noise that clips are made of: its levels, and what frames have in common."""

    sigma_min: float = 0.02
    """Lowest noise level, of the spacing karras."""

    sigma_max: float = 10.0
    """Highest noise level, where sampling starts, of the spacing karras."""

    shared_noise: float = 0.0
    """Share of the noise's variance that all frames of a clip have in common, as in training."""

    spacing: Spacing = "karras"
    """How noise levels lie: karras (Karras et al. 2022, eq. 5), or flow, even steps of t from noise alone,
    for models whose prediction is flow."""

    noise_shift: float = 1.0
    """Factor of every noise level of the spacing flow (the shift of Esser et al. 2024)."""

    def __post_init__(self) -> None:
        one_of(self.spacing, get_args(Spacing), "spacing")

    def sigmas(self, steps: int, sampler: str = "euler") -> Tensor:
        """Noise levels (steps + 1,) that a sampler visits, falling, the last where it ends; float32."""
        if self.spacing == "flow":
            return flow(steps, self.noise_shift)
        levels = distilled if sampler == "consistency" else karras
        return levels(steps, self.sigma_min, self.sigma_max)


def karras(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels (steps + 1,) from sigma_max to sigma_min, and 0 (Karras et al. 2022, eq. 5); float32."""
    levels = _falling(torch.linspace(0, 1, steps, dtype=torch.float64), sigma_min, sigma_max)
    return torch.cat([levels, levels.new_zeros(1)]).float()


def distilled(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels (steps + 1,) for a consistency model in few steps: every (1000 // steps)-th of 1000 of
    Karras et al.'s, then sigma_min, where such a model gives its input (Song et al. 2023); float32.
    """
    numbers = torch.arange(steps, dtype=torch.float64) * (DISTILLED // steps)
    levels = _falling(numbers / (DISTILLED - 1), sigma_min, sigma_max)
    return torch.cat([levels, levels.new_full((1,), sigma_min)]).float()


def flow(steps: int, shift: float = 1.0) -> Tensor:
    """Noise levels (steps + 1,) from ∞ to 0 in even steps of t = σ / (1 + σ), times shift (Esser et al. 2024,
    eq. 23: t' = shift t / (1 + (shift - 1) t)); float32.
    """
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return (shift * t / (1 - t)).float()


def _falling(places: Tensor, sigma_min: float, sigma_max: float) -> Tensor:
    """Karras et al.'s levels at places in [0, 1] from sigma_max to sigma_min."""
    high, low = sigma_max ** (1 / RHO), sigma_min ** (1 / RHO)
    return (high + places * (low - high)) ** RHO


def clip_noise(like: Tensor, shared: float, generator: torch.Generator, offset: float = 0.0) -> Tensor:
    """Unit noise (b, f, c, h, w); `shared` of its variance is the same in all frames of a clip (Ge et al.
    2023).

    offset: standard deviation of what each channel of a clip has in common on top, in all places and frames.
    """
    noise = torch.randn(like.shape, generator=generator).to(like)
    if shared:
        common = torch.randn((like.shape[0], 1, *like.shape[2:]), generator=generator).to(like)
        noise = shared**0.5 * common + (1 - shared) ** 0.5 * noise
    if offset:
        whole = torch.randn((like.shape[0], 1, like.shape[2], 1, 1), generator=generator).to(like)
        noise = noise + offset * whole
    return noise


class FrameNoise:
    """Unit noise that belongs to (seed, frame, draw), not to a window: where windows meet, they start alike.

    `shared` of its variance is the same in every frame, as in training. Draw 0 is what a clip starts from;
    samplers that add noise take one more draw a step.
    """

    def __init__(
        self, shape: tuple[int, int, int], seed: int, shared: float = 0.0, first: Tensor | None = None
    ) -> None:
        """shape: (c, h, w). first: draw 0 of all frames, (1, f, c, h, w), in the place of the seed's."""
        self.shape, self.seed, self.shared, self.first = shape, seed, shared, first

    def _draw(self, stream: int, draw: int) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)
        for _ in range(draw):
            torch.randn(self.shape, generator=generator)
        return torch.randn(self.shape, generator=generator)

    def frames(self, start: int, stop: int, draw: int = 0) -> Tensor:
        """Noise of frames start to stop, (1, f, c, h, w)."""
        if self.first is not None and draw == 0:
            return self.first[:, start:stop]
        own = torch.stack([self._draw(k + 1, draw) for k in range(start, stop)])
        return (self.shared**0.5 * self._draw(0, draw) + (1 - self.shared) ** 0.5 * own)[None]
