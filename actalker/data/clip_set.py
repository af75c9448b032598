"""The clips of shards as a data set: the split into training and validation, and what replaces damaged clips.

A sample is a function of (seed, place in the training). Members are read from their place in the tar file, so
clips come in any order, and a resumed run sees what it would have seen. A damaged clip is logged, and another
one, also a function of (seed, place), replaces it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import torch
from torch.utils.data import Dataset

from ..errors import InputError, one_of
from ..signals.samples import ClipSignal, ClipWindow
from ..signals.script import Phase, Script
from ..signals.signal import SIGNALS
from .copies import Copies
from .members import ClipMeta, Damaged, read_meta
from .people import held_out_people, person_of
from .sample import Batch
from .shards import Clip, read_index
from .timed_text import ClipScript

SHOWN = 5  # damaged clips that a summary names
S = TypeVar("S", bound=Batch)
log = logging.getLogger("actalker")


@dataclass(frozen=True)
class ClipSetConfig:
    """Where prepared clips are, and the settings that all windows of them share."""

    shards: str | tuple[str, ...] = "data/shards"
    """Where the tar files are that `actalker prepare` wrote: a folder, a tar file, a brace list such as
    shard-{000000..000009}.tar, pipe:COMMAND, an address that fsspec opens (s3://, gs://, https://, hf://);
    or several of these."""

    cache: str | None = None
    """Folder for copies of whole shards of stores and commands; none: parts are read when needed."""

    seed: int = 0
    """Windows, reference frames and gates are a function of (seed, place)."""

    frames: int = 14
    """Frames a window."""

    fps: int = 25
    """Frames a second of the clips."""

    phases: int = 8
    """Rows for a script's phases; shorter scripts are padded, longer ones cut."""

    all_open: float = 0.4
    """Chance that the gates of all signals that a clip has are open."""

    signals: tuple[str, ...] = ()
    """Signals of the samples; none: those of the model that is trained, or all of them."""

    held_out: float = 0.02
    """Share of the people whose clips are for validation only: two at least, where there are four or more.

    A clip belongs to the `person` in its json, by face or by video as `actalker prepare` found, else to a
    person of its own. 0: validation and training use all clips."""


class ClipSet(Dataset, ABC, Generic[S]):
    """Windows of the clips of shards; item `place` is a window of clip `place` modulo their number.

    training: use the clips to train on, else those held out. index: the clips of `config.shards`, if they
    were read already (`index_of`).
    Raises: InputError when there are no shards, or no clips long enough.
    """

    def __init__(
        self, config: ClipSetConfig, training: bool = True, index: Sequence[Clip] | None = None
    ) -> None:
        self.config, self.training = config, training
        indexed = index_of(config) if index is None else index
        clips = [clip for clip in self.usable(indexed) if clip.frames >= config.frames]
        held_out = held_out_people([person_of(clip) for clip in clips], config.held_out)
        self.clips = [clip for clip in clips if not held_out or (person_of(clip) in held_out) != training]
        if not self.clips:
            kind = "training" if training else "validation"
            raise InputError(
                f"{config.shards}: no clip for {kind} with {config.frames} frames; prepare more, or change "
                "frames or held_out"
            )
        # shared by the processes that read, so that each clip is logged and counted once
        self.damaged = torch.tensor([bool(clip.damage) for clip in self.clips]).share_memory_()

    def usable(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """The clips with the members that samples need; by default all. Raises: InputError where none has."""
        return clips

    @abstractmethod
    def sample(self, place: int, index: int) -> S:
        """The window of clip `index` that belongs to a place. Raises: Damaged."""

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, index: int) -> str:
        """The name of a clip in its source. index: modulo the number of clips."""
        return self.clips[index % len(self)].name

    def __getitem__(self, place: int) -> S:
        for index in self._candidates(place):
            if not self.damaged[index]:
                try:
                    return self.sample(place, index)
                except Damaged as error:
                    self._leave_out(index, error)
        try:
            self.sample(place, place % len(self))
            reason = "it was told before"
        except Damaged as error:
            reason = str(error)
        raise InputError(
            f"{self.config.shards}: all {len(self)} clips are damaged, such as {self.name(place)} in "
            f"{self.clips[place % len(self)].place.address}: {reason}; write or copy the shards again"
        )

    def damage(self) -> str | None:
        """A message that counts and names the clips found damaged so far, in all processes; None: no clip."""
        damaged = self.damaged.nonzero()[:, 0].tolist()
        if not damaged:
            return None
        names = ", ".join(f"{self.name(k)} in {self.clips[k].place.address}" for k in damaged[:SHOWN])
        more = f" and {len(damaged) - SHOWN} more" if len(damaged) > SHOWN else ""
        return f"{len(damaged)} of {len(self)} clips are damaged, others stood for them: {names}{more}"

    def meta(self, clip: Clip, content: bytes) -> ClipMeta:
        """What a clip's `json` says. Raises: Damaged, also where it is the json of another clip."""
        meta = read_meta(content)
        if (meta["clip"], meta["frames"]) != (clip.name, clip.frames):
            raise Damaged(f"its json is that of another clip, {meta['clip']}; the index is not this shard's")
        return meta

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals of the samples, in the order of their gates."""
        return self.config.signals or tuple(SIGNALS)

    def of_clip(self, window: ClipWindow) -> dict[str, ClipSignal]:
        """Signal -> its input in a window, for all signals of the samples.

        Raises: InputError for signals that clips of real people cannot have; Damaged for a window with none.
        """
        out = {}
        for name in self.signals:
            reader = SIGNALS[one_of(name, SIGNALS, "signal of the data")].of_clip
            if reader is None:
                raise InputError(
                    f"{self.config.shards}: clips of real people have no {name}; give data.signals without it"
                )
            out[name] = reader.load()(window)
        if not any(signal.present for signal in out.values()):
            raise Damaged(f"it has no {' and no '.join(out)}, all that the model takes")
        return out

    def generator(self, place: int) -> torch.Generator:
        """A random generator that is a function of (seed, place)."""
        return torch.Generator().manual_seed((self.config.seed * 1_000_003 + place) % 2**62)

    def _candidates(self, place: int) -> Iterator[int]:
        """The clip of a place, then those that replace it, each where the ones before are damaged."""
        yield place % len(self)
        generator = torch.Generator().manual_seed((self.config.seed * 7_368_787 + place) % 2**62)
        yield from torch.randperm(len(self), generator=generator).tolist()

    def _leave_out(self, index: int, error: Damaged) -> None:
        clip, self.damaged[index] = self.clips[index], True
        log.warning(
            "%s in %s: is damaged and skipped, another clip stands for it: %s (%d of %d clips until now)",
            *(clip.name, clip.place.address, error, int(self.damaged.sum()), len(self)),
        )


def index_of(config: ClipSetConfig) -> list[Clip]:
    """The clips of the shards that a config names. Raises: InputError."""
    return read_index(config.shards, Copies(config.cache))


def script_of(content: ClipScript, most: int) -> Script | None:
    """The script of a clip's json, with `most` phases at most; None where it has neither text nor phases."""
    phases: list[Phase] = []
    for phase in content["phases"]:
        start, stop = Fraction(str(phase["start"])), Fraction(str(phase["end"]))
        phases += Phase(phase["text"], start, stop).steps()
    if not phases and not content["base"]:
        return None
    return Script(content["base"], tuple(phases[:most]))
