"""A portrait that moves, end to end: a head of known coefficients in a photograph of our own."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from actalker.heads import compiled, compiled_paint, compiled_scene, kernels, plain, plain_paint, plain_scene
from actalker.heads.camera import Camera, rotation, to_camera
from actalker.heads.drawing import HeadPortrait
from actalker.heads.fit import HeadFit, fit_head
from actalker.heads.layer import MOUTH, SKIN
from actalker.heads.model import head_model

MODEL = head_model()
NOTHING = np.zeros(54), np.zeros(6), np.zeros(2)


@lru_cache
def photograph(
    h: int = 256, w: int = 256, yaw: float = 0.0, tall: float = 90.0, jaw: float = 0.0
) -> tuple[np.ndarray, HeadFit, np.ndarray]:
    """A textured head before a striped wall, its fit from the model's own landmarks, and the person's
    outline.
    """
    camera = Camera(2.2 * 2.2 * tall, w / 2, h * 0.45)
    R, T = rotation(yaw, 3.0, 2.0), np.array([0.0, 0.0, camera.focal * 20.0 / tall])
    vertices = MODEL.shape(np.zeros(5), MODEL.coefficients(mouthSmile=0.2, jawOpen=jaw))
    points = camera.project(to_camera(MODEL.at_landmarks(vertices).astype(float), R, T))
    y, x = np.mgrid[:h, :w] + 0.5
    k, cx, cy = tall / 20.0, w / 2, h * 0.45 - 3 * tall / 20.0
    head = np.hypot((x - cx) / (10 * k), (y - cy) / (13 * k)) < 1
    trunk = (y > cy + 11 * k) & (np.abs(x - cx) < np.clip(5 + (y - cy) / k - 12, 5, 18) * k)
    person = gaussian_filter((head | trunk).astype(np.float32), 1.0)
    random = np.random.default_rng(7)
    wall = 120 + 50 * np.sin(x / 5.0)[..., None] * (1, 0.7, 0.9)
    skin = gaussian_filter(random.normal(size=(h, w, 3)), (2, 2, 0)) * 90 + (190, 140, 110)
    image = np.clip(wall + person[..., None] * (skin - wall), 0, 255).astype(np.uint8)
    return image, fit_head(points, (h, w)), person


@lru_cache
def portrait(*size: float) -> HeadPortrait:
    return HeadPortrait(*photograph(*size))


def motion(yaw=0.0, pitch=0.0, roll=0.0, gaze=(0.0, 0.0), **named):
    return MODEL.coefficients(**named), np.array([yaw, pitch, roll, 0, 0, 0]), np.array(gaze)


@pytest.mark.parametrize(
    "size", [(256, 256), (300, 140, 20.0, 60.0), (120, 400, -15.0, 80.0), (96, 96, 0.0, 40.0)]
)
def test_nothing_moves_byte_for_byte(size):
    drawn = portrait(*size).draw(*NOTHING)
    assert drawn.frame.tobytes() == photograph(*size)[0].tobytes()
    assert not drawn.field.any() and drawn.known.min() > 0.999 and drawn.damped == 0


MOTIONS = [
    motion(yaw=15),
    motion(pitch=-9, jawOpen=0.4),
    motion(roll=10, mouthSmile=0.5),
    motion(yaw=-18, gaze=(12, 5)),
]


@pytest.mark.parametrize("asked", MOTIONS)
def test_the_field_warps_the_photograph_into_the_frame(asked):
    drawn = portrait().draw(*asked)
    x0, y0, x1, y1 = drawn.box
    y, x = np.mgrid[y0:y1, x0:x1]
    image = photograph()[0].astype(float)
    at = [y + drawn.field[..., 1], x + drawn.field[..., 0]]
    warped = np.stack([map_coordinates(image[..., c], at, order=3, mode="nearest") for c in range(3)], -1)
    seen = drawn.known > 0.95
    assert seen.mean() > 0.6
    error = ((warped - drawn.frame[y0:y1, x0:x1])[seen] ** 2).mean()
    assert 10 * np.log10(255**2 / error) >= 45


@pytest.mark.parametrize("asked", MOTIONS)
def test_the_wall_stays_byte_for_byte_beyond_a_soft_band(asked):
    image, fit, person = photograph()
    frame = portrait().draw(*asked).frame
    cm = fit.camera.focal / fit.T[2]
    away = gaussian_filter((person > 0.05).astype(float), 3 * cm, truncate=2.0) == 0
    assert away.mean() > 0.15 and (frame[away] == image[away]).all()


def test_regions_lie_on_the_face_and_share_it_out():
    drawn = portrait().draw(*motion(yaw=12, jawOpen=0.3))
    mouth, upper, face = (drawn.regions[name] for name in ("mouth", "upper", "face"))
    assert ((mouth > 0.5) & (upper > 0.5)).sum() == 0
    assert face[(mouth > 0.5) | (upper > 0.5)].min() > 0.99
    rows = [np.nonzero(region > 0.5)[0].mean() for region in (upper, face, mouth)]
    assert rows == sorted(rows)  # eyes above, the mouth below


def test_a_frame_is_the_same_on_every_run():
    again = HeadPortrait(*photograph())
    assert again.draw(*MOTIONS[1]).frame.tobytes() == portrait().draw(*MOTIONS[1]).frame.tobytes()


def test_without_numba_the_same_frame_is_drawn(monkeypatch):
    size = (120, 120, 5.0, 45.0)
    frames = [HeadPortrait(*photograph(*size)).draw(*MOTIONS[1]).frame]
    assert kernels.compiled is compiled and kernels.compiled_paint is compiled_paint
    assert kernels.compiled_scene is compiled_scene
    for name, one in (("compiled", plain), ("compiled_paint", plain_paint), ("compiled_scene", plain_scene)):
        monkeypatch.setattr(kernels, name, one)
    frames.append(HeadPortrait(*photograph(*size)).draw(*MOTIONS[1]).frame)
    apart = np.abs(frames[0].astype(int) - frames[1]).max(-1)
    assert (apart > 1).mean() < 1e-3  # pixels whose centre lies on an edge of two triangles


def test_an_open_mouth_that_only_turns_shows_the_photographs_own_inside():
    drawn = portrait(256, 256, 0.0, 120.0, 0.4).draw(*motion(yaw=12, pitch=-5))
    mouth, (x0, y0, x1, y1) = drawn._layer.kind == 1, drawn._layer.box
    left, top = drawn.box[:2]
    known = drawn.known[y0 - top : y1 - top, x0 - left : x1 - left][mouth]
    assert mouth.sum() > 100 and known.mean() > 0.9


def test_a_turn_beyond_what_is_seen_is_damped_and_told():
    turned = portrait(256, 256, 22.0)
    further, back = turned.draw(*motion(yaw=18)), turned.draw(*motion(yaw=-20))
    assert further.damped == 0 and further.pose[0] == 18
    assert back.damped > 8 and back.pose[0] == pytest.approx(back.damped - 20)


def test_what_is_no_motion_or_no_picture_is_refused():
    image, fit, person = photograph()
    with pytest.raises(ValueError, match="pose: 6 finite numbers"):
        portrait().draw(np.zeros(54), np.full(6, np.nan), np.zeros(2))
    with pytest.raises(ValueError, match="coefficients: 54 finite numbers"):
        portrait().draw(np.zeros(53), np.zeros(6), np.zeros(2))
    with pytest.raises(ValueError, match="outline has shape"):
        HeadPortrait(image, fit, person[1:])
    with pytest.raises(ValueError, match="uint8 is needed"):
        HeadPortrait(image / 255, fit, person)


@pytest.mark.parametrize("jaw", [0.0, 0.3])
@pytest.mark.parametrize("lower, upper", [(0.46, 0.37), (0.8, 0.37), (0.46, 0.7)])
def test_lips_that_roll_in_and_meet_let_nothing_of_the_mouth_through(jaw, lower, upper):
    pressed = {"mouthLeft": 0.27, "mouthRight": 0.23, "mouthFrown": 0.2, "mouthDimple": 0.2}
    asked = MODEL.coefficients(
        **pressed, mouthRollLower=lower, mouthRollUpper=upper, mouthPucker=-0.18, mouthClose=1.0
    )
    layer = portrait(256, 256, 0.0, 90.0, jaw).draw(asked, *NOTHING[1:])._layer
    assert (layer.kind == SKIN).sum() > 5000
    assert not (layer.kind == MOUTH).any()
