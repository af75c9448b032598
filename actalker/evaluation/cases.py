"""What a study animates: portraits, with what drives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path

from ..errors import InputError
from ..faces.find import find_faces
from ..media.image import read_image
from ..media.sound import SHORTEST, read_sound
from ..media.video import probe
from ..provenance import file_hash
from ..signals.script import parse_script
from ..signals.signal import SIGNALS
from ..timeline import frame_count, parse_seconds
from .settings import Setting

FPS = Fraction(25)  # of portraits' clips


@dataclass(frozen=True)
class Case:
    """What is animated, and by what.

    face_model: MediaPipe's face_landmarker.task, where it is not the one in this package.
    """

    name: str
    portrait: str
    audio: str | None = None
    expression: str | None = None
    text: str | None = None
    duration: str | None = None
    face_model: str | None = None

    def inputs(self) -> dict[str, str]:
        """Signal -> what drives the portrait by it."""
        values = {name: getattr(self, name, None) for name in SIGNALS}
        return {name: value for name, value in values.items() if value is not None}

    def signals(self) -> list[str]:
        """Signals that drive it."""
        return list(self.inputs())

    def sources(self) -> dict[str, str]:
        """Hashes of its files."""
        files = {"portrait": self.portrait, **self.inputs()}
        return {name: file_hash(path) for name, path in files.items() if _is_file(path)}


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def file_cases(
    portraits: Sequence[Path],
    audio: Sequence[str],
    expression: Sequence[str],
    text: Sequence[str],
    duration: str | None,
    face_model: str | None,
) -> list[Case]:
    """Every portrait with every speech, driving video and script. Raises: InputError without any of these."""
    if portraits and not (audio or expression or text):
        raise InputError("--portraits: nothing drives them; give --audio, --expression or --text")
    cases = []
    nothing: list[str | None] = [None]
    drivers = product(*[[*given] if given else nothing for given in (audio, expression, text)])
    for portrait, (a, e, t) in product(portraits, list(drivers)):
        more = [Path(x).stem for x, many in ((a, audio), (e, expression)) if x and len(many) > 1]
        if t and len(text) > 1:
            more.append(f"script {text.index(t) + 1}")
        name = ", ".join([portrait.stem, *more])
        cases.append(Case(name, str(portrait), a, e, t, duration, face_model))
    known: dict[str, Case] = {}
    for case in cases:
        if (other := known.setdefault(case.name, case)) is not case:
            one, two = _apart(other, case)
            raise InputError(f"{one} and {two} have one name, '{case.name}'; give files of different names")
    return cases


def _apart(one: Case, other: Case) -> tuple[str | None, str | None]:
    """The files by which two cases differ, the first such; the same ones where a file is given twice."""
    pairs = [(getattr(one, name, None), getattr(other, name, None)) for name in ("portrait", *SIGNALS)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])


def check_files(
    portraits: Sequence[Path],
    audio: Sequence[str],
    expression: Sequence[str],
    text: Sequence[str],
    duration: str,
    face_model: str | None,
) -> None:
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
    for path in audio:
        read_sound(path, limit=max(seconds, SHORTEST))
    for path in expression:
        probe(path)
    for script in text:
        length = max(seconds, frame_count(seconds, FPS) / FPS)
        parse_script(script, duration=length).check(length)


def applicable(settings: Sequence[Setting], cases: Sequence[Case]) -> list[Setting]:
    """The settings that change only signals that some case has."""
    there = {name for case in cases for name in case.signals()}
    return [s for s in settings if s.signals() <= there or not s.changes or "model" in s.changes]
