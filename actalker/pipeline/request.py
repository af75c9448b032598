"""A clip that is ready to be made: its inputs, and how it is sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..diffusion.sampling import SAMPLERS
from ..diffusion.windows import WINDOWS
from ..errors import InputError, kind_of, one_of, whole
from ..signals.signal import SIGNALS
from .inputs import ClipInputs
from .interpolate import Between, blend
from .memory import Arrangement
from .model import SamplingConfig
from .plan import Plan, plan

MOST_REUSED = 8
MASKS = ("paper", "released")
SMALLEST, LARGEST = 64, 8192  # pixels of a frame's longer side


@dataclass
class Request:
    """A clip that is ready to be made: its inputs and how it is sampled."""

    inputs: ClipInputs
    seed: int
    steps: int
    sampler: str | None
    guidance: Mapping[str, float]
    windows: str
    reuse: int = 1
    """Denoiser calls for which the outputs of attention are kept."""
    latents: Tensor | None = None
    """The unit noise that the clip starts from, (1, f, c, h, w), where the caller has drawn it."""
    interpolate: int = 1
    """Frames of the video for each generated one."""
    between: Between = blend
    arrangement: Arrangement | None = None
    steady: bool = False
    """Whether colour and exposure are held where the clip begins."""
    liveliness: float = 0.0
    """How much a face moves of itself where there is no driving video, in [0, 1]."""
    told_latents: Callable[[Tensor], object] | None = None
    """Told every window's latents (1, k, c, h, w) before they are decoded."""
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        inputs = self.inputs
        self.plan = plan(
            inputs.model,
            inputs.frames,
            inputs.fps,
            ["identity", *inputs.opened()],
            self.guidance,
            self.steps,
            self.windows == "shifted",
            self.arrangement,
            tuple(inputs.facts()),
        )
        if self.latents is not None:
            self.latents = self._checked_noise(self.latents)

    @property
    def fps(self) -> Fraction:
        """Frames a second of the video."""
        return self.inputs.fps * self.interpolate

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return self.inputs.frames * self.interpolate

    def _checked_noise(self, latents: Tensor) -> Tensor:
        """The caller's noise. Raises: InputError where it is not this clip's shape."""
        if not isinstance(latents, Tensor):
            raise InputError(f"latents: is {kind_of(latents)}; give a tensor of unit noise")
        latents = latents[None] if latents.ndim == 4 else latents
        model = self.inputs.model
        shape = (1, self.inputs.frames, *model.codec.latent_shape(model.config.size))
        if tuple(latents.shape) != shape or not latents.isfinite().all():
            raise InputError(
                f"latents of shape {tuple(latents.shape)}: this clip starts from unit noise of shape {shape}"
            )
        return latents.float().cpu()


def by_signal(values: Mapping[str, Any] | None, what: str, example: Any) -> Mapping[str, Any]:
    """What is given for each signal. Raises: InputError for what is no dictionary."""
    if values is not None and not isinstance(values, Mapping):
        raise InputError(f"{what}: is {kind_of(values)}; give it for each signal, {{'audio': {example!r}}}")
    return values or {}


def longest_side(size: int | str | None) -> int | None:
    """Of the frames, pixels: 0 for `own`, None where none is asked for. Raises: InputError for other
    words.
    """
    if size is None or size == "own":
        return None if size is None else 0
    try:
        pixels = int(size)
    except (TypeError, ValueError):
        pixels = 0
    if not SMALLEST <= pixels <= LARGEST:
        raise InputError(f"size {size}: give {SMALLEST} to {LARGEST} pixels for the longer side, or own")
    return pixels


def share(value: float, what: str) -> float:
    """A number in [0, 1]. Raises: InputError for others."""
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise InputError(f"{what} {value}: give a number from 0 (none) to 1")
    return float(value)


def acting(regions: Mapping[str, str | Path] | None, masks: str) -> dict[str, str | Path]:
    """Signal -> region, as the caller gave them; `released` masks are the whole frame where none is given."""
    given = dict(by_signal(regions, "regions", "mouth"))
    for name, region in given.items():
        one_of(name, SIGNALS, "signal")
        if not isinstance(region, (str, Path)):
            raise InputError(f"regions {name}: is {kind_of(region)}; give a name, or a picture's path")
    released = one_of(masks, MASKS, "rule of masks") == "released"
    return {**dict.fromkeys(SIGNALS, "frame"), **given} if released else given


def sampling(
    settings: SamplingConfig,
    together: bool,
    guidance: Mapping[str, float] | None,
    steps: int | None,
    sampler: str | None,
    windows: str | None,
    reuse: int,
    seed: int | None,
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> dict[str, Any]:
    """How a clip is sampled, as `Request` has it: the caller's choices, checked, and the model's own.

    together: whether guidance passes run as one batch. generator: a seed is drawn from it.
    """
    for name in by_signal(guidance, "guidance", 2.0):
        one_of(name, (*SIGNALS, "identity"), "signal")
    guidance = {**settings.guidance, **(guidance or {})}
    for name, scale in guidance.items():
        if not isinstance(scale, Real) or not 0 <= scale <= 100:
            shown = f"{scale:g}" if isinstance(scale, Real) else repr(scale)
            raise InputError(f"guidance {name}={shown}: give a scale from 0 to 100; 1 is none")
    steps = whole(settings.steps if steps is None else steps, "steps", 1000)
    if sampler is not None:
        one_of(sampler, SAMPLERS, "sampler")
    windows = one_of(windows or settings.windows, WINDOWS, "kind of windows")
    if windows == "shifted" and (sampler or settings.sampler) != "euler":
        raise InputError(f"sampler {sampler or settings.sampler}: shifted windows take the sampler euler")
    whole(reuse, "reuse", MOST_REUSED, hint=" (none)")
    if reuse > 1 and (windows == "shifted" or not together):
        raise InputError(f"reuse {reuse}: needs overlapping windows, and guidance in one batch; leave it out")
    return {
        "guidance": guidance,
        "steps": steps,
        "sampler": sampler,
        "windows": windows,
        "reuse": reuse,
        "seed": _seed(seed, generator),
    }


def _seed(seed: int | None, generator: torch.Generator | Sequence[torch.Generator] | None) -> int:
    """The seed of a clip: 0, the caller's, or one that is drawn from the caller's generator."""
    if isinstance(generator, Sequence):
        if len(generator) != 1:
            raise InputError(f"generator: a list of {len(generator)}; one clip is made a call, give one")
        generator = generator[0]
    if generator is None:
        return whole(0 if seed is None else seed, "seed", 2**63 - 1, 0)
    if seed is not None:
        raise InputError("seed and generator: both are given; give one of them")
    if not isinstance(generator, torch.Generator):
        raise InputError(f"generator: is {kind_of(generator)}; give a torch.Generator, or a seed")
    return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
