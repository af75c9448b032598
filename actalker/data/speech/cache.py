"""Speech with phone times in a folder: what `actalker speech` writes, and its reader.

Each engine has a pair of files for the voices that are trained on and one for those held out:
`espeak.train.npy`, all its sound one after the other, and `espeak.train.jsonl`, a line an utterance.
`cache.json` lists the pairs that are whole. Lines hold the engine's own symbols and times; they become
corrected phones when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np

from ...errors import InputError
from ...heads.articulation import Phone
from ...provenance import whole_file, write_sidecar
from .symbols import phones
from .times import corrected

RATE = 16000
INDEX = "cache.json"
MAKE = "make it by `actalker speech --out FOLDER`"


@dataclass(frozen=True, eq=False)
class Utterance:
    """One sentence of one voice.

    `sound`: (n,) int16, 16 kHz, one channel (a view of a file on disk); `phones`: where each sound of speech
    is, seconds from the beginning, in order, `_` for pauses; `held`: of a voice that is never trained on.
    """

    sound: np.ndarray
    phones: list[Phone]
    engine: str
    voice: str
    language: str
    text: str
    held: bool


class SpeechCache(Sequence[Utterance]):
    """The utterances of a folder; sound stays on disk until it is used. Can be sent to other processes.

    held: those of the voices that are never trained on, instead of the others.
    Raises: InputError for a folder that holds none.
    """

    def __init__(self, folder: str | Path, held: bool = False) -> None:
        self.folder, self.held = Path(folder), held
        self._sounds: dict[str, np.ndarray] = {}
        self._rows: list[tuple[str, dict[str, Any]]] = []
        for part in read_index(self.folder)["parts"]:
            if bool(part["held"]) is held:
                name = part_name(part["engine"], held)
                self._rows += [
                    (name, row) for row in _rows(self.folder / f"{name}.jsonl", part["utterances"])
                ]
        if not self._rows:
            which = "held-out" if held else "training"
            raise InputError(f"{self.folder}: holds no speech of {which} voices; {MAKE}")

    @property
    def seconds(self) -> float:
        """Of all its sound."""
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
        found = corrected(phones(raw, row["alphabet"]), row["engine"], len(sound) / RATE)
        return Utterance(sound, found, row["engine"], row["voice"], row["language"], row["text"], self.held)

    def __getstate__(self) -> dict[str, Any]:
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


def part_name(engine: str, held: bool) -> str:
    """Of a pair of files, without their endings."""
    return f"{engine}.{'held' if held else 'train'}"


def read_index(folder: Path) -> dict[str, Any]:
    """What `cache.json` says. Raises: InputError where there is none, or it is none."""
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
    return dict(index)


def write_part(folder: Path, name: str, spoken: Iterable[tuple[np.ndarray, Mapping[str, Any]]]) -> None:
    """The pair of files, of sounds (n,) int16 and their rows; where each begins is added to its row."""
    lines, all_sound, first = [], [], 0
    for sound, row in spoken:
        lines.append(json.dumps({**row, "first": first, "samples": len(sound)}, ensure_ascii=False))
        all_sound.append(sound)
        first += len(sound)
    with whole_file(folder / f"{name}.npy", overwrite=True) as work:
        np.save(work, np.concatenate(all_sound))
    with whole_file(folder / f"{name}.jsonl", overwrite=True) as work:
        work.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """`cache.json`, whole or as it was."""
    write_sidecar(folder / INDEX, index)


def _rows(path: Path, count: int) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not lines of JSON"
        raise InputError(f"{path}: cannot be read ({why}); {MAKE} with --overwrite") from None
    if len(rows) != count:
        raise InputError(f"{path}: has {len(rows)} lines instead of {count}; {MAKE} with --overwrite")
    return rows
