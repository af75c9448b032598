"""Speech with phone times in a folder: the format that `actalker speech` writes, and its reader.

Each engine has a pair of files for the voices that are trained on and one for those held out:
`espeak.train.npy`, all its sound one after the other, and `espeak.train.jsonl`, a line for each utterance.
`cache.json` lists the pairs that are complete. Lines hold the engine's own symbols and times, which are
converted to corrected phones when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex, cast, overload

import numpy as np
from typing_extensions import NotRequired, TypedDict

from ...errors import InputError
from ...heads.articulation import Phone
from ...provenance import whole_file, write_sidecar
from .symbols import Raw, phones
from .times import corrected

RATE = 16000
INDEX = "cache.json"
MAKE = "make it by `actalker speech --out FOLDER`"


@dataclass(frozen=True, eq=False)
class Utterance:
    """Hold one sentence of one voice.

    sound: (n,) int16, 16 kHz, one channel (a view of a file on disk).
    phones: in order, with times in seconds from the beginning; `_` stands for pauses.
    engine, voice, language: names.
    text: what is said.
    held_out: whether the voice is never trained on.
    """

    sound: np.ndarray
    phones: list[Phone]
    engine: str
    voice: str
    language: str
    text: str
    held_out: bool


class VoiceIndex(TypedDict):
    """Describe the voices of one group in `cache.json`. seconds: length of their speech."""

    group: str
    language: str
    licence: str
    voices: list[str]
    seconds: float


class PartIndex(TypedDict):
    """Describe the training or the held-out (`held`) voices of one engine in `cache.json`.

    version: of the engine.
    groups: names of all groups of voices that the engine had when the cache was made, even those without
        speech in it.
    utterances, seconds: number and length of the sentences.
    voices: the groups that have speech.
    """

    engine: str
    held: bool
    version: str
    groups: list[str]
    utterances: int
    seconds: float
    voices: list[VoiceIndex]


class CacheIndex(TypedDict):
    """Describe the content of `cache.json`. made_by: versions of the packages."""

    seed: int
    minutes: float
    made_by: Mapping[str, object]
    parts: list[PartIndex]


class Row(TypedDict):
    """Describe the line of an utterance in a .jsonl file.

    phones: (start, end, symbol) of each, by the engine's own times and symbols.
    first, samples: index of the first sample in the .npy file, and number of samples.
    """

    engine: str
    voice: str
    group: str
    language: str
    licence: str
    alphabet: str
    text: str
    phones: list[Raw]
    first: NotRequired[int]
    samples: NotRequired[int]


class SpeechCache(Sequence[Utterance]):
    """The utterances of a folder; sound stays on disk until it is used. Can be sent to other processes.

    held_out: read the voices that are never trained on, instead of the others.
    Raises: InputError for a folder that holds no such speech.
    """

    def __init__(self, folder: str | Path, held_out: bool = False) -> None:
        self.folder, self.held_out = Path(folder), held_out
        self._sounds: dict[str, np.ndarray] = {}
        self._rows: list[tuple[str, Row]] = []
        for part in read_index(self.folder)["parts"]:
            if bool(part["held"]) is held_out:
                name = part_name(part["engine"], held_out)
                self._rows += [
                    (name, row) for row in _rows(self.folder / f"{name}.jsonl", part["utterances"])
                ]
        if not self._rows:
            which = "held-out" if held_out else "training"
            raise InputError(f"{self.folder}: holds no speech of {which} voices; {MAKE}")

    @property
    def seconds(self) -> float:
        """Return the length of all sound in seconds."""
        return sum(int(row["samples"]) for _, row in self._rows) / RATE

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Utterance | list[Utterance]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        name, row = self._rows[index]
        sound = self._sound(name)[row["first"] : row["first"] + row["samples"]]
        if len(sound) != row["samples"]:
            raise InputError(f"{self.folder / name}.npy: is cut off; {MAKE} with --overwrite")
        raw = [(float(start), float(end), str(symbol)) for start, end, symbol in row["phones"]]
        return Utterance(
            sound,
            phones=corrected(phones(raw, row["alphabet"]), row["engine"], len(sound) / RATE),
            engine=row["engine"],
            voice=row["voice"],
            language=row["language"],
            text=row["text"],
            held_out=self.held_out,
        )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_sounds": {}}

    def _sound(self, name: str) -> np.ndarray:
        if name not in self._sounds:
            path = self.folder / f"{name}.npy"
            try:
                self._sounds[name] = np.load(path, mmap_mode="r")
            except (OSError, ValueError, EOFError) as error:
                why = getattr(error, "strerror", None) or "no NumPy file"
                raise InputError(f"{path}: cannot be read ({why}); {MAKE} with --overwrite") from None
        return self._sounds[name]


def part_name(engine: str, held_out: bool) -> str:
    """Return the name, without suffix, of the two files of an engine's training or held-out voices."""
    return f"{engine}.{'held' if held_out else 'train'}"


def read_index(folder: Path) -> CacheIndex:
    """Read a folder's `cache.json`. Raises: InputError where the file is missing or malformed."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        counts = [
            p["utterances"] + p["seconds"] + len((p["engine"], p["held"], p["groups"]))
            for p in index["parts"]
        ]
        if not isinstance(index["minutes"] + index["seed"] + sum(counts), (int, float)):
            raise TypeError
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no speech (no {INDEX}); {MAKE}") from None
    except NotADirectoryError:
        raise InputError(f"{folder}: is no folder; give the folder of a speech cache, or {MAKE}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the folder") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is not the list of a speech cache; {MAKE} with --overwrite") from None
    return cast(CacheIndex, index)


def write_part(folder: Path, name: str, spoken: Iterable[tuple[np.ndarray, Row]]) -> None:
    """Write sounds to NAME.npy and their rows to NAME.jsonl.

    spoken: (sound (n,) int16, row) of each utterance; `first` and `samples` of the rows are set here.
    """
    lines, all_sound, first = [], [], 0
    for sound, row in spoken:
        lines.append(json.dumps({**row, "first": first, "samples": len(sound)}, ensure_ascii=False))
        all_sound.append(sound)
        first += len(sound)
    with whole_file(folder / f"{name}.npy", overwrite=True) as work:
        np.save(work, np.concatenate(all_sound))
    with whole_file(folder / f"{name}.jsonl", overwrite=True) as work:
        work.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_index(folder: Path, index: CacheIndex) -> None:
    """Write `cache.json`, in one step."""
    write_sidecar(folder / INDEX, index)


def _rows(path: Path, count: int) -> list[Row]:
    """Read the lines of a .jsonl file. Raises: InputError unless there are `count` lines."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not lines of JSON"
        raise InputError(f"{path}: cannot be read ({why}); {MAKE} with --overwrite") from None
    if len(rows) != count:
        raise InputError(f"{path}: has {len(rows)} lines instead of {count}; {MAKE} with --overwrite")
    return rows
