"""Reading what users have: every layout, and annotations that are broken or hostile."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_files import celebv, entry

from actalker.data.prepare.annotations import read_source
from actalker.data.prepare.captions import third_person
from actalker.data.prepare.celebv import read_celebv
from actalker.data.prepare.cut import pixel_box
from actalker.data.prepare.entries import Entry
from actalker.errors import InputError


def by_clip(entries: list[Entry]) -> dict[str, Entry]:
    return {one.clip: one for one in entries}


def test_celebv_hq_as_its_readme_has_it(tmp_path):
    emotion = {
        "sep_flag": True,
        "labels": [
            {"emotion": "neutral", "start_sec": 0, "end_sec": 0.28},
            {"emotion": "happy", "start_sec": 1.28, "end_sec": 3.28},
        ],
    }
    attributes = {"appearance": [0, 1], "action": [1, 0, 1], "emotion": emotion}
    one = {
        "ytb_id": "_0tf2n3rlJU",
        "duration": {"start_sec": 52.72, "end_sec": 56.1},
        "bbox": {"top": 0.0, "bottom": 0.8407, "left": 0.5271, "right": 1.0},
        "attributes": attributes,
    }
    whole = {**one, "attributes": {"emotion": {"sep_flag": False, "labels": "neutral"}}}
    celebv(tmp_path, {"_0tf2n3rlJU_0": one, "-IO-gPwYgzE_1": {**whole, "ytb_id": "-IO-gPwYgzE"}})
    (tmp_path / "_0tf2n3rlJU.mp4").write_bytes(b"x")
    (tmp_path / "-IO-gPwYgzE_1.mkv").write_bytes(b"x")
    found = by_clip(read_source(tmp_path))
    raw, own = found["_0tf2n3rlJU_0"], found["-IO-gPwYgzE_1"]
    assert raw.video == tmp_path / "_0tf2n3rlJU.mp4"
    assert (raw.span.start, raw.span.stop) == (Fraction("52.72"), Fraction("56.1"))
    assert pixel_box(raw, (1000, 2000), 0.0) == (1054, 0, 2000, 840)  # even sides
    assert raw.actions == ("talk", "shake_head") and raw.appearance == ("young",)
    assert [(e.name, e.start, e.stop) for e in raw.emotions] == [
        ("neutral", 0, Fraction("0.28")),
        ("happy", Fraction("1.28"), Fraction("3.28")),
    ]
    assert own.video.name == "-IO-gPwYgzE_1.mkv" and own.span is None and own.box is None, "cut already"
    assert [e.name for e in own.emotions] == ["neutral"] and own.emotions[0].start is None


def test_celebv_text_counts_in_pixels_and_its_frames_are_seconds(tmp_path):
    one = {
        "ytb_id": "00-30GQl0TM",
        "duration": {"start_frame": 415.29, "end_frame": 420.88},
        "bbox": {"top": 0, "bottom": 1183, "left": 665, "right": 1956},
    }
    (path,) = [celebv(tmp_path, {"00-30GQl0TM_7": one}, "celebvtext_info.json")]
    (found,) = read_celebv(path)
    assert (found.span.start, found.span.stop) == (Fraction("415.29"), Fraction("420.88"))
    assert pixel_box(found, (1200, 2000), 0.0) == (665, 0, 1955, 1182)


def test_hdtf_lists_with_a_byte_order_mark_and_other_resolutions(tmp_path):
    (tmp_path / "RD_annotion_time.txt").write_text(
        "\ufeffRadio11.mp4 00:30-01:00 01:30-02:30\nRadio2.mp4 0:05-nonsense\n", encoding="utf-8"
    )
    (tmp_path / "RD_crop_wh.txt").write_text("Radio11_0.mp4 100 200 50 300\nRadio11_1.mp4 a b c d\n")
    (tmp_path / "RD_resolution.txt").write_text("Radio11.mp4 720\n")
    (tmp_path / "RD_video_url.txt").write_text("Radio11.mp4 https://example.org/x\n")
    (tmp_path / "Radio11.mp4").write_bytes(b"x")
    found = by_clip(read_source(tmp_path))
    first = found["Radio11_0.mp4"]
    assert (first.span.start, first.span.stop, first.video.name) == (30, 60, "Radio11.mp4")
    assert pixel_box(first, (1440, 2560), 0.0) == (200, 100, 600, 700), "a crop in 720 lines, a file of 1440"
    assert "not four whole numbers" in found["Radio11_1.mp4"].problem
    assert "cannot be read" in found["Radio2_0.mp4"].problem
    assert set(found) == {"Radio11_0.mp4", "Radio11_1.mp4", "Radio2_0.mp4"}, "lists are no clips"


def test_a_folder_has_an_entry_for_every_file(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/x.mp4", "a/x.txt", "b.mov", "lonely.txt", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    found = by_clip(read_source(tmp_path))
    assert set(found) == {"a/x.mp4", "a/x.txt", "b.mov", "lonely.txt", ".DS_Store"}
    assert found["a/x.mp4"].caption == tmp_path / "a/x.txt"
    assert found["a/x.txt"].status == "rejected" and found["lonely.txt"].problem is None
    with pytest.raises(InputError, match="is empty"):
        (tmp_path / "none").mkdir()
        read_source(tmp_path / "none")


def test_results_inside_the_source_are_no_part_of_it(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "out/clips").mkdir(parents=True)
    (tmp_path / "out/clips/clip.mp4").write_bytes(b"x")
    assert [one.clip for one in read_source(tmp_path, out=tmp_path / "out")] == ["a.mp4"]
    assert [one.clip for one in read_source(tmp_path / "out", out=tmp_path / "out")] == ["clips/clip.mp4"]


BAD = {
    "list": [],
    "no id": {"duration": {"start_sec": 0, "end_sec": 1}},
    "id is a list": entry(video=["a"]),  # type: ignore[arg-type]
    "no times": {"ytb_id": "a", "bbox": {}},
    "times are text": {**entry(), "duration": {"start_sec": "0", "end_sec": "1"}},
    "reversed": entry(start=3.0, end=2.0),
    "nan": {**entry(), "duration": {"start_sec": float("nan"), "end_sec": 1}},
    "infinite": {**entry(), "duration": {"start_sec": 0, "end_sec": float("inf")}},
    "negative": entry(start=-5.0),
    "true": {**entry(), "duration": {"start_sec": True, "end_sec": 2}},
    "box is a list": {**entry(), "bbox": [0, 0, 1, 1]},
    "box has no top": {**entry(), "bbox": {"left": 0, "right": 1, "bottom": 1}},
    "box is empty": {**entry(), "bbox": {"left": 1, "right": 0.2, "top": 0, "bottom": 1}},
    "box is huge": {**entry(), "bbox": {"left": 0, "right": 10**30, "top": 0, "bottom": 1}},
}


def test_each_broken_entry_costs_its_own_row_and_says_what_is_wrong(tmp_path):
    path = celebv(tmp_path, {**BAD, "good": entry()})
    found = by_clip(read_celebv(path))
    assert found["good"].problem is None
    for name in BAD:
        assert found[name].problem and "\n" not in found[name].problem, name
    assert "bbox's top is missing" in found["box has no top"].problem
    assert "not after its start" in found["reversed"].problem


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=12),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["ytb_id", "duration", "bbox", "start_sec", "end_sec", "top", "attributes", "x"]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ),
        max_size=4,
    )
)
def test_no_json_breaks_the_reader(tmp_path_factory, entries):
    path = celebv(tmp_path_factory.mktemp("any"), entries)
    found = read_celebv(path)
    assert len(found) == len(entries)
    assert all(one.problem or (one.span is not None and one.person) for one in found)


@given(st.text(min_size=1), st.text(min_size=1))
@settings(max_examples=200, deadline=None)
def test_a_key_is_a_plain_name_and_tells_clips_apart(one, other):
    keys = [Entry(name).key for name in (one, other)]
    for key in keys:
        assert all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in key)
        assert 1 < len(key) <= 64 and key[0] not in "-."
    assert (keys[0] == keys[1]) == (one == other)


def test_hostile_names_lead_nowhere(tmp_path):
    names = [
        "../../etc/passwd",
        "/etc/passwd",
        "$(touch pwned)",
        "a;rm -rf x",
        "..",
        "-rf",
        "x" * 5000,
        "a\0b",
    ]
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"x")
    celebv(tmp_path / "source", {name: entry(video=name) for name in [*names, "../outside"]})
    for one in read_source(tmp_path / "source"):
        assert one.problem and one.video is None, one.clip
        assert Path("work", one.key).resolve().parent == Path("work").resolve()


@pytest.mark.parametrize(
    "content, words",
    [
        (b'{"clips"', "is not JSON"),
        (b'{"clips": ' + b"[" * 100_000, "is not JSON"),
        (b'{"no": "list"}', "holds no 'clips'"),
        (b"[1, 2]", "holds no 'clips'"),
        (b'"clips"', "holds no 'clips'"),
        (b'{"clips": "\xff\xfe"}', "is not JSON"),
        (b'{"clips": {"a": 1' + b"0" * 10_000 + b"}}", ""),
    ],
)
def test_a_source_that_is_no_list_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "info.json"
    path.write_bytes(content)
    try:
        found = read_source(path)
    except InputError as error:
        assert words in str(error) and "\n" not in str(error)
    else:
        assert not words and found[0].problem


def test_a_very_long_list_is_read_and_reported(tmp_path):
    path = tmp_path / "info.json"
    one = json.dumps(entry())
    with open(path, "w") as file:
        file.write('{"clips": {' + ",".join(f'"clip{k}": {one}' for k in range(200_000)) + "}}")
    found = read_source(path)
    assert len(found) == 200_000 and all(one.problem for one in found)


def test_actions_are_said_in_the_third_person():
    said = {"nod": "nods", "close_eyes": "closes eyes", "cry": "cries", "play_instrument": "plays instrument"}
    said |= {"wash": "washes", "shake_head": "shakes the head", "listen_to_music": "listens to music"}
    assert {name: third_person(name) for name in said} == said
