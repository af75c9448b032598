"""Folders as users have them: links, loops, hidden files, twins."""

from __future__ import annotations

import logging
import os

import pytest

from actalker.errors import InputError
from actalker.media.files import by_stem, files_below, video_files


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def names(folder, found):
    return [path.relative_to(folder).as_posix() for path in found]


def test_links_are_followed_and_loops_end(tmp_path):
    folder = made(tmp_path / "set", "b.mp4", "sub/c.MOV", "notes.txt")
    made(tmp_path / "real", "a.mp4", "deep/d.gif")
    (folder / "more").symlink_to(tmp_path / "real")
    (folder / "sub/self").symlink_to(folder / "sub")
    (folder / "sub/top").symlink_to("..")
    (tmp_path / "real/back").symlink_to(folder)
    (folder / "e.mp4").symlink_to(tmp_path / "real/a.mp4")
    (folder / "gone.mp4").symlink_to(tmp_path / "nowhere")
    expected = ["b.mp4", "e.mp4", "gone.mp4", "more/a.mp4", "more/deep/d.gif", "sub/c.MOV"]
    assert names(folder, video_files(folder)) == expected
    (tmp_path / "only").symlink_to(folder)
    assert names(tmp_path / "only", video_files(tmp_path / "only")) == expected, "a set that is only a link"


def test_folders_that_all_link_to_each_other_end(tmp_path, caplog):
    """Seven of them have 7! ways through; a file is found by the short ones."""
    for k in range(7):
        made(tmp_path, f"d{k:02d}/{k}.mp4")
        for m in range(7):
            if m != k:
                (tmp_path / f"d{k:02d}/to{m}").symlink_to(tmp_path / f"d{m:02d}")
    with caplog.at_level(logging.WARNING, "actalker"):
        found = names(tmp_path, video_files(tmp_path))
    assert {f"d{k:02d}/{k}.mp4" for k in range(7)} <= set(found)
    assert len(found) == 7 * (1 + 6 + 6 * 5 + 6 * 5 * 4)
    assert len(caplog.messages) == 1 and "is behind more than 3 links in a row" in caplog.text


def test_hidden_files_and_what_systems_leave_behind_are_no_media(tmp_path):
    folder = made(
        tmp_path / ".cache" / "set",  # what stands above the folder is the user's own choice
        "a.mp4",
        "._a.mp4",
        ".hidden.mp4",
        ".trash/b.mp4",
        "__MACOSX/._a.mp4",
        "__MACOSX/c.mp4",
        "@eaDir/a.mp4/SYNO.mp4",
        "Thumbs.db",
        "desktop.ini",
        "_-id.mp4",
        "-id.mp4",
    )
    assert names(folder, files_below(folder)) == ["-id.mp4", "_-id.mp4", "a.mp4"]


def test_two_files_of_one_name_are_refused_with_both_names(tmp_path):
    folder = made(tmp_path, "x/a.mp4", "x/b.mkv", "a.mp4", "é.mp4")
    assert list(by_stem(video_files(folder), folder)) == ["a", "x/a", "x/b", "é"]
    made(folder, "x/a.MKV")
    with pytest.raises(InputError, match=r"x/a\.MKV and x/a\.mp4 have one name"):
        by_stem(video_files(folder), folder)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, caplog, monkeypatch):
    folder = made(tmp_path, "a.mp4", "locked/b.mp4")
    listed = os.listdir

    def refusing(path):  # root may read everything
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", refusing)
    with caplog.at_level(logging.WARNING, "actalker"):
        assert names(folder, video_files(folder)) == ["a.mp4"]
    assert "locked: cannot be read (Permission denied); its files are left out" in caplog.text
    with pytest.raises(InputError, match="cannot be read"):
        list(files_below(folder / "locked"))
