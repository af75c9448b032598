"""Readers of a clip's members in a shard: from bytes to arrays. Errors of decoders become `Damaged`.

Letters: f frames of a clip, p landmarks.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import av
import numpy as np
from typing_extensions import TypedDict

from ..heads.motion import HeadMotion
from ..signals.audible import RATE
from .timed_text import ClipScript, TimedText

SLACK = 0.1  # seconds by which a clip's sound may be shorter or longer than its frames


class Damaged(Exception):
    """A clip cannot be read; the message says why."""


class ClipMeta(TypedDict):
    """A clip's `json`: its name, its person, its frames, whether it has sound, its script, and what stage
    `features` measured of it.
    """

    clip: str
    person: str
    frames: int
    sound: bool
    script: ClipScript
    features: dict[str, Any]


@contextmanager
def _parsing(suffix: str) -> Iterator[None]:
    """Turns any error inside into `Damaged`: each decoder has errors of its own, and none names the clip."""
    try:
        yield
    except Damaged:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:120]
        raise Damaged(f"its {suffix} cannot be read ({type(error).__name__}: {words})") from None


def read_meta(content: bytes) -> ClipMeta:
    """What a clip's `json` says.

    Parts that are JSON in a string are parsed; in older shards they are not strings.
    Raises: Damaged.
    """
    with _parsing("json"):
        meta = json.loads(content)
        script = meta["script"]
        phases: list[TimedText] = [
            {"text": str(phase["text"]), "start": phase["start"], "end": phase["end"]}
            for phase in _opened(script["phases"])
        ]
        return {
            "clip": str(meta["clip"]),
            "person": str(meta["person"]),
            "frames": int(meta["frames"]),
            "sound": bool(meta["sound"]),
            "script": {"base": str(script["base"]), "phases": phases},
            "features": dict(_opened(meta["features"])),
        }


def _opened(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def read_features(content: bytes, frames: int) -> dict[str, np.ndarray]:
    """The arrays of a clip's `npz`: boxes (f, 4), crop (3,), pictures `mouth` and `face`, and, where the
    finder gives them, landmarks (f, p, 2).

    frames: f. Raises: Damaged, also for arrays of other shapes.
    """
    with _parsing("npz"):
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        shapes = {"boxes": (frames, 4), "crop": (3,)}
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise Damaged(f"its npz has {name} {arrays[name].shape}, not {shape}")
        marks = arrays.get("landmarks")
        if marks is not None and (marks.ndim != 3 or len(marks) != frames or marks.shape[2] < 2):
            raise Damaged(f"its npz has landmarks {marks.shape} of {frames} frames")
        if any(arrays[name].ndim != 2 for name in ("mouth", "face")):
            raise Damaged("its npz has regions that are no pictures")
        if not all(np.isfinite(arrays[name]).all() for name in ("boxes", "crop")) or arrays["crop"][2] <= 0:
            raise Damaged("its npz has boxes that are no numbers")
        return arrays


def read_motion(content: bytes, frames: int) -> HeadMotion:
    """The absolute track of a clip's head, from its `motion.npz`.

    Raises: Damaged, also for a track of another number of frames.
    """
    with _parsing("motion.npz"):
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            motion = HeadMotion(**{one.name: archive[one.name] for one in fields(HeadMotion)})
        if len(motion) != frames:
            raise Damaged(f"its motion.npz has {len(motion)} of {frames} frames")
        return motion


def read_sound(content: bytes, seconds: float) -> np.ndarray:
    """The samples of a clip's `wav`, (n,) float32 in [-1, 1], RATE a second.

    seconds: the length of the clip. Raises: Damaged, also where the sound is shorter or longer.
    """
    with _parsing("wav"), wave.open(io.BytesIO(content)) as file:
        form = file.getnchannels(), file.getsampwidth(), file.getframerate()
        if form != (1, 2, RATE):
            raise Damaged(
                f"its wav has {form[0]} channels, {8 * form[1]} bits and {form[2]} samples a second"
            )
        count = file.getnframes()
        mono = np.frombuffer(file.readframes(count), "<i2").astype(np.float32) / 32768
    if len(mono) != count or abs(count / RATE - seconds) > SLACK:
        raise Damaged(f"its wav has {len(mono) / RATE:.2f} s of sound, its frames last {seconds:.2f} s")
    return mono


def decode_frames(content: bytes, rows: Sequence[int]) -> list[np.ndarray]:
    """Frames `rows` (ascending) of a clip's `mp4`, each (h, w, 3) uint8.

    Raises: Damaged, also for frames that the decoder had to guess.
    """
    wanted, pictures = set(rows), []
    with _parsing("mp4"), av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        stream.codec_context.thread_count = 1  # a decoding thread that logs can lock up
        for k, frame in enumerate(container.decode(stream)):
            if k in wanted:
                if frame.is_corrupt:
                    raise Damaged(f"its mp4 is damaged at frame {k}")
                pictures.append(frame.to_ndarray(format="rgb24"))
            if k >= rows[-1]:
                break
    if len(pictures) != len(wanted):
        raise Damaged(
            f"its mp4 has fewer frames than its json says ({len(pictures)} of {len(wanted)} are there)"
        )
    return pictures


def slice_frames(read: Callable[[int, int], bytes], rows: Sequence[int], frames: int) -> list[np.ndarray]:
    """Frames `rows` (ascending) of a clip's `pixels.npy`, each (h, w, 3) uint8, without reading the others.

    read: gives the file's bytes from one offset to another. frames: of the whole clip.
    Raises: Damaged.
    """
    with _parsing("pixels.npy"):
        head = io.BytesIO(read(0, 512))
        version = np.lib.format.read_magic(head)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, by_column, dtype = read_header[version](head)
        if by_column or dtype != np.uint8 or len(shape) != 4 or shape[0] != frames or shape[3] != 3:
            raise Damaged(f"its pixels.npy is {shape} {dtype} of {frames} frames")
        start, size = head.tell(), int(np.prod(shape[1:]))
        pictures: list[np.ndarray] = []
        for first, last in _runs(rows):
            content = read(start + first * size, start + (last + 1) * size)
            run = np.frombuffer(content, np.uint8).reshape(-1, *shape[1:])
            pictures += [run[k - first] for k in rows if first <= k <= last]
    empty = [k for k, frame in zip(rows, pictures, strict=True) if not frame.any()]
    if empty:  # a face was found in every frame
        raise Damaged(f"its pixels.npy holds zeros at frame {empty[0]}")
    return pictures


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of each run of ascending numbers; gaps of one number do not end a run."""
    runs: list[tuple[int, int]] = []
    for k in rows:
        if runs and k - runs[-1][1] <= 2:
            runs[-1] = runs[-1][0], k
        else:
            runs.append((k, k))
    return runs
