"""The head model, its cameras and its motion: against what ICT-FaceKit publishes, and closed forms."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from actalker.heads.camera import FLIP, PIVOT, Camera, angles, pivot_of, rotation, shift_of, to_camera
from actalker.heads.landmarks import INNER_LIPS, LIP_MIDDLES, OVAL
from actalker.heads.model import CLOSE, COEFFICIENTS, INDEX, SCORES, SHIPPED, from_scores, head_model
from actalker.heads.motion import HeadMotion

MODEL = head_model()


def motion(f: int = 6, **changes: np.ndarray) -> HeadMotion:
    """A motion of random numbers at 25 frames a second."""
    random = np.random.default_rng(0)
    values = {
        "times": np.arange(f) / 25,
        "coefficients": random.random((f, 54)),
        "pose": random.normal(size=(f, 6)),
        "gaze": random.normal(size=(f, 2)),
        "confidence": np.ones(f),
        "shot": np.zeros(f, int),
    }
    return HeadMotion(**(values | changes))


def test_the_model_is_small_and_has_its_notice_beside_it():
    assert SHIPPED.stat().st_size <= 10e6
    notice = (SHIPPED.parent / "LICENSE.txt").read_text()
    assert "Copyright (c) 2020 USC Institute for Creative Technologies" in notice
    assert "permission notice shall be included in all" in notice


def test_parts_are_ranges_that_cover_all_vertices_and_every_triangle_is_of_them():
    ranges = sorted(MODEL.part_range(part) for part in MODEL.parts)
    assert [stop for _, stop in ranges[:-1]] == [first for first, _ in ranges[1:]]
    assert ranges[0][0] == 0 and ranges[-1][1] == len(MODEL.neutral) == len(MODEL.part) == len(MODEL.uv)
    wanted = "face headneck mouth socket_l socket_r gums tongue teeth_upper teeth_lower sclera_l sclera_r"
    assert set(wanted.split()) | {"lash_l", "lash_r"} == set(MODEL.parts)
    assert set(np.unique(MODEL.triangles)) == set(range(len(MODEL.neutral)))
    assert MODEL.part_range("face") == (0, 9409)  # the published numbers


def test_the_published_landmarks_lie_where_they_are_called():
    """Multi-PIE's 68 points, which ICT-FaceKit names by vertex, beside MediaPipe's, which were found by
    pictures."""
    found = MODEL.at_landmarks(MODEL.neutral)
    published = MODEL.neutral[MODEL.ibug68]
    eyes = np.linalg.norm(published[36] - published[45])
    pairs = {36: 33, 39: 133, 42: 362, 45: 263, 48: 61, 54: 291, 51: 0, 57: 17, 62: 13, 66: 14, 30: 1, 8: 152}
    apart = [np.linalg.norm(published[a] - found[b]) / eyes for a, b in pairs.items()]
    assert np.mean(apart) < 0.03 and max(apart) < 0.09, dict(zip(pairs, apart, strict=True))


def test_landmarks_mirror_each_other():
    found = MODEL.at_landmarks(MODEL.neutral)
    mirrored = found * (-1, 1, 1)
    inner = np.setdiff1d(np.arange(468), OVAL)
    apart = np.linalg.norm(mirrored[inner, None] - found[None, inner], axis=2).min(1)
    assert np.median(apart) < 0.02 * 8.9
    assert np.linalg.norm(mirrored[33] - found[263]) < 0.2 and np.linalg.norm(mirrored[61] - found[291]) < 0.2


def test_shapes_move_what_they_are_called_after():
    at = MODEL.at_landmarks(MODEL.shapes)
    assert at[INDEX["jawOpen"], 14, 1] < -2 and abs(at[INDEX["jawOpen"], 13, 1]) < 0.3  # the lower lip alone
    assert (
        at[INDEX["eyeBlink_L"], 386, 1] < -0.5 and abs(at[INDEX["eyeBlink_L"], 159, 1]) < 0.05
    )  # _L is x > 0
    assert at[INDEX["mouthSmile_R"], 61, 1] > 0.3 and abs(at[INDEX["mouthSmile_R"], 291, 1]) < 0.1
    assert at[INDEX["jawLeft"], 152, 0] > 0.2  # to the person's left, the image's right
    assert not MODEL.shapes[INDEX["mouthClose"]].any()
    for part in ("sclera_l", "sclera_r"):
        assert not MODEL.shapes[:, slice(*MODEL.part_range(part))].any()


def test_a_shape_is_the_sum_in_double_precision():
    random = np.random.default_rng(1)
    identity, coefficients = random.normal(size=30), random.random(54)
    full = MODEL.neutral.astype(float)
    for k, value in enumerate(identity):
        full += value * MODEL.identities[k]
    for k, value in enumerate(coefficients[:53]):
        full += value * MODEL.shapes[k]
    assert np.abs(MODEL.shape(identity, coefficients) - full).max() < 1e-4
    rows = np.array([5, 100, 22000])
    some = MODEL.shape(identity, coefficients, rows)
    assert np.allclose(MODEL.shape(identity, coefficients)[rows], some, atol=1e-5)


def test_the_opening_is_what_the_lips_do_and_mouth_close_takes_from_it():
    for named in ({"jawOpen": 0.3}, {"jawOpen": 0.2, "mouthUpperUp": 0.4}, {"mouthLowerDown": 0.5}):
        c = MODEL.coefficients(**named)
        at = MODEL.at_landmarks(MODEL.shape(np.zeros(0), c)) - MODEL.at_landmarks(MODEL.neutral)
        moved = (at[LIP_MIDDLES[0]] - at[LIP_MIDDLES[1]])[1]
        assert MODEL.opening(c) == pytest.approx(moved, abs=1e-3)
        c[INDEX["mouthClose"]] = 0.1
        assert MODEL.opening(c) == pytest.approx(max(moved - 0.1 * CLOSE, 0), abs=1e-3)
    assert MODEL.gap(MODEL.coefficients(jawOpen=1)) == pytest.approx(CLOSE, rel=0.15)


def test_names_stand_for_both_sides_and_unknown_ones_are_refused():
    c = MODEL.coefficients(eyeBlink=0.5, mouthLeft=0.2, jawOpen=0.1)
    on = {COEFFICIENTS[k]: c[k] for k in np.flatnonzero(c)}
    assert on == pytest.approx({"eyeBlink_L": 0.5, "eyeBlink_R": 0.5, "mouthLeft": 0.2, "jawOpen": 0.1})
    with pytest.raises(KeyError, match="jawopen"):
        MODEL.coefficients(jawopen=1)


def test_mediapipes_scores_reach_the_coefficients_of_the_same_side():
    scores = np.zeros(52)
    for name in ("mouthSmileLeft", "browInnerUp", "mouthLeft"):
        scores[SCORES.index(name)] = 0.4
    on = {COEFFICIENTS[k] for k in np.flatnonzero(from_scores(scores))}
    assert on == {"mouthSmile_L", "browInnerUp_L", "browInnerUp_R", "mouthLeft"}


def test_inner_lips_hold_their_middles():
    assert set(LIP_MIDDLES) <= set(INNER_LIPS)


@pytest.mark.parametrize("turned", [(20, 0, 0), (0, 15, 0), (0, 0, 25), (-40, 12, -30)])
def test_rotations_are_scipys_and_angles_undo_them(turned):
    yaw, pitch, roll = turned
    reference = Rotation.from_euler("ZYX", [-roll, yaw, pitch], degrees=True).as_matrix()
    assert np.allclose(rotation(*turned), reference)
    assert np.allclose(angles(rotation(*turned)), turned)


def test_signs_of_a_turn_as_seen():
    camera, T = Camera(1000, 250, 250), np.array([0, 0, 100.0])
    nose, top = np.array([0, 0, 10.0]), np.array([0, 10.0, 0])

    def seen(point, *turned):
        return camera.project(to_camera(point, rotation(*turned), T))

    assert seen(nose, 20, 0, 0)[0] > 280 and seen(nose, 0, 20, 0)[1] > 280  # right; down
    assert seen(top, 0, 0, 20)[0] > 270 and seen(top, 0, 0, 0)[1] < 200  # clockwise; up is up


def test_the_pivot_stays_where_it_is_put():
    R, T = rotation(10, 20, 30), np.array([1.0, 2.0, 90.0])
    assert np.allclose(pivot_of(R, T), to_camera(PIVOT, R, T))
    assert np.allclose(shift_of(R, pivot_of(R, T)), T)


def test_rays_go_through_their_pixels():
    camera, points = Camera(700.0, 320.0, 200.0), np.array([[3.0, -2.0, 50.0], [0.0, 8.0, 70.0]])
    ray = camera.ray(camera.project(points))
    assert np.allclose(ray, points / np.linalg.norm(points, axis=1, keepdims=True))
    assert np.allclose(FLIP @ FLIP, np.eye(3))


def test_a_motion_less_its_rest_is_zero_where_nothing_moves():
    m = motion()
    same = m[2:3].relative(m[2:3])
    assert not same.coefficients.any() and not same.pose.any() and not same.gaze.any()
    assert np.allclose(m.relative(m[0:1]).pose + m.pose[0], m.pose)


def test_a_motion_between_frames_is_in_straight_lines_but_not_over_cuts_and_gaps():
    m = motion(shot=np.array([0, 0, 0, 1, 1, 1]), confidence=np.array([1, 1, 1, 1, 0.0, 1]))
    got = m.at(np.array([-1.0, 0.01, 0.04, 0.09, 0.11, 0.13, 9.0]))
    assert np.allclose(got.coefficients[0], m.coefficients[0]) and np.allclose(got.pose[2], m.pose[1])
    assert np.allclose(got.coefficients[1], 0.75 * m.coefficients[0] + 0.25 * m.coefficients[1])
    assert np.allclose(got.pose[3], m.pose[2]) and np.allclose(got.pose[4], m.pose[3])  # a cut lies between
    assert np.allclose(got.pose[5], m.pose[3]) and got.confidence[5] == 1  # beside a gap
    assert got.shot.tolist() == [0, 0, 0, 0, 1, 1, 1] and np.allclose(got.pose[6], m.pose[5])
    one = m[0:1].at(np.array([0.0, 5.0]))
    assert np.allclose(one.pose, m.pose[[0, 0]])


def test_a_motion_refuses_shapes_and_numbers_that_are_none():
    with pytest.raises(ValueError, match=r"pose has shape \(6, 3\)"):
        motion(pose=np.zeros((6, 3)))
    with pytest.raises(ValueError, match="not finite"):
        motion(gaze=np.full((6, 2), np.nan))
    with pytest.raises(ValueError, match="go back"):
        motion(times=np.array([0, 1, 2, 1, 3, 4.0]))
    with pytest.raises(ValueError, match="one is needed"):
        motion().relative(motion())
