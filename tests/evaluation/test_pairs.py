"""Folders as users have them, and pairs of other sizes, aspects and rates."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import text_as, tone, video_file, zero_byte
from PIL import Image

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.evaluation.clip import Clip, paired
from actalker.evaluation.form import described, fit, same_form
from actalker.evaluation.metric import Weights
from actalker.evaluation.metrics import METRICS
from actalker.media.files import VIDEO_ENDINGS


def smooth(count: int, h: int, w: int, seed: int = 0) -> list[np.ndarray]:
    """Frames that drift and have little detail, so that codecs and resizing keep them."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (6, 8, 3), dtype=np.uint8))
    whole = np.asarray(coarse.resize((w + count, h), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(whole[:, k : k + w]) for k in range(count)]


def evaluated(generated: Path, reference: Path, out: Path, metrics: str = "psnr") -> dict:
    words = ["evaluate", generated, "--reference", reference, "--metrics", metrics, "--out", out]
    assert main([str(word) for word in words]) == 0
    return json.loads((out / "metrics.json").read_text())


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return video_file(tmp_path_factory.mktemp("clip") / "a.mp4", smooth(4, 48, 64), 25)


def folders(root: Path, clip: Path, generated: list[str], reference: list[str]) -> tuple[Path, Path]:
    for name in [f"gen/{name}" for name in generated] + [f"ref/{name}" for name in reference]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, root / name)
    return root / "gen", root / "ref"


@pytest.mark.parametrize("folder", ["gen", "ref"])
def test_two_files_of_one_name_are_refused_by_both_names(tmp_path, clip, capsys, folder):
    names = {"gen": ["sub/a.mp4"], "ref": ["sub/a.mp4"]}
    names[folder].append("sub/a.mkv")
    made, real = folders(tmp_path, clip, names["gen"], names["ref"])
    words = ["evaluate", made, "--reference", real, "--metrics", "psnr", "--out", tmp_path / "out"]
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr().err
    assert "sub/a.mkv and sub/a.mp4 have one name" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_systems_leave_behind_is_no_clip(tmp_path, clip):
    made, real = folders(tmp_path, clip, ["a.mp4", ".trash/b.mp4", "__MACOSX/a.mp4"], ["a.mp4"])
    for name in ("._a.mp4", ".hidden.mp4", "._shard-000000.tar", "a.json", "notes.txt"):
        (made / name).write_bytes(b"\0\5\x16\7" + bytes(4000))
    held = evaluated(made, real, tmp_path / "out")
    assert list(held["rows"][0]["clips"]) == ["a"] and held["rows"][0]["count"] == 1


def test_every_ending_that_prepare_takes_is_measured(tmp_path, clip):
    names = [f"clip{k}{ending}" for k, ending in enumerate(VIDEO_ENDINGS)] + ["upper.MP4", "Mixed.WebM"]
    assert {".gif", ".m4v", ".ogv", ".ts"} <= set(VIDEO_ENDINGS)
    made, real = folders(tmp_path, clip, names, [f"{Path(name).stem}.mp4" for name in names])
    row = evaluated(made, real, tmp_path / "out")["rows"][0]
    assert row["count"] == len(names) == len(row["clips"]) and row["value"] > 140


def test_linked_folders_are_walked_and_loops_end(tmp_path, clip):
    made, real = folders(tmp_path, clip, ["one/a.mp4"], ["one/a.mp4", "two/a.mp4"])
    (made / "two").symlink_to(made / "one", target_is_directory=True)
    (made / "one" / "loop").symlink_to(made, target_is_directory=True)
    assert [name for name, _, _ in paired(made, real)] == ["one/a", "two/a"]


def test_the_other_folder_may_lie_inside(tmp_path, clip):
    made, _ = folders(tmp_path, clip, ["a.mp4", "real/a.mp4"], [])
    assert [(name, path.parent, other.parent) for name, path, other in paired(made, made / "real")] == [
        ("a", made, made / "real")
    ]
    held = evaluated(made, made / "real", made / "report")
    assert held["rows"][0]["count"] == 1
    assert [name for name, _, _ in paired(made / "real", made)] == ["a"]


