"""Scripts: what the face does, and when. A base text for the whole clip, and phases for stretches of it.

    a woman speaks calmly | 0-1.2: smiles | 1.2-2.5: raises brows, then nods

or a YAML file with `base:` and `phases: [{start, end, text}, ...]`. Times are exact seconds.
It is the structured prompt of ActAvatar, P = {P_base, {P_k, T_k}}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path

from ..errors import InputError, one_of
from ..timeline import format_interval, parse_interval

_THEN = re.compile(r",\s*then\s+", re.IGNORECASE)
_TIME_LIKE = re.compile(  # meant as a time, even if ill-formed: `-1-2`, `0,5-1`, `0 to 1.2 sec`, `1.2-end`
    r"[\s0-9./\u2013-]*[0-9][\s0-9./s\u2013-]*"
    r"|\s*[(\[]?\s*(?:from\s+)?[0-9][0-9.,/]*\s*(?:m?s|secs?|seconds?)?\s*"
    r"(?:to|until|[~\u2010-\u2015\u2212\u2192-])\s*(?:[0-9][0-9.,/]*\s*(?:m?s|secs?|seconds?)?|end)?\s*[)\]]?\s*",
    re.IGNORECASE,
)
OWNERS = ("the", "their", "her", "his", "its", "my", "your")
_LIMIT = 1 << 20  # characters: a script is written by hand


@dataclass(frozen=True)
class Phase:
    """A stretch of time, [start, stop) in exact seconds, with its own text; (P_k, T_k) of ActAvatar.

    where: its place in the user's script, for messages.
    Raises: InputError for an empty text, one with `|`, and times that are negative or not ascending.
    """

    text: str
    start: Fraction
    stop: Fraction
    where: str = field(default="phase", compare=False)

    def __post_init__(self) -> None:
        if not self.text.strip() or "|" in self.text:
            raise InputError(
                f"{self.where}: text '{self.text[:40]}' is empty or holds '|'; say what "
                "happens, for example 0-1.2: smiles"
            )
        if not 0 <= self.start < self.stop:
            raise InputError(
                f"{self.where}: {self.start} to {self.stop} s; a phase starts at 0 or later and "
                "ends after its start"
            )

    def steps(self) -> list[Phase]:
        """Split the phase at ", then " into consecutive phases of equal length.

        >>> [str(step) for step in Phase("nods, then smiles", Fraction(1), Fraction(2)).steps()]
        ['1-1.5: nods', '1.5-2: smiles']
        """
        texts = [text for text in (piece.strip() for piece in _THEN.split(self.text)) if text] or [self.text]
        each = Fraction(self.stop - self.start, len(texts))
        return [
            Phase(text, self.start + k * each, self.start + (k + 1) * each, self.where)
            for k, text in enumerate(texts)
        ]

    def __str__(self) -> str:
        return f"{format_interval(self.start, self.stop)}: {self.text}"


@dataclass(frozen=True)
class Script:
    """A base text, which may be empty, and phases in the order written, which may overlap or leave gaps.

    Raises: InputError for a script without any text, and for a base text that looks like a phase.
    """

    base: str
    phases: tuple[Phase, ...] = ()

    def __post_init__(self) -> None:
        if not self.base.strip() and not self.phases:
            raise InputError(
                "the script is empty; write what is to be seen, for example 'a man speaks | 0-1: nods'"
            )
        if "|" in self.base or _is_phase(self.base):
            raise InputError(
                f"base text '{self.base[:40]}' holds '|' or starts like a phase; put times into phases"
            )

    @property
    def steps(self) -> list[Phase]:
        """All phases split at ", then ", as the text encoder reads them."""
        return [step for phase in self.phases for step in phase.steps()]

    def check(self, duration: Fraction) -> None:
        """Raise InputError if a phase ends after the clip, which lasts `duration` seconds."""
        for phase in self.phases:
            if phase.stop > duration:
                raise InputError(
                    f"{phase.where}: '{str(phase)[:60]}' ends after the clip, which has "
                    f"{float(duration):g} s; end it there, or leave the end open: "
                    f"{format_interval(phase.start, None)}"
                )

    def unknown(self, phrases: Sequence[Sequence[str]]) -> list[str]:
        """Return a message for each step that contains no known phrase, with the nearest known ones.

        phrases: known actions, each as its wordings; empty for none to compare with. A step may have other
            words around a wording.
        """
        known = {plain_words(wording): wording for wordings in phrases for wording in wordings}
        lines = []
        for step in self.steps if known else ():
            said = plain_words(step.text)
            if any(f" {wording} " in f" {said} " for wording in known):
                continue
            near = [known[wording] for wording in get_close_matches(said, known, n=3, cutoff=0.6)]
            few = [wordings[0] for wordings in phrases]
            advice = f"nearest: {_quoted(near)}" if near else f"it knows {_quoted(few)}"
            lines.append(
                f"{step.where}: '{step.text[:60]}' is no phrase that this model has learnt, and may do "
                f"nothing; {advice}"
            )
        return lines

    def __str__(self) -> str:
        return " | ".join([self.base, *map(str, self.phases)] if self.base else map(str, self.phases))


def parse_script(source: str | Path, duration: Fraction | None = None) -> Script:
    """Read a script from its text, or from a YAML file.

    Args:
        source: the text; or a Path, or text that ends in .yaml or .yml.
        duration: seconds of the clip. With it phases may have an open end, `1.2-: nods`, and must not end
            after the clip.
    Raises: InputError that names the column in the text, or the entry in the file.
    """
    named = isinstance(source, Path) or ("|" not in source and re.search(r"\S\.ya?ml\s*$", source))
    path = Path(str(source).strip()) if named else None
    base, entries = _from_text(str(source)) if path is None else _from_file(path)
    phases = []
    for where, time, text in entries:
        try:
            start, stop = parse_interval(time)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if stop is None:
            if duration is None:
                raise InputError(
                    f"{where}: '{time.strip()}' has no end; write it, the clip's length is not known here"
                )
            stop = Fraction(duration)
        phases.append(Phase(_tidy(text), start, stop, where))
    script = Script(_tidy(base), tuple(phases))
    if duration is not None:
        script.check(duration)
    return script


def _tidy(text: str) -> str:
    """Return the text with single spaces between its words."""
    return " ".join(text.split())


def plain_words(text: str) -> str:
    """Return the words in lower case, without punctuation, articles and possessives.

    >>> plain_words("Raises her eyebrows!")
    'raises eyebrows'
    """
    return " ".join(word for word in re.findall(r"\w+", text.lower()) if word not in OWNERS)


def _quoted(texts: Sequence[str]) -> str:
    """Write texts in quotation marks, with commas between."""
    return ", ".join(f"'{text}'" for text in texts)


def _is_phase(text: str) -> bool:
    """Return whether a text begins with what is meant as a time, and a colon."""
    head, colon, _ = text.partition(":")
    return bool(colon and _TIME_LIKE.fullmatch(head))


def _from_text(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Split a script's text into its base and (place for messages, time, text) of each phase."""
    if len(text) > _LIMIT:
        raise InputError(f"the script has {len(text)} characters; at most {_LIMIT} are read")
    base, entries, column = "", [], 1
    for k, piece in enumerate(text.split("|")):
        blank = len(piece) - len(piece.lstrip()) if piece.strip() else 0
        where = f"script, column {column + blank}"
        column += len(piece) + 1
        if k == 0 and not _is_phase(piece):
            base = piece
            continue
        time, colon, words = piece.partition(":")
        if not colon:
            raise InputError(
                f"{where}: cannot read '{' '.join(piece.split())[:40]}'; write START-STOP: TEXT, "
                "for example 0-1.2: smiles"
            )
        entries.append((where, time, words))
    return base, entries


