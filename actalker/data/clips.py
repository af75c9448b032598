"""Shards of real clips to training samples.

A sample is a function of (seed, place in the training): which window, which reference frame, which gates.
Members are read from their place in the tar file, so that clips come in any order and a resumed run sees
what it would have. A damaged clip is named, and another one, a function of (seed, place) too, stands for it.

Letters: f frames of a window, s side of the model's picture, t side of a driving crop.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..control.gates import Gates, draw_gates
from ..errors import InputError
from ..faces.crop import Crop, canonical_crop
from ..faces.face import Face
from ..regions.shapes import REGIONS
from ..signals.motion import motion_buckets
from ..signals.script import Phase, Script
from ..signals.signal import SIGNALS
from ..signals.text import TextEncoder
from ..signals.whisper import WhisperConfig, speech_features
from .copies import Copies
from .members import Damaged, decode_frames, read_features, read_meta, read_sound, slice_frames
from .people import held_out_people, person_of
from .puppets.motion import CHANNELS
from .sample import Sample, no_field
from .shards import Clip, read_index

SHOWN = 5  # damaged clips that a summary names
log = logging.getLogger("actalker")


@dataclass(frozen=True)
class ClipDataConfig:
    """How training windows are cut from prepared clips."""

    shards: str | tuple[str, ...] = "data/shards"
    """Where the tar files are that `actalker prepare` wrote: a folder, a tar file, a brace list such as
    shard-{000000..000009}.tar, pipe:COMMAND, an address that fsspec opens (s3://, gs://, https://, hf://);
    or several of these."""

    cache: str | None = None
    """Folder in which whole shards of stores and commands are kept; none: parts are read when needed."""

    seed: int = 0
    """Windows, reference frames and gates are a function of (seed, place)."""

    frames: int = 14
    """Frames a window."""

    size: int = 128
    """Side of the model's picture, pixels."""

    driver_size: int = 128
    """Side of the driving face's crop, pixels."""

    fps: int = 25
    """Frames a second of the clips."""

    stride: int = 1
    """Every so many frames of a clip at least twice as long as such a window make it (2: ACTalker, 1.3)."""

    reference: int = 25
    """The portrait is a frame of the window, or one at most so many frames before or behind it."""

    phases: int = 8
    """Rows for a script's phases; shorter scripts are padded, longer ones cut."""

    all_open: float = 0.4
    """Chance that the gates of all signals that a clip has are open."""

    whisper: WhisperConfig | None = None
    """The Whisper whose hidden states the model reads; none: log-mel windows."""

    held_out: float = 0.02
    """Share of the people that validation sees, and training never: two at least, where there are four.

    People are told apart by what `actalker prepare` found (`person` in a clip's json), else by video, else by
    clip. 0: validation sees what training does."""


class ClipDataset(Dataset):
    """Windows of the clips of shards; item `place` is of clip `place` modulo their number.

    training: the clips to train on, else those held out. index: what `config.shards` holds, if it was read
    already (`read_index`).
    Raises: InputError when there are no shards, or no clips long enough.
    """

    def __init__(
        self, config: ClipDataConfig, training: bool = True, index: Sequence[Clip] | None = None
    ) -> None:
        self.config, self.speech = config, speech_features(config.whisper)
        self.training = training
        found = index_of(config) if index is None else index
        clips = [clip for clip in found if clip.frames >= config.frames]  # one frame is enough for no window
        held = held_out_people([person_of(clip) for clip in clips], config.held_out)
        self.clips = [clip for clip in clips if not held or (person_of(clip) in held) != training]
        if not self.clips:
            kind = "training" if training else "validation"
            raise InputError(
                f"{config.shards}: no clip for {kind} with {config.frames} frames; prepare more, or change "
                "frames or held_out"
            )
        # shared by the processes that read, so that each clip is told of and counted once
        self.damaged = torch.tensor([bool(clip.damage) for clip in self.clips]).share_memory_()

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, index: int) -> str:
        """What the source calls a clip."""
        return self.clips[index % len(self)].name

    def __getitem__(self, place: int) -> Sample:
        for index in self._candidates(place):
            if not self.damaged[index]:
                try:
                    return self._sample(place, index)
                except Damaged as error:
                    self._leave_out(index, error)
        try:
            self._sample(place, place % len(self))
            reason = "it was told before"
        except Damaged as error:
            reason = str(error)
        raise InputError(
            f"{self.config.shards}: all {len(self)} clips are damaged, such as {self.name(place)} in "
            f"{self.clips[place % len(self)].place.address}: {reason}; write or copy the shards again"
        )

    def damage(self) -> str | None:
        """How many clips were found damaged until now, in all processes, and which; None: no clip."""
        found = self.damaged.nonzero()[:, 0].tolist()
        if not found:
            return None
        names = ", ".join(f"{self.name(k)} in {self.clips[k].place.address}" for k in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return f"{len(found)} of {len(self)} clips are damaged, others stood for them: {names}{more}"

    def _candidates(self, place: int) -> Iterator[int]:
        """The clip of a place, and those that stand for it, each if the ones before are damaged."""
        yield place % len(self)
        generator = torch.Generator().manual_seed((self.config.seed * 7_368_787 + place) % 2**62)
        yield from torch.randperm(len(self), generator=generator).tolist()

    def _leave_out(self, index: int, error: Damaged) -> None:
        clip, self.damaged[index] = self.clips[index], True
        log.warning(
            "%s in %s: is damaged and skipped, another clip stands for it: %s (%d of %d clips until now)",
            *(clip.name, clip.place.address, error, int(self.damaged.sum()), len(self)),
        )

    def _sample(self, place: int, index: int) -> Sample:
        """The window of a place, of clip `index`. Raises: Damaged."""
        config, clip = self.config, self.clips[index]
        generator = torch.Generator().manual_seed((config.seed * 1_000_003 + place) % 2**62)
        rows, reference, stride = self._rows(clip.frames, generator)
        video = () if "pixels.npy" in clip.members else ("mp4",)
        held = clip.read("json", "npz", "wav", *video)
        meta = read_meta(held["json"])
        if (meta["clip"], meta["frames"]) != (clip.name, clip.frames):
            raise Damaged(f"its json is that of another clip, {meta['clip']}; the index is not this shard's")
        features = read_features(held["npz"], clip.frames)
        wanted = sorted({0, reference, *rows})
        pictures = dict(zip(wanted, read_pictures(clip, wanted, held.get("mp4")), strict=True))
        scale = pictures[0].shape[0] / features["mouth"].shape[0]  # decoded frames may be smaller
        scheme = meta["features"].get("scheme")
        faces = {k: _face(features, scheme, k, scale) for k in wanted}
        square = canonical_crop(faces[reference])
        driving = Crop(*(float(v) * scale for v in features["crop"]))
        points = [faces[k].points().moved(square, config.size) for k in (reference, *rows)]
        masks = {name: REGIONS[name](points, (config.size,) * 2) >= 0.5 for name in ("face", "mouth")}
        rate = Fraction(config.fps, stride)
        first = rows[0] // stride
        audio = None
        if meta["sound"] and "wav" in held:
            mono = read_sound(held["wav"], clip.frames / config.fps)
            audio = self.speech.reader(mono, rate)(config.frames, first)
        script = _script(meta["script"], config.phases)
        absent = {"audio"} if audio is None else set()
        absent |= {"text"} if script is None else set()
        drawn = draw_gates(
            [s for s in SIGNALS if s not in absent], generator, config.all_open, fractional=0.0
        )
        gates = Gates({**dict.fromkeys(absent, 0.0), **drawn.pieces})
        text = TextEncoder.tokenize(script or Script("-"), rate, config.frames, first, phases=config.phases)
        return Sample(
            portrait=_cut(pictures[reference], square, config.size),
            frames=torch.stack([_cut(pictures[k], square, config.size) for k in rows]),
            audio=torch.from_numpy(self.speech.silence(config.frames) if audio is None else audio).half(),
            crops=torch.stack([_cut(pictures[k], driving, config.driver_size) for k in rows]),
            rest=_cut(pictures[0], driving, config.driver_size),
            bytes=torch.from_numpy(text.bytes),
            timing=torch.from_numpy(text.timing),
            gates=torch.from_numpy(np.stack([gates.values(s, config.frames, rate) for s in SIGNALS])),
            face=masks["face"].to(torch.uint8),
            mouth=masks["mouth"].to(torch.uint8),
            micro=torch.tensor([float(rate), *_motion(features, scheme, rows)]),
            motion=torch.full((len(SIGNALS), config.frames, len(CHANNELS)), float("nan")),
            field=no_field(config.frames, config.size),
            index=torch.tensor(index),
        )

    def _rows(self, total: int, generator: torch.Generator) -> tuple[list[int], int, int]:
        """The window's frames, the reference frame, and the stride."""
        config = self.config
        stride = config.stride if total >= 2 * config.frames * config.stride else 1
        span = (config.frames - 1) * stride + 1

        def draw(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator))

        first = draw(0, (total - span) // stride) * stride
        rows = list(range(first, first + span, stride))
        near = max(0, first - config.reference), min(total - 1, rows[-1] + config.reference)
        return rows, draw(*near), stride


def index_of(config: ClipDataConfig) -> list[Clip]:
    """The clips of the shards that a config names. Raises: InputError."""
    return read_index(config.shards, Copies(config.cache))


def read_pictures(clip: Clip, rows: Sequence[int], video: bytes | None = None) -> list[np.ndarray]:
    """Frames `rows` (ascending) of a clip, (h, w, 3) uint8: decoded ones where the shard has them.

    video: the clip's mp4, if it was read already. Raises: Damaged.
    """
    if "pixels.npy" in clip.members:
        return slice_frames(lambda start, stop: clip.part("pixels.npy", start, stop), rows, clip.frames)
    return decode_frames(clip.read("mp4")["mp4"] if video is None else video, rows)


def _face(features: dict[str, np.ndarray], scheme: str | None, k: int, scale: float) -> Face:
    marks = features["landmarks"][k] * scale if "landmarks" in features else None
    return Face(tuple(float(v) * scale for v in features["boxes"][k]), marks, scheme)  # type: ignore[arg-type]


def _motion(features: dict[str, np.ndarray], scheme: str | None, rows: Sequence[int]) -> tuple[float, float]:
    """Head and expression motion of a window's landmarks, as buckets; 0 where there are none."""
    if "landmarks" not in features or scheme is None:
        return 0.0, 0.0
    head, expression = motion_buckets(features["landmarks"][list(rows)], scheme)
    return float(head), float(expression)


def _cut(picture: np.ndarray, square: Crop, size: int) -> Tensor:
    """(3, size, size) uint8."""
    return torch.from_numpy(square.apply(picture, size).copy()).permute(2, 0, 1)


def _script(held: dict[str, Any], most: int) -> Script | None:
    """A clip's script with at most so many phases, or None where it has none."""
    phases = []
    for phase in held["phases"]:
        start, stop = Fraction(str(phase["start"])), Fraction(str(phase["end"]))
        phases += Phase(phase["text"], start, stop).steps()
    if not phases and not held["base"]:
        return None
    return Script(held["base"], tuple(phases[:most]))
