"""The options of a run, for the command line, Python, sidecars and ablations alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..control.gates import Gates, Schedule
from ..errors import InputError, kind_of, one_of, whole
from ..signals.signal import IDENTITY, SIGNALS
from ..timeline import parse_rate, parse_seconds

V = TypeVar("V")

MOST_BETWEEN, MOST_REUSED = 4, 8
MASKS = ("paper", "released")
CROPS = ("face", "none")
SMALLEST, LARGEST = 64, 8192  # pixels of a frame's longer side


def each(option: str, value: str) -> dict[str, str]:
    """Return the metadata of a dataclass field that holds one value per signal.

    option: name of the command line's option; the user repeats `--option NAME=VALUE` for each signal.
    value: what stands for the value in the help text, such as SCALE.
    """
    return {"option": option, "metavar": f"NAME={value}"}


@dataclass(frozen=True)
class RunOptions:
    """How a clip is made of its inputs; None takes the model's setting.

    Raises: InputError for values outside their range, with what to give.
    """

    gates: Gates | Mapping[str, str | float | Schedule] | None = field(
        default=None, metadata=each("gate", "VALUE")
    )
    """How far each signal is open, 0 to 1, or a schedule in seconds such as 0@0-1.2,1@1.2-; all are open."""

    regions: Mapping[str, str | Path] | None = field(default=None, metadata=each("region", "REGION"))
    """Where a signal acts: mouth, upper, face, frame, one of the first three with -soft, which keeps to the
    landmarks, or a mask picture."""

    masks: str = "paper"
    """paper, or released: every signal acts everywhere, as in ACTalker's released script."""

    guidance: Mapping[str, float] | None = field(default=None, metadata=each("guidance", "SCALE"))
    """Scale by which a signal's effect, or identity's, is pushed; 1 is none."""

    steps: int | None = None
    """Denoiser calls a window; the model's own if not given."""

    sampler: str | None = None
    """euler, dpm2 or consistency; the model's own if not given."""

    windows: str | None = None
    """Of long clips: overlapping, or shifted (they move on at every step); the model's own if not given."""

    seed: int = 0
    """Same seed, same machine, same video."""

    fps: str | float | Fraction = "25"
    """Frames a second: 25, 29.97, 30000/1001."""

    interpolate: int = 1
    """Frames of the video for each generated one, 1 to 4."""

    interpolator: str | Path = "linear"
    """What makes the frames between: linear, or a TorchScript file."""

    duration: str | float | Fraction | None = None
    """Seconds; else as long as the speech, else the driving video, else the script."""

    crop: str = "face"
    """face: cut the square around it; none: the middle square."""

    view: str | None = None
    """Of models of heads: photo, the whole photograph, or face, the square around the face; photo if not
    given."""

    size: int | str | None = None
    """Of models of heads: pixels of the frames' longer side at most, or own, the photograph's own; 1280 if
    not given."""

    face_model: str | Path | None = None
    """Another face_landmarker.task than the one inside."""

    face_index: int | None = None
    """Which face of several, 0 is the largest."""

    reuse: int = 1
    """Denoiser calls for which outputs of attention are kept, 1 to 8; faster, a little different."""

    steady: bool = False
    """Hold colour and exposure where the clip begins; for very long clips."""

    liveliness: float = 0.5
    """Of models of heads, 0 to 1: how much a face blinks and moves of itself without a driving video."""

    starts: Mapping[str, str | float | Fraction] = field(default_factory=dict)
    """Seconds of a signal's input that are left out at its beginning."""

    def __post_init__(self) -> None:
        one_of(self.crop, CROPS, "crop")
        one_of(self.masks, MASKS, "rule of masks")
        if self.steps is not None:
            whole(self.steps, "steps", 1000)
        whole(self.interpolate, "interpolate", MOST_BETWEEN, hint=" (none)")
        whole(self.reuse, "reuse", MOST_REUSED, hint=" (none)")
        whole(self.seed, "seed", 2**63 - 1, 0)
        if self.face_index is not None and not hasattr(self.face_index, "__index__"):
            raise InputError(f"face_index {self.face_index!r}: give a whole number; 0 is the largest face")
        if not _within(self.liveliness, 1):
            raise InputError(f"liveliness {self.liveliness}: give a number from 0 (none) to 1")
        for name in self.starts:
            one_of(name, [signal for signal, entry in SIGNALS.items() if entry.start], "signal in starts")
            self.start(name)
        self.rate, self.seconds, self.limit, self.opening, self.scales, self.acting  # noqa: B018 - checked here

    def record(self) -> dict[str, object]:
        """Return the options as values for JSON, such that `RunOptions(**record)` makes the same clip."""
        plain = {option.name: _plain(getattr(self, option.name)) for option in fields(self)}
        schedules = (text.partition("=") for text in str(self.opening).split())
        return {**plain, "gates": {name: schedule for name, _, schedule in schedules}}

    @property
    def rate(self) -> Fraction:
        """Generated frames a second."""
        return parse_rate(self.fps) / self.interpolate

    @property
    def seconds(self) -> Fraction | None:
        """Length of the clip, or None where no duration is set."""
        return None if self.duration is None else parse_seconds(str(self.duration))

    @property
    def limit(self) -> int | None:
        """Most pixels of the frames' longer side: 0 for the photograph's own, None where no size is set."""
        if self.size is None or self.size == "own":
            return None if self.size is None else 0
        try:
            pixels = int(self.size)
        except (TypeError, ValueError):
            pixels = 0
        if not SMALLEST <= pixels <= LARGEST:
            raise InputError(
                f"size {self.size}: give {SMALLEST} to {LARGEST} pixels for the longer side, or own"
            )
        return pixels

    @property
    def opening(self) -> Gates:
        """The gates that are set; signals without one are open."""
        if isinstance(self.gates, Gates):
            return self.gates
        return Gates(by_signal(self.gates, "gates", 0.5))

    @property
    def acting(self) -> dict[str, str | Path]:
        """Return signal -> the region that the user has set for it.

        With masks="released" all other signals are included too, with the region `frame`.
        """
        chosen = dict(by_signal(self.regions, "regions", "mouth"))
        for name, region in chosen.items():
            one_of(name, SIGNALS, "signal")
            if not isinstance(region, (str, Path)):
                raise InputError(f"regions {name}: is {kind_of(region)}; give a name, or a picture's path")
        return {**dict.fromkeys(SIGNALS, "frame"), **chosen} if self.masks == "released" else chosen

    @property
    def scales(self) -> dict[str, float]:
        """Signal, or identity -> the guidance scale that is set for it."""
        chosen = dict(by_signal(self.guidance, "guidance", 2.0))
        for name, scale in chosen.items():
            one_of(name, (*SIGNALS, IDENTITY), "signal")
            if not _within(scale, 100):
                shown = f"{scale:g}" if isinstance(scale, Real) else repr(scale)
                raise InputError(f"guidance {name}={shown}: give a scale from 0 to 100; 1 is none")
        return chosen

    def start(self, signal: str) -> Fraction:
        """Seconds that are left out at the beginning of a signal's input."""
        return parse_seconds(str(self.starts.get(signal, 0)))


def _plain(value: object) -> object:
    """A value as JSON has it; exact times and paths as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(v) for name, v in value.items()}
    if isinstance(value, (Fraction, Path)):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def _within(value: object, most: float) -> bool:
    """Whether a value is a number, NumPy's too, from 0 to `most`."""
    return isinstance(value, Real) and 0 <= float(value) <= most


def by_signal(values: Mapping[str, V] | None, what: str, example: object) -> Mapping[str, V]:
    """Return an option's values by signal, empty for None.

    what: name of the option, and example a value of it, for messages.
    Raises: InputError for what is no dictionary.
    """
    if values is not None and not isinstance(values, Mapping):
        some = next(iter(SIGNALS))
        raise InputError(f"{what}: is {kind_of(values)}; give it for each signal, {{'{some}': {example!r}}}")
    return values or {}
