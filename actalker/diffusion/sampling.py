"""The reverse process: samplers for any denoiser D(x; σ), and observers of their steps.

Letters: b batch, f frames, c h w a latent's channels and size, σ noise level, D a clean estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from .noise import Path, exploding, noised

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x (b, f, c, h, w), σ, a scalar tensor) -> the clean estimate, shaped as x."""

After = Callable[[int, Tensor], Tensor]
"""What a sampler calls after each step: (number of the step from 0, latents) -> the latents to go on with.

Both latents are (b, f, c, h, w); the argument is what the step gave."""

Fresh = Callable[[int], Tensor]
"""Source of noise: k -> the k-th draw of unit noise (b, f, c, h, w); x starts from draw 0."""


def unchanged(step: int, x: Tensor) -> Tensor:
    """Return the latents x (b, f, c, h, w) as they are; the default of `Context.after`."""
    return x


def no_fresh(draw: int) -> Tensor:
    """Raise ValueError; the default of `Context.fresh`, for samplers that draw no noise."""
    raise ValueError("this sampler adds noise at every step: give it `fresh`")


@dataclass(frozen=True)
class Context:
    """What a sampler uses beside denoiser, latents and noise levels.

    path: how x is made of clean latents and noise.
    after: called after each step; it may replace the latents.
    fresh: source of noise for samplers that add some.
    """

    path: Path = exploding
    after: After = unchanged
    fresh: Fresh = no_fresh


Sampler = Callable[[Denoise, Tensor, Tensor, Context], Tensor]
"""A sampler: (denoise, x, sigmas, context) -> latents (b, f, c, h, w) at the last noise level.

It calls the denoiser once per step. denoise: (x, σ) -> the clean estimate. x: (b, f, c, h, w), noisy at the
first level. sigmas: (steps + 1,) noise levels, falling, on the CPU; on the
path `straight` the first may be ∞.
"""


def euler_step(x: Tensor, clean: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """Take one Euler step of dx/ds = (x - D) / s (Karras et al. 2022, algorithm 1).

    The equation holds on both paths, with the noise's factor s = σ on `exploding` and s = t on `straight`.

    Args:
        x: latents at the noise factor `now`.
        clean: D, their clean estimate.
        now: s before the step.
        then: s after it.
    """
    return x + (x - clean) / now * (then - now)


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, context: Context = Context()) -> Tensor:
    """Sample by Euler's method (Karras et al. 2022, algorithm 1).

    Args:
        denoise: (x, σ) -> the clean estimate.
        x: (b, f, c, h, w) latents, noisy at sigmas[0].
        sigmas: (steps + 1,) noise levels, falling, on the CPU.
        context: the path of x, and what to call after each step.
    Returns: the latents at sigmas[-1].
    """
    _, noise = context.path(sigmas)
    for k, sigma in enumerate(sigmas[:-1]):
        x = context.after(k, euler_step(x, denoise(x, sigma), noise[k], noise[k + 1]))
    return x


def dpm2(denoise: Denoise, x: Tensor, sigmas: Tensor, context: Context = Context()) -> Tensor:
    """Sample by DPM-Solver++(2M), of second order in ln σ (Lu et al. 2022, algorithm 2).

    Arguments and result are those of `euler`. One step is

        x' = (s'/s) x + a' (1 - σ'/σ) (D + (D - D_before) h / 2h_before)

    a and s are the factors of signal and noise, ' marks the next level, and h = ln σ/σ' is the length of this
    step, h_before of the one before. The first step and the one to σ = 0 are of first order, as is the second
    step where the first came from σ = ∞.
    """
    signal, noise = context.path(sigmas)
    before = None
    for k, (now, then) in enumerate(pairwise(sigmas)):
        clean = towards = denoise(x, now)
        if before is not None and then > 0:
            ratio = (now / then).log() / (sigmas[k - 1] / now).log()
            towards = clean + ratio / 2 * (clean - before)
        x = noise[k + 1] / noise[k] * x + signal[k + 1] * (1 - then / now) * towards
        x, before = context.after(k, x), clean
    return x


