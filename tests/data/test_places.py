"""Shards from anywhere: the same clips, to the last bit, as from the folder itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from arrays import check_same
from shard_servers import serving

from actalker.cli.train_words import check_words
from actalker.data import places
from actalker.data.clips import ClipDataConfig, ClipDataset
from actalker.data.copies import Copies, NoRoom
from actalker.data.module import ClipData
from actalker.data.sample import Sample
from actalker.data.sources import expand
from actalker.errors import InputError


def config(shards: object, **more: object) -> ClipDataConfig:
    return ClipDataConfig(shards=shards, frames=6, size=48, driver_size=32, held_out=0.0, **more)


@pytest.fixture(scope="module")
def folder(prepared) -> Path:
    return prepared / "decoded/shards"


@pytest.fixture(scope="module")
def truth(folder) -> list[Sample]:
    data = ClipDataset(config(str(folder)))
    return [data[place] for place in (0, 3, 5, 8)]


def same(truth: list[Sample], data: ClipDataset) -> None:
    assert len(data) == 6
    for place, known in zip((0, 3, 5, 8), truth, strict=True):
        check_same(data[place], known)


def test_a_brace_list_names_every_shard_once():
    assert expand("s3://b/shard-{000009..000011}.tar") == [f"s3://b/shard-{k:06d}.tar" for k in (9, 10, 11)]
    assert expand("a.tar::b-{x,y}.tar") == ["a.tar", "b-x.tar", "b-y.tar"]
    assert expand("pipe:awk '{print}' a.txt") == ["pipe:awk '{print}' a.txt"]


def test_local_names_of_all_kinds(folder, truth, tmp_path, monkeypatch):
    odd = tmp_path / "a folder ü {1}"
    shutil.copytree(folder, odd)
    (odd / "._shard-000000.tar").write_bytes(b"what macOS leaves")
    os.symlink(odd, tmp_path / "linked")
    (tmp_path / "out").mkdir()
    os.symlink(odd, tmp_path / "out/shards")
    monkeypatch.chdir(tmp_path)
    tars = sorted(str(path) for path in folder.glob("*.tar"))
    names = [str(odd), "linked", "out", odd.as_uri(), f"file://{folder}", f"file:{folder}", tuple(tars)]
    names += [f"{folder}/shard-{{000000..000001}}.tar", "::".join(tars), f"{folder}/shard-*.tar"]
    monkeypatch.setenv("HOME", str(tmp_path))
    names += ["~/linked"]
    for name in names:
        same(truth, ClipDataset(config(name)))
        if isinstance(name, str):
            check_words(["fit", "--data.init_args.data.shards", name])
    assert len(ClipDataset(config(tars[0]))) == 4
    for name, words in {
        "none": "none: no such file",
        "none-{0..1}.tar": "none-0.tar: no such",
        "*.tar": "no file fits",
        "": "is empty",
        str((*tars, tars[0])): "no such file",
    }.items():
        with pytest.raises(InputError, match=words):
            ClipDataset(config(name))
    with pytest.raises(InputError, match="is named twice"):
        ClipDataset(config((tars[0], tars[0])))


def test_pipes_are_read_through_once(folder, truth, tmp_path, caplog):
    log = tmp_path / "log"
    name = f"pipe:echo one >> {log}; cat {folder}/shard-{{000000..000001}}.tar"
    data = ClipDataset(config(name))
    same(truth, data)
    (copies,) = {clip.place.copies for clip in data.clips}
    assert log.read_text().split() == ["one"] * 2 and copies.folder.is_dir()
    assert "cannot be read from the middle; 2 shards are copied" in caplog.text
    same(truth, ClipDataset(config(name, cache=str(tmp_path / "kept"))))
    same(truth, ClipDataset(config(name, cache=str(tmp_path / "kept"))))
    assert log.read_text().split() == ["one"] * 4, "a cache is for the next run too"
    with pytest.raises(InputError, match=r"pipe:cat /none; exit 3: ends with \d+ \(cat: /none"):
        ClipDataset(config("pipe:cat /none; exit 3"))


def test_a_web_server_gives_parts_and_the_index_is_read_in_the_place_of_headers(folder, truth):
    with serving(folder.parent) as (address, server):
        data = ClipDataset(config(f"{address}/shards"))
        index = sum((folder / name).stat().st_size for name in ("shard-000000.tar", "shard-000001.tar"))
        read = [path for method, path, _ in server.asked if method == "GET" and path.endswith(".tar")]
        assert len(read) <= 1, "one try whether parts are given, and no headers"
        same(truth, data)
        spans = [span for _, path, span in server.asked if span and path.endswith(".tar")]
        assert sum(int(b) - int(a) + 1 for a, b in (s[6:].split("-") for s in spans)) < 4 * index
        same(truth, ClipDataset(config(f"{address}/moved/shards/shard-{{000000..000001}}.tar")))
        server.lists = False
        same(truth, ClipDataset(config(f"{address}/shards/")))
        module = ClipData(config(f"{address}/shards"), batch_size=2, steps=3, workers=2)
        parts = [batch.index for batch in module.train_dataloader()]
        assert sorted(torch.cat(parts).tolist()) == list(range(6))


def test_a_server_without_parts_and_one_without_index(folder, truth, tmp_path):
    with serving(folder.parent, parts=False) as (address, server):
        data = ClipDataset(config(f"{address}/shards", cache=str(tmp_path)))
        same(truth, data)
        whole = [path for method, path, span in server.asked if method == "GET" and not span]
        assert sum(path.endswith(".tar") for path in whole) == 2, "each shard came once"
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.json", "*.md"))
    with serving(tmp_path) as (address, server):
        same(truth, ClipDataset(config(f"{address}/bare")))


def test_what_a_server_refuses_is_said_in_one_line_and_moments_pass(folder, truth, monkeypatch):
    monkeypatch.setattr(places, "WAITS", (0.01, 0.01))
    monkeypatch.setattr(places, "SILENT", 1.0)
    with serving(folder.parent) as (address, server):
        shards = f"{address}/shards"
        server.failures["shard-000000.tar"] = [503, 500]
        server.failures["shard-000001.tar"] = [0]  # hangs once
        same(truth, ClipDataset(config(shards)))
        for status, words in {403: "access is refused", 404: "no such file in the store"}.items():
            server.failures["shard-000001.tar"] = [status]
            with pytest.raises(InputError, match=rf"{shards}/shard-000001.tar: {words} \({status}"):
                ClipDataset(config(f"{shards}/shard-{{000000..000001}}.tar"))
        server.failures.clear()
        data = ClipDataset(config(shards))
        server.failures["shard-000000.tar"] = [500] * 99
        with pytest.raises(InputError, match="shard-000000.tar: cannot be read .500"):
            data[0]
    with pytest.raises(InputError, match="^http://127.0.0.1:9/x: cannot be read .*; check the store"):
        ClipDataset(config("http://127.0.0.1:9/x"))
    with pytest.raises(InputError, match="^nosuch://x/y: cannot be opened by fsspec"):
        ClipDataset(config("nosuch://x/y"))


def test_a_missing_package_is_named_with_its_line(monkeypatch):
    for address, package in {"s3://b/x": "s3fs", "gs://b/x": "gcsfs", "https://b/x": "aiohttp"}.items():
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"{package} is not .*pip install 'actalker\[remote\]'"):
            ClipDataset(config(address))


@pytest.mark.slow
def test_a_cache_holds_whole_shards_once_for_all_processes(folder, truth, tmp_path, caplog):
    cache = tmp_path / "cache"
    with serving(folder.parent) as (address, server):
        code = (
            "import sys; from actalker.data.clips import *\n"
            "d = ClipDataset(ClipDataConfig(sys.argv[1], sys.argv[2], frames=6, size=48, held_out=0.0))\n"
            "[d[k] for k in range(6)]"
        )
        words = [sys.executable, "-c", code, f"{address}/shards", str(cache)]
        running = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
        assert [one.communicate(timeout=120)[1] for one in running] == [b"", b""]
        whole = [path for method, path, span in server.asked if method == "GET" and not span]
        assert sorted(p for p in whole if p.endswith(".tar")) == [
            f"/shards/shard-00000{k}.tar" for k in (0, 1)
        ]
        kept = sorted(path for path in cache.iterdir() if not path.name.startswith("."))
        assert [path.read_bytes() for path in kept] and {path.stat().st_size for path in kept} == {
            path.stat().st_size for path in folder.glob("*.tar")
        }
        server.asked.clear()
        same(truth, ClipDataset(config(f"{address}/shards", cache=str(cache))))
        assert not [p for m, p, span in server.asked if m == "GET" and p.endswith(".tar") and not span]


def test_a_cache_without_room_is_told_and_done_without(folder, truth, tmp_path, caplog):
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").symlink_to("/dev/full")
    with serving(folder.parent) as (address, _):
        data = ClipDataset(config(f"{address}/shards", cache=str(full)))
        for place in {clip.place for clip in data.clips}:

            def no_room(*_: object) -> Path:
                raise NoRoom("cannot be written (No space left on device)")

            place.copies.get = no_room
        same(truth, data)
        assert caplog.text.count("No space left on device); shards are read from where they are") == 1
    with pytest.raises(InputError, match="cannot be made"):
        Copies("/proc/none/cache")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.slow
def test_a_full_cache_disk(folder, truth, tmp_path):
    code = f"""
