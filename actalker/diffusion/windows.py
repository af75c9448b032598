"""Long clips as overlapping windows: memory does not grow with the length, and no seam shows.

Letters: b batch, f frames, c h w a latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..control.conditions import Conditions
from .guidance import Denoise
from .sampling import Observer, sample

WINDOWS = ("overlapping", "shifted")


def windows(frames: int, window: int, overlap: int) -> list[tuple[int, int]]:
    """First and last-plus-one frame of each window.

    Neighbours share at least `overlap` frames; the last window is as long as the others.

    >>> windows(30, 14, 4)
    [(0, 14), (10, 24), (16, 30)]
    """
    if frames <= window:
        return [(0, frames)]
    starts = list(range(0, frames - window, window - overlap)) + [frames - window]
    return [(s, s + window) for s in starts]


class FrameNoise:
    """Unit noise that belongs to (seed, frame), not to a window: where windows meet, they start alike.

    `shared` of its variance is the same in every frame, as in training (`ObjectiveConfig.shared_noise`).
    """

    def __init__(self, shape: tuple[int, int, int], seed: int, shared: float = 0.0) -> None:
        self.shape, self.seed, self.shared = shape, seed, shared
        self.common = self._draw(0)

    def _draw(self, stream: int) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)
        return torch.randn(self.shape, generator=generator)

    def frames(self, start: int, stop: int) -> Tensor:
        """Noise of frames start to stop, (1, f, c, h, w)."""
        own = torch.stack([self._draw(k + 1) for k in range(start, stop)])
        return (self.shared**0.5 * self.common + (1 - self.shared) ** 0.5 * own)[None]


class GivenNoise:
    """Unit noise (1, f, c, h, w) that the caller has drawn, in the place of `FrameNoise`."""

    def __init__(self, latents: Tensor) -> None:
        c, h, w = latents.shape[2:]
        self.latents, self.shape = latents, (c, h, w)

    def frames(self, start: int, stop: int) -> Tensor:
        """Noise of frames start to stop, (1, f, c, h, w)."""
        return self.latents[:, start:stop]


def sample_windows(
    denoise: Denoise,
    conditions: Callable[[int, int], Conditions],
    frames: int,
    noise: FrameNoise | GivenNoise,
    scheduler: Callable[[], Any],
    steps: int,
    window: int,
    overlap: int,
    observer: Observer | None = None,
) -> Iterator[Tensor]:
    """Latents of a clip, piece by piece (1, k, c, h, w), in order; together `frames` of them.

    The first half of what a window shares with the one before is held at that window's result while it is
    sampled, and the second half is blended over, so that neither content nor noise jumps.

    Args:
        denoise: the guided denoiser.
        conditions: of frames start to stop, (1, f, ...).
        scheduler: makes a fresh scheduler.
        observer: told of every step; where it stops, the window at hand is the last, as it stands.
    """
    ahead: Tensor | None = None  # frames that the next window shares, not yet given out
    plan = windows(frames, window, overlap)
    for number, (first, stop) in enumerate(plan):
        told = conditions(first, stop)
        unit = noise.frames(first, stop).to(told.reference)
        known = None
        if ahead is not None:
            held = ahead.shape[1] - ahead.shape[1] // 2
            values = torch.zeros_like(unit)
            values[:, : ahead.shape[1]] = ahead
            where = torch.zeros(1, unit.shape[1], 1, 1, 1, device=unit.device)
            where[:, :held] = 1
            known = (values, where)
        latents = sample(
            lambda x, sigma, told=told: denoise(x, sigma, told),  # type: ignore[misc]
            unit,
            scheduler(),
            steps,
            known,
            observer,
            number,
            first,
        )
        if ahead is not None:
            shared = ahead.shape[1]
            share = torch.linspace(0, 1, shared + 2, device=unit.device)[1:-1].view(1, -1, 1, 1, 1)
            latents[:, :shared] = ahead + share * (latents[:, :shared] - ahead)
        if observer is not None and observer.stopped:
            yield latents
            return
        following = plan[number + 1][0] if number + 1 < len(plan) else stop
        ahead = latents[:, following - first :]
        yield latents[:, : following - first]
