"""The speech of one clip: open a sound, and encode it at the video's frame times."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import torch
from torch import Tensor

from ..errors import InputError
from ..media.sound import SHORTEST, Sound, read_sound
from .audio import RATE, SpeechFeatures
from .feed import Feed, SignalContext
from .objects import SoundInput, as_sound


def open_audio(value: SoundInput, context: SignalContext, start: Fraction) -> AudioInput:
    """Open a sound from `start` seconds on, cut to the length of the clip where that is known.

    Raises: InputError for an input without sound, and for a start after its end.
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
    """An opened sound; a `SignalInput`."""

    def __init__(self, sound: Sound, context: SignalContext, start: Fraction) -> None:
        """Keep a sound that begins `start` seconds after its file does."""
        self.sound, self.context, self.start = sound, context, start

    @property
    def seconds(self) -> Fraction:
        """Length of the sound."""
        return self.sound.duration

    def feed(self, frames: int) -> AudioFeed:
        """Return the speech of a clip of so many frames, with silence after the end of the sound."""
        return AudioFeed(self)


class AudioFeed(Feed):
    """The speech of a clip as tokens."""

    def __init__(self, opened: AudioInput) -> None:
        """Mix the sound to one channel, and prepare the encoder's features of it."""
        self.context, self.sound = opened.context, opened.sound
        self.mono = opened.sound.mono(RATE)
        features = cast("SpeechFeatures", self.context.encoder.source)
        self.read = features.reader(self.mono, self.context.fps)
        self.facts = [f"sound from {float(opened.start):g} s of its file on"] if opened.start else []

    def tokens(self, start: int, f: int) -> Tensor:
        """Return the tokens (1, f, n, d) of frames start .. start + f - 1."""
        features = torch.from_numpy(self.read(f, start))[None]
        tokens: Tensor = self.context.encoder(features.to(self.context.device, self.context.dtype))
        return tokens
