"""`actalker face`: one look, or a sheet of twenty; what cannot be asked is told in one line."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from actalker.cli.main import main
from actalker.faces.find import find_faces

pytest.importorskip("mediapipe")


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    path = tmp_path_factory.mktemp("face") / "face.png"
    Image.fromarray(astronaut()[:301, 80:381]).save(path)
    return path


def opening(picture):
    """Of the inner lips, over the eyes' distance."""
    marks = find_faces(picture, "landmarker").landmarks
    return np.linalg.norm(marks[13] - marks[14]) / np.linalg.norm(marks[33] - marks[263])


def test_what_is_asked_is_drawn_into_the_photograph(face, tmp_path, capsys):
    out = tmp_path / "look.png"
    words = ["face", str(face), "--set", "jawOpen=0.5,mouthSmileLeft=0.3", "--gaze", "right=5"]
    assert main([*words, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "the whole photograph is shown, 300 x 300 pixels; the photograph has 301 x 301" in said
    assert "head: fitted within" in said and said.endswith(f"{out}\n")
    before, after = np.asarray(Image.open(face))[:300, :300], np.asarray(Image.open(out))
    assert opening(after) > opening(before) + 0.1
    changed = (after != before).any(-1)
    assert not changed[:40].any() and not changed[:, :20].any() and not changed[:, -20:].any()


def test_nothing_asked_and_nothing_moved_is_the_photograph(face, tmp_path):
    out = tmp_path / "look.png"
    assert main(["face", str(face), "--set", "jawOpen=0", "--out", str(out)]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(face))[:300, :300])
    assert main(["face", str(face), "--set", "jawOpen=0", "--mark", "--out", str(out), "--overwrite"]) == 0
    apart = np.asarray(Image.open(out)) != np.asarray(Image.open(face))[:300, :300]
    assert apart[270:].any() and not apart[:260].any()


def test_a_turn_that_falls_short_is_told(face, tmp_path, capsys, caplog):
    assert (
        main(["face", str(face), "--pose", "yaw=60", "--size", "128", "--out", str(tmp_path / "a.png")]) == 0
    )
    assert "asked to turn further than this photograph shows" in caplog.text
    turned = find_faces(np.asarray(Image.open(tmp_path / "a.png").resize((300, 300))), "landmarker")
    own = find_faces(np.asarray(Image.open(face)), "landmarker")
    assert turned.pose[0] > own.pose[0] + 8


def test_a_sheet_of_twenty(face, tmp_path):
    out = tmp_path / "sheet.png"
    assert main(["face", str(face), "--out", str(out)]) == 0
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[0] > 4 * 256 and sheet.shape[1] > 5 * 256
    cells = [
        sheet[26 + 282 * i : 278 + 282 * i, 6 + 262 * j : 258 + 262 * j] for i in range(4) for j in range(5)
    ]
    apart = [np.abs(cell.astype(int) - cells[0]).mean() for cell in cells]
    assert apart[0] == 0 and min(apart[1:]) > 0.05


@pytest.mark.parametrize(
    "words, said",
    [
        (["--set", "jawopen=1"], "expression 'jawopen' is unknown; did you mean 'jawOpen'?"),
        (["--set", "jawOpen"], "--set jawOpen: write NAME=NUMBER, for example --set jawOpen=0.5"),
        (["--set", "jawOpen=much"], "--set jawOpen=much: write NAME=NUMBER"),
        (["--set", "jawOpen=0.1,jawOpen=0.2"], "jawOpen is given twice; give it once"),
        (["--set", "jawOpen=7"], "jawOpen=7: give a number from -1 to 1.5; 0 changes nothing"),
        (["--set", "eyeLookUpLeft=1"], "lids follow the eyes; turn those: --gaze"),
        (["--pose", "yawn=3"], "pose 'yawn' is unknown; did you mean 'yaw'?"),
        (["--pose", "yaw=120"], "yaw=120: give a number from -90 to 90"),
        (["--gaze", "left=3"], "gaze 'left' is unknown"),
        (["--view", "phot"], "view 'phot' is unknown; did you mean 'photo'?"),
        (["--face-index", "3"], "--face-index 3, but 1 faces were found"),
        (["--out", "look.jpg"], "is written as PNG; give a name that ends in .png"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(face, tmp_path, capsys, words, said):
    out = [] if "--out" in words else ["--out", str(tmp_path / "a.png")]
    assert main(["face", str(face), *words, *out]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not list(tmp_path.iterdir())


def test_pictures_without_a_human_face_are_refused(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    assert main(["face", str(tmp_path / "noise.png"), "--out", str(tmp_path / "a.png")]) == 2
    told = capsys.readouterr().err
    assert "no face found" in told and told.count("\n") == 1 and not (tmp_path / "a.png").exists()
