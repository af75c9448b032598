"""Long clips in overlapping windows, so that memory does not grow with the length and no seam shows.

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
    """List the windows of a clip, each as (first, last + 1).

    Neighbours share `overlap` frames; the last window shares more, so that it is as long as the others.

    >>> windows(30, 14, 4)
    [(0, 14), (10, 24), (16, 30)]
    """
    if frames <= window:
        return [(0, frames)]
    starts = list(range(0, frames - window, window - overlap)) + [frames - window]
    return [(s, s + window) for s in starts]


def bind(denoise: Denoise, conditions: Conditions) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the denoiser under one window's conditions.

    It computes in the conditions' dtype, and returns float32, since a sampler sums many small steps.
    """

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
    """Sample a clip, and yield its `frames` latents in order, in pieces (1, k, c, h, w).

    Of the frames that a window shares with the one before, the first half stays at that window's result
    while the window is sampled, and all are then blended from one window to the next. So neither content
    nor noise jumps.

    Args:
        denoise: the guided denoiser.
        conditions: (start, stop) -> conditions (1, f, ...) of frames start .. stop - 1.
        frames: latent frames of the clip.
        noise: unit noise by frame.
        how: noise levels, sampler, window and overlap. If its observer ends sampling, the current window is
            the last, as it is.
    """
    ahead: Tensor | None = None  # frames that the next window shares, not yet yielded
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
    """Return the shared frames' latents as `Known` of a window of `frames`, the first half being fixed."""
    shared = ahead.shape[1]
    latents = ahead.new_zeros(1, frames, *ahead.shape[2:])
    latents[:, :shared] = ahead
    where = ahead.new_zeros(1, frames, 1, 1, 1)
    where[:, : shared - shared // 2] = 1
    return Known(latents, where)


def _blend(latents: Tensor, ahead: Tensor) -> None:
    """Blend the shared frames linearly from the window before to this one, in place."""
    shared = ahead.shape[1]
    share = torch.linspace(0, 1, shared + 2, device=latents.device)[1:-1].view(1, -1, 1, 1, 1)
    latents[:, :shared] = ahead + share * (latents[:, :shared] - ahead)