def test_accents_are_one_name_however_they_are_written(tmp_path, clip):
    names = [unicodedata.normalize(form, "Zoë 人.mp4") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    made, real = folders(tmp_path, clip, [names[0]], [names[1]])
    assert [name for name, _, _ in paired(made, real)] == [unicodedata.normalize("NFC", "Zoë 人")]


def test_names_that_are_no_text_are_written(tmp_path, clip):
    folder = tmp_path / "gen"
    folder.mkdir()
    try:
        shutil.copy(clip, os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4"))
    except OSError:
        pytest.skip("this file system takes text only")
    row = evaluated(folder, folder, tmp_path / "out")["rows"][0]
    assert row["count"] == 1 and "\\udce9" in (tmp_path / "out" / "metrics.csv").read_text()


@pytest.mark.parametrize("write", [text_as, zero_byte])
def test_a_single_file_that_is_no_video_is_refused(tmp_path, clip, capsys, write):
    write(tmp_path / "bad.mp4")
    for made, real in ((tmp_path / "bad.mp4", clip), (clip, tmp_path / "bad.mp4")):
        words = ["evaluate", made, "--reference", real, "--metrics", "psnr", "--out", tmp_path / "out"]
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr().err
        assert f"error: {tmp_path / 'bad.mp4'}: " in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path, clip, capsys):
    (tmp_path / "file").write_text("x")
    for out in (
        tmp_path / "file",
        tmp_path / "file" / "report",
        Path("/proc/report"),
        tmp_path / ("x" * 300),
    ):
        assert main(["evaluate", str(clip), "--metrics", "lpips", "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert "--out" in said and said.count("\n") == 1


def test_metrics_may_be_named_in_any_case_and_with_spaces(tmp_path, clip):
    held = evaluated(clip, clip, tmp_path / "out", "PSNR, ssim psnr")
    assert [row["metric"] for row in held["rows"]] == ["psnr", "ssim"]
    (tmp_path / "run.yaml").write_text(f"metrics: [flicker, PSNR]\nout: {tmp_path / 'listed'}\n")
    assert (
        main(["evaluate", str(clip), "--reference", str(clip), "--config", str(tmp_path / "run.yaml")]) == 0
    )
    held = json.loads((tmp_path / "listed" / "metrics.json").read_text())
    assert [row["metric"] for row in held["rows"]] == ["flicker", "psnr"]


def test_another_size_is_measured_at_the_references(tmp_path):
    """PSNR is that of the generated frames, resized as the protocol says, against the reference's."""
    real = smooth(4, 96, 128)
    made = [np.asarray(Image.fromarray(f).resize((48, 36), Image.Resampling.BICUBIC)) for f in real]
    video_file(tmp_path / "made.mp4", made, 25)
    video_file(tmp_path / "real.mp4", real, 25)
    one, other = Clip(tmp_path / "made.mp4"), Clip(tmp_path / "real.mp4")
    sized = [np.asarray(Image.fromarray(f).resize((128, 96), Image.Resampling.BICUBIC)) for f in one.frames]
    errors = [((a - b.astype(float)) ** 2).mean() for a, b in zip(sized, other.frames, strict=True)]
    wanted = np.mean(10 * np.log10(255**2 / np.array(errors)))
    held = evaluated(one.path, other.path, tmp_path / "out", "psnr,ssim")
    row = held["rows"][0]
    assert row["value"] == pytest.approx(wanted) and row["value"] > 30
    assert "resized to the reference's (Pillow's bicubic" in row["protocol"]["pairs"]
    assert held["notes"] == {"generated 48 x 36, compared at 128 x 96": 1}
    assert "- 1 pair: generated 48 x 36, compared at 128 x 96" in (tmp_path / "out/metrics.md").read_text()


@pytest.mark.parametrize("wide", ["made", "real"])
def test_of_two_aspects_the_wider_picture_loses_its_sides(wide):
    frames = np.stack(smooth(3, 60, 100))
    middle = frames[:, :, 20:80]
    half = np.stack([np.asarray(Image.fromarray(f).reduce(2)) for f in frames])
    pairs = {"made": (half, middle), "real": (half[:, :, 10:40], frames)}
    made, real = Clip(Path("made.mp4")), Clip(Path("real.mp4"))
    for clip_, pictures in zip((made, real), pairs[wide], strict=True):
        vars(clip_).update(frames=pictures, fps=25)
    one, other = same_form(made, real)
    assert one.shape == other.shape == (3, 60, 60, 3) and np.array_equal(other, middle)
    assert np.abs(one.astype(int) - other).mean() < 1.5
    assert np.abs(np.roll(one, 2, 2).astype(int) - other).mean() > 3


def test_what_is_done_to_a_pair_is_said():
    assert described((128, 128), (128, 128)) is None
    assert described((128, 128), (480, 640)) == (
        "generated 128 x 128, of the reference's 640 x 480 the middle 480 columns, compared at 480 x 480"
    )
    assert described((720, 1280), (512, 512)) == (
        "generated 1280 x 720, its middle 720 columns, compared at 512 x 512"
    )
    one = fit((480, 854), (1080, 1920))  # nearly one aspect: less than a column is left out
    assert one.reference == (0, 0, 1920, 1080) and one.generated == pytest.approx(
        (0.333, 0, 853.667, 480), abs=1e-3
    )
    assert fit((2, 900), (900, 2)).size == (2, 900) and fit((900, 2), (2, 900)).size == (1, 2)


def test_landmarks_are_compared_where_the_pictures_are():
    """A face of half the size, in a picture that lacks the reference's sides, is at no distance."""
    rng = np.random.default_rng(0)
    marks = np.repeat(rng.uniform(40, 90, (1, 478, 2)), 4, 0)
    made, real = Clip(Path("made.mp4")), Clip(Path("real.mp4"))
    vars(real).update(frames=np.zeros((4, 100, 200, 3), np.uint8), fps=25, landmarks=marks + (40, 0))
    vars(made).update(frames=np.zeros((4, 50, 50, 3), np.uint8), fps=25, landmarks=(marks - (10, 0)) / 2)
    for clip_ in (made, real):
        vars(clip_).update(scheme="mediapipe478")
    assert METRICS["lmd"].measure(made, real, Weights()) == pytest.approx(0, abs=1e-9)
    vars(made)["landmarks"] = vars(made)["landmarks"] + (1.5, 2)
    eyes = [marks[0, list(rows)].mean(0) for rows in ((33, 133), (362, 263))]
    wanted = 5 / np.linalg.norm(eyes[0] - eyes[1])
    assert METRICS["lmd"].measure(made, real, Weights()) == pytest.approx(wanted)


def test_a_reference_of_another_rate_is_read_at_the_generated_clips(tmp_path):
    frames = smooth(8, 48, 64)
    video_file(tmp_path / "made.mp4", frames[::2], 25, sound=tone(0.16))
    video_file(tmp_path / "real.mp4", frames, 50)
    held = evaluated(tmp_path / "made.mp4", tmp_path / "real.mp4", tmp_path / "out")
    assert held["rows"][0]["count"] == 1 and held["rows"][0]["value"] > 35
    assert held["notes"] == {"reference of 50 frames a second, read at 25": 1}


def test_a_missing_pair_is_named(tmp_path, clip):
    made, real = folders(tmp_path, clip, ["a.mp4", "b.mp4", "c.mp4"], ["a.mp4"])
    with pytest.raises(InputError, match=r"has no video for b and 1 more; files are paired"):
        paired(made, real)


def test_a_generated_clip_of_variable_rate_is_compared_at_the_same_times(tmp_path):
    """Frames that stand for 1 to 3 twenty-fifths of a second, beside what is shown at each of these times."""
    frames, shown = smooth(6, 48, 64), [0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 5]
    times = [Fraction(shown.index(k), 25) for k in range(6)]
    video_file(tmp_path / "made.mp4", frames, 25, times=times)
    video_file(tmp_path / "real.mp4", [frames[k] for k in shown], 25)
    held = evaluated(tmp_path / "made.mp4", tmp_path / "real.mp4", tmp_path / "out")
    assert held["rows"][0]["count"] == 1 and held["rows"][0]["value"] > 33


@pytest.mark.parametrize("kind", ["--face-model", "--inception", "--i3d"])
def test_what_is_no_model_is_told_before_the_work(tmp_path, clip, capsys, kind):
    script = tmp_path / "model.pt"
    torch.jit.script(torch.nn.ReLU()).save(str(script))
    words = [
        "evaluate",
        clip,
        "--reference",
        clip,
        "--metrics",
        "psnr,lmd,fid,fvd",
        "--out",
        tmp_path / "out",
    ]
    assert main([str(word) for word in [*words, kind, script]]) == 2
    said = capsys.readouterr().err
    assert "model.pt: " in said and said.count("error: ") == 1 and said.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_the_report_of_a_run_before_holds_no_portraits(tmp_path, capsys):
    """A report inside the folder of portraits: its pictures are not animated the next time."""
    report = tmp_path / "report"
    report.mkdir()
    (report / "old.png").write_bytes(b"x")
    words = ["ablate", "--portraits", str(tmp_path), "--text", "smiles", "--preset", "gates"]
    assert main([*words, "--out", str(report)]) == 2
    assert f"{tmp_path}: no pictures in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, says",
    [
        (["--vary", "gate.audio=0|1|0"], "0 is given twice"),
        (
            ["--vary", "gate.audio=0", "gate.audio=1"],
            "gate.audio is given twice; write all of its values in one",
        ),
        (["--vary", "region.audio=none.png"], "none.png: no such file"),
        (["--vary", "region.audio=moth"], "region for audio 'moth' is unknown; did you mean 'mouth'"),
        (["--preset", "gates", "--steps", "0"], "--steps 0: give a number from 1 to 1000"),
        (["--preset", "gates", "--steps", "1001"], "--steps 1001: give a number from 1 to 1000"),
    ],
)
def test_settings_that_would_not_be_made_are_refused(tmp_path, capsys, words, says):
    assert main(["ablate", *words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "out").exists()
