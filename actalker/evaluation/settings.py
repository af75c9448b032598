"""What an ablation varies: axes, settings of them, and the presets that name settings worth looking at."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..control.config import SCOPES
from ..control.gates import Gates
from ..errors import InputError, one_of
from ..pipeline.options import RunOptions
from ..signals.signal import IDENTITY, SIGNALS

BASE = "all gates open"
AXES = {
    "steps": "denoiser calls a window",
    "seed": "a whole number",
    "mask_drop": "the chance that a token outside the region is not scanned, in [0, 1]",
    "scan_scope": "clip or frame",
    "model": "tiny, a model folder or a hub id",
}
OF_SIGNALS = {
    "gate": "a number in [0, 1] or a schedule such as 0@0-0.5,1@0.5-",
    "region": "mouth, upper, face, frame, one of the first three with -soft, or a mask picture",
    "guidance": "a scale, 1 is none",
}


def axes() -> dict[str, str]:
    """Axis -> its values in words: `gate.NAME` and so on of every signal of the table, and the other axes."""
    names = {group: list(SIGNALS) for group in OF_SIGNALS}
    names["guidance"].append(IDENTITY)
    return {f"{group}.{name}": what for group, what in OF_SIGNALS.items() for name in names[group]} | AXES


NUMBERS: dict[
    str, tuple[type, float, float]
] = {  # kind, least and most; the rest is checked where it is used
    "guidance": (float, 0, 100),
    "steps": (int, 1, 1000),
    "seed": (int, 0, 2**63 - 1),
    "mask_drop": (float, 0, 1),
}


@dataclass(frozen=True)
class Setting:
    """One column of an ablation: a name, and how it differs from the model's own way (axis -> value).

    Raises: InputError for unknown axes and values.
    """

    name: str
    changes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for axis, value in self.changes.items():
            _check(one_of(axis, axes(), "axis"), value)

    def of(self, group: str) -> dict[str, str]:
        """The changes of one group (`gate`, `region` or `guidance`): signal -> value."""
        start = f"{group}."
        return {axis[len(start) :]: v for axis, v in self.changes.items() if axis.startswith(start)}

    def signals(self) -> set[str]:
        """The signals of which it changes something."""
        return {axis.partition(".")[2] for axis in self.changes if "." in axis} - {IDENTITY}

    def options(self, base: RunOptions | None = None) -> RunOptions:
        """The options of a run under this setting; gates that it does not name are open.

        base: all other options.
        """
        gates = Gates.parse([f"{name}={value}" for name, value in self.of("gate").items()], SIGNALS)
        scales = {name: float(value) for name, value in self.of("guidance").items()}
        base, steps, seed = base or RunOptions(), self.changes.get("steps"), self.changes.get("seed")
        return replace(
            base,
            gates=gates,
            regions=self.of("region"),
            guidance=scales,
            steps=base.steps if steps is None else int(steps),
            seed=base.seed if seed is None else int(seed),
        )


def _check(axis: str, value: str) -> None:
    group, _, name = axis.partition(".")
    if group == "gate":
        Gates.parse([f"{name}={value}"], SIGNALS)
    elif group == "scan_scope":
        one_of(value, SCOPES, axis)
    elif group in NUMBERS:
        kind, low, high = NUMBERS[group]
        try:
            good = low <= kind(value) <= high
        except ValueError:
            good = False
        if not good:
            raise InputError(f"{axis}={value}: give {axes()[axis]}")


def _check_region(axis: str, value: str) -> None:
    """Refuse what is neither a region nor a picture. Regions are read late: they need torch."""
    from ..media.image import read_image
    from ..regions.regions import region_for

    choice = region_for(axis.partition(".")[2], "face", False, value)
    if isinstance(choice, Path):
        read_image(choice)


def varied(texts: Iterable[str]) -> list[Setting]:
    """Every combination of `AXIS=VALUE | VALUE | ...`, after the base.

    Raises: InputError for unknown axes and for values that are missing or wrong.
    """
    chosen: list[list[tuple[str, str]]] = []
    for text in texts:
        axis, equals, rest = (part.strip() for part in text.partition("="))
        values = [value.strip() for value in rest.split("|")]
        if not equals or not all(values):
            raise InputError(f"--vary {text!r}: write AXIS=VALUE|VALUE, for example 'gate.audio=0|0.5|1'")
        one_of(axis, axes(), "axis")
        twice = next((value for k, value in enumerate(values) if value in values[:k]), None)
        if twice is not None:
            raise InputError(f"--vary {text!r}: {twice} is given twice; give each value once")
        if any(axis == known for ((known, _), *_) in chosen):
            raise InputError(f"--vary {text!r}: {axis} is given twice; write all of its values in one")
        if axis.startswith("region."):
            for value in values:
                _check_region(axis, value)
        chosen.append([(axis, value) for value in values])
    out = [Setting(BASE)]
    for combination in itertools.product(*chosen):
        out.append(
            Setting(", ".join(f"{a.replace('.', ' ')} {v}" for a, v in combination), dict(combination))
        )
    return out


def _closed(*names: str) -> dict[str, str]:
    return {f"gate.{name}": "0" for name in names}


def _only(axis: str, values: Sequence[str]) -> list[Setting]:
    return [Setting(f"{axis.replace('.', ' ')} {value}", {axis: value}) for value in values]


def _others(name: str) -> list[str]:
    """Regions that are not a signal's own; of one of the whole face its two parts."""
    region = SIGNALS[name].region
    parts = ["mouth", "upper"]
    return parts if region in ("face", "frame") else [r for r in (*parts, "face", "frame") if r != region]


def _gates() -> list[Setting]:
    closed = [Setting(f"{name} closed", _closed(name)) for name in SIGNALS]
    half = [Setting(f"{name} half open", {f"gate.{name}": "0.5"}) for name in SIGNALS]
    return [*closed, *half, Setting("all closed", _closed(*SIGNALS))]


def _regions() -> list[Setting]:
    return [setting for name in SIGNALS for setting in _only(f"region.{name}", _others(name))]


def _mask_drop() -> list[Setting]:
    return [*_only("mask_drop", ["0.5", "0"]), *_only("scan_scope", ["clip", "frame"])]


def _guidance() -> list[Setting]:
    return [setting for name in SIGNALS for setting in _only(f"guidance.{name}", ["2", "4"])]


PRESETS = {"gates": _gates, "regions": _regions, "mask-drop": _mask_drop, "guidance": _guidance}


def preset(name: str) -> list[Setting]:
    """The settings of a preset, after the base, of the signals that the table has now.

    Raises: InputError for unknown ones.
    """
    return [Setting(BASE), *PRESETS[one_of(name, PRESETS, "preset")]()]
