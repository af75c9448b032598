"""The commands beside `infer`: what they print, and what they say of wrong words."""

from __future__ import annotations

import pickle
import re

import pytest
import torch
from pipeline_files import small_model

from actalker.cli.doctor import scan_rows
from actalker.cli.main import COMMANDS, main
from actalker.faces.find import finder_status
from actalker.pipeline import TalkingHeadPipeline


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize(
    "words, says",
    [
        ([], None),
        (["infre"], "command 'infre' is unknown; did you mean 'infer'"),
        (["doctor", "--fast"], "unknown option --fast"),
        (["train"], "say what to do: actalker train fit --config FILE"),
        (["export", "nowhere.ckpt", "out"], "nowhere.ckpt: no such file"),
        (["export", "nowhere.ckpt"], "required: folder"),
        (["demo", "--model", "tinny"], "model 'tinny' is unknown"),
        (["demo", "--duration", "soon"], "time 'soon' cannot be read"),
    ],
)
def test_wrong_words_are_one_line_and_2(words, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    if says is not None:
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert says in lines[0]
    assert not list(tmp_path.iterdir())


def test_export_makes_a_folder_that_infer_reads(tmp_path, capsys):
    model = small_model()
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": weights, "model_config": model.config.as_dict()}, tmp_path / "last.ckpt")
    assert main(["export", str(tmp_path / "last.ckpt"), str(tmp_path / "model")]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "model")]
    read = TalkingHeadPipeline.from_pretrained(tmp_path / "model", device="cpu").model
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), read.state_dict().values(), strict=True)
    )


def test_export_refuses_other_files(tmp_path, capsys):
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps({"x": 1}))
    (tmp_path / "b.ckpt").write_text("not a checkpoint")
    torch.save({"state_dict": {}}, tmp_path / "c.ckpt")
    for name in "abc":
        assert main(["export", str(tmp_path / f"{name}.ckpt"), str(tmp_path / "model")]) == 2
        assert re.search(rf"{name}\.ckpt: (is no|not a) .*checkpoint", capsys.readouterr().err)
    assert not (tmp_path / "model").exists()


def test_the_doctor_tells_of_a_face_model_that_is_not_there(monkeypatch):
    monkeypatch.setenv("ACTALKER_FACE_MODEL", "/nowhere/face.task")
    assert all(
        said.startswith("ACTALKER_FACE_MODEL=/nowhere/face.task: no such file")
        for said in finder_status().values()
    )


def test_the_doctor_tells_of_every_scan_backend(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("scan backends", "face finders", "models that come with the package", "packages"):
        assert f"\n{part}\n" in said
    rows = [text.split() for text, good in scan_rows("cpu") if good]
    for form in ("selective", "ssd"):
        assert ["cpu", form, "reference", "runs,"] in [row[:4] for row in rows]
