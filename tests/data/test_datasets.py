"""Shards as Hugging Face's `datasets` reads them, whatever the first clips lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prepare_files import face_clip, run_prepare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """Seven clips in one shard; the last in its order alone has sound, a caption and phases."""
    import hashlib

    from actalker.data.prepare.entries import Entry

    root = tmp_path_factory.mktemp("odd")
    source = root / "source"
    source.mkdir()
    names = [f"clip {k}.mp4" for k in range(7)]
    last = max(names, key=lambda name: hashlib.sha256(Entry(name).key.encode()).digest())
    for k, name in enumerate(names):
        face_clip(source / name, hz=200.0 + 50 * k, sound=name == last)
    phases = [{"text": "smiles", "start": 0.2, "end": 0.8}]
    (source / last).with_suffix(".json").write_text(json.dumps({"base": "a man talks", "phases": phases}))
    run_prepare(source, "--out", root / "out", "--workers", 2, "--probe.sound", "optional")
    return root / "out"


@pytest.mark.parametrize("kind", ["files", "folder", "shards", "streamed"])
def test_every_clip_is_read_by_datasets(odd, tmp_path, kind):
    datasets = pytest.importorskip("datasets")
    if kind != "streamed":
        try:
            import torchcodec  # noqa: F401  datasets copies sound with it, into its own files
        except Exception as error:  # not there, or without FFmpeg's libraries
            pytest.skip(f"torchcodec: {str(error)[:60]}")
    words = {"cache_dir": str(tmp_path / "cache"), "split": "train"}
    tars = sorted(str(path) for path in (odd / "shards").glob("*.tar"))
    if kind == "files":
        data = datasets.load_dataset("webdataset", data_files={"train": tars}, **words)
    elif kind == "streamed":
        data = datasets.load_dataset("webdataset", data_files={"train": tars}, split="train", streaming=True)
    else:
        data = datasets.load_dataset(str(odd if kind == "folder" else odd / "shards"), **words)
    plain = data.select_columns(["__key__", "json", "npz"])
    metas = [row["json"] for row in plain]
    assert sorted(meta["clip"] for meta in metas) == [f"clip {k}.mp4" for k in range(7)]
    told = [(meta["script"]["base"], json.loads(meta["script"]["phases"])) for meta in metas if meta["sound"]]
    assert told == [("a man talks", [{"text": "smiles", "start": 0.2, "end": 0.8}])]
    assert {"mp4", "wav", "npz", "json"} <= set(data.features)
    if kind == "files":
        data.to_parquet(str(tmp_path / "all.parquet"))
        import pyarrow.parquet as parquet

        rows = parquet.read_table(tmp_path / "all.parquet", columns=["json"]).to_pylist()
        assert [row["json"] for row in rows] == metas