def _from_file(path: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """Read base and phases, as `_from_text`, from YAML; values are read as text, so 1.2 is exactly 6/5."""
    import yaml

    try:
        raw = path.read_text(encoding="utf-8")
        content: object = yaml.load(raw[:_LIMIT], Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as text ({error}); give a YAML file with base: and phases:"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: is not YAML ({_tidy(str(error))[:120]})") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: holds no 'base:' and 'phases:'; write them, or give the script as text")
    for key in content:
        one_of(str(key), ["base", "phases"], f"{path}: entry")
    phases = content.get("phases") or []
    if not isinstance(phases, list) or not isinstance(content.get("base", ""), str):
        raise InputError(f"{path}: 'base' must be text and 'phases' a list of {{start, end, text}}")
    entries = []
    for k, entry in enumerate(phases):
        where = f"{path}: phases[{k}]"
        if not isinstance(entry, Mapping) or not all(isinstance(v, str) for v in entry.values()):
            raise InputError(f"{where}: must be {{start: SECONDS, end: SECONDS, text: WORDS}}")
        for key in entry:
            one_of(str(key), ["start", "end", "text"], f"{where}: entry")
        missing = [key for key in ("start", "text") if key not in entry]
        if missing:
            raise InputError(f"{where}: has no '{missing[0]}'; write {{start: 0, end: 1.2, text: smiles}}")
        entries.append((where, f"{entry['start']}-{entry.get('end', '')}", entry["text"]))
    return content.get("base", ""), entries
