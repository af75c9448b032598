"""WebDataset shards: tar files whose bytes depend on the clips alone, not on who made them when.

Clips stand in the order of their keys' hashes: neighbours in a shard are not neighbours in the source. All
clips have the same members, and their `json` the same keys and types, for readers such as Hugging Face
`datasets` take both from the first clips. `index.json` says where every member lies: nobody has to look.
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
from .cut import CLIP, SOUND
from .entries import Entry, as_text
from .features import FEATURES, LATENTS, PIXELS
from .motion import MOTION
from .stages import Outcome

FORMAT = 2
INDEX = "index.json"
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
    """Write the clips of status `ok` to `shard-000000.tar` and so on; what is right already stays.

    clips: entry, outcome, the folder of its results. Returns: key -> name of its shard.
    Raises: InputError when there is no room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    ordered = sorted(clips, key=lambda clip: hashlib.sha256(clip[0].key.encode()).digest())
    before, places = _index(folder), dict[str, str]()
    index: dict[str, dict[str, Any]] = {}
    for first in range(0, len(ordered), clips_per_shard):
        members = ordered[first : first + clips_per_shard]
        name = f"shard-{first // clips_per_shard:06d}.tar"
        held = {"content": _content(members), "clips": len(members)}
        target = folder / name
        kept = before.get(name, {})
        found = kept.get("members")
        if not (found and kept.get("content") == held["content"] and _size(target) == kept.get("bytes")):
            with whole_file(target, overwrite=True) as work:
                found = _write(work, members)
        index[name] = {**held, "bytes": _size(target), "members": found}
        places.update({entry.key: name for entry, _, _ in members})
    with whole_file(folder / INDEX, overwrite=True) as work:
        work.write_text(json.dumps(index, separators=(",", ":")) + "\n")
    write_card(folder, "shard-*.tar")
    for stale in sorted(folder.glob("shard-*.tar")):
        if stale.name not in index:
            stale.unlink()
    return places


def write_card(folder: Path, files: str) -> None:
    """Write README.md, by which `datasets.load_dataset(folder)` opens the shards. files: a pattern."""
    with whole_file(folder / "README.md", overwrite=True) as work:
        work.write_text(CARD.format(files=json.dumps(files)))


def meta(entry: Entry, outcome: Outcome) -> dict[str, Any]:
    """What a shard says of a clip: the `json` beside its video.

    What not every clip has, is JSON in a string: one column, one type. Names are text (`as_text`).
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


def _write(path: Path, members: Sequence[tuple[Entry, Outcome, Path]]) -> dict[str, dict[str, Any]]:
    """Write a shard. Returns key -> what the index says of a clip; files: suffix -> offset, bytes, CRC-32."""
    places = {}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for entry, outcome, results in members:
            told = meta(entry, outcome)
            files = {"json": _add(tar, f"{entry.key}.json", _json(told))}
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
            places[entry.key] = {**{key: told[key] for key in ("clip", "person", "frames")}, "files": files}
    return places


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> list[int]:
    info = tarfile.TarInfo(name)  # no times, no owners
    info.size = len(content)
    place = [tar.offset + tarfile.BLOCKSIZE, info.size, zlib.crc32(content)]
    tar.addfile(info, io.BytesIO(content))
    return place


def _silence(seconds: float) -> bytes:
    """The sound of a clip that has none, so that all clips have the same members."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * round(seconds * RATE)))
    return held.getvalue()


def _line(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1).encode()


def _content(members: Sequence[tuple[Entry, Outcome, Path]]) -> str:
    rows = [[entry.key, meta(entry, outcome), outcome.files] for entry, outcome, _ in members]
    return hashlib.sha256(_json([FORMAT, rows])).hexdigest()


def _index(folder: Path) -> dict[str, Any]:
    try:
        held = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
