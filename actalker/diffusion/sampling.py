"""The reverse process: samplers over any denoiser D(x; σ), and what may look on at each step.

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
"""(x (b, f, c, h, w), σ, a number) -> the clean estimate, shaped as x."""

After = Callable[[int, Tensor], Tensor]
"""(number of a step, the latents after it) -> those that sampling goes on with."""

Fresh = Callable[[int], Tensor]
"""k -> the k-th draw of unit noise, shaped as x; 0 is what x starts from."""


def unchanged(step: int, x: Tensor) -> Tensor:
    """The latents as they are."""
    return x


def no_fresh(draw: int) -> Tensor:
    """For samplers that add no noise. Raises: ValueError for those that do."""
    raise ValueError("this sampler adds noise at every step: give it `fresh`")


@dataclass(frozen=True)
class Context:
    """What a sampler works in. path: how x is noised. after: sees every step, and may change x. fresh: more
    unit noise, for samplers that add some.
    """

    path: Path = exploding
    after: After = unchanged
    fresh: Fresh = no_fresh


Sampler = Callable[[Denoise, Tensor, Tensor, Context], Tensor]
"""From noisy latents x (b, f, c, h, w) at the first of the noise levels sigmas (steps + 1,) to latents at the
last, with one denoiser call a step. sigmas fall and lie on the CPU; on the path `straight` the first may
be ∞.
"""


def euler_step(x: Tensor, clean: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """From the noise factor `now` to `then`: dx/ds = (x - D) / s (Karras et al. 2022, algorithm 1), which
    holds on both paths, with s = σ on `exploding` and s = t on `straight`.
    """
    return x + (x - clean) / now * (then - now)


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, context: Context = Context()) -> Tensor:
    """Euler's method along the path; arguments as `Sampler`'s."""
    _, noise = context.path(sigmas)
    for k, sigma in enumerate(sigmas[:-1]):
        x = context.after(k, euler_step(x, denoise(x, sigma), noise[k], noise[k + 1]))
    return x


def dpm2(denoise: Denoise, x: Tensor, sigmas: Tensor, context: Context = Context()) -> Tensor:
    """DPM-Solver++(2M), second order in ln σ (Lu et al. 2022, algorithm 2); arguments as `Sampler`'s.

        x' = (s'/s) x + a' (1 - σ'/σ) (D + (D - D_before) h / 2h_before)

    a, s: factors of signal and noise. h = ln σ/σ', of this step and the one before. The first step and that
    to σ = 0 are of first order, as is the second where the first came from σ = ∞.
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
    """Few steps of a distilled model, each to its estimate with fresh noise (Song et al. 2023, algorithm 1);
    arguments as `Sampler`'s. The last level is the lowest of the distillation, where the estimate is x.

        x' = a' (D + √(σ'² - σ_last²) n)
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
    """What is known when latents have taken a step.

    window, step: numbers from 0. sigma: the noise level that the step came from, a number. frames: numbers
    in the clip of these latent frames. latents: (1, f, c, h, w) float32, noisy until the last step.
    """

    window: int
    step: int
    sigma: Tensor
    frames: list[int]
    latents: Tensor


class Observer:
    """Told of every step. It may change the latents, and may end the sampling; this one does neither."""

    stopped = False
    """Whether sampling ends here: what there is, is given out."""

    def step_end(self, end: StepEnd) -> Tensor:
        """The latents that sampling goes on with."""
        return end.latents


@dataclass(frozen=True)
class Sampling:
    """How a clip is sampled.

    sigmas: (steps + 1,) noise levels, falling (`NoiseConfig.sigmas`). window: frames denoised at once.
    overlap: frames that windows share which follow one another. shift: frames by which shifted windows move
    on at every step. path: of the denoiser (`Precondition.path`). observer: told of every step.
    """

    sigmas: Tensor
    window: int
    overlap: int = 0
    shift: int = 0
    sampler: Sampler = euler
    path: Path = exploding
    observer: Observer = Observer()


class Known(NamedTuple):
    """Latents that are already decided, (b, f, c, h, w), and where, (b, f, 1, 1, 1) in {0, 1}."""

    latents: Tensor
    where: Tensor


class _Stopped(Exception):
    """The observer has ended the sampling at these latents."""

    def __init__(self, latents: Tensor) -> None:
        self.latents = latents


def sample(
    denoise: Denoise, fresh: Fresh, how: Sampling, known: Known | None = None, place: tuple[int, int] = (0, 0)
) -> Tensor:
    """Clean latents (b, f, c, h, w) of one window.

    Args:
        denoise: (x (b, f, c, h, w), σ (b,)) -> clean estimate.
        fresh: k -> the k-th draw of unit noise (b, f, c, h, w).
        known: at every step they stand in the noisy latents at their noise level, so the rest fits to them.
        place: what the observer is told: the window's number, its first frame.
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
