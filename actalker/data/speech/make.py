"""The cache of speech is made: stretches of half a minute, in several processes, engine by engine."""

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
from typing import Any

import numpy as np

from ...errors import InputError, one_of
from ...provenance import make_folder, versions
from .cache import INDEX, RATE, part_name, read_index, write_index, write_part
from .engines import ENGINES, Engine, Line, engine
from .sentences import sentence
from .symbols import phones

MINUTES = 150.0  # of all engines together, at which their shares are counted
STRETCH = 30.0  # seconds of speech that one task makes
SHORTEST, FEWEST = 0.6, 5  # seconds and phones of an utterance
PACES, PITCHES = (0.78, 1.3), (0.82, 1.22)
TRIES = 40  # lines in a row of which none may be of use

log = getLogger("actalker")


@dataclass(frozen=True)
class Stretch:
    """Half a minute of speech of an engine: a task."""

    engine: str
    held: bool
    seconds: float
    seed: int
    number: int


Spoken = list[tuple[np.ndarray, dict[str, Any]]]


def spoken(stretch: Stretch) -> Spoken:
    """Sounds (n,) int16 and their rows. Depends on nothing but the stretch and the engine."""
    chosen = engine(stretch.engine)
    voices = [voice for voice in chosen.voices() if voice.held is stretch.held]
    chosen.fresh()
    rng = Random(f"{stretch.seed} {stretch.engine} {stretch.held} {stretch.number}")
    found: Spoken = []
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
            row = {
                **{"engine": chosen.name, "voice": voice.name, "group": voice.group or voice.name},
                **{"language": voice.language, "licence": voice.licence, "alphabet": voice.alphabet},
                **{"text": said.line.text, "phones": [[round(a, 4), round(b, 4), c] for a, b, c in said.raw]},
            }
            found.append((np.round(said.sound * 32767).astype(np.int16), row))
            seconds, vain = seconds + len(said.sound) / RATE, 0
            if seconds >= stretch.seconds:
                break
        if vain > TRIES:
            raise InputError(
                f"{chosen.name}: says nothing ({voice.name}); {chosen.missing() or 'install it again'}"
            )
    return found


def _line(rng: Random, language: str) -> Line:
    text = sentence(rng, language)
    return Line(text, rng.uniform(*PACES), rng.uniform(*PITCHES), rng.getrandbits(31))


@dataclass(frozen=True)
class Part:
    """The training voices or the held-out ones of an engine."""

    engine: str
    held: bool
    seconds: float

    def stretches(self, seed: int) -> list[Stretch]:
        count = max(1, round(self.seconds / STRETCH))
        return [Stretch(self.engine, self.held, self.seconds / count, seed, n) for n in range(count)]


def plan(engines: Sequence[str], minutes: float) -> list[Part]:
    """What is to be made of each engine, the quick ones first."""
    found = []
    for name in [name for name in ENGINES if name in engines]:
        for held, share in zip((False, True), ENGINES[name].minutes, strict=True):
            if share:
                found.append(Part(name, held, share / MINUTES * minutes * 60))
    return found


def usable(engines: Sequence[str] | None) -> list[str]:
    """The engines that are there, of those asked for (all by default); what is left out is told.

    Raises: InputError for an unknown name, and where none is there.
    """
    asked = list(dict.fromkeys(one_of(name, ENGINES, "engine") for name in engines or ENGINES))
    there = []
    for name in asked:
        missing = ENGINES[name].missing()
        if {voice.held for voice in engine(name).voices()} >= {False}:
            there.append(name)
            if missing:
                log.warning("%s: some voices are left out; %s", name, missing)
        else:
            log.warning("%s: is left out; %s", name, missing)
    if not there:
        hints = dict.fromkeys(hint for name in asked if (hint := ENGINES[name].missing()))
        raise InputError(f"no engine of speech is there ({', '.join(asked)}); {' or '.join(hints)}")
    return there


