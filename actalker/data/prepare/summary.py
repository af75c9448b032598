"""What came of a preparation, in a few lines: how many clips are usable, why others are not, what to know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

MOST = 12  # kinds of reasons that are told
LONGEST = 300  # characters of a line


@dataclass(frozen=True)
class Summary:
    """rows: of the manifest."""

    rows: Sequence[Mapping[str, Any]]

    @property
    def clips(self) -> list[Mapping[str, Any]]:
        """The rows that are of clips: a file of the source that no clip uses is none."""
        return [row for row in self.rows if _is_clip(row)]

    def lines(self) -> list[str]:
        """`N of M usable`, and the reasons and notes, one of each kind as it stands in its row."""
        clips = self.clips
        usable = [row for row in clips if row["status"] == "ok"]
        others = [row for row in self.rows if not _is_clip(row)]
        lines = [f"{len(usable)} of {len(clips)} usable"]
        if usable:
            count, by = len({row["person"] for row in usable}), usable[0]["person_by"]
            lines.append(f"  {count:6d} {'person' if count == 1 else 'people'}, told apart by {by}")
        for status in ("failed", "rejected"):
            of = [row for row in clips if row["status"] == status]
            lines += [f"  {count:6d} {status}: {told}" for count, told in _kinds(of, "reason")]
        lines += [f"  {count:6d} of them: {told}" for count, told in _kinds(usable, "notes")]
        return lines + [f"  {count:6d} no clip: {told}" for count, told in _kinds(others, "reason")]

    def whole_failure(self) -> str | None:
        """What is said of a run whose every clip failed; None where one did not, or there was none."""
        failed = [row for row in self.clips if row["status"] == "failed"]
        if not failed or len(failed) < len(self.clips):
            return None
        kinds = _kinds(failed, "reason")
        start = "the clip" if len(failed) == 1 else f"each of {len(failed)} clips"
        others = len(kinds) - 1
        also = f", and {others} other reason{'s' if others > 1 else ''}" if others else ""
        return f"{start} failed: {kinds[0][1]}{also}"


def _is_clip(row: Mapping[str, Any]) -> bool:
    return (row["status"], row["stage"]) != ("rejected", "source")


def _kinds(rows: Sequence[Mapping[str, Any]], column: str) -> list[tuple[int, str]]:
    """(how often, the first one as it is and whose it is) of each kind of text, the most frequent first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row[column]:
            found.setdefault(_kind(row, column), []).append(row)
    ordered = sorted(found.values(), key=len, reverse=True)[:MOST]
    return [(len(alike), _first(alike, column)) for alike in ordered]


def _first(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    text, clip = _line(rows[0][column])[:LONGEST], _line(rows[0]["clip"])
    if len({row[column] for row in rows}) == 1 and len(rows) > 1:
        return text
    return f"{text} ({clip[:80]}{' and others like it' if len(rows) > 1 else ''})"


def _line(text: str) -> str:
    """A text whose names may hold line breaks, as one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _kind(row: Mapping[str, Any], column: str) -> str:
    """A text without numbers and names: what texts of one kind have in common. Only for counting."""
    text = row[column]
    names = {row["clip"], PurePosixPath(row["clip"]).stem, row["person"] or "", row["source"] or ""}
    for name in sorted(names - {""}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", text)
    return re.sub(r"\d+(\.\d+)?", "#", text)
