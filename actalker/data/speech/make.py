"""Makes the cache of speech: stretches of half a minute, in several processes, engine by engine."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from random import Random

import numpy as np

from ...errors import InputError, one_of
from ...provenance import make_folder, versions
from .cache import (
    INDEX,
    RATE,
    CacheIndex,
    PartIndex,
    Row,
    VoiceIndex,
    part_name,
    read_index,
    write_index,
    write_part,
)
from .engines import ENGINES, Engine, Line, engine
from .sentences import sentence
from .symbols import phones

MINUTES = 150.0  # of all engines together, to which `Engine.minutes` refers
STRETCH = 30.0  # seconds of speech that one task makes
SHORTEST, FEWEST = 0.6, 5  # seconds and phones of an utterance
PACES, PITCHES = (0.78, 1.3), (0.82, 1.22)
TRIES = 40  # lines in a row that may all be unusable

log = getLogger("actalker")


@dataclass(frozen=True)
class Stretch:
    """A task: about half a minute of speech of an engine's training or held-out voices."""

    engine: str
    held_out: bool
    seconds: float
    seed: int
    number: int


Spoken = list[tuple[np.ndarray, Row]]
"""Sounds (n,) int16 and their lines of the cache."""


def spoken(stretch: Stretch) -> Spoken:
    """Make the speech of a stretch: a function of the stretch and the engine alone.

    Raises: InputError where the engine says nothing usable.
    """
    chosen = engine(stretch.engine)
    voices = [voice for voice in chosen.voices() if voice.held_out is stretch.held_out]
    chosen.fresh()
    rng = Random(f"{stretch.seed} {stretch.engine} {stretch.held_out} {stretch.number}")
    utterances: Spoken = []
    seconds, vain = 0.0, 0
    while seconds < stretch.seconds:
        voice = chosen.draw(voices, rng, stretch.number)
        count = 2 + round((stretch.seconds - seconds) / 3) if chosen.batch else 1
        lines = [_line(rng, voice.language) for _ in range(count)]
        vain += count
        for said in chosen.say(voice, lines):
            try:
                heard = phones(said.raw, voice.alphabet)
            except KeyError as unknown:
                log.warning("%s %s: symbol %s is no phone; a line left out", chosen.name, voice.name, unknown)
                continue
            if len(said.sound) < SHORTEST * RATE or sum(p.symbol != "_" for p in heard) < FEWEST:
                continue
            row: Row = {
                "engine": chosen.name,
                "voice": voice.name,
                "group": voice.group or voice.name,
                "language": voice.language,
                "licence": voice.licence,
                "alphabet": voice.alphabet,
                "text": said.line.text,
                "phones": [(round(a, 4), round(b, 4), c) for a, b, c in said.raw],
            }
            utterances.append((np.round(said.sound * 32767).astype(np.int16), row))
            seconds, vain = seconds + len(said.sound) / RATE, 0
            if seconds >= stretch.seconds:
                break
        if vain > TRIES:
            raise InputError(
                f"{chosen.name}: says nothing ({voice.name}); {chosen.missing() or 'install it again'}"
            )
    return utterances


def _line(rng: Random, language: str) -> Line:
    """A random sentence, said at a random pace and pitch."""
    text = sentence(rng, language)
    return Line(text, rng.uniform(*PACES), rng.uniform(*PITCHES), rng.getrandbits(31))


@dataclass(frozen=True)
class Part:
    """The training voices or the held-out ones of an engine."""

    engine: str
    held_out: bool
    seconds: float

    def stretches(self, seed: int) -> list[Stretch]:
        """The tasks that make the part, of equal lengths."""
        count = max(1, round(self.seconds / STRETCH))
        return [Stretch(self.engine, self.held_out, self.seconds / count, seed, n) for n in range(count)]


def plan(engines: Sequence[str], minutes: float) -> list[Part]:
    """The parts to make of each engine, the quick engines first. minutes: of all engines together."""
    parts = []
    for name in [name for name in ENGINES if name in engines]:
        for held_out, share in zip((False, True), ENGINES[name].minutes, strict=True):
            if share:
                parts.append(Part(name, held_out, share / MINUTES * minutes * 60))
    return parts


def usable(engines: Sequence[str] | None) -> list[str]:
    """The installed engines among those asked for (default: all); logs what is left out.

    Raises: InputError for an unknown name, and where no engine is installed.
    """
    asked = list(dict.fromkeys(one_of(name, ENGINES, "engine") for name in engines or ENGINES))
    available = []
    for name in asked:
        missing = ENGINES[name].missing()
        if {voice.held_out for voice in engine(name).voices()} >= {False}:
            available.append(name)
            if missing:
                log.warning("%s: some voices are left out; %s", name, missing)
        else:
            log.warning("%s: is left out; %s", name, missing)
    if not available:
        hints = dict.fromkeys(hint for name in asked if (hint := ENGINES[name].missing()))
        raise InputError(f"no engine of speech is there ({', '.join(asked)}); {' or '.join(hints)}")
    return available


