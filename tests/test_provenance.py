from __future__ import annotations

import hashlib
import json
import os
import stat
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from actalker.errors import InputError
from actalker.extras import need
from actalker.provenance import (
    check_readable,
    check_writable,
    file_hash,
    folder_hash,
    versions,
    whole_file,
    write_sidecar,
)


def test_file_hash_is_sha256_of_the_bytes(tmp_path):
    data = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "a").write_bytes(data)
    assert file_hash(tmp_path / "a") == "sha256:" + hashlib.sha256(data).hexdigest()


def test_folder_hash_tells_names_and_contents_apart_and_not_places(tmp_path):
    def tree(name: str, files: dict[str, str]) -> str:
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return folder_hash(tmp_path / name)

    one = tree("one", {"a": "x", "sub/b": "y"})
    assert one == tree("two", {"sub/b": "y", "a": "x"})
    assert len({one, tree("three", {"a": "y", "sub/b": "x"}), tree("four", {"a": "x", "b": "y"})}) == 3
    with pytest.raises(InputError, match="no such folder"):
        folder_hash(tmp_path / "five")


def test_versions_name_this_package_and_what_is_installed():
    installed = versions()
    assert installed["numpy"] == np.__version__ and {"actalker", "python", "av"} <= set(installed)
    json.dumps(installed)


def test_whole_file_appears_when_the_block_ends_and_keeps_the_suffix(tmp_path):
    with whole_file(tmp_path / "a.mp4") as work:
        work.write_text("x")
        assert work.suffix == ".mp4" and work.parent == tmp_path and not (tmp_path / "a.mp4").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a.mp4").stat().st_mode) == 0o666 & ~umask  # as any file of the user's


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whole_file_leaves_nothing_behind_and_the_old_file_alone(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), whole_file(tmp_path / "a.txt", overwrite=True) as work:
        work.write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_whole_file_overwrites_only_when_told(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with (
        pytest.raises(InputError, match=r"a\.txt: exists already.*--overwrite"),
        whole_file(tmp_path / "a.txt"),
    ):
        raise AssertionError("the block must not run")
    with whole_file(tmp_path / "a.txt", overwrite=True) as work:
        work.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_whole_file_writes_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a.txt")
    with whole_file(tmp_path / "link") as work:
        work.write_text("x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "a.txt").read_text() == "x"


def test_whole_file_names_a_full_or_failing_disk(tmp_path):
    with (
        pytest.raises(InputError, match=r"a\.txt: cannot be written \(No space left"),
        whole_file(tmp_path / "a.txt"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "name, said", [("", "is a folder"), ("no/a.mp4", "there is no folder"), ("f/a.mp4", "there is no folder")]
)
def test_unwritable_targets_are_refused_before_work(tmp_path, name, said):
    (tmp_path / "f").write_text("a file, not a folder")
    with pytest.raises(InputError, match=said):
        check_writable(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written to"):
        check_writable(tmp_path / "a.mp4")


def test_device_is_never_replaced():
    with pytest.raises(InputError, match="not a plain file"):
        check_writable("/dev/null", overwrite=True)


@pytest.mark.parametrize(
    "name, said",
    [
        ("none.wav", "no such file"),
        (".", "is a folder"),
        ("empty.wav", "0 bytes"),
        ("x" * 5000, "cannot be read"),
    ],
)
def test_unreadable_files_are_named_with_the_fix(tmp_path, name, said):
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(InputError, match=said) as caught:
        check_readable(str(tmp_path) + "/" + name, "sound")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_sidecar_lies_beside_and_reads_back(tmp_path):
    content = {
        "fps": Fraction(30000, 1001),
        "portrait": Path("a/b.png"),
        "level": np.float32(0.5),
        "name": "Zoë",
        "list": np.arange(3),
    }
    path = write_sidecar(tmp_path / "clip.mp4", content)
    assert path == tmp_path / "clip.mp4.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "fps": "30000/1001",
        "portrait": "a/b.png",
        "level": 0.5,
        "name": "Zoë",
        "list": [0, 1, 2],
    }
    assert write_sidecar(tmp_path / "run.json", {}) == tmp_path / "run.json"


def test_missing_extra_gives_the_install_line():
    assert need("dev", "json") is json
    with pytest.raises(
        InputError, match=r"^no_such_package is not installed; pip install 'actalker\[face\]'$"
    ):
        need("face", "no_such_package.part")


def test_broken_extra_tells_why(tmp_path, monkeypatch):
    (tmp_path / "broken_binary.py").write_text("raise ImportError('libGL.so.1: cannot open\\nshared object')")
    (tmp_path / "half_there.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        InputError, match=r"does not import \(libGL.so.1: cannot open shared object\); pip install"
    ):
        need("face", "broken_binary")
    with pytest.raises(InputError, match="half_there needs no_such_dependency"):
        need("face", "half_there")
