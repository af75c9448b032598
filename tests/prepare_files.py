"""Small sources for `actalker prepare`: clips of a photograph that moves, and files that are no clips."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import wave
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
from media_files import text_as, tone, truncated, video_file, zero_byte
from skimage.data import astronaut

SIDE = 192
QUICK = [  # what makes the small clips pass, and the work short
    "--finder",
    "cascade",
    "--render.size",
    "96",
    "--track.fps",
    "2",
    "--track_limits.face_height",
    "40",
    "--cut_limits.shortest",
    "0.5",
]


@lru_cache(maxsize=1)
def _photograph() -> np.ndarray:
    """The astronaut of scikit-image, (256, 256, 3) uint8."""
    return np.ascontiguousarray(astronaut()[0:256, 96:352])


def face_frames(count: int, speed: int = 1) -> list[np.ndarray]:
    """Frames (SIDE, SIDE, 3) uint8 of a face that drifts sideways by `speed` pixels a frame."""
    whole = _photograph()
    return [
        np.ascontiguousarray(whole[8 : 8 + SIDE, k * speed % 48 : k * speed % 48 + SIDE])
        for k in range(count)
    ]


def face_clip(path: Path, seconds: float = 1.0, fps: int = 10, hz: float = 300.0, sound: bool = True) -> Path:
    """Writes a clip of a face, with a tone if `sound`."""
    frames = face_frames(round(seconds * fps))
    return video_file(path, frames, fps, sound=tone(seconds, hz=hz) if sound else None)


def clips(folder: Path, count: int = 3) -> Path:
    """Writes a folder of good clips."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        face_clip(folder / f"clip {k}.mp4", hz=200.0 + 100 * k)
    return folder


