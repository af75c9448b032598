"""From a model and its conditions to frames, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..codecs.codec import Bound
from ..control.conditions import Conditions
from ..diffusion.guidance import guided
from ..diffusion.noise import FrameNoise
from ..diffusion.reuse import reused
from ..diffusion.sampling import SAMPLERS, Observer, Sampling
from ..diffusion.shifted import sample_shifted
from ..diffusion.windows import sample_windows
from ..errors import one_of
from ..signals.signal import SIGNALS
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
    codec: Bound | None = None,
    told_latents: Callable[[Tensor], object] | None = None,
) -> Iterator[Tensor]:
    """Frames of one clip, piece by piece: (k, 3, H, W), floats in [-1, 1] or uint8.

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
        latents: the unit noise that the clip starts from, (1, f, c, h, w), in place of the seed's; noise
            that a sampler adds on the way is the seed's all the same.
        codec: the model's, bound to the clip's portrait; codecs of pictures need none.
        told_latents: told every window's latents (1, k, c, h, w) before they are decoded.
    """
    config, settings = model.config, model.config.sampling
    noise = FrameNoise(model.codec.latent_shape(config.size), seed, settings.shared_noise, latents)
    name = one_of(sampler or settings.sampler, SAMPLERS, "sampler")
    how = Sampling(
        sigmas=settings.sigmas(steps or settings.steps, name),
        window=config.window,
        overlap=config.overlap,
        shift=settings.shift,
        sampler=SAMPLERS[name],
        path=model.denoise.path,
        observer=observer or Observer(),
    )
    in_pieces = sample_shifted if (windows or settings.windows) == "shifted" else sample_windows
    scales = {**settings.guidance, **(scales or {})}
    with reused(guided(model.denoise, scales, together), model.network, reuse) as denoise:
        pieces = in_pieces(denoise, conditions, frames, noise, how)
        first = 0
        for piece in pieces:
            if told_latents is not None:
                told_latents(piece)
            if not decode:
                yield piece[0]
                continue
            still = free = None
            if settings.hold:
                told = conditions(first, first + piece.shape[1])
                still, free = told.reference, movable(told)[0]
            first += piece.shape[1]
            yield from (codec or model.codec).stream(piece, decode, still, free)
            give_back()  # else a long clip grows by what each window leaves in pieces


def movable(told: Conditions) -> Tensor:
    """Where open signals can move the picture, (b, f, H, W) in [0, 1].

    A signal that moves the face (`Signal.moves`) moves its own region too, if that is wider; one that moves
    the frame turns the head, and with it everything.
    """
    face = told.location[:, :, 0]
    free = torch.zeros_like(face)
    for name, gate in told.gates.items():
        of_face = SIGNALS[name].moves == "face"
        area = _feathered(torch.maximum(face, told.regions[name])) if of_face else 1.0
        free = torch.maximum(free, (gate > 0)[:, :, None, None] * area)
    return free


def _feathered(mask: Tensor, pixels: int = 4) -> Tensor:
    """A mask that rises from 0 at its border to 1 inside; the picture's border is none."""
    side = 2 * pixels + 1
    padded = F.pad(mask, (pixels, pixels, pixels, pixels), mode="replicate")
    return (2 * F.avg_pool2d(padded, side, 1) - 1).clamp(0, 1)
