"""The model `direct`: a head's motion goes through gates, schedules, regions and windows onto a portrait."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from models import small_model
from PIL import Image
from skimage.data import astronaut

from actalker import TalkingHeadPipeline
from actalker.control.gates import Gates
from actalker.errors import InputError
from actalker.heads.eyes import look
from actalker.heads.face_map import NUMBERS, numbers_of
from actalker.heads.model import CLOSE, COEFFICIENTS, head_model
from actalker.heads.motion import HeadMotion

pytest.importorskip("mediapipe")
F = 40
MOUTH = [k for k, name in enumerate(NUMBERS) if name.startswith(("jaw", "mouth", "cheekPuff", "tongue"))]
READ = [k for k, name in enumerate(NUMBERS) if not name.startswith("eyeLook")]
UPPER = [k for k in READ if k not in MOUTH]


@pytest.fixture(scope="module")
def pipe():
    made = TalkingHeadPipeline.from_pretrained("direct", device="cpu")
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    path = tmp_path_factory.mktemp("direct") / "face.png"
    Image.fromarray(astronaut()[:320, 60:380]).save(path)
    return path


@pytest.fixture(scope="module")
def moving():
    """Absolute motion of 1.6 s, of a head that is turned and smiles from the beginning."""
    rng = np.random.default_rng(0)
    gaze = rng.uniform(-10, 10, (F, 2))
    gaze[0] = 0
    names = look(rng.uniform(0, 1, (F, len(COEFFICIENTS))), gaze)
    names[:, COEFFICIENTS.index("mouthClose")] = head_model().gap(names) / CLOSE  # lips meet
    pose = rng.uniform(-1, 1, (F, 6)) * (15, 10, 10, 3, 3, 5) + (8, 0, 0, 0, 0, 60)
    return HeadMotion(np.arange(F) / 25, names, pose, gaze, np.ones(F), np.zeros(F, int))


def read(pipe, face, moving, **options):
    """The numbers (f, 62) that a clip moves the portrait by."""
    latents = pipe(face, expression=moving, output_type="latent", **options).frames
    return pipe.model.codec.read(latents).numpy()


def test_a_driver_that_begins_in_the_middle_of_a_word_opens_the_mouth(pipe, face, caplog):
    """Its first frame is an open mouth; the portrait's is shut."""
    jaw = COEFFICIENTS.index("jawOpen")
    names = np.zeros((F, len(COEFFICIENTS)))
    names[:, jaw] = 0.2 + 0.2 * np.cos(np.arange(F) / 3)
    names[:, COEFFICIENTS.index("browInnerUp_L")] = 0.5  # of the rest: not moved
    still = np.zeros((F, 6)), np.zeros((F, 2)), np.ones(F), np.zeros(F, int)
    made = read(pipe, face, HeadMotion(np.arange(F) / 25, names, *still))
    np.testing.assert_allclose(made[:, jaw], names[:, jaw] - names[:, jaw].min(), atol=0.02)
    assert np.abs(made[:, COEFFICIENTS.index("browInnerUp_L")]).max() < 0.02
    assert "the mouth's motion is relative to" in caplog.text


def test_motion_relative_to_the_first_frame_comes_through_whole(pipe, face, moving):
    made = read(pipe, face, moving)
    wanted = numbers_of(moving.relative(moving[:1]))
    assert len(made) == F
    assert np.abs(made - wanted)[:, READ].max() < 2e-3
    assert np.abs(made[0]).max() < 1e-6  # at rest: the portrait as it is


def test_schedules_and_strength(pipe, face, moving):
    whole = read(pipe, face, moving)
    half = read(pipe, face, moving, gates={"expression": 0.5})
    np.testing.assert_allclose(half[:, READ], whole[:, READ] / 2, atol=2e-3)
    later = read(pipe, face, moving, gates=Gates({"expression": [(0, 0.8, 0.0), (0.8, None, 1.0)]}))
    assert np.abs(later[:20]).max() < 1e-6
    np.testing.assert_allclose(later[20:, READ], whole[20:, READ], atol=2e-3)
    twice = read(pipe, face, moving, guidance={"expression": 2.0})
    np.testing.assert_allclose(twice[:, READ], 2 * whole[:, READ], atol=5e-3)


@pytest.mark.parametrize("region, inside, outside", [("mouth", MOUTH, UPPER), ("upper", UPPER, MOUTH)])
def test_a_region_takes_its_own_part_and_nothing_else(pipe, face, moving, region, inside, outside):
    whole, part = read(pipe, face, moving), read(pipe, face, moving, regions={"expression": region})
    np.testing.assert_allclose(part[:, inside], whole[:, inside], atol=2e-3)
    assert np.abs(part[:, outside]).max() < 1e-4


