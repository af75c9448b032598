"""Makers of clips: models, and the truth.

The truth draws the motion that the signals ask for, without a model, and so shows the best values that the
measures allow.

Letters: f frames, h w picture size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from ...codecs.drawn import DrawnPortrait
from ...codecs.face_motion import FaceMotion
from ...heads.articulation import Phone, at_frames, mouth, tracks
from ...heads.face_map import MOUTH, NUMBERS
from ...heads.model import head_model
from ...media.sound import Sound
from ...pipeline.output.result import to_uint8
from ...pipeline.portrait import read_portrait
from ...signals.expression_input import open_performance, perform
from ...signals.feed import SignalContext
from ...signals.liveliness import Liveliness
from ..lips import FPS
from ..models import model_of, pipeline_of
from .clips import Clip
from .sounds import RATE

CLOSED = "audio"  # the signal whose gate closes in a pair of clips
TRUTH = "truth"
SIZE = 512  # pixels of the longer side: of drawn frames at most, of frames that MediaPipe reads at least
LIVELY = 0.5  # liveliness of faces without a driver, unless the clip is calm
SQUARE = 256  # side in pixels of the crop of the portrait that the truth uses
OF_MOUTH = np.array([name.startswith(MOUTH) for name in NUMBERS])


class Maker(Protocol):
    """Interface of what makes clips: a model, or the truth."""

    def frames(self, clip: Clip, closed: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
        """Yield the frames (h, w, 3) uint8 of a clip. closed: signals whose gate is set to 0."""


class Model:
    """Make clips with a model, given by its name, folder or hub id, as the command line does."""

    def __init__(self, name: str) -> None:
        self.pipeline = pipeline_of(name)

    def frames(self, clip: Clip, closed: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
        """Yield the frames (h, w, 3) uint8 of a clip.

        Models whose latents are motion give the square around the face; others give the whole picture.
        closed: signals whose gate is set to 0.
        """
        of_heads = self.pipeline.model.codec.moves
        request = self.pipeline.prepare(
            clip.portrait,
            audio=heard(clip),
            expression=clip.driver,
            text=clip.script,
            gates=dict.fromkeys(closed, 0.0),
            duration=Fraction(clip.frames, FPS),
            seed=clip.seed,
            liveliness=0.0 if clip.calm else LIVELY,
            fps=FPS,
            view="face" if of_heads else None,
            size=SIZE if of_heads else None,
        )
        yield from self.pipeline.stream(request)


class Truth:
    """Make clips by drawing the motion that their signals ask for on the portrait, without a model.

    Sound moves the mouth: `speech` by its phones, `real` as the mouth tracked in the speaker's video. A
    driver moves the rest of the face where there is sound, and the whole face where there is none. Without a
    driver, `Liveliness` moves the face, unless the clip is calm. Scripts are left out.
    """

    def __init__(self) -> None:
        self.codec = FaceMotion()

    def frames(self, clip: Clip, closed: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
        """Yield frames (h, w, 3) uint8 of the square around the face.

        closed: signals whose gate is set to 0; `audio` then takes the phones of `speech` away.
        """
        portrait = read_portrait(clip.portrait, SQUARE, codec=self.codec, view="face", limit=SIZE).bound
        assert isinstance(portrait, DrawnPortrait)
        numbers = np.zeros((clip.frames, len(NUMBERS)), np.float32)
        heard = CLOSED not in closed
        if clip.driver is not None:
            numbers += followed(clip.driver, clip.frames) * (~OF_MOUTH if CLOSED in clip.signals else 1)
        elif not clip.calm:
            numbers += Liveliness(FPS, clip.seed, LIVELY).numbers(0, clip.frames)
        if clip.real is not None:
            numbers += followed(clip.real, clip.frames) * OF_MOUTH
        elif clip.phones and heard:
            neutral = portrait.fit.coefficients.astype(np.float64)
            change = mouth(articulators(clip.phones, clip.frames), neutral)
            numbers[:, : change.shape[1]] += change * OF_MOUTH[: change.shape[1]]
        latents = self.codec.lay(torch.from_numpy(numbers))[None]
        for piece in portrait.stream(latents, 8):
            yield from to_uint8(piece)


def maker(name: str) -> Maker:
    """Return the maker of the clips of a model; for the name `truth`, that of the truth."""
    return _truth() if name == TRUTH else Model(name)


@lru_cache(maxsize=1)
def _truth() -> Truth:
    return Truth()


def heard(clip: Clip) -> Sound | Path | None:
    """Return a clip's sound in a form that the pipeline accepts; None for a clip without sound."""
    if clip.speech is None:
        return clip.real
    return Sound(clip.speech.sound[None], RATE, clip.speech.name)


def articulators(phones: Sequence[Phone], frames: int) -> np.ndarray:
    """Return the positions of the articulators that phones ask for, (f, a), at 25 frames per second."""
    return at_frames(tracks(phones, frames / FPS + 1), frames, FPS)


def asked_opening(phones: Sequence[Phone], frames: int) -> np.ndarray:
    """Return the opening of the lips that phones ask for in a neutral face, (f,), in cm."""
    neutral = np.zeros(len(head_model().coefficients()))
    return head_model().opening(neutral + mouth(articulators(phones, frames), neutral))


@lru_cache(maxsize=4)
def followed(video: Path, frames: int) -> np.ndarray:
    """Return the motion of the head in a video, (f, 62), as the model `direct` tracks it.

    A video that is too short is continued with its last frame.
    """
    model = model_of("direct")
    (encoder,) = (model.encoders[name] for name in model.signals)
    context = SignalContext(encoder, model.device, model.dtype, Fraction(FPS))
    driver = perform(context, open_performance(context, video, frames))
    numbers = driver.tokens[:, 0].numpy() * driver.shown(0, len(driver), len(driver), Fraction(FPS))[:, None]
    return np.pad(numbers, ((0, frames - len(numbers)), (0, 0)), "edge")


def enlarged(frame: np.ndarray) -> np.ndarray:
    """Return a frame (h, w, 3) uint8, enlarged to a longer side of 512 pixels where it is smaller.

    The landmarker needs large faces.
    """
    h, w = frame.shape[:2]
    if max(h, w) >= SIZE:
        return frame
    size = round(w * SIZE / max(h, w)), round(h * SIZE / max(h, w))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
