"""espeak-ng through its C library: formant voices of many languages, with an event for each phoneme."""

from __future__ import annotations

import _ctypes
import array
import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ....errors import InputError
from ....extras import need
from ..symbols import Raw
from .engine import PIP, Engine, Line, Said, Voice, at_rate, packaged

if TYPE_CHECKING:
    Samples = ctypes._Pointer[ctypes.c_short]
    Events = ctypes._Pointer["_Event"]


def _words(text: str) -> list[str]:
    return text.split()


LICENCE = "GPL-3.0-or-later"
ENGLISH = {"en-us": 5.0, "en-gb-x-rp": 2.0, "en-gb-scotland": 1.0, "en-029": 1.0, "en-gb-x-gbclan": 1.0}
LANGUAGES = {  # of voices -> of texts
    **{
        one: one
        for one in _words("de es it nl pl ru uk tr fi et sv nb is cs sk hr hu ro lt sq el hi id sw eu af")
    },
    **{"es-419": "es", "pt": "pt", "pt-br": "pt"},
}
HELD_LANGUAGES = ("fr", "da", "ca", "bg")
VARIANTS = _words(
    """
    m1 m2 m3 m5 m6 m7 m8 f1 f2 f4 f5 klatt klatt2 klatt4 Andy Annie Alex Gene Gene2 Jacky Lee Mario Michael
    steph steph2 Denis linda zac aunty boris caleb ed edward edward2 grandma grandpa john marcelo max mike2
    norbert paul pablo rob robert sandro shelby victor adam anika antonio belinda benjamin david iven iven2
    iven3 michel miguel pedro quincy travis Alicia Andrea Diogo Henrique Hugo Marco Reed
    """
)
HELD_VARIANTS = ("m4", "f3", "klatt3", "steph3", "gustave", "kaukovalta", "iven4")

PAD = 0.06  # seconds of silence in front: the closure of a first stop begins before its mark
RETRIEVE, OPTIONS = 2, 0x01 | 0x02 | 0x8000  # events of phonemes, in IPA; no exit
CHARACTERS, UTF8, END_PAUSE = 1, 0x01, 0x10  # positions, flags of espeak_Synth
PHONEME, END = 7, 0  # events
WORDS_A_MINUTE, PITCH, PITCH_RANGE = 1, 3, 4  # espeak_PARAMETER
IPA = 0x02


