"""Metrics over many clips: values, intervals, failures by reason, and the protocol of each metric."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from importlib import metadata
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import InputError, one_of
from ..faces.find import FINDERS, choose_finder
from ..provenance import file_hash, make_folder, whole_file
from .clip import Clip, Unmeasurable, paired
from .form import PAIRS, described
from .metric import Metric, Pool, Weights
from .metrics import METRICS, load_weights
from .statistics import mean_interval
from .tables import markdown_table

PACKAGES = ("numpy", "scikit-image", "torch", "av", "mediapipe", "torchmetrics")
MISSING = {
    "inception": "give --inception inception-2015-12-05.pt (TorchScript, from NVIDIA's stylegan3)",
    "i3d": "give --i3d i3d_torchscript.pt (from StyleGAN-V)",
    "backbone": "give --backbone vgg16-397923af.pth or alexnet-owt-7be5be79.pth (from torchvision)",
    "lpips": "give --lpips vgg.pth or alex.pth (from LPIPS, version 0.1)",
    "syncnet": "give --syncnet syncnet_v2.model (from SyncNet's authors)",
    "arcface": "give --arcface backbone.pth (insightface's r50 from its model zoo)",
    "reference": "give --reference, the real videos",
}
FACE = {"landmarks", "face", "mesh"}  # needs for which a face is looked for
BLANK = np.zeros((64, 64, 3), np.uint8)
OUTPUTS = ("metrics.json", "metrics.csv", "metrics.md")


@dataclass(frozen=True)
class Row:
    """Hold one metric over all clips.

    metric, unit, better: its name, its unit, and which direction is better: higher, lower or none.
    value: mean over the clips that have a value, or the one number of a metric of all clips together.
    low, high: bootstrap 95 % interval of the mean.
    all: mean over all clips, in which a clip without a value counts as the metric's worst value.
    count: number of clips with a value.
    failures: reason -> number of clips without a value for it.
    protocol, hash: what the number depends on beside the clips, and its hash.
    clips: name of a clip -> its value.
    """

    metric: str
    unit: str
    better: str
    value: float | None
    low: float | None
    high: float | None
    all: float | None
    count: int
    failures: dict[str, int]
    protocol: Mapping[str, object]
    hash: str
    clips: dict[str, float | None]


@dataclass(frozen=True)
class Report:
    """Hold the result of an evaluation.

    rows: one for each metric that was computed.
    left_out: metric that was not computed -> the option or file that it needs.
    notes: how frames of a clip and its reference were matched in size or rate -> number of such pairs.
    """

    rows: list[Row]
    left_out: dict[str, str]
    notes: dict[str, int] = field(default_factory=dict)


def evaluate(
    generated: Path,
    reference: Path | None,
    names: Sequence[str],
    weights: Weights,
    finder: str = "auto",
    face_model: Path | None = None,
    tell: Callable[[str], None] = lambda name: None,
) -> Report:
    """Measure a video, or a folder of them. tell: called with a clip's name when it is done.

    Raises: InputError for unknown metrics, folders without videos, references that are missing.
    """
    for name in names:
        one_of(name, METRICS, "metric")
    pairs = paired(generated, reference)
    finder, face_model = choose_finder(finder, face_model)
    left_out = {name: why for name in names if (why := _lacks(METRICS[name], reference, weights)) is not None}
    wanted = [METRICS[name] for name in names if name not in left_out]
    if any(FACE & set(metric.needs) for metric in wanted):
        FINDERS[finder].find(BLANK, face_model)  # a model that is none is told before the work
    load_weights({need for metric in wanted for need in metric.needs}, weights)
    values: dict[str, dict[str, float | None]] = {metric.name: {} for metric in wanted}
    failures: dict[str, Counter[str]] = {metric.name: Counter() for metric in wanted}
    pools = {metric.name: metric.pool(weights) for metric in wanted if metric.pool is not None}
    notes: Counter[str] = Counter()
    for name, generated_path, reference_path in pairs:
        clip, other = Clip(generated_path, finder, face_model), None
        if reference_path is not None:
            clip, other = _pair(clip, Clip(reference_path, finder, face_model), notes)
        for metric in wanted:
            value, why = _measured(metric, clip, other, weights, pools.get(metric.name))
            values[metric.name][name] = value
            if why is not None:
                failures[metric.name][why] += 1
        tell(name)
    rows = []
    for metric in wanted:
        recipe = protocol(metric, weights, finder, face_model)
        pool = pools.get(metric.name)
        rows.append(_row(metric, values[metric.name], failures[metric.name], recipe, pool))
    return Report(rows, left_out, dict(notes))


def _pair(generated: Clip, reference: Clip, notes: Counter[str]) -> tuple[Clip, Clip]:
    """Return both clips, set to be read at the same frame rate; counts in `notes` what is matched."""
    try:
        ours, theirs = generated.info, reference.info
    except InputError:  # every metric will say so
        return generated, reference
    size = described((ours.height, ours.width), (theirs.height, theirs.width))
    if size is not None:
        notes[size] += 1
    if ours.fps == theirs.fps:
        return generated, reference
    notes[f"reference of {_rate(theirs.fps)} frames a second, read at {_rate(ours.fps)}"] += 1
    return replace(generated, rate=ours.fps), replace(reference, rate=ours.fps)


def _rate(fps: Fraction) -> str:
    return f"{float(fps):.5g}"


def _measured(
    metric: Metric, clip: Clip, other: Clip | None, weights: Weights, pool: Pool | None
) -> tuple[float | None, str | None]:
    """Measure a clip; returns its value, or None and the reason. For a metric of a pool both are None."""
    try:
        if pool is not None:
            pool.add(clip, other)
            return None, None
        assert metric.measure is not None
        value = float(metric.measure(clip, other, weights))
    except Unmeasurable as error:
        return None, str(error)
    except InputError as error:  # a file that cannot be read fails in every metric, by its reason
        real = f"{other.path}: " if other is not None else ""
        text = str(error).removeprefix(f"{clip.path}: ")
        return None, f"its reference: {text.removeprefix(real)}" if real and text.startswith(real) else text
    return (value, None) if np.isfinite(value) else (None, "the value is no number")


def _lacks(metric: Metric, reference: Path | None, weights: Weights) -> str | None:
    known = {**asdict(weights), "reference": reference}
    for need in metric.needs:
        if need in known and known[need] is None:
            return MISSING[need]
    return None


def protocol(metric: Metric, weights: Weights, finder: str, face_model: Path | None) -> dict[str, object]:
    """Return all that a metric's number depends on beside the clips."""
    files = {need: getattr(weights, need) for need in metric.needs if need in asdict(weights)}
    looks = not FACE.isdisjoint(metric.needs)
    if looks and finder == "landmarker" and face_model is not None:
        files["face_model"] = face_model
    return {
        "metric": metric.name,
        "formula": metric.formula,
        "pairs": PAIRS if "reference" in metric.needs else None,
        "finder": finder if looks else None,
        "weights": {name: file_hash(path) for name, path in files.items()},
        "versions": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Return package -> version, of this package and of the installed ones that numbers depend on."""
    versions = {"actalker": __version__}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def protocol_hash(recipe: Mapping[str, object]) -> str:
    """Return a protocol's hash, twelve hexadecimal digits."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def _row(
    metric: Metric,
    clips: dict[str, float | None],
    failures: Counter[str],
    recipe: Mapping[str, object],
    pool: Pool | None,
) -> Row:
    if pool is not None:
        return _pooled(metric, clips, failures, recipe, pool)
    values = np.array([value for value in clips.values() if value is not None])
    every = None
    if metric.worst is not None:
        every = float(np.mean([metric.worst if value is None else value for value in clips.values()]))
    low, high = mean_interval(values)
    return Row(
        metric.name,
        unit=metric.unit,
        better=metric.better,
        value=float(values.mean()) if len(values) else None,
        low=low,
        high=high,
        all=every,
        count=len(values),
        failures=dict(failures),
        protocol=recipe,
        hash=protocol_hash(recipe),
        clips=clips,
    )


