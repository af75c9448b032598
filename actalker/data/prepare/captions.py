"""Stage `captions`: a clip's script, from its caption file, its texts, or its attributes and their times.

The script is a base text and phases in seconds of the clip, in the form of `--text` (the structured prompt
of ActAvatar).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...provenance import file_hash
from ...signals.script import parse_script
from ...timeline import parse_seconds
from ..timed_text import ClipScript, TimedText
from .entries import Entry
from .stages import Values, Work

LONGEST = 4000  # characters of a text
MOST_PHASES = 64
MOST_BYTES = 1 << 20  # of a caption file
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as Windows' own programs write text
LONGEST_PHASE = 86400  # seconds: where a phase without end ends, cut to its clip
_TIMED = re.compile(r"(?:^|\|)\s*[(\[]?\s*-?[\d.,]+\s*s?\s*(?:-|\u2013|to\b)[^|:]*:|\|\s*[(\[]?\s*-?[\d.]")
EMOTIONS = {  # CelebV-HQ's eight labels, as one says them
    "neutral": "looks calm",
    "anger": "looks angry",
    "contempt": "looks contemptuous",
    "disgust": "looks disgusted",
    "fear": "looks afraid",
    "happy": "looks happy",
    "sadness": "looks sad",
    "surprise": "looks surprised",
}
IRREGULAR = {"head_wagging": "wags the head", "make_a_face": "makes a face", "shake_head": "shakes the head"}


def caption_reads(entry: Entry) -> list[object]:
    """What stage `captions` reads of an entry: the caption file's content, texts and attributes."""
    beside = None
    if entry.caption is not None:
        try:
            beside = file_hash(entry.caption)
        except InputError as error:  # an empty file
            beside = str(error)
    emotions = [asdict(emotion) for emotion in entry.emotions]
    return [beside, entry.texts, entry.appearance, entry.actions, emotions]


def measure_captions(work: Work, config: None) -> Values:
    """The script of a clip: `base` and `phases` [{text, start, end}] in its seconds.

    `from`: where the script comes from (file, text, attributes or none).
    `actions`, `emotions`: names of the clip's attributes.
    """
    entry, cut = work.entry, work.before["cut"].values
    source, script = _script(entry)
    phases: list[TimedText] = []
    late = cut.get("late", 0.0)
    for phase in script["phases"][:MOST_PHASES]:
        start, end = max(0.0, phase["start"] - late), min(cut["duration"], phase["end"] - late)
        if end - start > 0.02:  # a phase behind the clip's end is not seen
            phases.append({"text": _tidy(phase["text"]), "start": round(start, 3), "end": round(end, 3)})
    return {
        "base": _tidy(script["base"]),
        "phases": [phase for phase in phases if phase["text"]],
        "from": source,
        "actions": list(entry.actions),
        "emotions": sorted({emotion.name for emotion in entry.emotions}),
    }


def _script(entry: Entry) -> tuple[str, ClipScript]:
    """Where a clip's script comes from, and the script. Raises: InputError for a file without one."""
    if entry.caption is not None:
        return "file", _from_file(entry.caption)
    if entry.texts:
        return "text", {"base": entry.texts[0], "phases": []}
    script = _from_attributes(entry)
    return ("none", {"base": "", "phases": []}) if script is None else ("attributes", script)


def third_person(action: str) -> str:
    """An action's name in the third person: `nod` becomes `nods`, `close_eyes` becomes `closes eyes`."""
    if action in IRREGULAR:
        return IRREGULAR[action]
    verb, _, rest = action.partition("_")
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "es" if verb.endswith(("s", "sh", "ch", "x", "z")) else "s"
    return " ".join([verb, *rest.split("_")]).strip()


def _from_attributes(entry: Entry) -> ClipScript | None:
    """A script that says who the entry's attributes describe and what they do; None without actions."""
    who = "a person"
    if entry.appearance:
        who = "a man" if "male" in entry.appearance else "a woman"
    acts = [third_person(action) for action in entry.actions]
    lasting = [_feels(e.name) for e in entry.emotions if e.start is None]
    timed: list[TimedText] = [
        {"text": _feels(e.name), "start": float(e.start), "end": float(e.stop)}
        for e in entry.emotions
        if e.start is not None and e.stop is not None
    ]
    if not (acts or lasting or timed):
        return None
    return {"base": " ".join([who, " and ".join([*acts, *lasting])]).strip(), "phases": timed}


def _feels(emotion: str) -> str:
    return EMOTIONS.get(emotion, f"looks {emotion}")


def _from_file(path: Path) -> ClipScript:
    """The script of a caption file.

    A .txt holds a script or a base text; a .json one of these, a list of texts, or `base` and `phases`.
    Raises: InputError for any other content.
    """
    try:
        data = path.read_bytes()[:MOST_BYTES]
        text = data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"its caption {path.name} cannot be read as text ({error})") from None
    if path.suffix.lower() == ".txt":
        return _from_text(text, path.name)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"its caption {path.name} is not JSON ({str(error)[:80]})") from None
    if isinstance(content, list):
        content = content[0] if content else ""
    if isinstance(content, str):
        return _from_text(content, path.name)
    if not isinstance(content, Mapping):
        raise InputError(f"its caption {path.name} holds no text, and no 'base' and 'phases'")
    base = next((content[k] for k in ("base", "caption", "text") if isinstance(content.get(k), str)), "")
    phases = content.get("phases") or []
    if not isinstance(phases, list):
        raise InputError(f"its caption {path.name}: 'phases' is no list of {{text, start, end}}")
    script = _from_text(base, path.name)
    more = [_phase(path.name, k, phase) for k, phase in enumerate(phases)]
    return {"base": script["base"], "phases": script["phases"] + more}


def _from_text(text: str, name: str) -> ClipScript:
    """The script in a text: in the form of `--text` (`a woman speaks | 0-1: smiles`), or a base text alone.

    name: of the caption file, for messages. Raises: InputError for a script that cannot be read.
    """
    if not _TIMED.search(text):
        return {"base": text, "phases": []}
    try:
        script = parse_script(text, duration=Fraction(LONGEST_PHASE))
    except InputError as error:
        raise InputError(f"its caption {name}: {error}") from None
    phases: list[TimedText] = [
        {"text": p.text, "start": float(p.start), "end": float(p.stop)} for p in script.phases
    ]
    return {"base": script.base, "phases": phases}


def _phase(name: str, k: int, phase: Any) -> TimedText:
    """Phase number k of a JSON caption. Raises: InputError unless it is {text, start, end}."""
    try:
        start, end = (float(parse_seconds(phase[side])) for side in ("start", "end"))
        text = phase["text"]
    except (TypeError, KeyError, InputError):
        raise InputError(
            f"its caption {name}: phases[{k}] is no {{text, start, end}} with times such as 1.5 or 0:01.5"
        ) from None
    if not isinstance(text, str) or not start < end:
        raise InputError(f"its caption {name}: phases[{k}] must hold a text, and end after its start")
    return {"text": text, "start": start, "end": end}


def _tidy(text: str) -> str:
    """A text on one line, of LONGEST characters at most, without the `|` that separates phases."""
    return " ".join(text.split())[:LONGEST].replace("|", "/")
