"""Reading what users have: every layout, and annotations that are broken or hostile."""

from __future__ import annotations

import json
import logging
import os
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


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_a_folder_has_an_entry_for_every_file_but_captions_and_hidden_ones(tmp_path):
    made(tmp_path, "a/x.mp4", "a/x.TXT", "a/x.json", "a/x.wav", "b.mov", "lonely.txt", "odd.bin", "odd.txt")
    made(tmp_path, ".DS_Store", "a/._x.mp4", "__MACOSX/a/x.mp4", ".cache/y.mp4")
    found = by_clip(read_source(tmp_path))
    assert set(found) == {"a/x.mp4", "a/x.json", "a/x.wav", "b.mov", "lonely.txt", "odd.bin"}
    assert found["a/x.mp4"].caption == tmp_path / "a/x.TXT"
    assert found["odd.bin"].caption == tmp_path / "odd.txt"
    assert found["a/x.mp4"].person == "a/x", "a file is a video of its own"
    for companion in ("a/x.wav", "a/x.json"):
        assert found[companion].status == "rejected" and "beside the clip x.mp4" in found[companion].problem
    assert found["lonely.txt"].problem is None and found["lonely.txt"].caption is None
    with pytest.raises(InputError, match="is empty"):
        made(tmp_path / "none", ".DS_Store")
        read_source(tmp_path / "none")


def test_clips_behind_links_are_found_once_each(tmp_path):
    """A folder that is linked, one that leads back, a set that is only a link, a file that is linked."""
    made(tmp_path / "real", "a.mp4", "a.txt", "sub/c.mp4")
    folder = made(tmp_path / "set", "b.mp4")
    (folder / "more").symlink_to(tmp_path / "real")
    (tmp_path / "real/back").symlink_to(folder)
    (folder / "z.mp4").symlink_to(folder / "b.mp4")
    (folder / "gone.mp4").symlink_to("nowhere")
    found = by_clip(read_source(folder))
    assert set(found) == {"b.mp4", "more/a.mp4", "more/sub/c.mp4", "z.mp4", "gone.mp4"}
    assert found["more/a.mp4"].caption == folder / "more/a.txt"
    assert found["z.mp4"].problem == "is the same file as b.mp4"
    (tmp_path / "only").mkdir()
    (tmp_path / "only/link").symlink_to(tmp_path / "real/sub")
    assert [one.clip for one in read_source(tmp_path / "only")] == ["link/c.mp4"]


def test_a_json_finds_its_videos_behind_links(tmp_path):
    store = made(tmp_path / "store", "vid1.mp4", "other.mp4")
    celebv(tmp_path / "set", {"vid1_0": entry("vid1"), "vid1_1": entry("vid1", 1, 2), "cut_0": entry("gone")})
    (tmp_path / "set/raw").symlink_to(store)
    (tmp_path / "set/cut_0.mp4").symlink_to(store / "vid1.mp4")
    made(tmp_path / "set", "._celebvhq_info.json", "._vid1.mp4")
    found = by_clip(read_source(tmp_path / "set"))
    assert found["vid1_0"].video == found["vid1_1"].video == tmp_path / "set/raw/vid1.mp4"
    assert found["cut_0"].video == tmp_path / "set/cut_0.mp4" and found["cut_0"].span is None
    assert set(found) == {"vid1_0", "vid1_1", "cut_0", "raw/other.mp4"}


def test_two_videos_of_one_name_cost_their_rows_and_both_are_named(tmp_path):
    folder = made(tmp_path / "set", "a.mp4", "a.MP4", "b.mov", "c.mp4", "c.wav", "sub/a.mp4")
    found = by_clip(read_source(folder))
    for clip in ("a.mp4", "a.MP4"):
        assert found[clip].problem == "a.MP4 and a.mp4 have one name; rename or remove all but one"
        assert found[clip].status == "failed"
    assert all(found[clip].problem is None for clip in ("b.mov", "c.mp4", "sub/a.mp4"))
    celebv(made(tmp_path / "list", "raw/v.mp4", "raw/v.webm"), {"v_0": entry("v")})
    (one,) = read_source(tmp_path / "list")
    assert one.problem == "raw/v.mp4 and raw/v.webm have one name; rename or remove all but one"


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
        (b'{"clips": [{"ytb_id": "a"}]}', "its 'clips' is a list, not an object"),
        (b'{"clips": null}', "its 'clips' is missing, not an object"),
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_lists_as_windows_writes_them(tmp_path, encoding):
    path = celebv(made(tmp_path, "vid.mp4"), {"vid_0": entry("vid")})
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    assert by_clip(read_source(tmp_path))["vid_0"].video == tmp_path / "vid.mp4"


def test_a_clip_that_a_list_has_twice_is_told(tmp_path, caplog):
    made(tmp_path, "vid.mp4")
    one, other = (json.dumps(entry("vid", start)) for start in (0.0, 0.5))
    (tmp_path / "info.json").write_text(f'{{"clips": {{"vid_0": {one}, "vid_0": {other}}}}}')
    with caplog.at_level(logging.WARNING, "actalker"):
        (found,) = read_source(tmp_path)
    assert found.span.start == Fraction(1, 2) and len(caplog.messages) == 1
    assert "'vid_0' more than once; the last one counts" in caplog.text


def test_a_video_with_two_lines_in_hdtfs_list_has_clips_of_both(tmp_path):
    made(tmp_path, "Radio1.mp4")
    (tmp_path / "RD_annotion_time.txt").write_text("Radio1.mp4 0:00-0:01\nRadio1.mp4 0:02-0:03\n")
    found = by_clip(read_source(tmp_path))
    starts = {clip: one.span.start for clip, one in found.items()}
    assert starts == {"Radio1_0.mp4": 0, "Radio1_1.mp4": 2}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_folders_with_the_names_of_texts_are_not_read(tmp_path):
    made(tmp_path, "a.mp4", "b.json/c.mp4")
    for name in ("a.txt", "info.json"):
        os.mkfifo(tmp_path / name)
    found = by_clip(read_source(tmp_path))
    assert found["a.mp4"].caption is None and found["a.txt"].status == "rejected"
    assert set(found) == {"a.mp4", "a.txt", "b.json/c.mp4", "info.json"}


def test_actions_are_said_in_the_third_person():
    said = {"nod": "nods", "close_eyes": "closes eyes", "cry": "cries", "play_instrument": "plays instrument"}
    said |= {"wash": "washes", "shake_head": "shakes the head", "listen_to_music": "listens to music"}
    assert {name: third_person(name) for name in said} == said
