"""A study of settings: axes and presets, the same cells again, true effects, a page that opens offline."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from models import small_model
from motion_models import motion_model

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.evaluation.cases import Case, applicable, file_cases
from actalker.evaluation.cells import Measured, write_cell
from actalker.evaluation.effects import Context, apart, context_of, control, effects, mean_in, summary
from actalker.evaluation.jobs import HERE
from actalker.evaluation.page import latex, tabulate
from actalker.evaluation.settings import BASE, PRESETS, Setting, axes, preset, varied
from actalker.evaluation.study import Cell, Study, cell_count, planned, run_study
from actalker.pipeline.model.folder import save_model

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

WHOLE = Case("face", "p.png", (("audio", "a.wav"), ("expression", "d.mp4"), ("text", "smiles")))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "small"
    save_model(small_model(), folder)
    return folder


def test_axes_make_every_combination_after_the_base():
    made = varied(["gate.audio=0 | 0.5@0-0.4", "seed=1|2|3"])
    assert made[0] == Setting(BASE) and len(made) == 7
    assert {(s.changes["gate.audio"], s.changes["seed"]) for s in made[1:]} == {
        (gate, seed) for gate in ("0", "0.5@0-0.4") for seed in "123"
    }
    assert len({s.name for s in made}) == 7


@pytest.mark.parametrize(
    "text, said",
    [
        ("gate.audio", "AXIS=VALUE"),
        ("gate.audio=0||1", "AXIS=VALUE"),
        ("gate.audoi=0", "gate.audio"),
        ("gate.audio=2", "audio"),
        ("seed=1.5", "whole number"),
        ("steps=0", "denoiser calls"),
        ("mask_drop=nan", "chance"),
        ("scan_scope=clips", "clip"),
        ("guidance.text=-1", "scale"),
    ],
)
def test_axes_that_there_are_not_are_refused(text, said):
    with pytest.raises(InputError, match=said):
        varied([text])


def test_presets_name_axes_and_leave_out_signals_that_nobody_has():
    for name in PRESETS:
        settings = preset(name)
        assert len({s.name for s in settings}) == len(settings) > 2, name
        assert all(set(s.changes) <= set(axes()) for s in settings)
    speech = [Case("a", "p.png", (("audio", "a.wav"),))]
    assert [s.name for s in applicable(preset("gates"), speech)] == [
        BASE,
        "audio closed",
        "audio half open",
    ]
    assert applicable(preset("gates"), [WHOLE]) == preset("gates")


def test_cases_are_every_combination_of_files():
    made = file_cases(
        [Path("a.png"), Path("b.png")], {"audio": ["x.wav", "y.wav"], "text": ["smiles"]}, "1", None
    )
    assert [case.name for case in made] == ["a, x", "a, y", "b, x", "b, y"]
    assert all(case.signals() == ["audio", "text"] for case in made)
    with pytest.raises(InputError, match="nothing drives"):
        file_cases([Path("a.png")], {}, "1", None)
    with pytest.raises(InputError, match="a.png and b.a.png have one name, 'a'"):
        file_cases([Path("a.png"), Path("b/a.png")], {"audio": ["x.wav"]}, "1", None)


def cells_of(tmp_path: Path, videos: dict[str, np.ndarray], changes: dict[str, dict[str, str]]) -> list[Cell]:
    """Cells whose frames are known."""
    out = []
    for key, frames in videos.items():
        write_cell(tmp_path, key, Measured({}, {"frames": frames}))
        out.append(Cell(WHOLE, Setting(key, changes[key]), tmp_path, key, {}, None))
    return out


def test_effects_are_those_that_were_made(tmp_path):
    """A gate that moves the mouth by g·20 and the rest by g·2."""
    mouth = np.zeros((8, 8))
    mouth[4:, 2:6] = 1
    upper = np.zeros((8, 8))
    upper[:3] = 1
    face = np.maximum(mouth, upper)
    masks = {"mouth": mouth, "upper": upper, "face": face, "outside": 1 - face}
    moved = {"open": 1.0, "half": 0.5, "closed": 0.0}
    videos = {
        key: np.broadcast_to((100 + g * np.where(mouth > 0, 20, 2))[..., None], (3, 8, 8, 3)).astype(np.uint8)
        for key, g in moved.items()
    }
    changes = {"open": {}, "half": {"gate.audio": "0.5"}, "closed": {"gate.audio": "0"}}
    cells = cells_of(tmp_path, videos, changes)
    context = Context(masks, Fraction(25), None)
    (found,) = control([cells], [context])
    assert found.signal == "audio" and found.monotone == 1
    assert found.responsiveness.mean == pytest.approx(20) and found.leakage.mean == pytest.approx(0.1)
    assert found.regions["upper"].mean == pytest.approx(2)
    assert found.regions["outside"].mean == pytest.approx(2)
    rows = effects(cells, context)
    assert rows[0]["change_mouth"] == 0 and rows[2]["change_mouth"] == pytest.approx(20)
    assert rows[1]["change_mouth"] == pytest.approx(10) and rows[1]["change_upper"] == pytest.approx(1)
    back = [cells[0], replace(cells[1], key="closed"), replace(cells[2], key="half")]
    (other,) = control([back], [context])
    assert other.monotone == 0


def test_what_is_not_known_is_left_out():
    assert summary([float("nan")]) is None and summary([]) is None
    one = summary([2.0, float("nan")])
    assert one is not None and (one.mean, one.low, one.count) == (2.0, None, 1)
    assert np.isnan(mean_in(np.ones((2, 2)), np.zeros((2, 2))))
    assert apart(np.zeros((3, 2, 2, 3), np.uint8), np.full((2, 2, 2, 3), 255, np.uint8)).max() == 255
    study = Study((WHOLE,), (Setting("a_b & c"), Setting("d")))
    table = tabulate(study, [[{"lips": 0.3, "flicker": 1.0}, {"flicker": 2.0}]])
    text = latex(table)
    assert r"a\_b \& c & 0.3 & 1 \\" in text and r"d & -- & 2 \\" in text


def cut(path: Path) -> None:
    """Damage a file as a full disk does."""
    path.write_bytes(path.read_bytes()[:300])


def test_cells_are_kept_and_a_closed_gate_is_a_model_without_the_signal(model, made, tmp_path):
    settings = [Setting(BASE), *(Setting(f"{g} open", {"gate.audio": g}) for g in ("0", "1"))]
    settings += [Setting("other noise", {"seed": "1"}), Setting("all scanned", {"mask_drop": "0"})]
    settings += [Setting("by frames", {"scan_scope": "frame"}), Setting("loud", {"guidance.audio": "3"})]
    settings += [Setting("wide", {"region.audio": "frame"}), Setting("more steps", {"steps": "3"})]
    case = Case(
        "face", str(made / "face.png"), (("audio", str(made / "speech.wav")), ("text", "smiles")), "0.4"
    )
    study = Study((case,), tuple(settings), str(model), 1)
    told: list[str] = []
    ticks: list[None] = []
    (cells,) = run_study(study, tmp_path, HERE, lambda: ticks.append(None), told.append)
    assert len(ticks) == cell_count(study) == 10
    assert re.fullmatch(
        r"plan: 9 cells \(cases x settings: 1 x 9\); 90 frames, 22 denoiser calls, about \d+ (s|minutes)",
        told[0],
    ), told  # 10 frames: 2 windows, of a step each but for one setting of three
    videos = {cell.setting.name: np.array(cell.frames) for cell in cells}
    assert (videos["1 open"] == videos[BASE]).all()
    for name in set(videos) - {BASE, "1 open"}:
        assert (videos[name] != videos[BASE]).any(), name
    stamps = {path: path.stat().st_mtime_ns for path in cells[0].folder.iterdir()}
    (cells[3].folder / f"{cells[3].key}.json").write_text('{"numb')
    (again,) = run_study(study, tmp_path, HERE, lambda: ticks.append(None), told.append)
    assert len(ticks) == 20
    assert "1 x 9), 8 kept from before; 10 frames, 2 denoiser calls, about" in told[1]
    assert (np.array(again[3].frames) == videos["other noise"]).all()
    for path, stamp in stamps.items():
        fresh = path.name in (f"{cells[3].key}.frames.npy", f"{cells[3].key}.json")
        assert (path.stat().st_mtime_ns != stamp) is fresh, path.name
    cut(cells[0].folder / f"{again[2].key}.frames.npy")
    (plan,) = planned(study, tmp_path)
    assert plan.missing == (study.settings[2],)
    context, expected = cells[0].context, context_of(cells[0])
    cut(cells[0].folder / f"{context}.mouth.npy")
    with pytest.raises(InputError, match="missing or damaged"):
        context_of(cells[0])
    (last,) = run_study(study, tmp_path, HERE)
    restored = context_of(last[0])
    assert (restored.masks["mouth"] == expected.masks["mouth"]).all() and restored.fps == expected.fps
    assert restored.sound is not None and expected.sound is not None
    assert (restored.sound.samples == expected.sound.samples).all()


BAD = {  # option -> what it says of a file that is bad; portraits and drivers of the others are good
    "portraits": "bad: is not a picture",
    "audio": "bad: ",
    "expression": "bad: ",
    "text": "column 5: '0-9: smiles' ends after the clip",
    "duration": "--duration 0.01: is less than a frame",
}


@pytest.mark.parametrize("option", BAD)
def test_a_file_that_cannot_be_used_is_told_before_any_work(made, tmp_path, capsys, option):
    (tmp_path / "bad").write_text("neither picture nor sound")
    bad = {"text": "a | 0-9: smiles", "duration": "0.01"}.get(option, str(tmp_path / "bad"))
    given = {"portraits": [str(made / "face.png")], "audio": [str(made / "speech.wav")], "duration": ["0.4"]}
    given[option] = [*given.get(option, []), bad] if option == "portraits" else [bad]
    options = [word for name, values in given.items() for word in (f"--{name}", *values)]
    assert main(["ablate", "--preset", "gates", *options, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert BAD[option] in said.err and said.err.count("\n") == 1
    assert not said.out and not (tmp_path / "out").exists()


def words(model: Path, out: Path, *more: object) -> list[str]:
    return ["ablate", "--model", str(model), "--steps", "1", "--out", str(out), *map(str, more)]


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    """A page of a model of heads: a portrait that speaks, is driven and acts, by two scripts."""
    out = tmp_path_factory.mktemp("study")
    model = tmp_path_factory.mktemp("model") / "heads"
    save_model(motion_model(), model)
    given = ["--preset", "gates", "--portraits", made / "face.png", "--duration", "0.4", "--text", "smiles"]
    drivers = ["nods", "--audio", made / "speech.wav", "--expression", made / "driver.mp4"]
    assert main(words(model, out, *given, *drivers, "--paper")) == 0
    return out / "ablation.html"


def test_a_page_has_everything_beside_it(page):
    folder = page.parent
    told = json.loads((folder / "ablation.json").read_text())
    assert list(told["cells"]) == ["face, script 1", "face, script 2"] and len(told["settings"]) == 8
    assert told["table"]["all closed"]["change_mouth"]["mean"] > 0
    rows = list(csv.DictReader((folder / "ablation.csv").read_text().splitlines()))
    assert len(rows) == 16 and {row["case"] for row in rows} == {"face, script 1", "face, script 2"}
    for setting, means in told["table"].items():
        own = [float(row["flicker"]) for row in rows if row["setting"] == setting]
        assert means["flicker"]["mean"] == pytest.approx(np.mean(own))
    assert (folder / "ablation.md").read_text().count("| all closed |") == 1
    assert (folder / "ablation.tex").read_text().startswith(r"\begin{tabular}")
    assert len(list((folder / "videos").glob("*.mp4"))) == 16
    assert len(list((folder / "grids").glob("*.mp4"))) == 2
    assert {"independence.png", "independence.pdf", "case00-lips.pdf", "case01-03-change.png"} <= {
        path.name for path in (folder / "figures").iterdir()
    }


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_the_page_plays_and_asks_for_nothing(page):
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState >= 3)")
        for k in range(2):
            case = tab.locator(".case").nth(k)
            case.locator(".play").click()
            tab.wait_for_function(
                "k => [...document.querySelectorAll('.case')[k].querySelectorAll('video')]"
                ".every(v => !v.paused && v.currentTime > 0)",
                arg=k,
            )
            case.locator(".play").click()
            case.locator(".seek").fill("0.5")
            times = case.locator("video").evaluate_all("all => all.map(v => [v.currentTime, v.duration])")
            assert all(now == pytest.approx(0.5 * length, abs=0.05) for now, length in times)
        browser.close()
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]


@pytest.mark.slow
def test_a_cluster_makes_the_same_cells(model, made, tmp_path):
    given = ["--vary", "gate.audio=0", "--portraits", made / "face.png", "--audio", made / "speech.wav"]
    given += ["--text", "smiles", "nods", "--duration", "0.4"]
    assert main(words(model, tmp_path / "a", *given, "--engine", "serial")) == 0
    assert main(words(model, tmp_path / "b", *given, "--engine", "ray", "--workers", "2")) == 0
    assert main(words(model, tmp_path / "c", *given, "--workers", "2")) == 0
    one = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*.frames.npy")}
    assert len(one) == 4
    for other in "bc":
        for path, held in one.items():
            assert (tmp_path / other / path).read_bytes() == held


def test_wrong_options_of_a_page_are_one_line(model, tmp_path, capsys):
    for given, said in (
        (["--preset", "gate"], "gates"),
        (["--preset", "gates", "--vary", "seed=1"], "one of them"),
        (["--vary", "sed=1"], "seed"),
        ([], "--preset and --vary: give one of them"),
        (["--preset", "gates"], "nothing to animate"),
        (["--preset", "gates", "--workers", "0"], "workers"),
        (["--preset", "gates", "--portraits", tmp_path], "no pictures"),
        (["--preset", "gates", "--portraits", tmp_path / "no.png"], "no.png"),
        (["--preset", "gates", "--engine", "many"], "serial"),
    ):
        assert main(words(model, tmp_path / "o", *given)) == 2, given
        captured = capsys.readouterr().err
        assert said in captured and captured.count("\n") == 1, captured
        assert not (tmp_path / "o" / "ablation.html").exists()
