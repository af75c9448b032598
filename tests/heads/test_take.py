"""Takes of Live Link Face: the app's own form, both ways, and files that are none."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.heads.model import COEFFICIENTS, INDEX, head_model
from actalker.heads.motion import HeadMotion
from actalker.heads.take import EYES, HEAD, NUMBERS, SHAPES, read_take, write_take


def motion(f: int = 40, fps: float = 25.0) -> HeadMotion:
    random = np.random.default_rng(0)
    coefficients = random.random((f, 54))
    for name in ("browInnerUp", "cheekPuff"):  # one column each
        coefficients[:, INDEX[f"{name}_R"]] = coefficients[:, INDEX[f"{name}_L"]]
    coefficients[:, INDEX["mouthClose"]] -= 0.5
    pose = np.concatenate([random.uniform(-30, 30, (f, 3)), np.zeros((f, 3))], 1)
    return HeadMotion(
        np.arange(f) / fps, coefficients, pose, random.uniform(-20, 20, (f, 2)), np.ones(f), np.zeros(f, int)
    )


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


@pytest.mark.parametrize("fps", [23.976, 24, 25, 29.97, 30, 60, 2])
def test_a_take_that_is_read_again_is_the_motion(tmp_path, fps):
    asked = motion(fps=fps)
    write_take(tmp_path / "a.csv", asked)
    got = read_take(tmp_path / "a.csv")
    assert np.abs(got.times - asked.times).max() < 1e-4  # a timecode has parts of 1/60000 s
    assert np.abs(got.coefficients - asked.coefficients).max() < 1e-9
    assert np.abs(got.pose - asked.pose).max() < 1e-6 and np.abs(got.gaze - asked.gaze).max() < 1e-6
    assert (got.confidence == 1).all()


def test_the_columns_are_the_apps(tmp_path):
    write_take(tmp_path / "a.csv", motion(3))
    head, first, second, _ = rows(tmp_path / "a.csv")
    assert len(head) == 63 and head[:4] == ["Timecode", "BlendshapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert head[16:22] == ["JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel"]
    assert head[53:] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll", *EYES]
    assert first[:2] == ["00:00:00:00.000", "61"] and second[0] == "00:00:00:02.400"
    assert len(SHAPES) == 52 and len(NUMBERS) == 61


def test_signs_and_units_are_those_of_recordings(tmp_path):
    """A person who looks and turns to his left: in the app's recordings EyeLookOutLeft goes with a negative
    LeftEyeYaw, EyeLookDown with a positive pitch."""
    base = motion(1)
    pose = np.array([[30.0, 10.0, 20.0, 0, 0, 0]])  # nose to the image's right, down; clockwise as seen
    asked = replace(base, pose=pose, gaze=np.array([[18.0, 6.0]]))
    write_take(tmp_path / "a.csv", asked)
    head, row = rows(tmp_path / "a.csv")
    got = {name: float(cell) for name, cell in zip(head[1:], row[1:], strict=True)}
    assert [got[name] for name in HEAD] == pytest.approx(np.radians([-30, 10, 20]), abs=1e-9)
    assert got["LeftEyeYaw"] == got["RightEyeYaw"] == pytest.approx(-np.radians(18), abs=1e-9)
    assert got["LeftEyePitch"] == pytest.approx(np.radians(6), abs=1e-9)


def test_pairs_of_ours_that_are_one_column_there_are_averaged(tmp_path):
    asked = motion(2)
    asked.coefficients[:, INDEX["browInnerUp_L"]], asked.coefficients[:, INDEX["browInnerUp_R"]] = 0.2, 0.6
    write_take(tmp_path / "a.csv", asked)
    got = read_take(tmp_path / "a.csv").coefficients
    assert got[:, [INDEX["browInnerUp_L"], INDEX["browInnerUp_R"]]] == pytest.approx(0.4)


def test_mouth_close_takes_from_the_opening_there_as_here(tmp_path):
    asked = motion(1)
    asked.coefficients[:] = head_model().coefficients(jawOpen=0.3, mouthClose=0.25)
    write_take(tmp_path / "a.csv", asked)
    model = head_model()
    assert model.opening(read_take(tmp_path / "a.csv").coefficients) == pytest.approx(
        model.opening(model.coefficients(jawOpen=0.3)) - 0.25 * 3.3, abs=1e-6
    )


def test_frames_without_a_face_are_empty_rows_and_lie_on_a_line(tmp_path):
    asked = motion(10)
    asked.confidence[4:6] = 0
    write_take(tmp_path / "a.csv", asked)
    table = rows(tmp_path / "a.csv")
    assert table[5][1:] == ["0"] and len(table[6]) == 2 and len(table[7]) == 63
    got = read_take(tmp_path / "a.csv")
    assert got.confidence.tolist() == [1, 1, 1, 1, 0, 0, 1, 1, 1, 1]
    assert got.gaze[4] == pytest.approx((2 * got.gaze[3] + got.gaze[6]) / 3)


def recorded(path: Path, clock: int, codes: list[str], **cells: list[float]) -> Path:
    """A file as the app writes it, with `BlendShapeCount` and Windows' line ends."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["Timecode", "BlendShapeCount", *NUMBERS])
        for k, code in enumerate(codes):
            out.writerow([code, 61, *(f"{cells.get(name, [0.0] * len(codes))[k]:.10f}" for name in NUMBERS)])
    return path


