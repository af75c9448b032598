"""Shards of real clips to training samples.

A sample is a function of (seed, place in the training): which window, which reference frame, which gates.
Members are read from their place in the tar file, so that clips come in any order and a resumed run sees
what it would have.

Letters: f frames of a window, s side of the model's picture, t side of a driving crop.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..control.gates import Gates, draw_gates
from ..errors import InputError
from ..faces.crop import Crop, canonical_crop
from ..faces.face import Face
from ..regions.shapes import REGIONS
from ..signals.audible import RATE
from ..signals.motion import motion_buckets
from ..signals.script import Phase, Script
from ..signals.signal import SIGNALS
from ..signals.text import TextEncoder
from ..signals.whisper import WhisperConfig, speech_features
from .puppets.motion import CHANNELS
from .sample import Sample, no_field

HELD = 1 << 20  # of which `held_out` is a share


@dataclass(frozen=True)
class ClipDataConfig:
    """How training windows are cut from prepared clips."""

    shards: str = "data/shards"
    """Folder of tar files that `actalker prepare` wrote."""

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
    """Share of the people (clips, where people are not known) that validation sees, and training never.

    0: validation sees what training does."""


@dataclass(frozen=True)
class Member:
    """Where a file of a clip lies: its tar file, offset and size in bytes."""

    tar: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Its bytes."""
        with open(self.tar, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def read_index(folder: Path) -> list[dict[str, Member]]:
    """The clips of a folder of shards, suffix -> member, in the order of the shards.

    Raises: InputError when there are none, or one is no whole tar file.
    """
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        raise InputError(
            f"{folder}: holds no shards (*.tar); write them with actalker prepare SOURCE --out DIR"
        )
    clips: dict[tuple[Path, str], dict[str, Member]] = {}
    for path in tars:
        try:
            with tarfile.open(path) as tar:
                for info in tar:
                    key, _, suffix = info.name.partition(".")
                    clips.setdefault((path, key), {})[suffix] = Member(path, info.offset_data, info.size)
        except (tarfile.TarError, OSError) as error:
            raise InputError(f"{path}: is no whole tar file ({error}); write the shards again") from None
    whole = [
        clip for clip in clips.values() if {"json", "npz"} <= set(clip) and {"mp4", "pixels.npy"} & set(clip)
    ]
    if not whole:
        raise InputError(f"{folder}: its shards hold no clips of actalker prepare (json, npz and mp4)")
    return whole


class ClipDataset(Dataset):
    """Windows of the clips of a folder of shards; item `place` is of clip `place` modulo their number."""

    def __init__(self, config: ClipDataConfig, training: bool = True) -> None:
        self.config, self.speech = config, speech_features(config.whisper)
        self.clips = []
        for clip in read_index(Path(config.shards)):
            meta = json.loads(clip["json"].read())
            # one frame is enough for no window, and who is held out is so in every run
            mine = config.held_out == 0 or _held_out(meta, config.held_out) != training
            if meta["frames"] >= config.frames and mine:
                self.clips.append((clip, meta))
        if not self.clips:
            kind = "training" if training else "validation"
            raise InputError(
                f"{config.shards}: no clip for {kind} with {config.frames} frames; prepare more, or change "
                "frames or held_out"
            )

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, index: int) -> str:
        """What the source calls a clip."""
        return str(self.clips[index % len(self)][1]["clip"])

    def __getitem__(self, place: int) -> Sample:
        config = self.config
        clip, meta = self.clips[place % len(self)]
        generator = torch.Generator().manual_seed((config.seed * 1_000_003 + place) % 2**62)
        rows, reference, stride = self._rows(meta["frames"], generator)
        with np.load(io.BytesIO(clip["npz"].read())) as held:
            features = {name: held[name] for name in held.files}
        wanted = sorted({0, reference, *rows})
        pictures = dict(zip(wanted, read_pictures(clip, wanted), strict=True))
        scale = pictures[0].shape[0] / features["mouth"].shape[0]  # decoded frames may be smaller
        faces = {k: _face(features, meta["features"].get("scheme"), k, scale) for k in wanted}
        square = canonical_crop(faces[reference])
        driving = Crop(*(float(v) * scale for v in features["crop"]))
        points = [faces[k].points().moved(square, config.size) for k in (reference, *rows)]
        masks = {name: REGIONS[name](points, (config.size,) * 2) >= 0.5 for name in ("face", "mouth")}
        rate = Fraction(config.fps, stride)
        first = rows[0] // stride
        audio = self._audio(clip, rate, first)
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
            micro=torch.tensor([float(rate), *_motion(features, meta["features"].get("scheme"), rows)]),
            motion=torch.full((len(SIGNALS), config.frames, len(CHANNELS)), float("nan")),
            field=no_field(config.frames, config.size),
            index=torch.tensor(place % len(self)),
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

    def _audio(self, clip: dict[str, Member], rate: Fraction, first: int) -> np.ndarray | None:
        if "wav" not in clip:
            return None
        with wave.open(io.BytesIO(clip["wav"].read())) as file:
            mono = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
            if file.getframerate() != RATE:
                raise InputError(f"{clip['wav'].tar}: its sound has not {RATE} samples a second")
        return self.speech.reader(mono, rate)(self.config.frames, first)


def read_pictures(clip: dict[str, Member], rows: Sequence[int]) -> list[np.ndarray]:
    """Frames `rows` (ascending) of a clip, (h, w, 3) uint8: decoded ones where the shard has them."""
    if "pixels.npy" in clip:
        return _decoded(clip["pixels.npy"], rows)
    wanted, found = set(rows), []
    with av.open(io.BytesIO(clip["mp4"].read()), "r") as container:
        for k, frame in enumerate(container.decode(video=0)):
            if k in wanted:
                found.append(frame.to_ndarray(format="rgb24"))
            if k >= rows[-1]:
                break
    if len(found) != len(wanted):
        raise InputError(
            f"{clip['mp4'].tar}: a clip has fewer frames than its json says; write the shards again"
        )
    return found


def _decoded(member: Member, rows: Sequence[int]) -> list[np.ndarray]:
    """Rows of an array in a tar file, without reading the others."""
    with open(member.tar, "rb") as file:
        file.seek(member.offset)
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = read_header[version](file)
        start, stride = file.tell(), int(np.prod(shape[1:])) * dtype.itemsize
        found = []
        for k in rows:
            file.seek(start + k * stride)
            found.append(np.frombuffer(file.read(stride), dtype).reshape(shape[1:]))
    return found


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


def _held_out(meta: dict[str, Any], share: float) -> bool:
    who = meta["person"] or meta["clip"]
    return int(hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest(), 16) % HELD < share * HELD
