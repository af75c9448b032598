"""Who makes a clip: a model, or the true motion itself, drawn: what the measures allow.

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
SIZE = 512  # pixels of the longer side of what models of heads draw, and of what is read at least
LIVELY = 0.5  # of faces that nobody drives, where they are not to be calm
SQUARE = 256  # that a portrait is cut to where no model asks for another
OF_MOUTH = np.array([name.startswith(MOUTH) for name in NUMBERS])


class Maker(Protocol):
    """Makes clips: a model, or the truth."""

    def frames(self, clip: Clip, closed: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
        """Frames (h, w, 3) uint8 of a clip. closed: signals whose gate is."""


class Model:
    """A model by name, folder or hub id, as the command line runs it."""

    def __init__(self, name: str) -> None:
        self.pipeline = pipeline_of(name)

    def frames(self, clip: Clip, closed: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
        """The frames of a clip: of models of heads the square around the face, else the whole picture."""
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
    """The motion that a clip asks for, drawn on the portrait by the codec of heads, without a model.

    Speech moves the mouth by its phones, or as the tracked speaker's moves; a driver moves the rest beside
    it, and everything alone; without one a face moves by `Liveliness`. Scripts are left out.
    """

    def __init__(self) -> None:
        self.codec = FaceMotion()

    def frames(self, clip: Clip, closed: tuple[str, ...] = ()) -> Iterator[np.ndarray]:
        """The square around the face."""
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
    """The maker of a model's clips, or of the truth's."""
    return _truth() if name == TRUTH else Model(name)


@lru_cache(maxsize=1)
def _truth() -> Truth:
    return Truth()


def heard(clip: Clip) -> Sound | Path | None:
    """A clip's sound, as the pipeline takes it."""
    if clip.speech is None:
        return clip.real
    return Sound(clip.speech.sound[None], RATE, clip.speech.name)


def articulators(phones: Sequence[Phone], frames: int) -> np.ndarray:
    """The articulators that phones ask for, (f, a)."""
    return at_frames(tracks(phones, frames / FPS + 1), frames, FPS)


def asked_opening(phones: Sequence[Phone], frames: int) -> np.ndarray:
    """The opening between the lips of a neutral face that phones ask for, (f,), cm."""
    neutral = np.zeros(len(head_model().coefficients()))
    return head_model().opening(neutral + mouth(articulators(phones, frames), neutral))


@lru_cache(maxsize=4)
def followed(video: Path, frames: int) -> np.ndarray:
    """The motion of a video's head as numbers (f, 62), as the model `direct` reads it.

    A shorter video stays as it is at its end.
    """
    model = model_of("direct")
    (encoder,) = (model.encoders[name] for name in model.signals)
    context = SignalContext(encoder, model.device, model.dtype, Fraction(FPS))
    driver = perform(context, open_performance(context, video, frames))
    numbers = driver.tokens[:, 0].numpy() * driver.shown(0, len(driver), len(driver), Fraction(FPS))[:, None]
    return np.pad(numbers, ((0, frames - len(numbers)), (0, 0)), "edge")


def enlarged(frame: np.ndarray) -> np.ndarray:
    """A frame (h, w, 3) uint8 with a longer side of at least 512 pixels: the landmarker needs large faces."""
    h, w = frame.shape[:2]
    if max(h, w) >= SIZE:
        return frame
    size = round(w * SIZE / max(h, w)), round(h * SIZE / max(h, w))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
