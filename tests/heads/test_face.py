"""The face's layer of a portrait of our own: what it shows, where from, and odd portraits."""

from functools import lru_cache

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter

from actalker.heads.camera import Camera, rotation, to_camera
from actalker.heads.face import PortraitFace
from actalker.heads.fit import HeadFit, fit_head
from actalker.heads.inside import tooth_colour
from actalker.heads.kernels import interpolate, rasterise
from actalker.heads.layer import EYE_LEFT, EYE_RIGHT, MOUTH, SKIN
from actalker.heads.model import CLOSE, INDEX, head_model
from actalker.heads.rig import face_rig
from actalker.heads.teeth import numbered, tone

MODEL = head_model()
SIZE = 320
SKIN_COLOUR, TOOTH, TONGUE, WHITE, IRIS = (
    (200, 140, 115),
    (235, 225, 205),
    (150, 70, 75),
    (225, 222, 218),
    (60, 90, 120),
)


@lru_cache
def portrait(yaw: float = 0.0, size: int = SIZE, **named: float) -> tuple[np.ndarray, HeadFit]:
    """A photograph of the model itself, painted by parts, and its fit."""
    rig = face_rig()
    camera = Camera(2.2 * 2.2 * size / 2.2, size / 2, size / 2)
    R, T = rotation(yaw, 0.0, 0.0), np.array([0.0, 0.5, 2.2 * 24.0])
    c = MODEL.coefficients(**named)
    points = camera.project(to_camera(MODEL.at_landmarks(MODEL.shape(np.zeros(2), c)).astype(float), R, T))
    colours = np.tile(np.array(SKIN_COLOUR, float), (len(rig.rows), 1))
    colours[rig.is_part("teeth_upper", "teeth_lower")] = TOOTH
    colours[rig.is_part("mouth", "gums", "tongue")] = TONGUE
    for name in ("sclera_l", "sclera_r"):
        ball = rig.is_part(name)
        colours[ball] = WHITE
        middle = rig.neutral[ball].mean(0) * (1, 1, 0)
        colours[ball & (np.linalg.norm(rig.neutral * (1, 1, 0) - middle, axis=1) < 0.55)] = IRIS
    there = to_camera(rig.neutral + np.tensordot(c[:53], rig.shapes, 1), R, T).astype(np.float32)
    box = (0, 0, size, size)
    raster = rasterise(camera.project(there), there[:, 2] + 0.2 * (rig.kind > 1), rig.triangles, box)
    image = interpolate(raster, rig.triangles, there[:, 2], colours)
    image[raster.triangle < 0] = (90, 110, 100)
    grain = gaussian_filter(np.random.default_rng(3).normal(size=(size, size, 1)), (1, 1, 0)) * 12
    return np.clip(image + grain, 0, 255).astype(np.uint8), fit_head(points, (size, size))


@lru_cache
def face(yaw: float = 0.0, size: int = SIZE, **named: float) -> PortraitFace:
    image, fit = portrait(yaw, size, **named)
    return PortraitFace(image, fit, np.ones(image.shape[:2], np.float32))


def drawn(face, gaze=(0.0, 0.0), **named):
    return face.draw(MODEL.coefficients(**named), np.array(gaze), face.fit.R, face.fit.T)


def picture(face, layer):
    """The layer over its photograph, float in [0, 1]."""
    out = face.image.copy()
    x0, y0, x1, y1 = layer.box
    alpha = layer.alpha[..., None]
    out[y0:y1, x0:x1] += alpha * (layer.colour - out[y0:y1, x0:x1])
    return out


@pytest.mark.parametrize("named", [{}, {"jawOpen": 0.5, "mouthSmile": 0.4}, {"eyeBlink": 0.6}])
def test_nothing_moves_and_every_pixel_is_the_photographs_own(named):
    own = face(**named)
    layer = drawn(own)
    assert np.abs(picture(own, layer) - own.image).max() < 0.2 / 255
    assert (layer.alpha > 0.5).mean() > 0.4
    there = layer.alpha > 0.99
    assert layer.weight[there].min() > 0.99


