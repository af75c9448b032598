"""How a clip is sampled: what is asked for, and the model's own settings where nothing is."""

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
    """How a clip is sampled: the options, and the model's own settings where they ask for nothing.

    seed: of the noise. steps: denoiser calls a window. guidance: scale of each signal, 1 is none.
    """

    seed: int
    steps: int
    sampler: str
    windows: str
    guidance: Mapping[str, float]
    reuse: int


def sampling_plan(options: RunOptions, settings: SamplingConfig, together: bool = True) -> SamplingPlan:
    """What the options ask for, filled up by the model's settings.

    together: whether guidance passes run as one batch. Raises: InputError for what does not go together.
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
    return SamplingPlan(int(options.seed), steps, sampler, windows, guidance, int(options.reuse))


def drawn_seed(seed: int | None, generator: torch.Generator | Sequence[torch.Generator] | None) -> int:
    """The seed of a clip: 0, the caller's, or one that is drawn from the caller's generator."""
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
