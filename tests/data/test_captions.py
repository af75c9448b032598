"""What a clip's caption file says becomes its script."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from actalker.data.prepare.captions import measure_captions
from actalker.data.prepare.entries import Entry
from actalker.errors import InputError

SMILES = [{"text": "smiles", "start": 0.0, "end": 1.0}]


def phase(start: object, end: object) -> dict[str, object]:
    return {"text": "smiles", "start": start, "end": end}


def script(path, **cut) -> dict:
    """The script of a clip of 4 s with this caption."""
    before = {"cut": SimpleNamespace(values={"duration": 4.0, **cut})}
    found = measure_captions(SimpleNamespace(entry=Entry("a.mp4", caption=path), before=before), None)
    return {"base": found["base"], "phases": found["phases"]}


@pytest.mark.parametrize(
    "text, base, phases",
    [
        ("a woman speaks | 0-1: smiles", "a woman speaks", SMILES),
        ("\ufeffa woman speaks\r\n| 0-1s: smiles\r\n", "a woman speaks", SMILES),
        ("0-1: smiles", "", SMILES),
        ("a man | 3-: nods", "a man", [{"text": "nods", "start": 3.0, "end": 4.0}]),
        ("a man | 3-9: nods | 5-6: cries", "a man", [{"text": "nods", "start": 3.0, "end": 4.0}]),
        ("a woman | a man", "a woman / a man", []),
        ("10:30 news: a woman speaks", "10:30 news: a woman speaks", []),
        ("two people: one smiles", "two people: one smiles", []),
        ("", "", []),
    ],
)
def test_a_text_in_our_syntax_is_a_script_with_phases(tmp_path, text, base, phases):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    assert script(path) == {"base": base, "phases": phases}


@pytest.mark.parametrize(
    "text", ["a woman | 1-0: smiles", "a woman | 0 to 1: smiles", "a woman | 0-1 smiles"]
)
def test_a_script_that_cannot_be_read_is_told(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=r"^its caption a\.txt: "):
        script(tmp_path / "a.txt")


@pytest.mark.parametrize(
    "content, base, phases",
    [
        ("a woman speaks | 0-1: smiles", "a woman speaks", SMILES),
        (["a man", "somebody"], "a man", []),
        ({"caption": "a man", "phases": [phase("0:00", "00:00:01.0")]}, "a man", SMILES),
        ({"base": "a man", "phases": [phase(0, "1")], "more": 1}, "a man", SMILES),
        ({"text": "a man | 0-1: smiles"}, "a man", SMILES),
    ],
)
def test_the_forms_of_a_json(tmp_path, content, base, phases):
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8-sig")
    assert script(tmp_path / "a.json") == {"base": base, "phases": phases}


@pytest.mark.parametrize("end", [0, -1, "x", None, float("nan"), 1e9, True])
def test_a_phase_without_a_time_is_told(tmp_path, end):
    phases = [{"text": "smiles", "start": 0, "end": end}]
    (tmp_path / "a.json").write_text(json.dumps({"base": "a man", "phases": phases}))
    with pytest.raises(InputError, match=r"a\.json: phases\[0\]"):
        script(tmp_path / "a.json")


def test_phases_move_with_a_clip_whose_picture_begins_late(tmp_path):
    (tmp_path / "a.txt").write_text("a man | 0-1: smiles | 0-0.3: nods")
    assert script(tmp_path / "a.txt", late=0.4)["phases"] == [{"text": "smiles", "start": 0.0, "end": 0.6}]