def consistency(denoise: Denoise, x: Tensor, sigmas: Tensor, context: Context = Context()) -> Tensor:
    """Sample a consistency model in a few steps (Song et al. 2023, algorithm 1).

    Arguments and result are those of `euler`; `context.fresh` gives the noise. One step is

        x' = a' (D + √(σ'² - σ_last²) n)

    Each step goes to the clean estimate and adds fresh noise n. The last level is the lowest of the model's
    distillation, where its estimate is x itself.
    """
    signal, _ = context.path(sigmas)
    for k, (now, then) in enumerate(pairwise(sigmas)):
        x = denoise(x, now)
        added = (then**2 - sigmas[-1] ** 2).clamp(min=0).sqrt()
        if added > 0:
            x = signal[k + 1] * (x + added * context.fresh(k + 1))
        x = context.after(k, x)
    return x


SAMPLERS: dict[str, Sampler] = {"euler": euler, "dpm2": dpm2, "consistency": consistency}


@dataclass(frozen=True)
class StepEnd:
    """What an observer is called with after a step.

    window, step: their numbers, from 0.
    sigma: scalar, the noise level before the step.
    frames: numbers of these latent frames in the clip.
    latents: (1, f, c, h, w) float32 after the step, noisy until the last one.
    """

    window: int
    step: int
    sigma: Tensor
    frames: list[int]
    latents: Tensor


class Observer:
    """Called after each step. It may replace the latents and may end sampling; this one does neither."""

    @property
    def stopped(self) -> bool:
        """Whether sampling ends here; the latents are then returned as they are."""
        return False

    def step_end(self, end: StepEnd) -> Tensor:
        """Return the latents that sampling continues with."""
        return end.latents


@dataclass(frozen=True)
class Sampling:
    """How a clip is sampled.

    sigmas: (steps + 1,) noise levels, falling (`NoiseConfig.sigmas`).
    window: latent frames denoised at once.
    overlap: latent frames that consecutive windows share.
    shift: latent frames by which shifted windows move at each step (`shifted.sample_shifted`).
    sampler: a function in `SAMPLERS`.
    path: of the denoiser (`Precondition.path`).
    observer: called after each step.
    """

    sigmas: Tensor
    window: int
    overlap: int = 0
    shift: int = 0
    sampler: Sampler = euler
    path: Path = exploding
    observer: Observer = Observer()


class Known(NamedTuple):
    """Latents (b, f, c, h, w) that are already decided, and where they are: (b, f, 1, 1, 1) in {0, 1}."""

    latents: Tensor
    where: Tensor


class _Stopped(Exception):
    """Raised when the observer ends sampling, with the latents as they are."""

    def __init__(self, latents: Tensor) -> None:
        self.latents = latents


def sample(
    denoise: Denoise, fresh: Fresh, how: Sampling, known: Known | None = None, place: tuple[int, int] = (0, 0)
) -> Tensor:
    """Sample the clean latents (b, f, c, h, w) of one window.

    Args:
        denoise: (x (b, f, c, h, w), σ (b,)) -> the clean estimate.
        fresh: k -> the k-th draw of unit noise (b, f, c, h, w).
        how: noise levels, sampler, path and observer.
        known: latents that are decided. At each step they replace the sampled ones, noised to the step's
            level, so that the rest is sampled to fit them.
        place: number and first frame of the window, for the observer.
    """
    unit, (window, first) = fresh(0), place

    def with_known(x: Tensor, sigma: Tensor) -> Tensor:
        if known is None:
            return x
        return torch.where(known.where > 0, noised(how.path, known.latents, unit, sigma), x)

    def after(k: int, x: Tensor) -> Tensor:
        frames = list(range(first, first + x.shape[1]))
        x = how.observer.step_end(StepEnd(window, k, how.sigmas[k], frames, x))
        if how.observer.stopped:
            raise _Stopped(x)
        return with_known(x, how.sigmas[k + 1])

    def estimate(x: Tensor, sigma: Tensor) -> Tensor:
        return denoise(x, sigma.to(x.device).expand(len(x)))

    x = with_known(how.path(how.sigmas[0])[1] * unit, how.sigmas[0])
    try:
        x = how.sampler(estimate, x, how.sigmas, Context(how.path, after, fresh))
    except _Stopped as stop:
        x = stop.latents
    return with_known(x, torch.zeros(()))
