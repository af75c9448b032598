"""The report of heads in portraits."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee

from actalker.errors import InputError
from actalker.evaluation.heads import portraits
from actalker.evaluation.heads.report import table

pytest.importorskip("mediapipe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("portraits")
    Image.fromarray(astronaut()[:300, 80:380]).resize((200, 200)).save(made / "face.png")
    return made


def portrait_cell(**numbers: float) -> dict:
    return {"kind": "portrait", "files": ["a.png"], "numbers": {"still": 0.0, **numbers}}


def test_rows_say_whether_targets_are_met():
    cells = [
        portrait_cell(**{"r jawOpen": 0.97, "slope yaw": 0.7, "lids shut": 0.2, "speech: f v": 1.0}),
        portrait_cell(**{"r jawOpen": 0.95, "slope yaw": 0.9, "lids shut": 0.1, "speech: f v": 0.7}),
        {"kind": "video", "files": ["v"], "numbers": {"landmarks": 0.02, "opening r": 0.99}},
        {"kind": "direct", "files": ["v", "a.png"], "numbers": {"jawOpen": 0.7, "yaw": 0.95}},
        {"kind": "portrait", "files": ["cat.png"], "numbers": {}, "refused": "cat.png: no face"},
    ]
    rows = {row.what: row for row in table(cells)}

    def row(part: str):
        return next(r for what, r in rows.items() if part in what)

    assert (row("r: jawOpen").value, row("r: jawOpen").met) == (pytest.approx(0.96), True)
    assert (row("slope: yaw").value, row("slope: yaw").met) == (pytest.approx(0.8), True)
    assert (row("eyes shut").value, row("eyes shut").met) == (0.5, False)
    assert (row("closed at f v").value, row("closed at f v").met) == (pytest.approx(0.85), True)
    assert not row("landmarks, mean").met and row("opening r, mean").met
    assert not row("median r of jawOpen").met and row("median r of yaw").met
    assert row("nothing moves: change").met
    assert np.isnan(row("r: smile").value) and row("r: smile").met is None


def test_a_portrait_is_measured(folder):
    subject = portraits.open_portrait(folder / "face.png")
    numbers = portraits.measure(subject, speech=False)
    assert numbers["still"] == numbers["background"] == numbers["flicker where nothing moves"] == 0
    assert min(numbers[f"r {name}"] for name in ("jawOpen", "yaw", "pitch", "roll", "gaze across")) > 0.9
    assert numbers["lids shut"] < 0.15 and numbers["field"] > 40
    assert 0.8 < numbers["sharpness, expression"] < 1.2
    assert 0.9 < numbers["flicker"] < 1.3
    assert len(portraits.sheet(subject)) == 20


def ablate(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "actalker", "ablate", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_wrong_words_are_one_line(folder, tmp_path):
    for words in (
        ("--preset", "heads", "--portraits", folder, "--audio", folder / "face.png"),
        ("--preset", "heads"),
        ("--drivers", folder / "face.png"),
    ):
        told = ablate(*words, "--out", tmp_path / "out")
        assert told.returncode == 2 and len(told.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_report_is_written_and_goes_on_where_it_was(folder, tmp_path):
    Image.fromarray(coffee()).save(folder / "nobody.png")
    words = ("--preset", "heads", "--portraits", folder, "--out", tmp_path / "out")
    assert ablate(*words).returncode == 0
    page = (tmp_path / "out" / "heads.html").read_text()
    assert "face.png" in page and "data:image/jpeg;base64," in page and "no face" in page
    kept = json.loads((tmp_path / "out" / "heads.json").read_text())["cells"]
    said = next(cell["numbers"] for cell in kept if cell["files"] == ["face.png"])
    assert said["speech: p b m"] >= 0.95
    cells = {path: path.stat().st_mtime_ns for path in Path(tmp_path, "out", "cells").iterdir()}
    assert ablate(*words).returncode == 0
    assert cells == {path: path.stat().st_mtime_ns for path in Path(tmp_path, "out", "cells").iterdir()}


def test_who_cannot_be_fitted_is_refused(tmp_path):
    Image.fromarray(coffee()).save(tmp_path / "nobody.png")
    with pytest.raises(InputError, match="no face"):
        portraits.open_portrait(tmp_path / "nobody.png")
