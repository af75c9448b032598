"""Damaged shards: what cannot be read is named and counted, another clip stands for it."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from arrays import check_same

from actalker.data.clips import ClipDataConfig, ClipDataset
from actalker.data.module import ClipData
from actalker.data.shards import read_index
from actalker.errors import InputError


@pytest.fixture
def shards(prepared, tmp_path) -> Path:
    return Path(shutil.copytree(prepared / "encoded/shards", tmp_path / "shards"))


def config(folder: Path, **more: object) -> ClipDataConfig:
    return ClipDataConfig(str(folder), frames=6, size=48, driver_size=32, **{"held_out": 0.0, **more})


def member(folder: Path, key: str, suffix: str) -> tuple[Path, int, int]:
    """The shard, offset and size of a clip's member, whose key begins so."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                if info.name.startswith(key) and info.name.endswith(f".{suffix}"):
                    return path, info.offset_data, info.size
    raise KeyError(key)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    held = bytearray(path.read_bytes())
    held[offset : offset + len(content)] = content
    path.write_bytes(held)


def number(data: ClipDataset, name: str) -> int:
    return [data.name(k) for k in range(len(data))].index(name)


DAMAGES: dict[str, Callable[[Path, int, int], None]] = {
    "mp4": lambda path, at, size: overwrite(path, at + size // 2, bytes(size // 3)),
    "wav": lambda path, at, size: overwrite(path, at, bytes(64)),
    "npz": lambda path, at, size: overwrite(path, at + size // 2, bytes(size // 3)),
    "json": lambda path, at, size: overwrite(path, at + 20, bytes(30)),
}


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("suffix", list(DAMAGES))
def test_a_damaged_member_is_named_skipped_and_counted(shards, caplog, suffix, indexed):
    path, at, size = member(shards, "clip_1", suffix)
    DAMAGES[suffix](path, at, size)
    if not indexed:
        (shards / "index.json").unlink()
    data = ClipDataset(config(shards))
    if suffix == "json" and not indexed:  # nobody knows how long it is
        assert (
            len(data) == 5
            and f"{path}: 1 of 2 clips are damaged and skipped, the first is clip_1" in caplog.text
        )
        return
    bad, caplog_before = number(data, "clip 1.mp4"), len(caplog.records)
    seen = [int(data[place].index) for place in range(18)]
    assert bad not in seen and len(data) == 6
    told = [record.getMessage() for record in caplog.records[caplog_before:]]
    assert len(told) == 1 and told[0].startswith(f"clip 1.mp4 in {path}: is damaged and skipped")
    assert f"its {suffix} " in told[0] and "(1 of 6 clips until now)" in told[0]
    assert data.damage() == f"1 of 6 clips are damaged, others stood for them: clip 1.mp4 in {path}"
    others = [k for k in range(18) if k % 6 != bad]
    assert [seen[k] for k in others] == [k % 6 for k in others], "only the damaged clip is replaced"


def test_one_byte_is_enough(shards):
    """A decoder conceals what is damaged, and shows something else; the index knows every member's CRC-32."""
    path, at, size = member(shards, "clip_1", "mp4")
    held = path.read_bytes()
    overwrite(path, at + size - 40, bytes([held[at + size - 40] ^ 1]))
    data = ClipDataset(config(shards))
    bad = number(data, "clip 1.mp4")
    assert int(data[bad].index) != bad and "clip 1.mp4" in str(data.damage())


def test_what_stands_for_a_damaged_clip_is_a_function_of_seed_and_place(shards):
    path, at, size = member(shards, "clip_1", "mp4")
    DAMAGES["mp4"](path, at, size)
    data, again = ClipDataset(config(shards)), ClipDataset(config(shards))
    bad = number(data, "clip 1.mp4")
    places = [bad + 6 * turn for turn in range(8)]
    first = [data[place] for place in places]
    for place, sample in reversed(
        list(zip(places, first, strict=True))
    ):  # in another order, by a new process
        assert torch.equal(again[place].frames, sample.frames)
    assert len({int(sample.index) for sample in first}) > 2, "not always the same neighbour"
    batches = []
    for workers in (0, 2):
        module = ClipData(config(shards), batch_size=2, steps=6, workers=workers)
        batches.append([batch.frames for batch in module.train_dataloader()])
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))
    module = ClipData(config(shards), batch_size=2, steps=6, workers=2)
    loader = module.train_dataloader()
    assert len(list(loader)) == 6
    assert loader.dataset.damage().startswith("1 of 6 clips are damaged"), "workers count together"