def head_clips(folder: Path, drawn: Path) -> Path:
    """Writes clips of the head in the video `drawn`; their sound is as loud as the lips are open."""
    from drawn_head import FPS, MODEL, asked

    from actalker.media.video import read_frames

    folder.mkdir(parents=True, exist_ok=True)
    frames = list(read_frames(drawn))
    opening = MODEL.opening(asked()[0])
    loud = np.repeat(opening / opening.max(), 16000 // FPS)
    sound = tone(len(frames) / FPS, hz=220.0) * loud
    video_file(folder / "forth.mp4", frames, FPS, sound=sound)
    video_file(folder / "back.mp4", frames[::-1], FPS, sound=sound[:, ::-1])
    script = {"base": "a woman", "phases": [{"text": "closes her eyes", "start": 0.2, "end": 0.4}]}
    (folder / "back.json").write_text(json.dumps(script))
    video_file(folder / "quiet.mp4", frames[:20], FPS)
    return folder


def made_shard(folder: Path, frames: int = 36, motion: bool = True) -> dict[str, object]:
    """Writes a shard of three clips with random motion of heads, and returns the tracks by clip.

    The clips are `smiles.mp4`, `blinks.mp4` with a script, and `quiet.mp4` without sound, with frames without
    a face and with a cut. Lips are closed at frame 10 only. motion: whether the shard holds the tracks.
    """
    from actalker.heads.model import INDEX
    from actalker.heads.motion import HeadMotion

    folder.mkdir(parents=True, exist_ok=True)
    random, tracks = np.random.default_rng(0), dict[str, object]()
    with tarfile.open(folder / "shard-000000.tar", "w") as tar:
        for key, clip in enumerate(("smiles.mp4", "blinks.mp4", "quiet.mp4")):
            coefficients = 0.3 * random.random((frames, 54))
            coefficients[:, INDEX["mouthClose"]] = 0
            coefficients[:, INDEX["jawOpen"]] = 0.3 + 0.2 * np.sin(np.arange(frames))
            coefficients[10] = 0.0
            confidence, shot = np.full(frames, 0.8), np.zeros(frames, int)
            if clip == "quiet.mp4":
                confidence[20:23], shot[26:] = 0, 1
            pose, gaze = random.normal(size=(frames, 6)) * 3, random.normal(size=(frames, 2)) * 5
            track = HeadMotion(
                times=np.arange(frames) / 25,
                coefficients=coefficients,
                pose=pose,
                gaze=gaze,
                confidence=confidence,
                shot=shot,
            )
            tracks[clip] = track
            phases = [{"text": "blinks", "start": 0.2, "end": 0.4}] if clip == "blinks.mp4" else []
            row = {"clip": clip, "person": clip, "person_by": "video", "frames": frames, "features": "{}"}
            row |= {"sound": clip != "quiet.mp4", "script": {"base": "", "phases": json.dumps(phases)}}
            packed, sound = io.BytesIO(), io.BytesIO()
            np.savez(packed, identity=np.zeros(30, np.float32), **vars(track))
            with wave.open(sound, "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                noise = random.normal(size=640 * frames) * (2000 if row["sound"] else 0)
                file.writeframes(noise.astype("<i2").tobytes())
            members = {"json": json.dumps(row).encode(), "mp4": b"no picture is read", "npz": b""}
            members |= {"wav": sound.getvalue()} | ({"motion.npz": packed.getvalue()} if motion else {})
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{key:06d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return tracks


def poisoned(folder: Path) -> dict[str, str]:
    """Writes good clips among files that are none.

    Returns what the manifest's row of each file must contain: `ok`, or words of the reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    good = face_clip(folder / "good.mp4")
    truncated(folder / "cut_off.mp4", good, 0.3)
    zero_byte(folder / "empty.mp4")
    text_as(folder / "notes.mp4")
    (folder / "readme.txt").write_text("not a clip")
    (folder / "good.txt").write_text("a woman smiles")
    (folder / ".hidden").write_bytes(os.urandom(500))
    with suppress(OSError):  # not on every file system
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4")).write_bytes(b"no text in any encoding")
    os.mkfifo(folder / "pipe.mp4")
    face_clip(folder / "silent.mp4", sound=False)
    video_file(folder / "no_face.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 10, 10, sound=tone(1.0))
    video_file(folder / "one_frame.mp4", face_frames(1), 10, sound=tone(1.0))
    cut = face_frames(5) + [255 - frame for frame in face_frames(5)]
    video_file(folder / "two shots.mp4", cut, 10, sound=tone(1.0))
    times = [Fraction(k * k, 80) for k in range(10)]
    video_file(folder / "vfr.mp4", face_frames(10), 10, times=times, sound=tone(1.0))
    return {
        "good.mp4": "ok",
        "vfr.mp4": "ok",
        "cut_off.mp4": "cannot be read",
        "empty.mp4": "is empty",
        "notes.mp4": "cannot be read",
        "readme.txt": "cannot be read",
        "pipe.mp4": "not a plain file",
        "caf\\udce9.mp4": "cannot be read",
        "silent.mp4": "no sound track",
        "no_face.mp4": "no face",
        "one_frame.mp4": "picture",
        "two shots.mp4": "1 cut",
    }


def celebv(folder: Path, entries: dict[str, object], name: str = "celebvhq_info.json") -> Path:
    """Writes a JSON in the form of CelebV-HQ's, with clips `entries`."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"appearance_mapping": ["male", "young"], "action_mapping": ["talk", "close_eyes", "shake_head"]}
    path = folder / name
    path.write_text(json.dumps({"meta_info": meta, "clips": entries}))
    return path


def entry(
    video: str = "M2Ohb0FAaJU", start: float = 0.0, end: float = 1.0, **more: object
) -> dict[str, object]:
    """An entry of such a JSON, whose box is the whole picture."""
    box = {"top": 0.0, "bottom": 1.0, "left": 0.0, "right": 1.0}
    return {"ytb_id": video, "duration": {"start_sec": start, "end_sec": end}, "bbox": box, **more}


def run_prepare(*words: object, check: int | None = 0, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs `actalker prepare` in a process and asserts its exit code, unless `check` is None."""
    done = subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        timeout=240,
        **options,  # type: ignore[call-overload]
    )
    assert check is None or done.returncode == check, (
        f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done


def command(*words: object) -> list[str]:
    """The command line of `actalker prepare`, in which `words` overrule QUICK."""
    return [sys.executable, "-m", "actalker", "prepare", str(words[0]), *QUICK, *map(str, words[1:])]


def shard_bytes(out: Path) -> dict[str, bytes]:
    """The bytes of every shard by its name."""
    return {path.name: path.read_bytes() for path in sorted((out / "shards").glob("*.tar"))}


def rows(out: Path) -> dict[str, dict[str, object]]:
    """The rows of the manifest by clip."""
    from actalker.data.prepare.manifest import read_manifest

    return {row["clip"]: row for row in read_manifest(out / "manifest.parquet")}