import sys, logging
from actalker.data.clips import *
d = ClipDataset(ClipDataConfig(sys.argv[1], {str(tmp_path / "small")!r}, frames=6, size=48, held_out=0.0))
d[0]; print("read")
"""
    (tmp_path / "small").mkdir()
    mount = f"mount -t tmpfs -o size=64k none {tmp_path / 'small'}"
    with serving(folder.parent) as (address, _):
        inside = f"{mount} && exec {sys.executable} -c '{code.replace(chr(39), chr(34))}' \"$0\""
        words = ["unshare", "-m", "sh", "-c", inside]
        done = subprocess.run([*words, f"{address}/shards"], capture_output=True, text=True, timeout=120)
        assert done.stdout == "read\n" and "No space left on device" in done.stderr, done.stderr
        piped = f"pipe:cat {folder}/shard-000000.tar"
        done = subprocess.run([*words, piped], capture_output=True, text=True, timeout=120)
        assert "InputError" in done.stderr and "name a folder with room for all shards" in done.stderr


@pytest.mark.slow
def test_a_store_of_buckets(folder, truth, tmp_path, monkeypatch):
    """moto's server, by sockets, as s3fs reads a real one."""
    boto3 = pytest.importorskip("boto3")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        settings = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
        settings |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        for _ in range(100):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        store = boto3.client("s3", endpoint_url=settings["AWS_ENDPOINT_URL"])
        store.create_bucket(Bucket="bucket")
        for path in folder.iterdir():
            store.upload_file(str(path), "bucket", f"set/shards/{path.name}")
        same(truth, ClipDataset(config("s3://bucket/set/shards")))
        same(truth, ClipDataset(config("s3://bucket/set")))
        same(truth, ClipDataset(config("s3://bucket/set/shards/shard-{000000..000001}.tar")))
        same(truth, ClipDataset(config("s3://bucket/set/shards/shard-*.tar", cache=str(tmp_path))))
        module = ClipData(config("s3://bucket/set/shards"), batch_size=2, steps=3, workers=2)
        parts = [batch.index for batch in module.train_dataloader()]
        assert sorted(torch.cat(parts).tolist()) == list(range(6))
        for name in ("s3://bucket/none", "s3://nobucket/x", "s3://bucket/set/shards/shard-000007.tar"):
            with pytest.raises(InputError, match=f"{name}: (no such file in the store|holds no shards)"):
                ClipDataset(config(name))
    finally:
        server.terminate()
        server.wait()


def test_the_index_of_a_folder_says_where_members_lie(folder):
    index = json.loads((folder / "index.json").read_text())
    for name, told in index.items():
        content = (folder / name).read_bytes()
        assert told["bytes"] == len(content) and told["clips"] == len(told["members"])
        for key, clip in told["members"].items():
            for suffix, (offset, size, _) in clip["files"].items():
                header = content[offset - 512 : offset]
                assert header[:100].rstrip(b"\0").decode() == f"{key}.{suffix}"
                assert int(header[124:135], 8) == size
