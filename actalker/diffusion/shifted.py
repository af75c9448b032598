"""Long clips in windows that move at every step, so that no frame is at a window's edge throughout.

Source: ACTalker's released code, with windows of 25 frames that move by 7 frames at each step.

Letters: f frames of a window, c h w a latent's channels and size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from ..control.conditions import Conditions, chain
from ..errors import InputError
from .guidance import Denoise
from .noise import FrameNoise
from .sampling import Sampling, StepEnd, euler_step
from .windows import bind


def shifted_windows(frames: int, window: int, offset: int) -> list[list[int]]:
    """List the frames of each window on the circle of all frames, from `offset` on.

    Where the window does not divide the frames, the last window overlaps the first.

    >>> shifted_windows(10, 4, 3)
    [[3, 4, 5, 6], [7, 8, 9, 0], [1, 2, 3, 4]]
    """
    if frames <= window:
        return [list(range(frames))]
    count = -(-frames // window)
    return [[(offset + k * window + j) % frames for j in range(window)] for k in range(count)]


def sample_shifted(
    denoise: Denoise,
    conditions: Callable[[int, int], Conditions],
    frames: int,
    noise: FrameNoise,
    how: Sampling,
) -> Iterator[Tensor]:
    """Sample a clip, and yield its latents in order, in pieces (1, k, c, h, w).

    All windows take one step of Euler's method before any takes the next. The latents lie in a file,
    so memory does not grow with the clip. A frame in two windows becomes their mean. If the observer ends
    sampling, the latents are those after the last step that all windows took.

    Args: as of `windows.sample_windows`.
    """
    _, levels = how.path(how.sigmas)
    blocks = [(first, min(first + how.window, frames)) for first in range(0, frames, how.window)]
    with LatentFile(noise.shape) as one, LatentFile(noise.shape) as other:
        now, then = one, other
        for first, stop in blocks:
            now.write(range(first, stop), noise.frames(first, stop) * levels[0])
        for k, sigma in enumerate(how.sigmas[:-1]):
            plan = shifted_windows(frames, how.window, k * how.shift % how.window)
            for number, places in enumerate(plan):
                window = chain([conditions(first, stop) for first, stop in runs(places)])
                x = now.read(places).to(window.reference.device)
                clean = bind(denoise, window)(x, sigma.to(x.device).expand(1))
                x = euler_step(x, clean, levels[k], levels[k + 1])
                if number and number == len(plan) - 1:
                    met = [j for j, place in enumerate(places) if place in plan[0]]
                    x[:, met] = (x[:, met] + then.read([places[j] for j in met]).to(x)) / 2
                then.write(places, how.observer.step_end(StepEnd(number, k, sigma, places, x)))
                if how.observer.stopped:
                    break
            if number == len(plan) - 1:  # a step that was stopped half-way does not count
                now, then = then, now
            if how.observer.stopped:
                break
        for first, stop in blocks:
            yield now.read(range(first, stop)).to(window.reference)


def runs(places: list[int]) -> list[tuple[int, int]]:
    """Split frames into stretches of consecutive ones, each as (first, last + 1).

    >>> runs([7, 8, 9, 0, 1])
    [(7, 10), (0, 2)]
    """
    groups = groupby(enumerate(places), key=lambda item: item[1] - item[0])
    stretches = [[place for _, place in group] for _, group in groups]
    return [(stretch[0], stretch[-1] + 1) for stretch in stretches]


class LatentFile:
    """A context manager: latents in a temporary file, float32 by frame, so that memory stays small."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        """Open an empty file for latent frames of this shape, (c, h, w)."""
        self.shape, self.file = shape, tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self.size = int(np.prod(shape)) * 4

    def __enter__(self) -> LatentFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, frames: Sequence[int], latents: Tensor) -> None:
        """Store latents (1, f, c, h, w) under these frames' numbers. Raises InputError on a full disk."""
        rows = latents[0].float().cpu().numpy()
        try:
            for frame, row in zip(frames, rows, strict=True):
                self.file.seek(frame * self.size)
                self.file.write(row.tobytes())
            self.file.flush()
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()}: {error.strerror}; make room, or set TMPDIR to another folder"
            ) from None

    def read(self, frames: Sequence[int]) -> Tensor:
        """Return the latents (1, f, c, h, w) of these frames."""
        latents = np.empty((len(frames), *self.shape), dtype=np.float32)
        for row, frame in zip(latents, frames, strict=True):
            self.file.seek(frame * self.size)
            row[...] = np.frombuffer(self.file.read(self.size), dtype=np.float32).reshape(self.shape)
        return torch.from_numpy(latents)[None]
