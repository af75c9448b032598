"""The names of ACTalker's released files. Needs no torch."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError
from ..provenance import check_readable

PARTS = ("unet", "adapter_module", "pose_guider", "audio_linear", "id_proj_model", "vasa_linear")
NUMBERED = re.compile(r"(?P<part>[a-z_]+)-(?P<step>\d+)\.pth")


def find_parts(folder: Path, step: int | None) -> dict[str, Path]:
    """Part -> file of one checkpoint: of `step`, or of the last one.

    Raises: InputError that names what is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one with unet-N.pth")
    steps: dict[int, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        match = NUMBERED.fullmatch(path.name)
        if match and match["part"] in PARTS:
            steps.setdefault(int(match["step"]), {})[match["part"]] = path
    if not steps:
        raise InputError(f"{folder}: holds no {', '.join(f'{part}-N.pth' for part in PARTS)}")
    chosen = max(steps) if step is None else step
    files = steps.get(chosen, {})
    missing = [f"{part}-{chosen}.pth" for part in PARTS if part not in files]
    if missing:
        raise InputError(f"{folder}: {', '.join(missing)} missing; it holds files of {sorted(steps)}")
    return files


def check_sources(
    source: str | Path, svd: str | Path, out: str | Path, step: int | None, size: int
) -> dict[str, Path]:
    """The release's files by part, after the checks that read no weights.

    Raises: InputError for folders that are missing, an `out` that exists, and sizes that no model has.
    """
    if Path(out).exists():
        raise InputError(f"{out}: exists; give another folder")
    if size < 64 or size % 64:
        raise InputError(f"size {size}: give a multiple of 64, such as 576")
    files = find_parts(Path(source), step)
    for part in ("unet", "vae"):
        check_readable(Path(svd) / part / "config.json", "config")
    return files
