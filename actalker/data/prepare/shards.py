"""WebDataset shards: tar files whose bytes depend on the clips alone, not on the machine or the time.

Clips come in the order of their keys' hashes, so neighbours in a shard are not neighbours in the source.
All clips have the same members, and their `json` the same keys and types, because readers such as
Hugging Face `datasets` infer both from the first clips. `index.json` says where every member lies, so that
readers need not scan the tar files.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import wave
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...provenance import whole_file
from ...signals.audible import RATE
from ..sources import INDEX, ClipIndex, ShardIndex
from .cut import CLIP, SOUND
from .entries import Entry, as_text
from .features import FEATURES, LATENTS, PIXELS
from .motion import MOTION
from .stages import Outcome

FORMAT = 2
CARD = """---
configs:
- config_name: default
  data_files: {files}
---
Clips of talking heads in WebDataset shards, by actalker prepare: `mp4`, `wav`, `npz` and `json` of each.
"""  # Hugging Face `datasets` reads here which files are the data
MEMBERS = {  # suffix in the shard: stage, file
    "mp4": ("render", CLIP),
    "wav": ("render", SOUND),
    "npz": ("features", FEATURES),
    "motion.npz": ("motion", MOTION),
    "pixels.npy": ("pixels", PIXELS),
    "latents.npy": ("latents", LATENTS),
}


def write_shards(
    folder: Path, clips: Sequence[tuple[Entry, Outcome, Path]], clips_per_shard: int
) -> dict[str, str]:
    """Write clips to `shard-000000.tar` and so on, with an index; shards that are up to date stay.

    clips: entry, outcome (`ok`) and the folder of its results. Returns: key -> name of its shard.
    Raises: InputError when the folder cannot be made or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    ordered = sorted(clips, key=lambda clip: hashlib.sha256(clip[0].key.encode()).digest())
    before, places = _index(folder), dict[str, str]()
    index: dict[str, ShardIndex] = {}
    for first in range(0, len(ordered), clips_per_shard):
        chunk = ordered[first : first + clips_per_shard]
        name = f"shard-{first // clips_per_shard:06d}.tar"
        content = _content(chunk)
        target = folder / name
        stored = before.get(name, {})
        members = stored.get("members")
        if not (members and stored.get("content") == content and _size(target) == stored.get("bytes")):
            with whole_file(target, overwrite=True) as work:
                members = _write(work, chunk)
        index[name] = {
            "content": content,
            "clips": len(chunk),
            "bytes": _size(target),
            "members": members,
        }
        places.update({entry.key: name for entry, _, _ in chunk})
    with whole_file(folder / INDEX, overwrite=True) as work:
        work.write_text(json.dumps(index, separators=(",", ":")) + "\n")
    write_card(folder, "shard-*.tar")
    for stale in sorted(folder.glob("shard-*.tar")):
        if stale.name not in index:
            stale.unlink()
    return places


def write_card(folder: Path, files: str) -> None:
    """Write README.md, with which `datasets.load_dataset(folder)` opens the shards. files: their pattern."""
    with whole_file(folder / "README.md", overwrite=True) as work:
        work.write_text(CARD.format(files=json.dumps(files)))


def meta(entry: Entry, outcome: Outcome) -> dict[str, object]:
    """The content of a clip's `json` in a shard.

    Parts whose form differs from clip to clip are JSON in a string, so that a column has one type. Names are
    text (`as_text`).
    """
    values = outcome.values
    return {
        "clip": as_text(entry.clip),
        "person": as_text(entry.person),
        "person_by": entry.person_by,
        "frames": values["render"]["frames"],
        "sound": bool(values["render"]["sound"]),
        "script": {"base": values["captions"]["base"], "phases": _line(values["captions"]["phases"])},
        "quality": _line(values["quality"]),
        "track": _line(values["track"]),
        "features": _line(values["features"]),
        "sync": _line(values.get("sync", {})),
    }


def _write(path: Path, clips: Sequence[tuple[Entry, Outcome, Path]]) -> dict[str, ClipIndex]:
    """Write a shard. Returns key -> what the index says of a clip."""
    index: dict[str, ClipIndex] = {}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for entry, outcome, results in clips:
            files = {"json": _add(tar, f"{entry.key}.json", _json(meta(entry, outcome)))}
            for suffix, (stage, name) in MEMBERS.items():
                if suffix == "wav" and f"sync/{name}" in outcome.files:
                    stage = "sync"  # the sound as it was repaired
                if f"{stage}/{name}" in outcome.files:
                    content = (results / stage / name).read_bytes()
                elif suffix == "wav":
                    content = _silence(outcome.values["render"]["duration"])
                else:
                    continue
                files[suffix] = _add(tar, f"{entry.key}.{suffix}", content)
            index[entry.key] = {
                "clip": as_text(entry.clip),
                "person": as_text(entry.person),
                "frames": outcome.values["render"]["frames"],
                "files": files,
            }
    return index


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> list[int]:
    """Add a file to a shard. Returns its offset, size and CRC-32."""
    info = tarfile.TarInfo(name)  # no times, no owners
    info.size = len(content)
    place = [tar.offset + tarfile.BLOCKSIZE, info.size, zlib.crc32(content)]
    tar.addfile(info, io.BytesIO(content))
    return place


def _silence(seconds: float) -> bytes:
    """A WAV file of silence for a clip without sound, so that all clips have the same members."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * round(seconds * RATE)))
    return buffer.getvalue()


def _line(content: object) -> str:
    return json.dumps(content, sort_keys=True)


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode()


def _content(clips: Sequence[tuple[Entry, Outcome, Path]]) -> str:
    """A hash of all that a shard of these clips would hold."""
    rows = [[entry.key, meta(entry, outcome), outcome.files] for entry, outcome, _ in clips]
    return hashlib.sha256(_json([FORMAT, rows])).hexdigest()


def _index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
