"""`infer --model direct` as a user runs it: a driving video that our own head has drawn moves a
photograph.
"""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from actalker.cli.main import main
from actalker.codecs import FaceMotion
from actalker.heads.face_map import NUMBERS
from actalker.heads.model import head_model
from actalker.heads.take import read_take
from actalker.media.sound import Sound
from actalker.media.video import read_frames
from actalker.media.writer import VideoWriter
from actalker.pipeline.portrait import read_portrait

pytest.importorskip("mediapipe")
F = 16
ASKED = {  # what the driver does, over its frames
    "jawOpen": 0.5 * np.sin(np.linspace(0, np.pi, F)) ** 2,
    "browInnerUp": 0.8 * np.linspace(0, 1, F) ** 2,
    "yaw": 9 * np.sin(np.linspace(0, 2 * np.pi, F)),
    "roll": 6 * np.linspace(0, 1, F),
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """face.png, odd sides; driver.mp4, the same face, moved as `ASKED`; dark.mp4, without a face in its
    middle.
    """
    folder = tmp_path_factory.mktemp("direct")
    Image.fromarray(astronaut()[:321, 70:391]).save(folder / "face.png")
    Image.fromarray(astronaut()[:280, 90:370]).save(folder / "other.png")
    drawn = read_portrait(folder / "other.png", 256, codec=FaceMotion()).bound
    frames = []
    for k in range(F):
        names = {name: ASKED[name][k] for name in ("jawOpen", "browInnerUp")}
        names = head_model().coefficients(**names)
        pose = np.array([ASKED["yaw"][k], 0, ASKED["roll"][k], 0, 0, 0])
        frames.append(drawn.draw(names, pose, np.zeros(2)))
    hum = Sound(0.1 * np.sin(np.arange(16000 * F // 25) / 20, dtype=np.float32)[None], 16000)
    for path, sound, seen in (("driver.mp4", hum, range(F)), ("dark.mp4", None, {*range(6), *range(11, F)})):
        with VideoWriter(folder / path, Fraction(25), drawn.size, sound, crf=6, preset="ultrafast") as video:
            for k, frame in enumerate(frames):
                video.write(frame if k in seen else np.zeros_like(frame))
    return folder


@pytest.fixture
def infer(given, tmp_path):
    def run(*options, driver="driver.mp4", out="clip.mp4", code=0):
        words = ["infer", "--model", "direct", "--portrait", given / "face.png", "--quiet"]
        words += ["--expression", given / driver] if driver else []
        assert main([*map(str, words), *map(str, options), "--out", str(tmp_path / out)]) == code
        return tmp_path / out

    return run


def frames(path):
    return np.stack(list(read_frames(path)))


def test_the_drivers_motion_moves_the_whole_photograph(infer, given, tmp_path):
    path = infer("--preview", tmp_path / "look.png")
    made, photograph = (
        frames(path).astype(int),
        np.asarray(Image.open(given / "face.png"))[:320, :320].astype(int),
    )
    assert made.shape == (F, 320, 320, 3)
    assert np.abs(made[0] - photograph).mean() < 3  # at rest, but for the encoder
    apart = np.abs(made - photograph).mean((0, 3))
    assert apart[:, :20].mean() < 3 < 2 * apart[60:220, 110:210].mean()
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["size"] == [320, 320] and told["head"]["error"] < 0.02 and told["frames"] == F
    assert told["shown"] == [0, 0, 320, 320] and told["scores"]["identity_drift"] is None
    with av.open(str(path)) as container:
        assert (
            "(model direct); not a recording" in container.metadata["comment"] and not container.streams.audio
        )
    assert np.asarray(Image.open(tmp_path / "look.png")).std() > 20


def test_what_was_made_is_read_back_from_its_frames_and_from_its_take(infer, given, tmp_path):
    infer("--motion-out", tmp_path / "clip.csv")
    made = read_take(tmp_path / "clip.csv")
    assert len(made) == F and np.allclose(np.diff(made.times), 0.04, atol=1e-3)
    got = np.concatenate([made.coefficients, made.pose, made.gaze], 1)
    for name, wanted in ASKED.items():
        read = got[:, NUMBERS.index(name if name in NUMBERS else f"{name}_L")]
        assert np.corrcoef(read, wanted)[0, 1] > 0.9, (name, read, wanted)
    again = infer("--motion-out", tmp_path / "again.csv", driver=None, out="again.mp4", code=2)
    assert not again.exists()
    infer(
        "--expression",
        tmp_path / "clip.csv",
        "--motion-out",
        tmp_path / "again.csv",
        driver=None,
        out="again.mp4",
    )
    back = read_take(tmp_path / "again.csv")
    np.testing.assert_allclose(back.coefficients, made.coefficients, atol=0.01)
    np.testing.assert_allclose(back.pose[:, :3], made.pose[:, :3], atol=0.1)


@pytest.mark.slow
def test_the_face_alone_and_other_sizes(infer, tmp_path):
    small = frames(infer("--size", "160", "--duration", "0.12"))
    assert small.shape == (3, 160, 160, 3)
    face = infer("--view", "face", "--duration", "0.12", out="face.mp4")
    shown = json.loads(face.with_suffix(".json").read_text())["shown"]
    assert frames(face).shape[1:3] == (round(shown[3] - shown[1]), round(shown[2] - shown[0]))


@pytest.mark.slow
def test_a_region_moves_its_part_alone(infer):
    still = frames(infer("--gate", "expression=0", "--duration", "0.48"))
    mouth = frames(infer("--region", "expression=mouth", "--duration", "0.48", out="mouth.mp4"))
    assert np.abs(still.astype(int) - still[0]).mean() < 0.3  # the encoder's own
    apart = np.abs(mouth[8].astype(int) - still[8]).mean(-1)
    assert apart[170:220, 130:190].mean() > 4 * apart[60:110, 110:210].mean()


@pytest.mark.slow
def test_where_the_driver_shows_no_face_its_gate_closes(infer, caplog):
    path = infer(driver="dark.mp4")
    assert "dark.mp4: no face at 0.24-0.44 s; its gate closes there" in caplog.text
    assert frames(path).shape[0] == F


@pytest.mark.parametrize(
    "options, said",
    [
        (["--audio", "{}/driver.mp4"], "--audio: this model takes none; it takes expression"),
        (["--text", "smiles"], "--text: this model takes none; it takes expression"),
        (["--crop", "none"], "crop none: this model moves the head in the photograph"),
        (["--expression-start", "9"], "give an --expression-start before its end"),
    ],
)
def test_what_it_does_not_take_is_told_before_the_work(infer, given, tmp_path, capsys, options, said):
    infer(*[o.format(given) for o in options], code=2)
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1 and not list(tmp_path.iterdir())