class _Name(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _voice(text: str, language: str, share: float, variant: str) -> Voice:
    """A voice for training. text: language of the sentences; language, variant: espeak's names."""
    return Voice(
        name=f"{language}+{variant}",
        language=text,
        licence=LICENCE,
        alphabet="ipa",
        group=language,
        share=share,
    )


class Espeak(Engine):
    """espeak-ng (GPL-3); the wheel `espeakng-loader` brings library and data. 300 times as fast as speech."""

    name = "espeak"
    minutes = (55, 4)
    modules = ("espeakng_loader",)

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._pcm = array.array("h")
        self._marks: list[tuple[float, str]] = []
        self._rate = 0

    def version(self) -> str:
        """The version of `espeakng-loader`."""
        return f"espeakng-loader {packaged('espeakng-loader')}"

    def voices(self) -> list[Voice]:
        """All voices, each of a language and a variant of the speaker."""
        if self.missing():
            return []
        languages = [("en", language, share) for language, share in ENGLISH.items()]
        languages += [(text, language, 1.0) for language, text in LANGUAGES.items()]
        reserved = [(text, text, 1.0) for text in HELD_LANGUAGES] + [("en", "en-us", 2.0)]
        return [
            *(_voice(*language, w) for language in languages for w in VARIANTS),
            *(replace(_voice(*language, w), held_out=True) for language in reserved for w in HELD_VARIANTS),
        ]

    def say(self, voice: Voice, lines: Sequence[Line]) -> Iterator[Said]:
        """Say lines; the symbols are IPA, with times of espeak's phoneme events."""
        library = self._loaded()
        for line in lines:
            if not self._choose(voice.name):
                return
            self._seed(line.seed)
            self._pcm, self._marks = array.array("h"), []
            library.espeak_SetParameter(WORDS_A_MINUTE, round(165 * line.pace), 0)
            library.espeak_SetParameter(PITCH, round(np.clip(50 * line.pitch**2, 5, 95)), 0)
            library.espeak_SetParameter(PITCH_RANGE, 20 + line.seed % 60, 0)
            text = line.text.encode()
            size = ctypes.c_size_t(len(text) + 1)
            options = (0, CHARACTERS, 0, UTF8 | END_PAUSE)  # begin, of which kind, end, flags
            library.espeak_Synth(text, size, *options, None, None)
            library.espeak_Synchronize()
            sound = np.frombuffer(self._pcm.tobytes(), np.int16).astype(np.float32) / 32768
            ends = [start for start, _ in self._marks[1:]] + [len(sound) / self._rate]
            raw: list[Raw] = [
                (start + PAD, end + PAD, symbol)
                for (start, symbol), end in zip(self._marks, ends, strict=False)
                if end > start and not symbol.startswith("(")  # "(en)": the language of a word changes
            ]
            silence = np.zeros(round(PAD * self._rate), np.float32)
            yield Said(line, at_rate(np.concatenate([silence, sound]), self._rate), raw)

    def phonemes(self, text: str, language: str) -> str:
        """The IPA of a text, with spaces between words and marks of stress; empty for an unknown language."""
        library = self._loaded()
        if not self._choose(language):
            return ""
        at = ctypes.c_char_p(text.encode())
        where = ctypes.pointer(at)
        clauses = []
        while where.contents.value:
            clause = library.espeak_TextToPhonemes(
                ctypes.cast(where, ctypes.POINTER(ctypes.c_void_p)), 1, IPA
            )
            if not clause:
                break
            clauses.append(clause.decode())
        return ", ".join(clauses)

    def fresh(self) -> None:
        """Unload the library: its static variables depend on what was said before."""
        if self._library is None:
            return
        self._library.espeak_Terminate()
        handle, self._library = self._library._handle, None
        if hasattr(_ctypes, "dlclose"):  # what was said before goes on in static variables
            _ctypes.dlclose(handle)

    def _choose(self, voice: str) -> bool:
        """Switch to a voice; false where there is none of that name."""
        return bool(self._loaded().espeak_SetVoiceByName(voice.encode()) == 0)

    def _seed(self, seed: int) -> None:
        """Set the seed of the noise of the Klatt voices, which the C library draws."""
        with suppress(OSError, AttributeError, TypeError):  # Windows has it elsewhere
            ctypes.CDLL(None).srand(seed)

    def _loaded(self) -> ctypes.CDLL:
        """The library, loaded and initialised. Raises: InputError where it does not load."""
        if self._library is None:
            loader = need("speech", "espeakng_loader")
            try:
                library = ctypes.CDLL(loader.get_library_path())
            except OSError as error:
                why = " ".join(str(error).split())[:200]
                raise InputError(f"espeak: its library does not load ({why}); {PIP} again") from None
            library.espeak_TextToPhonemes.restype = ctypes.c_char_p
            self._rate = library.espeak_Initialize(RETRIEVE, 0, loader.get_data_path().encode(), OPTIONS)
            self._callback: Callable[..., int] = _CALLBACK(self._heard)
            library.espeak_SetSynthCallback(self._callback)
            self._library = library
        return self._library

    def _heard(self, samples: Samples, count: int, events: Events) -> int:
        """espeak's callback with a piece of sound and its events; returns 0 to go on."""
        if count > 0:
            self._pcm.extend(samples[:count])
        index = 0
        while events[index].type != END:
            event = events[index]
            if event.type == PHONEME:  # eight bytes: a letter at their end may be cut
                symbol = event.id.string.decode("utf-8", "ignore")
                self._marks.append((event.audio_position / 1000, symbol))
            index += 1
        return 0
