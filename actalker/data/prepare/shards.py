"""WebDataset shards: tar files whose bytes depend on the clips alone, not on who made them when.

Clips stand in the order of their keys' hashes: neighbours in a shard are not neighbours in the source.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...provenance import whole_file
from .cut import CLIP, SOUND
from .entries import Entry
from .features import FEATURES, LATENTS, PIXELS
from .stages import Outcome

FORMAT = 1
INDEX = "index.json"
MEMBERS = {  # suffix in the shard: stage, file
    "mp4": ("render", CLIP),
    "wav": ("render", SOUND),
    "npz": ("features", FEATURES),
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
    before, index, places = _index(folder), {}, {}
    for first in range(0, len(ordered), clips_per_shard):
        members = ordered[first : first + clips_per_shard]
        name = f"shard-{first // clips_per_shard:06d}.tar"
        held = {"content": _content(members), "clips": len(members)}
        target = folder / name
        kept = before.get(name, {})
        if not (kept.get("content") == held["content"] and _size(target) == kept.get("bytes")):
            with whole_file(target, overwrite=True) as work:
                _write(work, members)
        index[name] = {**held, "bytes": _size(target)}
        places.update({entry.key: name for entry, _, _ in members})
    with whole_file(folder / INDEX, overwrite=True) as work:
        work.write_text(json.dumps(index, indent=1) + "\n")
    for stale in sorted(folder.glob("shard-*.tar")):
        if stale.name not in index:
            stale.unlink()
    return places


def meta(entry: Entry, outcome: Outcome) -> dict[str, Any]:
    """What a shard says of a clip: the `json` beside its video."""
    values = outcome.values
    return {
        "clip": entry.clip,
        "person": entry.person,
        "person_by": entry.person_by,
        "frames": values["render"]["frames"],
        "sound": values["render"]["sound"],
        "script": {"base": values["captions"]["base"], "phases": values["captions"]["phases"]},
        "quality": values["quality"],
        "track": values["track"],
        "features": values["features"],
        "sync": values.get("sync", {}),
    }


def _write(path: Path, members: Sequence[tuple[Entry, Outcome, Path]]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for entry, outcome, results in members:
            _add(tar, f"{entry.key}.json", _json(meta(entry, outcome)))
            for suffix, (stage, name) in MEMBERS.items():
                if suffix == "wav" and f"sync/{name}" in outcome.files:
                    stage = "sync"  # the sound as it was repaired
                if f"{stage}/{name}" in outcome.files:
                    _add(tar, f"{entry.key}.{suffix}", (results / stage / name).read_bytes())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)  # no times, no owners
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


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