def _pooled(
    metric: Metric,
    clips: dict[str, float | None],
    failures: Counter[str],
    recipe: Mapping[str, object],
    pool: Pool,
) -> Row:
    """Return the row of a metric that is one number of all clips, without interval or clips' values."""
    value: float | None = None
    try:
        value = pool.value()
        if not np.isfinite(value):
            raise Unmeasurable("the value is no number")
    except Unmeasurable as error:
        value, failures = None, failures + Counter({str(error): 1})
    count = len(clips) - sum(failures.values()) if value is not None else 0
    return Row(
        metric.name,
        unit=metric.unit,
        better=metric.better,
        value=value,
        low=None,
        high=None,
        all=None,
        count=count,
        failures=dict(failures),
        protocol=recipe,
        hash=protocol_hash(recipe),
        clips=clips,
    )


def markdown(report: Report) -> str:
    """Return the table in Markdown, then lists of failures, notes, and metrics that were not computed."""
    head = ["metric", "value", "95 % interval", "clips", "with failures", "unit", "protocol"]
    lines = [markdown_table(head, map(_cells, report.rows)).rstrip("\n")]
    for row in report.rows:
        lines += [f"- {row.metric}: {count} without a value: {why}" for why, count in row.failures.items()]
    for note, count in report.notes.items():
        lines.append(f"- {count} {'pair' if count == 1 else 'pairs'}: {note}")
    lines += [f"- {name}: not computed; {why}" for name, why in report.left_out.items()]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    """Return the texts of a row's cells in the table."""
    arrow = {"higher": " ↑", "lower": " ↓", "none": ""}[row.better]
    between = "" if row.low is None else f"{row.low:.4g} to {row.high:.4g}"
    clips = f"{row.count} of {len(row.clips)}"
    return [row.metric + arrow, _text(row.value), between, clips, _text(row.all), row.unit, f"`{row.hash}`"]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def write_report(report: Report, out: Path) -> list[Path]:
    """Write metrics.json, .csv (a row per clip) and .md, replacing existing ones; returns their paths."""
    make_folder(out)
    rows = [asdict(row) for row in report.rows]
    content = {"rows": rows, "not_computed": report.left_out, "notes": report.notes}
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["clip", *(row.metric for row in report.rows)])
    for clip in report.rows[0].clips if report.rows else ():
        writer.writerow(
            [clip, *("" if row.clips[clip] is None else repr(row.clips[clip]) for row in report.rows)]
        )
    texts = (json.dumps(content, indent=1) + "\n", table.getvalue(), markdown(report))
    for name, text in zip(OUTPUTS, texts, strict=True):
        with whole_file(out / name, overwrite=True) as work:
            # names on disk may hold bytes that are no text
            work.write_text(text, encoding="utf-8", errors="backslashreplace")
    return [out / name for name in OUTPUTS]
