"""The cost of a run, estimated before it starts: frames, windows, denoiser passes, memory."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..diffusion.guidance import passes
from ..diffusion.windows import windows
from .model.memory import Arrangement, needed
from .model.model import TalkingHeadModel
from .sampling_plan import SamplingPlan


@dataclass(frozen=True)
class Plan:
    """The cost of a clip. `str` gives it in words.

    frames: number of generated frames, and fps their rate.
    windows: number of windows that are denoised.
    steps: denoiser calls a window.
    passes: denoiser passes in all; guidance takes several a call.
    memory: estimated peak, bytes.
    facts: lines about the inputs that decide the result (`ClipInputs.facts`).
    """

    frames: int
    fps: Fraction
    windows: int
    steps: int
    passes: int
    memory: int
    facts: tuple[str, ...] = ()

    def __str__(self) -> str:
        seconds = float(self.frames / self.fps)
        cost = (
            f"{self.frames} frames ({seconds:.2f} s at {float(self.fps):g} fps), {self.windows} windows, "
            f"{self.steps} steps, {self.passes} denoiser passes, about {self.memory / 2**30:.1f} GB of memory"
        )
        return "\n".join([cost, *(f"  {fact}" for fact in self.facts)])


def plan(
    model: TalkingHeadModel,
    frames: int,
    fps: Fraction,
    open_signals: list[str],
    sampling: SamplingPlan,
    arrangement: Arrangement | None = None,
    facts: tuple[str, ...] = (),
) -> Plan:
    """Estimate the cost of a clip.

    Args:
        open_signals: signals whose gate is open at some time, and identity: guidance may push them.
        arrangement: how the model is run; None: the fastest way.
        facts: lines about the inputs, which the plan repeats.
    """
    together = len(passes(open_signals, sampling.guidance))
    window, latents = model.config.window, model.codec.latents_of(frames)
    shifted = sampling.windows == "shifted"
    count = -(-latents // window) if shifted else len(windows(latents, window, model.config.overlap))
    chosen = arrangement or Arrangement(model.network.dtype)
    memory = needed(model, chosen, model.device.type, together, frames)
    return Plan(
        frames=frames,
        fps=fps,
        windows=count,
        steps=sampling.steps,
        passes=count * sampling.steps * together,
        memory=round(memory),
        facts=facts,
    )
