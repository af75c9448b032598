"""The ablation from end to end on a small random model: whole, resumable, the same again."""

import json

import pytest
from models import small_model

from actalker.cli.main import main
from actalker.pipeline.folder import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "small"
    save_model(small_model(), folder)
    return folder


@pytest.mark.slow
def test_a_report_is_whole_and_goes_on_where_it_stopped(model, tmp_path, capsys):
    out = tmp_path / "report"
    words = [
        "ablate",
        "--model",
        str(model),
        "--puppets",
        "2",
        "--seed",
        "5",
        "--out",
        str(out),
        "--steps",
        "1",
    ]
    assert main(words) == 0
    first = json.loads((out / "ablation.json").read_text())
    assert {p.name for p in out.iterdir()} >= {"ablation.md", "ablation.png", "puppet00.png", "cells"}
    assert len(first["rows"]) >= 14 and all(row["value"] == row["value"] for row in first["rows"][:4])
    kept = sorted((out / "cells").iterdir())
    kept[1].unlink()
    stamp = kept[0].stat().st_mtime_ns
    assert main(words) == 0
    again = json.loads((out / "ablation.json").read_text())
    assert again["cells"] == first["cells"] and kept[0].stat().st_mtime_ns == stamp
    assert "audio closed / open" in capsys.readouterr().out


def test_wrong_options_are_one_line(model, tmp_path, capsys):
    for words, said in (
        (["--puppets", "-1"], "puppets"),
        (["--workers", "0"], "workers"),
        (["--portraits", str(tmp_path)], "no pictures"),
        (["--model", "tinny"], "tiny"),
    ):
        given = ["ablate", "--out", str(tmp_path / "o"), *words]
        assert main(given) == 2
        assert said in capsys.readouterr().err
