"""From a model and its conditions to frames, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

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
    """Frames of one clip, piece by piece: (k, 3, H, W), floats in [-1, 1] or uint8.

    Where the arrangement decodes 0 at once, they stay latents, (k, c, h, w), of which there may be fewer.

    Args:
        conditions: of frames start to stop, a batch of one.
        frames: length of the clip.
        plan: how it is sampled; None: as the model is, with seed 0.
        observer: called after every step. arrangement: how many frames are decoded at once, and whether
            guidance passes run as one batch.
        latents: the unit noise that the clip starts from, (1, f, c, h, w), f latent frames, in place of
            the seed's; noise that a sampler adds on the way is the seed's all the same.
        codec: the model's, bound to the clip's portrait; codecs of pictures need none.
        on_latents: called with every window's latents (1, k, c, h, w) before they are decoded.
    """
    config, settings = model.config, model.config.sampling
    plan = plan or sampling_plan(RunOptions(), settings)
    noise = FrameNoise(model.codec.latent_shape(config.size), plan.seed, settings.shared_noise, latents)
    how = Sampling(
        sigmas=settings.sigmas(plan.steps, plan.sampler),
        window=config.window,
        overlap=config.overlap,
        shift=settings.shift,
        sampler=SAMPLERS[plan.sampler],
        path=model.denoise.path,
        observer=observer or Observer(),
    )

    def of_latents(start: int, stop: int) -> Conditions:
        begin, end = cover(start, stop)
        return model.over_latent_frames(conditions(begin, end), start)

    def cover(start: int, stop: int) -> tuple[int, int]:
        return model.codec.frames_of(start), min(model.codec.frames_of(stop), frames)

    in_pieces = sample_shifted if plan.windows == "shifted" else sample_windows
    estimate = guided(model.denoise, plan.guidance, arrangement.together)
    with reused(estimate, model.network, plan.reuse) as denoise:
        pieces = in_pieces(denoise, of_latents, model.codec.latents_of(frames), noise, how)
        first = 0
        for piece in pieces:
            if on_latents is not None:
                on_latents(piece)
            if not arrangement.decode:
                yield piece[0]
                continue
            begin, end = cover(first, first + piece.shape[1])
            still = free = None
            if settings.hold:
                told = conditions(begin, end)
                still, free = told.reference, movable(told)[0]
            first += piece.shape[1]
            stream = (codec or model.codec).stream(piece, arrangement.decode, still, free)
            yield from _at_most(end - begin, stream)
            give_back()  # else a long clip grows by what each window leaves in pieces


def _at_most(count: int, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """The first so many frames: the last latent frame of a clip may cover more than the clip has."""
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return


def movable(told: Conditions) -> Tensor:
    """Where open signals can move the picture, (b, f, H, W) in [0, 1].

    A signal that moves the face (`Signal.moves`) moves its own region too, if that is wider; one that moves
    the frame turns the head, and with it everything.
    """
    face = told.maps["face"]
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
