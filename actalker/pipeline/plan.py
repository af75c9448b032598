"""What a run will cost, said before it starts: frames, windows, denoiser passes, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from ..diffusion.guidance import passes
from ..diffusion.windows import windows
from .model import TalkingHeadModel


@dataclass(frozen=True)
class Plan:
    """frames, windows: counts. passes: denoiser passes in all. memory: estimated peak, bytes."""

    frames: int
    fps: Fraction
    windows: int
    steps: int
    passes: int
    memory: int

    def __str__(self) -> str:
        seconds = float(self.frames / self.fps)
        return (
            f"{self.frames} frames ({seconds:.2f} s at {float(self.fps):g} fps), {self.windows} windows, "
            f"{self.steps} steps, {self.passes} denoiser passes, about {self.memory / 2**30:.1f} GB of memory"
        )


def plan(
    model: TalkingHeadModel,
    frames: int,
    fps: Fraction,
    open_signals: list[str],
    scales: Mapping[str, float],
    steps: int,
    shifted: bool = False,
) -> Plan:
    """The plan of a clip. Memory: the program's own, the weights', and a window's features in every pass."""
    together = len(passes(open_signals, scales))
    window = model.config.window
    count = -(-frames // window) if shifted else len(windows(frames, window, model.config.overlap))
    size = model.config.size // model.codec.stride
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    widths = model.network.config.block_out_channels
    element = next(model.network.parameters()).element_size()
    # measured peaks: the denoiser holds about 28 feature maps of a window at the finest level, at its widest
    features = 28 * together * min(frames, window) * size**2 * max(widths) * element
    base = 600 * 2**20  # the interpreter with torch and diffusers loaded
    return Plan(frames, fps, count, steps, count * steps * together, base + weights + features)
