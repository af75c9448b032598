"""The commands beside `infer`: what they print, and what they say of wrong words."""

from __future__ import annotations

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pipeline_files import small_model

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


def test_the_doctor_begins_with_what_decides_the_result_and_runs_no_scan(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    parts = ("face finders", "models that come with the package", "media and memory", "packages")
    places = [said.index(f"\n{part}\n") for part in parts] + [said.index("\nscan backends (--scans")]
    assert places == sorted(places)
    rows = [line.split() for line in said.splitlines()]
    assert ["landmarker", "at", "hand,", "and", "used"] in rows and ["cascade", "at", "hand"] in rows
    total = shutil.disk_usage("/dev/shm").total // 2**20
    assert ["/dev/shm", str(total), "MiB,"] in [row[:3] for row in rows]
    assert ["cpu", "ssd", "reference", "at", "hand"] in rows


def test_the_doctor_runs_every_scan_backend_when_asked(capsys):
    assert main(["doctor", "--scans"]) == 0
    rows = [text.split()[:4] for text in capsys.readouterr().out.splitlines()]
    for form in ("selective", "ssd"):
        assert ["cpu", form, "reference", "runs,"] in rows


def test_the_doctor_calls_a_package_that_is_absent_absent_and_imports_no_compiler():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['numba', 'llvmlite', 'mediapipe']))\n"
        "from actalker.cli.main import main; assert main(['doctor']) == 0\n"
        "heavy = {'torch._dynamo', 'diffusers', 'transformers', 'skimage', 'scipy', 'av', 'matplotlib'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    said = done.stdout
    assert "cpu selective numba      not here: numba is absent; pip install numba" in said, done.stderr
    assert "landmarker       mediapipe is absent; pip install mediapipe" in said
    assert "cascade          at hand, and used" in said
    assert said.splitlines()[-1] == "set()" and "does not import" not in said
