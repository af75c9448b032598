"""Summary of a preparation in a few lines: how many clips are usable, and why the others are not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from .manifest import Row

MOST = 12  # kinds of reasons that are printed
LONGEST = 300  # characters of a line


@dataclass(frozen=True)
class Summary:
    """Summarise the rows of a manifest."""

    rows: Sequence[Row]

    @property
    def clips(self) -> list[Row]:
        """Return the rows of clips, without the rows of files that no clip uses."""
        return [row for row in self.rows if _is_clip(row)]

    def lines(self) -> list[str]:
        """Return `N of M usable`, then a line for each kind of reason and note, with count and example."""
        clips = self.clips
        usable = [row for row in clips if row["status"] == "ok"]
        others = [row for row in self.rows if not _is_clip(row)]
        lines = [f"{len(usable)} of {len(clips)} usable"]
        if usable:
            count, by = len({row["person"] for row in usable}), usable[0]["person_by"]
            lines.append(f"  {count:6d} {'person' if count == 1 else 'people'}, told apart by {by}")
        for status in ("failed", "rejected"):
            of = [row for row in clips if row["status"] == status]
            lines += [f"  {count:6d} {status}: {text}" for count, text in _kinds(of, "reason")]
        lines += [f"  {count:6d} of them: {text}" for count, text in _kinds(usable, "notes")]
        return lines + [f"  {count:6d} no clip: {text}" for count, text in _kinds(others, "reason")]

    def whole_failure(self) -> str | None:
        """Return the error message of a run in which every clip failed.

        None where some clip did not fail, or there are no clips.
        """
        failed = [row for row in self.clips if row["status"] == "failed"]
        if not failed or len(failed) < len(self.clips):
            return None
        kinds = _kinds(failed, "reason")
        start = "the clip" if len(failed) == 1 else f"each of {len(failed)} clips"
        others = len(kinds) - 1
        also = f", and {others} other reason{'s' if others > 1 else ''}" if others else ""
        return f"{start} failed: {kinds[0][1]}{also}"


def _is_clip(row: Row) -> bool:
    return (row["status"], row["stage"]) != ("rejected", "source")


def _kinds(rows: Sequence[Row], column: str) -> list[tuple[int, str]]:
    """Return (count, one text with its clip) of each kind of text in a column, the most frequent first."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        if row[column]:
            kinds.setdefault(_kind(row, column), []).append(row)
    ordered = sorted(kinds.values(), key=len, reverse=True)[:MOST]
    return [(len(alike), _first(alike, column)) for alike in ordered]


def _first(rows: Sequence[Row], column: str) -> str:
    """Return the first text of rows of one kind, with the name of its clip where the texts differ."""
    text, clip = _line(rows[0][column])[:LONGEST], _line(rows[0]["clip"])
    if len({row[column] for row in rows}) == 1 and len(rows) > 1:
        return text
    return f"{text} ({clip[:80]}{' and others like it' if len(rows) > 1 else ''})"


def _line(text: str) -> str:
    """Return a text on one line, with unprintable characters, such as line breaks in names, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _kind(row: Row, column: str) -> str:
    """Return a text with numbers and names replaced, so that texts of one kind are equal when counted."""
    text = row[column]
    names = {row["clip"], PurePosixPath(row["clip"]).stem, row["person"] or "", row["source"] or ""}
    for name in sorted(names - {""}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", text)
    return re.sub(r"\d+(\.\d+)?", "#", text)
