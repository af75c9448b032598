"""Frames of a clip from a model and its conditions, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..codecs.codec import Bound, Codec
from ..control.conditions import Conditions
from ..diffusion.guidance import Denoise, guided
from ..diffusion.noise import FrameNoise
from ..diffusion.reuse import reused
from ..diffusion.sampling import SAMPLERS, Observer, Sampling
from ..diffusion.shifted import sample_shifted
from ..diffusion.windows import sample_windows
from ..signals.signal import SIGNALS
from .model.memory import Arrangement, give_back
from .model.model import TalkingHeadModel
from .options import RunOptions
from .sampling_plan import SamplingPlan, sampling_plan


@torch.no_grad()
def generate(
    model: TalkingHeadModel,
    conditions: Callable[[int, int], Conditions],
    frames: int,
    plan: SamplingPlan | None = None,
    *,
    observer: Observer | None = None,
    arrangement: Arrangement = Arrangement(),  # noqa: B008 - frozen
    latents: Tensor | None = None,
    codec: Bound | None = None,
    on_latents: Callable[[Tensor], object] | None = None,
) -> Iterator[Tensor]:
    """Yield the frames of one clip, piece by piece: (k, 3, H, W), floats in [-1, 1] or uint8.

    Where the arrangement decodes 0 frames at once, latents (k, c, h, w) are yielded instead.

    Args:
        conditions: a function (start, stop) -> conditions of those video frames, a batch of one.
        frames: number of video frames of the clip.
        plan: how the clip is sampled; None: by the model's settings, with seed 0.
        observer: called after every step.
        arrangement: how many frames are decoded at once, and whether guidance passes run as one batch.
        latents: unit noise (1, f, c, h, w) of f latent frames that the clip starts from, in place of the
            seed's; noise that a sampler adds later is drawn from the seed in any case.
        codec: the model's codec, bound to the clip's portrait; codecs of pictures need none.
        on_latents: called with every window's latents (1, k, c, h, w) before they are decoded.
    """
    plan = plan or sampling_plan(RunOptions(), model.config.sampling)
    clip = _Clip(model, conditions, frames)
    estimate = guided(model.denoise, plan.guidance, arrangement.together)
    first = 0
    with reused(estimate, model.network, plan.reuse) as denoise:
        for window in _denoised(denoise, clip, plan, observer or Observer(), latents):
            if on_latents is not None:
                on_latents(window)
            if not arrangement.decode:
                yield window[0]
                continue
            yield from clip.decoded(window, first, codec or model.codec, arrangement.decode)
            first += window.shape[1]
            give_back()  # else a long clip grows by what each window leaves in pieces


@dataclass(frozen=True)
class _Clip:
    """A clip of `frames` video frames, addressed by its latent frames.

    conditions: a function (start, stop) -> conditions of those video frames.
    """

    model: TalkingHeadModel
    conditions: Callable[[int, int], Conditions]
    frames: int

    def video_frames(self, start: int, stop: int) -> tuple[int, int]:
        """The first video frame of latent frames start to stop, and the one after their last."""
        codec = self.model.codec
        return codec.frames_of(start), min(codec.frames_of(stop), self.frames)

    def latent_conditions(self, start: int, stop: int) -> Conditions:
        """The conditions of latent frames start to stop, as the network takes them."""
        return self.model.over_latent_frames(self.conditions(*self.video_frames(start, stop)), start)

    def decoded(self, latents: Tensor, first: int, codec: Codec | Bound, at_once: int) -> Iterator[Tensor]:
        """The video frames of a window's latents (1, k, c, h, w), `at_once` of them decoded together.

        first: number in the clip of the window's first latent frame.
        """
        start, stop = self.video_frames(first, first + latents.shape[1])
        still = free = None
        if self.model.config.sampling.hold:
            conditions = self.conditions(start, stop)
            still, free = conditions.reference, movable(conditions)[0]
        return _at_most(stop - start, codec.stream(latents, at_once, still, free))


def _denoised(
    denoise: Denoise, clip: _Clip, plan: SamplingPlan, observer: Observer, latents: Tensor | None
) -> Iterator[Tensor]:
    """Clean latents (1, k, c, h, w) of a clip, window by window; arguments as of `generate`."""
    model = clip.model
    config, settings = model.config, model.config.sampling
    noise = FrameNoise(model.codec.latent_shape(config.size), plan.seed, settings.shared_noise, latents)
    how = Sampling(
        sigmas=settings.sigmas(plan.steps, plan.sampler),
        window=config.window,
        overlap=config.overlap,
        shift=settings.shift,
        sampler=SAMPLERS[plan.sampler],
        path=model.denoise.path,
        observer=observer,
    )
    in_pieces = sample_shifted if plan.windows == "shifted" else sample_windows
    return in_pieces(denoise, clip.latent_conditions, model.codec.latents_of(clip.frames), noise, how)


def _at_most(count: int, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """The first `count` frames: the last latent frame of a clip may cover more than the clip has."""
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return


def movable(conditions: Conditions) -> Tensor:
    """Return where open signals can move the picture, (b, f, H, W) in [0, 1].

    A signal that moves the face (`Signal.moves`) moves the face and its region; one that moves the frame
    turns the head, and with it the whole picture. Borders are feathered inwards.
    """
    face = conditions.maps["face"]
    free = torch.zeros_like(face)
    for name, gate in conditions.gates.items():
        of_face = SIGNALS[name].moves == "face"
        area = _feathered(torch.maximum(face, conditions.regions[name])) if of_face else 1.0
        free = torch.maximum(free, (gate > 0)[:, :, None, None] * area)
    return free


def _feathered(mask: Tensor, pixels: int = 4) -> Tensor:
    """A mask that rises from 0 at its border to 1 inside; the edge of the picture is no border of it."""
    side = 2 * pixels + 1
    padded = F.pad(mask, (pixels, pixels, pixels, pixels), mode="replicate")
    return (2 * F.avg_pool2d(padded, side, 1) - 1).clamp(0, 1)
