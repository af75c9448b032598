"""What a study animates: portraits, with what drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path

from ..errors import InputError
from ..faces.find import find_faces
from ..media.image import read_image
from ..provenance import file_hash
from ..signals.signal import SIGNALS
from ..timeline import parse_seconds
from .settings import Setting

FPS = Fraction(25)  # of portraits' clips


@dataclass(frozen=True)
class Case:
    """A portrait and what drives it.

    drivers: (signal, input) pairs in the table's order. face_model: MediaPipe's face_landmarker.task, where
    it is not the one in this package.
    """

    name: str
    portrait: str
    drivers: tuple[tuple[str, str], ...] = ()
    duration: str | None = None
    face_model: str | None = None

    def inputs(self) -> dict[str, str]:
        """Signal -> the input that drives the portrait by it."""
        return dict(self.drivers)

    def signals(self) -> list[str]:
        """The signals that drive it."""
        return list(self.inputs())

    def sources(self) -> dict[str, str]:
        """The hashes of its files, by signal; and that of `portrait`."""
        files = {"portrait": self.portrait, **self.inputs()}
        return {name: file_hash(path) for name, path in files.items() if _is_file(path)}

    def recipe(self) -> dict[str, object]:
        """What the frames of the case depend on beside settings and model."""
        return {name: value for name, value in vars(self).items() if name != "name"} | {
            "files": self.sources()
        }


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


Drivers = Mapping[str, Sequence[str]]
"""Signal -> inputs that portraits are driven by, each of them."""


def file_cases(
    portraits: Sequence[Path], drivers: Drivers, duration: str | None, face_model: str | None
) -> list[Case]:
    """Every portrait with every combination of drivers. Raises: InputError without any of these."""
    if portraits and not any(drivers.values()):
        *others, last = (f"--{name}" for name in SIGNALS)
        raise InputError(f"--portraits: nothing drives them; give {', '.join(others)} or {last}")
    cases = []
    names = [name for name in SIGNALS if drivers.get(name)]
    for portrait, chosen in product(portraits, list(product(*(drivers[name] for name in names)))):
        more = [
            Path(value).stem
            if SIGNALS[name].file
            else f"{SIGNALS[name].input} {drivers[name].index(value) + 1}"
            for name, value in zip(names, chosen, strict=True)
            if len(drivers[name]) > 1
        ]
        pairs = tuple(zip(names, chosen, strict=True))
        cases.append(Case(", ".join([portrait.stem, *more]), str(portrait), pairs, duration, face_model))
    known: dict[str, Case] = {}
    for case in cases:
        if (other := known.setdefault(case.name, case)) is not case:
            one, two = _apart(other, case)
            raise InputError(f"{one} and {two} have one name, '{case.name}'; give files of different names")
    return cases


def _apart(one: Case, other: Case) -> tuple[str | None, str | None]:
    """The files by which two cases differ, the first such; the same ones where a file is given twice."""
    files = [{"portrait": each.portrait, **each.inputs()} for each in (one, other)]
    pairs = [(files[0].get(name), files[1].get(name)) for name in ("portrait", *SIGNALS)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def check_files(portraits: Sequence[Path], drivers: Drivers, duration: str, face_model: str | None) -> None:
    """Look at every file that will be animated, or drives: before the first is, and without torch.

    Raises: InputError for pictures that cannot be read or show no face, and for drivers that cannot be read.
    """
    seconds = parse_seconds(duration)
    if seconds * FPS < 1:
        raise InputError(f"--duration {duration}: is less than a frame; give {float(1 / FPS):g} s or more")
    for portrait in portraits:
        # of several faces the largest is taken: that is said when it is animated
        model = None if face_model is None else Path(face_model)
        find_faces(read_image(portrait), model=model, index=0, name=str(portrait))
    for name, values in drivers.items():
        if (check := SIGNALS[name].check) is not None:
            for value in values:
                check.load()(value, seconds, FPS)


def applicable(settings: Sequence[Setting], cases: Sequence[Case]) -> list[Setting]:
    """The settings that change only signals that some case has."""
    there = {name for case in cases for name in case.signals()}
    return [s for s in settings if s.signals() <= there or not s.changes or "model" in s.changes]
