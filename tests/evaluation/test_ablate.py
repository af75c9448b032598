"""The ablation from end to end on a small random model: whole, resumable, the same again."""

import json

import pytest
from models import small_model

from actalker.cli.main import main
from actalker.evaluation.portraits import portrait_rows
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


@pytest.mark.slow
def test_portraits_are_measured_and_shown(shared, tmp_path):
    samples = shared / "samples"
    words = ["ablate", "--puppets", "0", "--portraits", str(samples / "portraits" / "generated_woman.png")]
    words += ["--audio", str(samples / "audio" / "walden_24k.wav"), "--duration", "1.5"]
    words += ["--out", str(tmp_path)]
    assert main(words) == 0
    (cell,) = json.loads((tmp_path / "ablation.json").read_text())["portraits"]
    assert cell["found"] == 1 and cell["correlation"] > 0.4 and cell["closed movement"] < cell["movement"] / 3
    assert (tmp_path / "portrait00.png").stat().st_size > 10_000


def test_a_portrait_that_could_not_be_measured_meets_nothing():
    good = {"correlation": 0.9, "movement": 0.1, "closed movement": 0.0, "outside": 0.1}
    bad = {"correlation": float("nan"), "movement": 0.1, "closed movement": float("nan"), "outside": 0.1}
    for cells in ([good, bad], [bad, good]):
        follow, still, outside = portrait_rows(cells)
        assert not follow.met and not still.met and outside.met
    assert all(row.met for row in portrait_rows([good, good]))


def test_wrong_options_are_one_line(model, tmp_path, capsys):
    for words, said in (
        (["--puppets", "-1"], "puppets"),
        (["--puppets", "0"], "nothing to measure"),
        (["--workers", "0"], "workers"),
        (["--portraits", str(tmp_path)], "no pictures"),
        (["--model", "tinny"], "tiny"),
    ):
        given = ["ablate", "--out", str(tmp_path / "o"), *words]
        assert main(given) == 2
        assert said in capsys.readouterr().err
