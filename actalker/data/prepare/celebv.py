"""Readers of CelebV-HQ's JSON and of CelebV-Text's, which has the same form and other units.

CelebV-HQ (Zhu et al. 2022): boxes in shares of the picture. CelebV-Text (Yu et al. 2023): boxes in pixels,
and keys `start_frame`, `end_frame` that hold seconds.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...timeline import LONGEST, Interval
from .entries import Emotion, Entry, failed

log = logging.getLogger("actalker")
LARGEST = 4 << 30  # bytes of a JSON that is read
SHARES = 1.5  # a box with a larger number is in pixels
MOST_PIXELS = 20000


class _Wrong(Exception):
    """An entry cannot be used; the message says why."""


def is_celebv(path: Path) -> bool:
    """Whether a JSON's top level names `clips`. Raises: InputError when it does but cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 20)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if '"clips"' not in head.decode(json.detect_encoding(head), errors="replace"):
        return False
    content = _load(path)
    if "clips" in content and not isinstance(content["clips"], Mapping):
        raise InputError(f"{path}: its 'clips' is {_kind(content['clips'])}, not an object of NAME: ENTRY")
    return "clips" in content


def read_celebv(path: Path) -> list[Entry]:
    """The entries of a CelebV JSON; `person` is the id of the raw video."""
    content = _load(path, _object)
    meta: Mapping[str, object] = next(
        (content[k] for k in ("meta_info", "mete_info") if isinstance(content.get(k), Mapping)), {}
    )
    names = {kind: _names(meta.get(f"{kind}_mapping")) for kind in ("appearance", "action")}
    entries = []
    for clip, entry in content["clips"].items():
        try:
            entries.append(_entry(clip, entry, names))
        except _Wrong as error:
            entries.append(failed(clip, str(error)))
    return entries


def _load(
    path: Path, on_object: Callable[[list[tuple[str, object]]], object] | None = None
) -> dict[str, Any]:
    """The object that a JSON file holds, empty for other content. on_object: makes each object in it.

    Raises: InputError for a file that is no JSON, or too large.
    """
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: has more than 4 GiB; cut it into several")
    try:
        content = json.loads(path.read_bytes(), parse_constant=_no_number, object_pairs_hook=on_object)
    except (ValueError, RecursionError, OSError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: is not JSON ({reason}); download it again") from None
    return content if isinstance(content, dict) else {}


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; logs a name that it has twice, because only the last one counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        log.warning("a list of clips has '%s' more than once; the last one counts", twice[:80])
    return content


def _no_number(text: str) -> float:
    return math.nan  # found where the value is used, so that it costs its own entry only


def _entry(clip: str, entry: object, names: Mapping[str, Sequence[str]]) -> Entry:
    """The entry of a clip. names: of the attributes, by kind. Raises: _Wrong."""
    if not clip or "\0" in clip:
        raise _Wrong("its name is empty or holds a zero byte")
    if not isinstance(entry, Mapping):
        raise _Wrong(f"is {_kind(entry)}, not an object")
    video = entry.get("ytb_id")
    if not isinstance(video, str) or not video:
        raise _Wrong(f"ytb_id is {_kind(video)}, not text")
    box, pixels = _box(entry.get("bbox"))
    attributes = entry.get("attributes", {})
    attributes = attributes if isinstance(attributes, Mapping) else {}
    return Entry(
        clip=clip,
        span=_span(entry.get("duration")),
        box=box,
        box_height=0 if pixels else None,
        appearance=_flags(attributes.get("appearance"), names["appearance"]),
        actions=_flags(attributes.get("action"), names["action"]),
        emotions=_emotions(attributes.get("emotion")),
        texts=_texts(entry.get("text", entry.get("texts"))),
        person=video,
    )


def _span(duration: object) -> Interval:
    if not isinstance(duration, Mapping):
        raise _Wrong(f"duration is {_kind(duration)}, not an object")
    times = []
    for end in ("start", "end"):
        key = next((k for k in (f"{end}_sec", f"{end}_frame") if k in duration), None)
        if key is None:
            raise _Wrong(f"duration has no {end}_sec")
        times.append(_number(duration[key], f"duration's {key}", 0, float(LONGEST)))
    if times[1] <= times[0]:
        raise _Wrong(f"duration ends at {times[1]:g} s, not after its start at {times[0]:g} s")
    return Interval(*(Fraction(str(t)) for t in times))


def _box(box: object) -> tuple[tuple[float, float, float, float] | None, bool]:
    """The box (left, top, right, bottom), or None, and whether it is in pixels."""
    if box is None:
        return None, False
    if not isinstance(box, Mapping):
        raise _Wrong(f"bbox is {_kind(box)}, not an object")
    sides = [
        _number(box.get(side), f"bbox's {side}", -0.5, MOST_PIXELS)
        for side in ("left", "top", "right", "bottom")
    ]
    left, top, right, bottom = sides
    if right <= left or bottom <= top:
        raise _Wrong(f"bbox is empty: left {left:g}, right {right:g}, top {top:g}, bottom {bottom:g}")
    pixels = max(sides) > SHARES
    if not pixels:
        left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in sides)
    return (left, top, right, bottom), pixels


def _number(value: object, what: str, low: float, high: float) -> float:
    """A number from `low` to `high`. what: its name, for messages. Raises: _Wrong."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Wrong(f"{what} is {_kind(value)}, not a number")
    if not low <= value <= high:  # also NaN
        raise _Wrong(f"{what} is {str(value)[:20]}, outside {low:g} to {high:g}")
    return float(value)


def _names(mapping: object) -> tuple[str, ...]:
    return tuple(str(name)[:40].lower() for name in mapping) if isinstance(mapping, list) else ()


def _flags(flags: object, names: Sequence[str]) -> tuple[str, ...]:
    """The names whose flag is 1; none where the flags are malformed, because attributes are optional."""
    if not isinstance(flags, list) or len(flags) != len(names):
        return ()
    return tuple(name for name, flag in zip(names, flags, strict=True) if flag == 1)


def _emotions(emotion: object) -> tuple[Emotion, ...]:
    """The emotion of a clip, or those of its parts; malformed ones are left out."""
    labels = emotion.get("labels") if isinstance(emotion, Mapping) else None
    if isinstance(labels, str):
        return (Emotion(labels[:40].lower()),)
    emotions = []
    for label in labels if isinstance(labels, list) else []:
        if isinstance(label, Mapping) and isinstance(label.get("emotion"), str):
            try:
                start, stop = (_number(label.get(k), k, 0, float(LONGEST)) for k in ("start_sec", "end_sec"))
            except _Wrong:
                continue
            if stop > start:
                emotions.append(
                    Emotion(label["emotion"][:40].lower(), Fraction(str(start)), Fraction(str(stop)))
                )
    return tuple(emotions)


def _texts(texts: object) -> tuple[str, ...]:
    candidates = [texts] if isinstance(texts, str) else texts if isinstance(texts, list) else []
    return tuple(text[:2000] for text in candidates if isinstance(text, str))


def _kind(value: object) -> str:
    """What a JSON value is, in words for messages."""
    kinds = {type(None): "missing", str: "text", list: "a list", dict: "an object", bool: "true or false"}
    return kinds.get(type(value), f"{str(value)[:20]}")