def test_when_all_clips_are_damaged_it_ends_in_one_line(shards):
    for path in shards.glob("*.tar"):
        with tarfile.open(path) as tar:
            found = [(info.offset_data, info.size) for info in tar if info.name.endswith("mp4")]
        for at, size in found:
            overwrite(path, at, bytes(size))
    data = ClipDataset(config(shards))
    with pytest.raises(InputError, match=r"all 6 clips are damaged, such as .* in .*\.tar: its mp4 .*again"):
        data[0]


@pytest.mark.parametrize("where", ["in a header", "between clips", "in a member", "to nothing"])
def test_a_shard_that_is_cut_off_is_told_and_keeps_its_numbers(shards, caplog, where):
    whole = ClipDataset(config(shards))
    path = sorted(shards.glob("*.tar"))[0]
    with tarfile.open(path) as tar:
        starts = [info.offset for info in tar if info.name.endswith(".json")]
    at = {
        "in a header": starts[2] + 100,
        "between clips": starts[2],
        "in a member": starts[3] - 700,
        "to nothing": 0,
    }
    path.write_bytes(path.read_bytes()[: at[where]])
    cut = ClipDataset(config(shards))
    lost = {"in a member": 2, "to nothing": 4}.get(where, 2)
    assert [cut.name(k) for k in range(len(cut))] == [whole.name(k) for k in range(6)]
    assert f"{path}: is cut off" in caplog.text and f"{lost} of 4 clips are skipped" in caplog.text
    for k in range(6):
        if not cut.damaged[k]:
            assert torch.equal(cut[k].frames, whole[k].frames)
    assert int(cut.damaged.sum()) == lost and f"{lost} of 6 clips are damaged" in cut.damage()
    (shards / "index.json").unlink()
    caplog.clear()
    bare = read_index(str(shards))
    begun = where == "in a member"  # its header is there, and reading it will tell
    assert len(bare) == 6 - lost + begun and f"{path}: " in caplog.text
    assert any(words in caplog.text for words in ("cut off", "no whole tar file"))


def test_an_index_of_other_shards_and_shards_without_theirs(shards, caplog):
    one, two = sorted(shards.glob("*.tar"))
    held = two.read_bytes()
    two.write_bytes(one.read_bytes())
    assert len(read_index(str(shards))) == 8
    assert f"{two}: index.json beside it is of other shards" in caplog.text
    two.write_bytes(held)
    caplog.clear()
    one.unlink()
    assert len(read_index(str(shards))) == 2
    assert (
        "1 of the 2 shards that index.json names are not there, the first is shard-000000.tar; 4"
        in caplog.text
    )
    (shards / "index.json").write_text('{"shard-000001.tar"')
    caplog.clear()
    assert len(read_index(str(shards))) == 2 and "index.json: is damaged" in caplog.text
    index = {"shard-000001.tar": {"content": "", "clips": 3, "bytes": len(held) + 9}}  # of an older version
    (shards / "index.json").write_text(json.dumps(index))
    caplog.clear()
    assert len(read_index(str(shards))) == 2
    assert f"{two}: holds 2 of the 3 clips and {len(held)} of the {len(held) + 9} bytes" in caplog.text


def test_compressed_shards_are_named(shards):
    path = sorted(shards.glob("*.tar"))[0]
    path.write_bytes(gzip.compress(path.read_bytes(), 1))
    with pytest.raises(InputError, match=f"{path}: is compressed .gzip.; unpack it"):
        ClipDataset(config(shards))
    for tar in shards.glob("*.tar"):
        tar.rename(tar.with_suffix(".tar.gz"))
    with pytest.raises(InputError, match=r"shard-000000.tar.gz: is compressed; unpack it to .tar"):
        ClipDataset(config(shards))


