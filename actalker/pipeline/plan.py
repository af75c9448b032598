"""What a run will cost, said before it starts: frames, windows, denoiser passes, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from ..diffusion.guidance import passes
from ..diffusion.windows import windows
from .model.memory import Arrangement, needed
from .model.model import TalkingHeadModel


@dataclass(frozen=True)
class Plan:
    """frames, windows: counts. passes: denoiser passes in all. memory: estimated peak, bytes.

    facts: what was found in the inputs and decides the result, a line each (`ClipInputs.facts`).
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
    scales: Mapping[str, float],
    steps: int,
    shifted: bool = False,
    arrangement: Arrangement | None = None,
    facts: tuple[str, ...] = (),
) -> Plan:
    """The plan of a clip. Memory: of the arrangement, with the passes that the open signals need."""
    together = len(passes(open_signals, scales))
    window, latents = model.config.window, model.codec.latents_of(frames)
    count = -(-latents // window) if shifted else len(windows(latents, window, model.config.overlap))
    chosen = arrangement or Arrangement(model.network.dtype)
    memory = needed(model, chosen, model.device.type, together, frames)
    return Plan(frames, fps, count, steps, count * steps * together, round(memory), facts)