@pytest.mark.parametrize("clock", [24, 25, 30, 60])
def test_a_timecodes_second_has_as_many_frames_as_its_numbers_say(tmp_path, clock):
    codes = [f"12:24:{24 + k // clock:02d}:{k % clock:02d}.960" for k in range(4 * clock)]
    got = read_take(recorded(tmp_path / "a.csv", clock, codes))
    assert got.times == pytest.approx(np.arange(4 * clock) / clock)


def test_a_take_of_30_frames_a_second_counts_60_as_the_phone_does(tmp_path):
    codes = [f"12:24:{24 + k // 30:02d}:{2 * (k % 30):02d}.959" for k in range(90)]
    assert read_take(recorded(tmp_path / "a.csv", 60, codes)).times == pytest.approx(np.arange(90) / 30)
    short = read_take(recorded(tmp_path / "b.csv", 60, codes[:9]))  # no whole second: as the phone counts
    assert short.times == pytest.approx(np.arange(9) / 30)


def test_a_take_over_midnight_goes_on(tmp_path):
    codes = [f"23:59:59:{k:02d}.000" for k in range(58, 60)] + [f"00:00:00:{k:02d}.000" for k in range(3)]
    assert read_take(recorded(tmp_path / "a.csv", 60, codes)).times == pytest.approx(np.arange(5) / 60)


CODES = ["00:00:00:00.000", "00:00:00:01.000"]
FAULTS = {
    "has no column MouthClose; give a take": lambda t: t.replace("MouthClose,", "MouthShut,"),
    "has no column Timecode and 61 others; give a take": lambda t: "frame,x,y\n1,2,3\n",
    "has no column EyeBlinkLeft and 60 others": lambda t: t.replace(",", ";").replace(";", ",", 1),
    "holds no frames": lambda t: t.splitlines()[0] + "\n",
    "shows a face in none of its 1 frames": lambda t: t.splitlines()[0] + "\n00:00:00:00.000,0\n",
    "the timecode of frame 2 is '1.5', not HH:MM:SS:FF": lambda t: t.replace(CODES[1], "1.5"),
    "time goes back at frame 2 ": lambda t: t.replace(CODES[0], "00:00:00:02.000"),
    "JawOpen is 'abc' in frame 1; a coefficient of 0 to 1": lambda t: t.replace("0.2500000000", "abc"),
    "JawOpen is '25' in frame 1; a coefficient of 0 to 1": lambda t: t.replace("0.2500000000", "25"),
    "JawOpen is 'nan' in frame 1": lambda t: t.replace("0.2500000000", "nan"),
    "JawOpen is '' in frame 1": lambda t: t.replace("0.2500000000", ""),
    "HeadYaw is '28.6' in frame 1; an angle in radians": lambda t: t.replace("0.5000000000", "28.6"),
}


@pytest.mark.parametrize("says", FAULTS)
def test_what_is_no_take_is_refused_in_one_line(tmp_path, says):
    path = recorded(tmp_path / "a.csv", 60, CODES, JawOpen=[0.25, 0.1], HeadYaw=[0.5, 0.1])
    path.write_text(FAULTS[says](path.read_text()))
    with pytest.raises(InputError) as error:
        read_take(path)
    assert (
        says in str(error.value) and "\n" not in str(error.value) and str(error.value).startswith(str(path))
    )


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(InputError, match="is no table of text"):
        read_take(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        read_take(tmp_path / "b.csv")
    with pytest.raises(InputError, match="no such file"):
        read_take(tmp_path / "c.csv")


def test_a_file_with_a_byte_order_mark_and_other_letters_cases_is_read(tmp_path):
    path = recorded(tmp_path / "a.csv", 60, CODES, JawOpen=[0.25, 0.1])
    head, _, body = path.read_text().partition("\n")
    path.write_text("\ufeff" + head.replace("JawOpen", "jawOpen") + "\n" + body + "\n\n", encoding="utf-8")
    assert read_take(path).coefficients[0, COEFFICIENTS.index("jawOpen")] == 0.25


def test_the_command_refuses_other_names_before_it_works(tmp_path, capsys):
    assert main(["track", "nothing.mp4", "--out", str(tmp_path / "take.txt")]) == 2
    assert "is written as CSV; give a name that ends in .csv" in capsys.readouterr().err
    assert main(["track", str(tmp_path / "nothing.mp4"), "--out", str(tmp_path / "take.csv")]) == 2
    assert "nothing.mp4: no such file" in capsys.readouterr().err and not list(tmp_path.iterdir())
