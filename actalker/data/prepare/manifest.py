"""The manifest: one Parquet file with a row for every clip and for every file of the source that is none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...extras import need
from ...provenance import whole_file
from .entries import Entry, as_text
from .stages import Outcome, Values

MANIFEST = "manifest.parquet"
MEASURED = {  # column: (stage, value)
    "width": ("probe", "width"),
    "height": ("probe", "height"),
    "source_fps": ("probe", "fps"),
    "source_duration": ("probe", "duration"),
    "has_sound": ("probe", "sound"),
    "source_hash": ("probe", "hash"),
    "span_missing": ("cut", "missing"),
    "span_late": ("cut", "late"),
    "bar_left": ("bars", "left"),
    "bar_top": ("bars", "top"),
    "bar_right": ("bars", "right"),
    "bar_bottom": ("bars", "bottom"),
    "cuts": ("shots", "cuts"),
    "face_share": ("track", "face_share"),
    "others_share": ("track", "others_share"),
    "face_height": ("track", "face_height"),
    "yaw": ("track", "yaw"),
    "frames": ("render", "frames"),
    "duration": ("render", "duration"),
    "sharpness": ("quality", "sharpness"),
    "brightness": ("quality", "brightness"),
    "contrast": ("quality", "contrast"),
    "level": ("quality", "level"),
    "pauses": ("quality", "pauses"),
    "head_motion": ("features", "head_motion"),
    "expression_motion": ("features", "expression_motion"),
    "expression_variance": ("features", "expression_variance"),
    "sync_confidence": ("sync", "confidence"),
    "sync_distance": ("sync", "distance"),
    "sync_offset": ("sync", "offset"),
    "sync_shift": ("sync", "shift"),
    "motion_seen": ("motion", "seen"),
    "motion_sure": ("motion", "sure"),
    "caption": ("captions", "base"),
    "phases": ("captions", "phases"),
    "actions": ("captions", "actions"),
    "emotions": ("captions", "emotions"),
}
NUMBERS = {"width", "height", "frames", "head_motion", "expression_motion", "sync_offset"}
NUMBERS |= {name for name in MEASURED if name.startswith("bar_")}
TEXT_OF_ROW = ["clip", "status", "reason", "notes", "stage", "key", "shard", "source", "person", "person_by"]
TEXT_OF_ROW += ["timings", "hashes"]
TEXTS = {"source_hash", "caption"}
LISTS = {"cuts", "phases", "actions", "emotions"}  # as JSON
Row = dict[str, Any]
"""A row of the manifest: column -> value, None where it was not measured."""


def row(entry: Entry, outcome: Outcome, shard: str | None) -> Row:
    """The manifest's row of an entry. shard: the name of the tar file that holds the clip."""
    record: Row = {
        "clip": entry.clip,
        "status": outcome.status,
        "reason": outcome.reason,
        "notes": "; ".join(notes(outcome.values)),
        "stage": outcome.stage,
        "key": entry.key,
        "shard": shard,
        "source": None if entry.video is None else str(entry.video),
        "person": entry.person,
        "person_by": entry.person_by,
        "start": None if entry.span is None else float(entry.span.start),
        "seconds": round(sum(outcome.seconds.values()), 3),
        "timings": json.dumps(outcome.seconds),
        "hashes": json.dumps(outcome.files, sort_keys=True),
    }
    for name, (stage, value) in MEASURED.items():
        measured = outcome.values.get(stage, {}).get(value)
        record[name] = json.dumps(measured) if name in LISTS and measured is not None else measured
    return record


def notes(values: Mapping[str, Values]) -> list[str]:
    """Remarks on a clip that may be usable all the same, such as a sound that was moved. values: by stage."""
    texts, cut = [], values.get("cut", {})
    if "missing" in cut:
        asked, there = cut["duration"] + cut["missing"], cut["duration"]
        texts.append(f"its time runs past the file: {there:.2f} of {asked:.2f} s are there")
    if "late" in cut:
        texts.append(f"its picture begins {cut['late']:.2f} s after its time: the clip begins there")
    bars = [(side, pixels) for side, pixels in values.get("bars", {}).items() if pixels]
    if bars:
        sides = ", ".join(f"{side} {pixels}" for side, pixels in bars)
        texts.append(f"black bars are left out (pixels: {sides})")
    sync = values.get("sync", {})
    if "shift" in sync:
        way = "later" if sync["shift"] > 0 else "earlier"
        texts.append(
            f"its sound is moved {abs(sync['shift']):.2f} s {way}: it was {sync['offset_before']} frames "
            f"from the lips, and is {sync['offset']}"
        )
    return texts


def write_manifest(path: Path, rows: Sequence[Row]) -> None:
    """Write rows to a Parquet file; columns and their types are the same whatever the rows hold."""
    arrow = need("data", "pyarrow")
    parquet = need("data", "pyarrow.parquet")
    kinds = {name: arrow.string() for name in TEXT_OF_ROW}
    kinds.update({"start": arrow.float64(), "seconds": arrow.float64()})
    for name in MEASURED:
        kind = arrow.int64() if name in NUMBERS else arrow.float64()
        kind = arrow.string() if name in TEXTS | LISTS else arrow.bool_() if name == "has_sound" else kind
        kinds[name] = kind
    columns = {
        name: [as_text(row[name]) if isinstance(row[name], str) else row[name] for row in rows]
        for name in kinds
    }
    table = arrow.table({name: arrow.array(columns[name], kind) for name, kind in kinds.items()})
    with whole_file(path, overwrite=True) as work:
        parquet.write_table(table, work)


def read_manifest(path: Path) -> list[Row]:
    """The rows of a manifest's Parquet file."""
    return need("data", "pyarrow.parquet").read_table(path).to_pylist()
