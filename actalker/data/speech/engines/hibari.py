"""hibari: a small neural voice of English, distilled from Kokoro-82M."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ....extras import need
from .durations import session, spread
from .engine import Engine, Line, Said, Voice, at_rate, packaged

LICENCE = "Apache-2.0"
DURATIONS = "/Clip_output_0"


class Hibari(Engine):
    """The engine hibari (Apache-2.0): the first voice, whose weights come in the wheel `hibari-tts`.

    Other voices would be downloaded.
    """

    name = "hibari"
    minutes = (25, 0)
    modules = ("hibari", "onnx", "onnxruntime")

    def __init__(self) -> None:
        self._model: Any = None
        self._session: Any = None

    def version(self) -> str:
        """The version of `hibari-tts`."""
        return f"hibari-tts {packaged('hibari-tts')}"

    def voices(self) -> list[Voice]:
        """The one voice, where the packages are installed."""
        return [] if self.missing() else [Voice("heart", "en", LICENCE, "kokoro", group="heart")]

    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """Say lines; those without a phoneme are left out. Times are the model's durations."""
        if self._model is None:
            self._model = need("speech", "hibari").Hibari()
            self._session = session(self._model.model_path, DURATIONS)
        synthesis = need("speech", "hibari.dsp")
        for line in lines:
            phonemes = " ".join(self._model.phonemize(line.text))
            letters = [c for c in phonemes if c in self._model.vocab]
            if not letters:
                continue
            ids = np.array([[0, *(self._model.vocab[c] for c in letters), 0]], np.int64)
            fed = {"ids": ids, "speed": np.array([line.pace], np.float32)}
            *spectra, durations = self._session.run(None, fed)
            voiced, angle, noise, rest, phase, pitch = (one[0] for one in spectra)
            sound = synthesis.synth(
                *(voiced, angle, noise, rest, phase, pitch * np.float32(line.pitch)),
                np.random.default_rng(line.seed),
            )
            raw = spread(["_", *letters, "_"], durations, len(sound) / synthesis.SR)
            yield Said(line, at_rate(sound, synthesis.SR), raw)
