"""Long clips as overlapping windows: memory does not grow with the length, and no seam shows.

Letters: b batch, f frames, c h w a latent's channels and size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..control.conditions import Conditions
from .guidance import Denoise
from .noise import FrameNoise
from .sampling import Known, Sampling, sample

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


def bind(denoise: Denoise, conditions: Conditions) -> Callable[[Tensor, Tensor], Tensor]:
    """The denoiser under one window's conditions, float32 for samplers whatever the conditions' dtype is."""

    def bound(x: Tensor, sigma: Tensor) -> Tensor:
        return denoise(x.to(conditions.reference), sigma, conditions).float()

    return bound


def sample_windows(
    denoise: Denoise,
    conditions: Callable[[int, int], Conditions],
    frames: int,
    noise: FrameNoise,
    how: Sampling,
) -> Iterator[Tensor]:
    """Latents of a clip, piece by piece (1, k, c, h, w), in order; together `frames` of them.

    The first half of what a window shares with the one before is held at that window's result while it is
    sampled, and the second half is blended over, so that neither content nor noise jumps.

    Args:
        denoise: the guided denoiser.
        conditions: of frames start to stop, (1, f, ...).
    Where `how.observer` stops, the window at hand is the last, as it stands.
    """
    ahead: Tensor | None = None  # frames that the next window shares, not yet given out
    plan = windows(frames, how.window, how.overlap)
    for number, (first, stop) in enumerate(plan):
        window = conditions(first, stop)
        like = window.reference

        def fresh(draw: int, first: int = first, stop: int = stop, like: Tensor = like) -> Tensor:
            return noise.frames(first, stop, draw).to(like.device)

        known = None if ahead is None else _known(ahead, stop - first)
        latents = sample(bind(denoise, window), fresh, how, known, (number, first))
        if ahead is not None:
            _blend(latents, ahead)
        if how.observer.stopped:
            yield latents.to(like)
            return
        following = plan[number + 1][0] if number + 1 < len(plan) else stop
        ahead = latents[:, following - first :]
        yield latents[:, : following - first].to(like)


def _known(ahead: Tensor, frames: int) -> Known:
    """The frames that a window shares with the one before, of which it keeps the first half."""
    shared = ahead.shape[1]
    latents = ahead.new_zeros(1, frames, *ahead.shape[2:])
    latents[:, :shared] = ahead
    where = ahead.new_zeros(1, frames, 1, 1, 1)
    where[:, : shared - shared // 2] = 1
    return Known(latents, where)


def _blend(latents: Tensor, ahead: Tensor) -> None:
    """Go over from the window before to this one, in place, in the frames that they share."""
    shared = ahead.shape[1]
    share = torch.linspace(0, 1, shared + 2, device=latents.device)[1:-1].view(1, -1, 1, 1, 1)
    latents[:, :shared] = ahead + share * (latents[:, :shared] - ahead)