def test_a_mask_drawn_on_the_photograph_acts_there(pipe, face, moving, tmp_path):
    seen = pipe.prepare(face, expression=moving).inputs.portrait
    x0, y0, x1, y1 = seen.face.points().lips
    apart = 0.4 * (x1 - x0)
    mask = np.zeros(seen.image.shape[:2], np.uint8)
    mask[int(y0 - apart) : int(y1 + 2 * apart), int(x0 - apart) : int(x1 + apart)] = 255
    Image.fromarray(mask).save(tmp_path / "mouth.png")
    made = read(pipe, face, moving, regions={"expression": tmp_path / "mouth.png"})
    whole = read(pipe, face, moving)
    assert np.abs(made[:, NUMBERS.index("yaw")]).max() < 1e-6
    jaw = NUMBERS.index("jawOpen")
    assert np.corrcoef(made[:, jaw], whole[:, jaw])[0, 1] > 0.5
    Image.fromarray(np.where(np.arange(mask.shape[1]) < 5, 255, 0 * mask).astype(np.uint8)).save(
        tmp_path / "beside.png"
    )
    with pytest.raises(InputError, match="lies outside the face; choose another region$"):
        read(pipe, face, moving, regions={"expression": tmp_path / "beside.png"})


def test_a_mask_over_half_of_a_face_takes_half_of_its_pose_and_one_side(pipe, face, moving, tmp_path):
    seen = pipe.prepare(face, expression=moving).inputs.portrait
    mask = np.zeros(seen.image.shape[:2], np.uint8)
    mask[:, round(seen.face.points().mouth[0]) :] = 255
    Image.fromarray(mask).save(tmp_path / "half.png")
    half, whole = (
        read(pipe, face, moving, regions={"expression": tmp_path / "half.png"}),
        read(pipe, face, moving),
    )

    def kept(name):
        k = NUMBERS.index(name)
        return (half[:, k] @ whole[:, k]) / (whole[:, k] @ whole[:, k])

    assert all(0.3 < kept(name) < 0.7 for name in ("yaw", "pitch", "roll", "z", "gaze right"))
    assert kept("eyeBlink_L") > 0.9 > 0.1 > kept("eyeBlink_R")  # the person's left is the picture's right


def test_windows_of_both_kinds_give_one_motion(pipe, face, moving):
    whole = read(pipe, face, moving)
    np.testing.assert_allclose(read(pipe, face, moving, windows="shifted"), whole, atol=2e-3)


def test_where_no_face_is_the_motion_lets_go_softly(pipe, face, moving, caplog):
    seen = np.ones(F)
    seen[14:26] = 0
    made = read(pipe, face, replace(moving, confidence=seen))
    told = [r.getMessage() for r in caplog.records]
    assert any("no face at 0.56-1.04 s; its gate closes there" in line for line in told)
    whole = numbers_of(moving.relative(moving[:1]))
    np.testing.assert_allclose(made[:14, READ], whole[:14, READ], atol=2e-3)
    assert np.all(np.diff(np.abs(made[13:20, UPPER]).sum(1)) < 0)  # what was there last fades
    np.testing.assert_allclose(made[14, READ], 0.9 * whole[13, READ], atol=2e-3)
    hidden = read(pipe, face, replace(moving, confidence=np.where(np.arange(F) < 5, 0, 1)))
    again = numbers_of(moving.relative(moving[5:6]))  # the rest is the first face that is seen
    np.testing.assert_allclose(hidden[5:, READ], again[5:, READ], atol=2e-3)


def test_behind_a_cut_the_head_is_where_it_was(pipe, face, moving, caplog):
    shot = (np.arange(F) >= 20).astype(int)
    pose = moving.pose + shot[:, None] * (30, 0, 0, 10, 0, -20)  # another camera
    made = read(pipe, face, replace(moving, pose=pose, shot=shot))
    assert "1 cuts; the head's place is relative to the first face after each" in caplog.text
    angles = [NUMBERS.index("yaw"), NUMBERS.index("z")]
    assert np.abs(made[20, angles]).max() < 0.01
    wanted = numbers_of(moving.relative(moving[:1]))
    jaw = NUMBERS.index("jawOpen")
    np.testing.assert_allclose(made[:, jaw], wanted[:, jaw], atol=2e-3)  # a face is the same behind a cut


def test_rates_lengths_and_starts_are_the_takes_own_times(pipe, face, moving):
    assert len(read(pipe, face, moving, fps=50)) == 80
    half = read(pipe, face, moving, fps="12.5")
    assert len(half) == 20
    np.testing.assert_allclose(half[1], read(pipe, face, moving)[2], atol=2e-3)
    cut = read(pipe, face, moving, duration=0.4, expression_start=0.4)
    wanted = numbers_of(moving.relative(moving[10:11]))[10:20]
    np.testing.assert_allclose(cut[:, READ], wanted[:, READ], atol=2e-3)
    longer = read(pipe, face, moving, duration=2)  # it lets go before its end
    assert len(longer) == 50 and np.abs(longer[40:]).max() < 1e-6
    with pytest.raises(InputError, match="is 1.6 s long; give an --expression-start before its end"):
        read(pipe, face, moving, expression_start=1.7)


