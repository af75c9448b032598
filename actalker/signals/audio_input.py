"""Speech of one clip: a sound, read at the video's frame times. Letters: f frames, n samples."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..media.sound import SHORTEST, Sound, read_sound
from .audio import RATE, SpeechFeatures
from .feed import Feed, SignalContext
from .objects import SoundInput, as_sound


def open_audio(value: SoundInput, context: SignalContext, start: Fraction) -> AudioInput:
    """The sound from `start` seconds on, no longer than the clip.

    Raises: InputError for what holds no sound, and a start behind its end.
    """
    audio = as_sound(value)
    longest = None if context.seconds is None else max(context.seconds, SHORTEST)
    if not isinstance(audio, Sound):
        return AudioInput(read_sound(audio, limit=longest, start=start), context, start)
    if start >= audio.duration > 0:
        ends = f"its sound ends at {float(audio.duration):.2f} s"
        raise InputError(f"{audio.name}: {ends}; start before that, not at {float(start):g} s")
    stop = audio.duration if longest is None else min(audio.duration, start + longest)
    part = audio if (start, stop) == (0, audio.duration) else audio.cut(start, stop)
    part.check()
    return AudioInput(part, context, start)


class AudioInput:
    """A sound that is opened."""

    def __init__(self, sound: Sound, context: SignalContext, start: Fraction) -> None:
        self.sound, self.context, self.start = sound, context, start

    @property
    def seconds(self) -> Fraction:
        """Of the sound."""
        return self.sound.duration

    def feed(self, frames: int) -> AudioFeed:
        """The sound; of a shorter clip the beginning counts, of a longer one silence follows."""
        return AudioFeed(self)


class AudioFeed(Feed):
    """Speech as tokens."""

    def __init__(self, opened: AudioInput) -> None:
        self.context, self.sound = opened.context, opened.sound
        self.mono = opened.sound.mono(RATE)
        source: Any = self.context.encoder.source
        features: SpeechFeatures = source
        self.read = features.reader(self.mono, self.context.fps)
        self.facts = [f"sound from {float(opened.start):g} s of its file on"] if opened.start else []

    def tokens(self, start: int, f: int) -> Tensor:
        """Tokens (1, f, n, d) of frames start .. start + f."""
        features = torch.from_numpy(self.read(f, start))[None]
        tokens: Tensor = self.context.encoder(features.to(self.context.device, self.context.dtype))
        return tokens