def make(
    folder: str | Path,
    minutes: float = MINUTES,
    seed: int = 0,
    engines: Sequence[str] | None = None,
    overwrite: bool = False,
    workers: int = 2,
    begin: Callable[[float], None] = lambda seconds: None,
    step: Callable[[float], None] = lambda seconds: None,
) -> dict[str, Any]:
    """Make what the folder lacks; returns what its `cache.json` says then.

    Args:
        minutes: of speech, of all engines together; each has its share, whichever others are there.
        engines: names, in any order; default: all that are there.
        begin, step: are told the seconds of speech that are to be made, and those of each piece that is.
    Raises: InputError for wrong settings, a folder made with others, and where no engine is there.
    """
    if not 1 <= minutes <= 100_000:
        raise InputError(f"--minutes {minutes:g}: give a number from 1 to 100000")
    if workers < 1:
        raise InputError(f"--workers {workers}: give a number from 1")
    folder = Path(folder)
    settings = {"seed": seed, "minutes": minutes}
    index: dict[str, Any] = {**settings, "made_by": versions(), "parts": []}
    if (folder / INDEX).exists() and not overwrite:
        index = read_index(folder)
        for name, value in settings.items():
            if index[name] != value:
                raise InputError(
                    f"{folder}: was made with --{name} {index[name]:g}, not {value:g}; "
                    "give the same, another folder, or --overwrite"
                )
    names = usable(engines)
    lacking = [part for part in plan(names, minutes) if not _there(part, index["parts"])]
    if not lacking:
        return index
    for name in dict.fromkeys(part.engine for part in lacking):
        engine(name).prepare()
    make_folder(folder)
    begin(sum(part.seconds for part in lacking))
    with closing(_spoken(lacking, seed, workers)) as results:
        for part in lacking:
            found: Spoken = []
            for _ in part.stretches(seed):
                found += next(results)
                step(min(part.seconds, STRETCH))
            kept = [told for told in index["parts"] if not _same(part, told)]
            if len(kept) < len(index["parts"]):  # what is replaced is listed no more
                index["parts"] = kept
                write_index(folder, index)
            name = part_name(part.engine, part.held)
            write_part(folder, name, found)
            index["parts"].append(_told(part, engine(part.engine), found))
            index["parts"].sort(key=lambda told: (list(ENGINES).index(told["engine"]), told["held"]))
            write_index(folder, index)
    return index


def _spoken(parts: Sequence[Part], seed: int, workers: int) -> Generator[Spoken, None, None]:
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
    """Ctrl-C is for the process that has the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _same(part: Part, told: dict[str, Any]) -> bool:
    return told["engine"] == part.engine and bool(told["held"]) is part.held


def _there(part: Part, parts: Sequence[dict[str, Any]]) -> bool:
    """Whether a part is there, made with all the voices that are here."""
    here = {v.group or v.name for v in engine(part.engine).voices() if v.held is part.held}
    return not here or any(_same(part, told) and here <= set(told["groups"]) for told in parts)


def _told(part: Part, chosen: Engine, found: Spoken) -> dict[str, Any]:
    """What `cache.json` says of a part."""
    groups = sorted({v.group or v.name for v in chosen.voices() if v.held is part.held})
    rows: dict[str, dict[str, Any]] = {}
    for sound, row in found:
        told = rows.setdefault(
            row["group"],
            {"group": row["group"], "language": row["language"], "licence": row["licence"]}
            | {"voices": [], "seconds": 0.0},
        )
        told["seconds"] = round(told["seconds"] + len(sound) / RATE, 2)
        told["voices"] = sorted({*told["voices"], row["voice"]})
    return {
        **{"engine": part.engine, "held": part.held, "version": chosen.version(), "groups": groups},
        **{"utterances": len(found), "seconds": round(sum(len(s) for s, _ in found) / RATE, 2)},
        "voices": sorted(rows.values(), key=lambda row: row["group"]),
    }
