"""The reverse process: a loop over one of diffusers' schedulers, for any denoiser D(x; σ).

Letters: b batch, f frames, c h w a latent's channels and size, σ noise level.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import CMStochasticIterativeScheduler, EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from torch import Tensor

from ..errors import one_of

SAMPLERS = {
    "euler": EDMEulerScheduler,
    "dpm2": EDMDPMSolverMultistepScheduler,  # second order: DPM-Solver++(2M), Lu et al. 2022
    "consistency": CMStochasticIterativeScheduler,  # few steps of a distilled model, Song et al. 2023
}


@dataclass(frozen=True)
class StepEnd:
    """What is known when latents have taken a step.

    window, step: numbers from 0. timestep: the scheduler's, of this step. frames: of the clip, those of the
    latents. latents: (1, f, c, h, w), noisy until the last step.
    """

    window: int
    step: int
    timestep: Tensor
    frames: list[int]
    latents: Tensor


class Observer:
    """Told of every step. It may change the latents, and may end the sampling; this one does neither."""

    stopped = False
    """Whether sampling ends here: what there is, is given out."""

    def step_end(self, end: StepEnd) -> Tensor:
        """The latents that sampling goes on with."""
        return end.latents


def scheduler(name: str, sigma_min: float, sigma_max: float, sigma_data: float) -> Any:
    """A scheduler by name, with Karras et al.'s spacing of noise levels (eq. 5)."""
    kind = SAMPLERS[one_of(name, SAMPLERS, "sampler")]
    if name == "consistency":
        return kind(sigma_min=sigma_min, sigma_max=sigma_max, sigma_data=sigma_data, clip_denoised=False)
    return kind(sigma_min=sigma_min, sigma_max=sigma_max, sigma_data=sigma_data)


def as_output(scheduler: Any, clean: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """The network output that makes `scheduler` see the clean estimate: its preconditioning, undone."""
    if isinstance(scheduler, CMStochasticIterativeScheduler):
        skip, out = scheduler.get_scalings_for_boundary_condition(sigma)
        return (clean - skip * x) / out if out > 0 else torch.zeros_like(x)
    if hasattr(scheduler, "precondition_outputs"):
        data = scheduler.config.sigma_data
        total = (sigma**2 + data**2).sqrt()
        return (clean - data**2 / total**2 * x) * total / (sigma * data)
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return (x / (sigma**2 + 1) - clean) * (sigma**2 + 1).sqrt() / sigma
    if kind == "epsilon":
        return (x - clean) / sigma
    return clean


def sample(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    scheduler: Any,
    steps: int,
    known: tuple[Tensor, Tensor] | None = None,
    observer: Observer | None = None,
    window: int = 0,
    first: int = 0,
) -> Tensor:
    """Draw clean latents.

    Args:
        denoise: (x (b, f, c, h, w), σ (b,)) -> clean estimate.
        noise: unit noise (b, f, c, h, w).
        scheduler: one of diffusers' schedulers over σ (Euler, EDM Euler, EDM DPM-Solver++).
        steps: denoiser calls.
        known: latents that are already decided and where, ((b, f, c, h, w), (b, f, 1, 1, 1) in {0, 1}): at
            every step they stand in the noisy latents at their noise level, so the rest fits to them.
        observer: told of every step. window, first: what it is told: the window's number, its first frame.
    """
    scheduler.set_timesteps(steps, device=noise.device)
    scheduler.is_scale_input_called = True  # the denoiser scales its own input
    sigmas = scheduler.sigmas.to(noise)
    fresh = {}
    if isinstance(
        scheduler, CMStochasticIterativeScheduler
    ):  # it draws more noise: the same for the same clip
        drawn = zlib.crc32(noise.float().cpu().numpy().tobytes())
        fresh = {"generator": torch.Generator().manual_seed(drawn)}
    x = noise * sigmas[0]
    for k, timestep in enumerate(scheduler.timesteps):
        sigma = sigmas[k]
        if known is not None:
            values, where = known
            x = torch.where(where > 0, values + noise * sigma, x)
        clean = denoise(x, sigma.expand(x.shape[0]))
        if scheduler.step_index is None and hasattr(scheduler, "_init_step_index"):
            scheduler._init_step_index(timestep)
        output = as_output(scheduler, clean, x, sigma)
        x = scheduler.step(output, timestep, x, return_dict=False, **fresh)[0]
        if observer is not None:
            x = observer.step_end(StepEnd(window, k, timestep, list(range(first, first + x.shape[1])), x))
            if observer.stopped:
                break
    if known is not None:
        x = torch.where(known[1] > 0, known[0], x)
    return x