def make(
    folder: str | Path,
    minutes: float = MINUTES,
    seed: int = 0,
    engines: Sequence[str] | None = None,
    overwrite: bool = False,
    workers: int = 2,
    on_start: Callable[[float], None] = lambda seconds: None,
    on_step: Callable[[float], None] = lambda seconds: None,
) -> CacheIndex:
    """Make the speech that the folder lacks; returns the content of its `cache.json`.

    Args:
        folder: where the cache is.
        minutes: of speech, of all engines together; each has its share, whichever others are installed.
        seed: of texts and voices.
        engines: names, in any order; default: all that are installed.
        overwrite: make all of it anew.
        workers: processes that make speech.
        on_start: called with the seconds of speech to make; on_step: with those of each piece that is made.
    Raises: InputError for wrong settings, a folder made with others, and where no engine is installed.
    """
    if not 1 <= minutes <= 100_000:
        raise InputError(f"--minutes {minutes:g}: give a number from 1 to 100000")
    if workers < 1:
        raise InputError(f"--workers {workers}: give a number from 1")
    folder = Path(folder)
    index: CacheIndex = {"seed": seed, "minutes": minutes, "made_by": versions(), "parts": []}
    if (folder / INDEX).exists() and not overwrite:
        index = read_index(folder)
        for name, stored, value in (("seed", index["seed"], seed), ("minutes", index["minutes"], minutes)):
            if stored != value:
                raise InputError(
                    f"{folder}: was made with --{name} {stored:g}, not {value:g}; "
                    "give the same, another folder, or --overwrite"
                )
    names = usable(engines)
    lacking = [part for part in plan(names, minutes) if not _is_made(part, index["parts"])]
    if not lacking:
        return index
    for name in dict.fromkeys(part.engine for part in lacking):
        engine(name).prepare()
    make_folder(folder)
    on_start(sum(part.seconds for part in lacking))
    with closing(_spoken(lacking, seed, workers)) as results:
        for part in lacking:
            utterances: Spoken = []
            for _ in part.stretches(seed):
                utterances += next(results)
                on_step(min(part.seconds, STRETCH))
            others = [entry for entry in index["parts"] if not _same(part, entry)]
            if len(others) < len(index["parts"]):  # a part is not listed while it is replaced
                index["parts"] = others
                write_index(folder, index)
            write_part(folder, part_name(part.engine, part.held_out), utterances)
            index["parts"].append(_part_index(part, engine(part.engine), utterances))
            index["parts"].sort(key=lambda entry: (list(ENGINES).index(entry["engine"]), entry["held"]))
            write_index(folder, index)
    return index


def _spoken(parts: Sequence[Part], seed: int, workers: int) -> Generator[Spoken, None, None]:
    """The speech of all stretches of some parts, in their order, made by several processes."""
    tasks = [stretch for part in parts for stretch in part.stretches(seed)]
    if workers == 1:
        yield from map(spoken, tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _quiet)
    try:
        yield from pool.map(spoken, tasks)
    except BrokenProcessPool:
        raise InputError(
            "a process of an engine was ended from outside (memory?); start again: whole engines are kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet() -> None:
    """Ignore Ctrl-C, which is for the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _same(part: Part, entry: PartIndex) -> bool:
    return entry["engine"] == part.engine and bool(entry["held"]) is part.held_out


def _groups(part: Part) -> set[str]:
    """The groups of the part's voices that are installed."""
    voices = engine(part.engine).voices()
    return {voice.group or voice.name for voice in voices if voice.held_out is part.held_out}


def _is_made(part: Part, parts: Sequence[PartIndex]) -> bool:
    """Whether the cache holds a part with all the voices that are installed."""
    groups = _groups(part)
    return not groups or any(_same(part, entry) and groups <= set(entry["groups"]) for entry in parts)


def _part_index(part: Part, chosen: Engine, utterances: Spoken) -> PartIndex:
    """What `cache.json` says of a part."""
    voices: dict[str, VoiceIndex] = {}
    for sound, row in utterances:
        new: VoiceIndex = {
            "group": row["group"],
            "language": row["language"],
            "licence": row["licence"],
            "voices": [],
            "seconds": 0.0,
        }
        entry = voices.setdefault(row["group"], new)
        entry["seconds"] = round(entry["seconds"] + len(sound) / RATE, 2)
        entry["voices"] = sorted({*entry["voices"], row["voice"]})
    return {
        "engine": part.engine,
        "held": part.held_out,
        "version": chosen.version(),
        "groups": sorted(_groups(part)),
        "utterances": len(utterances),
        "seconds": round(sum(len(sound) for sound, _ in utterances) / RATE, 2),
        "voices": sorted(voices.values(), key=lambda row: row["group"]),
    }
