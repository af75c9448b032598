"""From a model and its conditions to frames, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..control.conditions import Conditions
from ..diffusion.guidance import guided
from ..diffusion.reuse import reused
from ..diffusion.sampling import Observer, scheduler
from ..diffusion.shifted import sample_shifted
from ..diffusion.windows import FrameNoise, GivenNoise, sample_windows
from .memory import give_back
from .model import TalkingHeadModel


@torch.no_grad()
def generate(
    model: TalkingHeadModel,
    conditions: Callable[[int, int], Conditions],
    frames: int,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    scales: Mapping[str, float] | None = None,
    windows: str | None = None,
    observer: Observer | None = None,
    together: bool = True,
    decode: int = 8,
    reuse: int = 1,
    latents: Tensor | None = None,
) -> Iterator[Tensor]:
    """Frames of one clip, piece by piece: (k, 3, H, W) in [-1, 1], on the model's device.

    With `decode` 0 they stay latents, (k, c, h, w).

    Args:
        conditions: of frames start to stop, a batch of one.
        frames: length of the clip.
        steps, sampler, windows: the model's own unless given.
        scales: guidance scale of each signal, 1 = none; the model's own of those that are not given.
        observer: told of every step.
        together: whether guidance passes run as one batch. decode: frames that are decoded at once,
            or 0.
        reuse: denoiser calls for which the outputs of attention are kept (`diffusion.reuse`).
        latents: the unit noise that the clip starts from, (1, f, c, h, w), in place of the seed's.
    """
    config, settings = model.config, model.config.sampling
    c, h, w = conditions(0, 1).reference.shape[1:]
    noise = FrameNoise((c, h, w), seed, settings.shared_noise) if latents is None else GivenNoise(latents)

    def fresh() -> object:
        data = config.precondition.sigma_data
        return scheduler(sampler or settings.sampler, settings.sigma_min, settings.sigma_max, data)

    def centre(told: Conditions, count: int) -> Tensor:
        return told.reference[:, None].expand(-1, count, -1, -1, -1)

    shifted = (windows or settings.windows) == "shifted"
    scales = {**settings.guidance, **(scales or {})}
    with reused(guided(model.denoise, scales, together), model.network, reuse) as denoise:
        pieces = (sample_shifted if shifted else sample_windows)(
            denoise,
            conditions,
            frames,
            noise,
            fresh,
            steps or settings.steps,
            config.window,
            settings.shift if shifted else config.overlap,
            centre if config.precondition.centre == "reference" else None,
            observer,
        )
        first = 0
        for piece in pieces:
            if not decode:
                yield piece[0]
                continue
            video = model.codec.decode(piece, decode)[0]
            if settings.hold:
                told = conditions(first, first + len(video))
                still = model.codec.decode(told.reference[:, None])[0]
                video = still + movable(told)[0][:, None].to(video) * (video - still)
            first += len(video)
            give_back()  # else a long clip grows by what each window leaves in pieces
            yield video


def movable(told: Conditions) -> Tensor:
    """Where open signals can move the picture, (b, f, H, W) in [0, 1].

    Speech moves the face (and its own region, if that is wider); expression and text turn the head, and
    with it everything.
    """
    face = told.location[:, :, 0]
    free = torch.zeros_like(face)
    for name, gate in told.gates.items():
        area = _feathered(torch.maximum(face, told.regions[name])) if name == "audio" else 1.0
        free = torch.maximum(free, (gate > 0)[:, :, None, None] * area)
    return free


def _feathered(mask: Tensor, pixels: int = 4) -> Tensor:
    """A mask that rises from 0 at its border to 1 inside; the picture's border is none."""
    side = 2 * pixels + 1
    padded = F.pad(mask, (pixels, pixels, pixels, pixels), mode="replicate")
    return (2 * F.avg_pool2d(padded, side, 1) - 1).clamp(0, 1)
