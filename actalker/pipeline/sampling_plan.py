"""How a clip is sampled: the caller's options, completed by the model's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..diffusion.sampling import SAMPLERS
from ..diffusion.windows import WINDOWS
from ..errors import InputError, kind_of, one_of
from .model.model import SamplingConfig
from .options import RunOptions


@dataclass(frozen=True)
class SamplingPlan:
    """How a clip is sampled.

    seed: seed of the noise.
    steps: denoiser calls a window.
    sampler: a name in `sampling.SAMPLERS`.
    windows: how long clips are cut, a name in `windows.WINDOWS`.
    guidance: signal -> guidance scale; 1 is none.
    reuse: attention is computed at every `reuse`-th denoiser call, and its outputs are kept between them.
    """

    seed: int
    steps: int
    sampler: str
    windows: str
    guidance: Mapping[str, float]
    reuse: int


def sampling_plan(options: RunOptions, settings: SamplingConfig, together: bool = True) -> SamplingPlan:
    """Complete the caller's options by the model's settings.

    together: whether guidance passes run as one batch.
    Raises: InputError for options that exclude each other.
    """
    windows = one_of(options.windows or settings.windows, WINDOWS, "kind of windows")
    sampler = one_of(options.sampler or settings.sampler, SAMPLERS, "sampler")
    if windows == "shifted" and sampler != "euler":
        raise InputError(f"sampler {sampler}: shifted windows take the sampler euler")
    if options.reuse > 1 and (windows == "shifted" or not together):
        raise InputError(
            f"reuse {options.reuse}: needs overlapping windows, and guidance in one batch; leave it out"
        )
    steps = settings.steps if options.steps is None else int(options.steps)
    guidance = {**settings.guidance, **options.scales}
    return SamplingPlan(
        seed=int(options.seed),
        steps=steps,
        sampler=sampler,
        windows=windows,
        guidance=guidance,
        reuse=int(options.reuse),
    )


def drawn_seed(seed: int | None, generator: torch.Generator | Sequence[torch.Generator] | None) -> int:
    """Return the seed of a clip: the caller's, or one drawn from the caller's generator, or else 0.

    Raises: InputError for several generators, for what is no generator, and for both seed and generator.
    """
    if isinstance(generator, Sequence):
        if len(generator) != 1:
            raise InputError(f"generator: a list of {len(generator)}; one clip is made a call, give one")
        generator = generator[0]
    if generator is None:
        return 0 if seed is None else seed
    if seed is not None:
        raise InputError("seed and generator: both are given; give one of them")
    if not isinstance(generator, torch.Generator):
        raise InputError(f"generator: is {kind_of(generator)}; give a torch.Generator, or a seed")
    return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