def test_the_same_bytes_on_every_run():
    first, again = (drawn(face(), gaze=(7, 3), jawOpen=0.3, eyeBlink=0.4, mouthSmile=0.5) for _ in range(2))
    other = drawn(
        PortraitFace(*portrait(), np.ones((SIZE, SIZE), np.float32)),
        (7, 3),
        jawOpen=0.3,
        eyeBlink=0.4,
        mouthSmile=0.5,
    )
    for name in ("alpha", "colour", "source", "weight", "kind"):
        assert (
            getattr(first, name).tobytes() == getattr(again, name).tobytes() == getattr(other, name).tobytes()
        )


@pytest.mark.parametrize("opening", [0.0, 0.4, 1.2])
def test_mouth_close_sets_the_opening_whatever_the_jaw_does(opening):
    own = face()
    for jaw in (0.0, 0.3):
        asked = MODEL.coefficients(jawOpen=jaw, mouthSmile=0.2)
        whole = own.fit.coefficients + asked
        asked[INDEX["mouthClose"]] += (MODEL.gap(whole) - opening) / CLOSE - whole[INDEX["mouthClose"]]
        layer = own.draw(asked, np.zeros(2), own.fit.R, own.fit.T)
        assert abs(own.rig.lips.middle(layer.vertices) - opening) < 0.01
        inside = (layer.kind == MOUTH).sum()
        assert inside < 20 if opening == 0 else inside > 150 * opening


def test_a_laugh_keeps_its_own_teeth_and_a_shut_mouth_gets_some():
    laugh = face(jawOpen=0.35, mouthSmile=0.6, mouthUpperUp=0.9)
    layer = drawn(laugh, mouthSmile=-0.2, jawOpen=0.3)
    own = (layer.kind == MOUTH) & (layer.weight > 0.9)
    assert own.sum() > 0.2 * (layer.kind == MOUTH).sum()
    assert np.abs(layer.colour[own] - np.array(TOOTH) / 255).max(1).mean() < 0.06  # teeth, and nothing else
    shut = face()
    layer = drawn(shut, jawOpen=0.2, mouthUpperUp=0.4, mouthLowerDown=0.3)
    bright = layer.colour[layer.kind == MOUTH].mean(1)
    assert layer.weight[layer.kind == MOUTH].max() < 0.1
    assert np.quantile(bright, 0.9) > np.mean(SKIN_COLOUR) / 255 * 0.95  # teeth are lighter than the skin


def test_pieces_of_teeth_between_parted_lips_are_replaced_in_their_colour():
    parted = face(jawOpen=0.12)
    layer = drawn(parted, jawOpen=0.3)
    inside = layer.kind == MOUTH
    assert layer.weight[inside].max() < 0.1
    front = np.quantile(layer.colour[inside].mean(1), 0.95)
    assert 0.65 < front / (np.mean(TOOTH) / 255) < 1.1