def test_what_it_does_not_take_is_told_in_one_line(pipe, face, moving):
    for given in ({"audio": "speech.wav"}, {"text": "a man | 0-1: smiles"}):
        with pytest.raises(InputError, match="this model takes none; it takes expression$"):
            pipe(face, **given)
    with pytest.raises(InputError, match="crop none"):
        pipe(face, expression=moving, crop="none")
    with pytest.raises(InputError, match="size huge: give 64 to 8192 pixels"):
        pipe(face, expression=moving, size="huge")
    with pytest.raises(InputError, match="view 'faces' is unknown; did you mean 'face'"):
        pipe(face, expression=moving, view="faces")
    blind = replace(moving, confidence=np.zeros(F))
    with pytest.raises(InputError, match="take: no face in 40 of its frames"):
        pipe(face, expression=blind)
    with pytest.raises(InputError, match="a take of coefficients, and this model reads pictures"):
        TalkingHeadPipeline(small_model())(face, expression=moving)


def test_its_folder_has_no_weights_and_is_written_and_read(pipe, tmp_path, face, moving):
    pipe.save_pretrained(tmp_path / "copy")
    assert not list((tmp_path / "copy").rglob("*.safetensors"))
    other = TalkingHeadPipeline.from_pretrained(tmp_path / "copy", device="cpu")
    other.set_progress_bar_config(disable=True)
    np.testing.assert_array_equal(read(other, face, moving), read(pipe, face, moving))
    assert not list(pipe.model.parameters()) and pipe.dtype == torch.float32
    assert json.loads((tmp_path / "copy" / "config.json").read_text())["audio"] == {"kind": "none"}
    request = pipe.prepare(face, expression=moving)
    assert request.frames == F and request.fps == Fraction(25)
    assert "head: fitted within" in str(request.plan) and "relative to its face at 0.00 s" in str(
        request.plan
    )


@pytest.mark.parametrize(
    "how",
    [
        {"sampler": "dpm2", "steps": 3},
        {"sampler": "dpm2"},
        {"sampler": "consistency"},
        {"sampler": "consistency", "steps": 4},
        {"steps": 5},
        {"reuse": 2},
        {"steps": 3, "windows": "shifted"},
    ],
    ids=str,
)
def test_however_it_is_sampled_the_motion_is_the_same(pipe, face, moving, how):
    np.testing.assert_allclose(read(pipe, face, moving, **how), read(pipe, face, moving), atol=2e-3)


def test_in_little_memory_and_half_precision(face, moving):
    with pytest.raises(InputError, match="needs about 1.1 GB"):
        TalkingHeadPipeline.from_pretrained("direct", device="cpu", memory="1GB")
    small = TalkingHeadPipeline.from_pretrained("direct", device="cpu", memory="1.2GB")
    assert small.dtype == torch.float32
    half = TalkingHeadPipeline.from_pretrained("direct", device="cpu", dtype="bfloat16")
    half.set_progress_bar_config(disable=True)
    made, whole = read(half, face, moving), numbers_of(moving.relative(moving[:1]))
    yaw = NUMBERS.index("yaw")
    assert np.abs(made[:, yaw] - whole[:, yaw]).max() < 0.5  # degrees


def test_frames_are_the_photograph_wherever_nothing_moves(pipe, face, moving):
    still = pipe.prepare(face, expression=moving, gates={"expression": 0.0}, duration=0.12)
    photograph = still.inputs.portrait.image
    assert all(np.array_equal(frame, photograph) for frame in pipe.stream(still))
    request = pipe.prepare(face, expression=moving, duration=0.4)
    made = np.stack(list(pipe.stream(request)))
    x0, y0, x1, y1 = request.inputs.portrait.bound.head.box
    made[:, y0:y1, x0:x1] = photograph[y0:y1, x0:x1]
    assert np.array_equal(made, np.repeat(photograph[None], 10, 0))


def test_pictures_and_floats_are_the_streams_frames(pipe, face, moving):
    request = pipe.prepare(face, expression=moving, duration=0.12, view="face", size=128)
    streamed = np.stack(list(pipe.stream(request)))
    given = {"expression": moving, "duration": 0.12, "view": "face", "size": 128}
    assert np.array_equal(np.asarray(pipe(face, **given).frames), streamed)
    floats = pipe(face, **given, output_type="np").frames
    assert np.array_equal(np.round(floats * 255).astype(np.uint8), streamed)
    steady = np.stack(list(pipe.stream(pipe.prepare(face, steady=True, **given))))
    assert np.abs(steady.astype(int) - streamed).max() <= 1  # its colours are held, where they are already
    assert max(streamed.shape[1:3]) == 128