@pytest.mark.parametrize("form", ["pax", "gnu", "folders", "reversed", "joined", "extras"])
def test_tar_files_that_other_tools_write(prepared, tmp_path, form, caplog):
    source = prepared / "encoded/shards"
    held = []
    for path in sorted(source.glob("*.tar")):
        with tarfile.open(path) as tar:
            held += [(info.name, tar.extractfile(info).read()) for info in tar]
    held = held[::-1] if form == "reversed" else held
    parts = [held[:8], held[8:]] if form == "joined" else [held]
    made = []
    for part, members in enumerate(parts):
        kind = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}.get(form, tarfile.USTAR_FORMAT)
        with tarfile.open(tmp_path / f"part{part}", "w", format=kind) as tar:
            for name, content in members:
                name = f"./{form} ü/{'long ' * 30}/{name}" if form in ("pax", "gnu", "folders") else name
                if form == "folders":
                    folder = tarfile.TarInfo("./folders")
                    folder.type = tarfile.DIRTYPE
                    tar.addfile(folder)
                    name = name.replace("long " * 30, "short.name")
                info = tarfile.TarInfo(name)
                info.size = len(content)
                if form == "extras":
                    stray = tarfile.TarInfo(f"._{name}")
                    stray.size = 3
                    tar.addfile(stray, io.BytesIO(b"mac"))
                tar.addfile(info, io.BytesIO(content))
        made.append((tmp_path / f"part{part}").read_bytes())
    (tmp_path / "all.tar").write_bytes(b"".join(made))
    data, plain = ClipDataset(config(tmp_path / "all.tar")), ClipDataset(config(source))
    assert len(data) == 6 and not caplog.text
    for k in range(6):
        own = number(plain, data.name(k))
        assert data.clips[k].read("mp4", "npz") == plain.clips[own].read("mp4", "npz")


def test_what_ends_in_zeros_is_told(shards, caplog):
    (shards / "index.json").unlink()
    one, two = sorted(shards.glob("*.tar"))
    with tarfile.open(one) as tar:
        third = [info.offset for info in tar if info.name.endswith(".json")][2]
    content = one.read_bytes()
    one.write_bytes(
        content[:third] + bytes(max(2 << 20, len(content) - third))
    )  # as a broken download leaves it
    assert len(read_index(str(shards))) == 4
    assert f"{one}: holds zeros from byte {third} to its end; 2 clips are read" in caplog.text
    two.write_bytes(b"")
    caplog.clear()
    assert len(read_index(str(shards))) == 2 and f"{two}: is no whole tar file (it is empty)" in caplog.text


def test_samples_that_are_not_whole_are_counted(shards, caplog):
    (shards / "index.json").unlink()
    with tarfile.open(shards / "more.tar", "w") as tar:
        for name in ("a.mp4", "b.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"1234"))
        with tarfile.open(sorted(shards.glob("shard*.tar"))[1]) as other:
            for info in other:
                tar.addfile(info, other.extractfile(info))
    assert len(read_index(str(shards))) == 8
    assert "more.tar: 2 of 4 samples lack json, npz or mp4, the first is a; they are skipped" in caplog.text


def test_older_shards_are_read(prepared, tmp_path):
    """As the version before wrote them: phases as a list, numbers as objects, no wav without sound."""
    old = tmp_path / "old"
    old.mkdir()
    source = prepared / "encoded/shards"
    for path in sorted(source.glob("*.tar")):
        with tarfile.open(path) as tar, tarfile.open(old / path.name, "w") as out:
            metas = {i.name[:-5]: json.load(tar.extractfile(i)) for i in tar if i.name.endswith(".json")}
            for info in tar:
                key, _, suffix = info.name.partition(".")
                content, meta = tar.extractfile(info).read(), metas[key]
                if suffix == "wav" and not meta["sound"]:
                    continue
                if suffix == "json":
                    for name in ("quality", "track", "features", "sync"):
                        meta[name] = json.loads(meta[name])
                    meta["script"]["phases"] = json.loads(meta["script"]["phases"])
                    content = json.dumps(meta).encode()
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    data, new = ClipDataset(config(old)), ClipDataset(config(source))
    assert len(data) == 6
    for k in range(6):
        check_same(data[k], new[k])


def test_decoded_frames_of_zeros_are_no_frames(prepared, tmp_path):
    folder = Path(shutil.copytree(prepared / "decoded/shards", tmp_path / "shards"))
    path, at, size = member(folder, "clip_1", "pixels.npy")
    overwrite(path, at + 4096, bytes(size - 4096))
    data = ClipDataset(config(folder))
    bad = number(data, "clip 1.mp4")
    assert int(data[bad].index) != bad and np.isfinite(data[bad].frames.float()).all()