def test_pieces_of_yellow_teeth_make_yellow_teeth():
    image, fit = portrait(jawOpen=0.12)
    teeth = np.abs(image - np.array(TOOTH)).max(2, keepdims=True) < 60
    teeth[: SIZE // 2] = False  # the eyes' white
    yellow = np.where(teeth, (215, 190, 110), image)
    blue = []
    for photograph in (image, yellow.astype(np.uint8)):
        head = PortraitFace(photograph, fit, np.ones(image.shape[:2], np.float32))
        tooth = head.inside[head.rig.is_part("teeth_upper")].mean(0)
        blue.append(tooth[2] / tooth[0])
    assert blue[1] < 0.9 * blue[0]


def test_teeth_take_the_cast_of_the_picture():
    grey, brown = np.full(3, 0.5), np.array([0.6, 0.45, 0.38])
    np.testing.assert_allclose(np.ptp(tooth_colour(0.8 * np.ones(3), grey)), 0, atol=1e-9)
    white = np.array([0.8, 0.78, 0.75])
    plain, glass = tooth_colour(white, brown), np.array([1.0, 0.85, 0.5])
    painted, lit = tooth_colour(white, brown * glass), tooth_colour(white * glass, brown * glass)
    yellow = [colour[2] / colour[0] for colour in (plain, painted, lit)]
    assert yellow[1] < 0.85 * yellow[0]  # a painter's eyes are white, the teeth are not
    assert 0.5 * yellow[0] < yellow[2] < 0.65 * yellow[0]  # behind a yellow glass all is yellow
    assert tooth_colour(white, 0.3 * brown).mean() < 0.8 * plain.mean()  # no lamps in a dark face


def test_the_depth_of_an_open_mouth_is_dark_and_its_teeth_are_told_apart():
    layer = drawn(face(), jawOpen=0.7, mouthUpperUp=0.4)
    rows, columns = np.nonzero(layer.kind == MOUTH)
    middle = np.abs(columns - np.median(columns)) < 0.25 * np.ptp(columns)
    light = layer.colour[rows, columns].mean(1)
    lines = [np.median(light[middle & (rows == row)]) for row in range(rows.min() + 2, rows.max() - 1)]
    top, depth, low = np.array_split(lines, 3)
    assert top.max() > 2 * depth.min() and low.max() > 1.4 * depth.min()  # teeth, throat, tongue
    rig = face_rig()
    shades = tone(rig, 1.0).mean(1)
    for _, tooth in numbered(rig, "teeth_upper")[:3]:
        assert np.ptp(shades[tooth]) > 0.15 and shades[tooth].max() <= 1


def test_a_lid_that_goes_down_leaves_the_eye_below_it_as_it_is():
    own = face()
    layer = drawn(own, eyeBlink=0.5)
    eye = binary_erosion(np.isin(layer.kind, (EYE_LEFT, EYE_RIGHT)))
    assert eye.sum() > 60
    x0, y0, x1, y1 = layer.box
    assert np.abs(layer.colour - own.image[y0:y1, x0:x1])[eye].max() < 0.5 / 255
    turned = drawn(own, gaze=(12, 0), eyeBlink=0.5)
    assert np.abs(turned.colour - own.image[y0:y1, x0:x1])[eye].max() > 20 / 255


def test_make_up_above_an_eye_leaves_no_ring_when_it_shuts():
    image, fit = portrait()
    plain, rig = face(), face_rig()
    over = np.maximum(*(lids.over * (lids.above > 0.1) * (lids.above < 0.8) for lids in rig.lids)) > 0
    painted = image.copy()
    for x, y in np.rint(plain.places[over]).astype(int):
        painted[y - 2 : y + 2, x - 2 : x + 2] = (95, 62, 55)
    own = PortraitFace(painted, fit, np.ones(image.shape[:2], np.float32))
    layer = drawn(own, eyeBlink=1.0)
    there = fit.camera.project(to_camera(layer.vertices, fit.R, fit.T))
    ring = np.any([(lids.over > 0) & (lids.above > 0.55) & (lids.above < 0.85) for lids in rig.lids], 0)
    x, y = there[ring & (rig.kind == SKIN)].astype(int).T
    light = picture(own, layer)[y, x].mean(1) * 255
    assert np.median(light) > 0.88 * np.mean(SKIN_COLOUR)


def test_shut_lids_hide_the_eyes_and_open_ones_show_them():
    own = face()
    rest, shut = drawn(own), drawn(own, eyeBlink=1.0)
    for kind in (EYE_LEFT, EYE_RIGHT):
        assert (shut.kind == kind).sum() < 0.02 * (rest.kind == kind).sum()
    one = drawn(own, eyeBlink_L=1.0)  # the person's left eye, the image's right
    assert (one.kind == EYE_RIGHT).sum() < 5 < (one.kind == EYE_LEFT).sum()


@pytest.mark.parametrize("gaze", [(15.0, 0.0), (-15.0, 0.0), (0.0, 10.0)])
def test_irises_go_where_the_eyes_look(gaze):
    own = face()

    def iris(layer):
        """Middle of the blue pixels of both eyes."""
        blue = (
            (layer.kind >= EYE_LEFT)
            & (layer.kind < 255)
            & (layer.colour[..., 2] > 1.3 * layer.colour[..., 0])
        )
        i, j = np.nonzero(blue)
        return np.array([j.mean() + layer.box[0], i.mean() + layer.box[1]]), len(i)

    (before, many), (after, some) = iris(drawn(own)), iris(drawn(own, gaze=gaze))
    moved = after - before
    wanted = 1.25 * np.sin(np.radians(gaze)) * own.scale  # the ball's radius, cm
    assert some > 0.5 * many
    assert moved @ wanted > 0.5 * wanted @ wanted and np.linalg.norm(moved) < 1.6 * np.linalg.norm(wanted)


def test_sources_are_where_the_skin_was():
    """A pixel's source, taken by the mesh from the photograph into the frame, is the pixel."""
    own = face()
    R = rotation(12.0, 4.0, 3.0) @ own.fit.R
    layer = own.draw(MODEL.coefficients(mouthSmile=0.5, browInnerUp=0.6), np.zeros(2), R, own.fit.T)
    places = own.fit.camera.project(
        to_camera(layer.vertices, R.astype(np.float32), own.fit.T.astype(np.float32))
    )
    x0, y0, x1, y1 = layer.box
    shown = own.visible > 0.9
    j, i = np.floor(places - (x0, y0)).astype(int).T
    inside = shown & (i > 1) & (j > 1) & (i < y1 - y0 - 2) & (j < x1 - x0 - 2) & (own.rig.kind == SKIN)
    inside[inside] = layer.weight[i[inside], j[inside]] > 0.9
    assert inside.sum() > 1500
    away = np.linalg.norm(layer.source[i[inside], j[inside]] - own.places[inside], axis=1)
    assert (
        np.median(away) < 1.0 and np.quantile(away, 0.95) < 3.0
    )  # pixels: a vertex lies somewhere in its pixel


def test_glasses_are_seen_and_stay_where_they_are():
    image, fit = portrait()
    image = image.copy()
    eyes = [fit.points[list(pair)].mean(0) for pair in ((33, 133), (362, 263))]
    scale = fit.camera.focal / fit.T[2]
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    for ex, ey in eyes:
        ring = np.hypot((x - ex) / 1.25, y - ey - 0.2 * scale)
        image[np.abs(ring - 1.7 * scale) < 0.18 * scale] = 20
    bridge = (
        (np.abs(y - eyes[0][1] + 0.1 * scale) < 0.18 * scale)
        & (x > eyes[0][0] + scale)
        & (x < eyes[1][0] - scale)
    )
    image[bridge] = 20
    worn = PortraitFace(image, fit, np.ones((SIZE, SIZE), np.float32))
    assert worn.form.stiff is not None and face().form.stiff is None
    brows = {"browInnerUp": 0.8, "browOuterUp": 0.8, "browDown": -0.3}
    nose = np.linalg.norm(worn.rig.neutral - worn.rig.neutral[worn.rig.ibug68[27]], axis=1) < 0.6
    moved = [np.abs(drawn(own, **brows).vertices - own.rest)[nose].max() for own in (worn, face())]
    assert moved[0] < 0.3 * moved[1]


@pytest.mark.parametrize(
    "case", ["small", "cut", "turned", "grey", "black", "no outline", "eyes shut", "mouth wide"]
)
def test_odd_portraits_draw_without_holes_or_numbers_that_are_none(case):
    image, fit = {
        "small": lambda: portrait(0.0, 64),
        "turned": lambda: portrait(38.0),
        "eyes shut": lambda: portrait(eyeBlink=1.0),
        "mouth wide": lambda: portrait(jawOpen=1.0, mouthFunnel=0.3),
    }.get(case, portrait)()
    outline = np.ones(image.shape[:2], np.float32)
    if case == "cut":
        cut = np.s_[60:, 90:]
        image, outline = np.ascontiguousarray(image[cut]), outline[cut]
        fit = fit_head(fit.points - (90, 60), image.shape[:2])
    if case == "grey":
        image = np.repeat(image.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    if case == "black":
        image = np.zeros_like(image)
    if case == "no outline":
        outline = np.zeros_like(outline)
    own = PortraitFace(image, fit, outline)
    for R in (fit.R, rotation(15.0, 0.0, 0.0) @ fit.R):
        layer = own.draw(
            MODEL.coefficients(jawOpen=0.3, eyeBlink=0.5, tongueOut=1.0), np.array([20.0, -5.0]), R, fit.T
        )
        for name in ("alpha", "colour", "weight"):
            values = getattr(layer, name)
            assert np.isfinite(values).all() and values.min() > -1e-5 and values.max() < 1 + 1e-5, name
        assert np.isfinite(layer.source).all()
        if case == "grey":
            assert np.abs(np.ptp(layer.colour, axis=2)).max() < 0.08
        if case == "no outline":
            assert layer.weight[layer.kind == SKIN].mean() > 0.5
