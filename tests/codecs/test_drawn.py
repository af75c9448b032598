"""A portrait that a head is fitted to: sizes of its frames, and masks that are drawn on the photograph."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from actalker.codecs import FaceMotion, PixelUnshuffle, Sitter
from actalker.codecs.codec import VIEWS
from actalker.errors import InputError
from actalker.faces.crop import Crop, canonical_crop
from actalker.faces.face import Face
from actalker.faces.find import find_faces
from actalker.heads.camera import to_camera
from actalker.heads.face_map import face_map
from actalker.heads.model import head_model

pytest.importorskip("mediapipe")


@pytest.fixture(scope="module")
def sitter():
    image = astronaut()[:421, :411]
    face = find_faces(image, "landmarker")
    return Sitter(image, face, canonical_crop(face), 128)


@pytest.fixture(scope="module")
def codec():
    return FaceMotion()


@pytest.mark.parametrize(
    "limit, size", [(None, (420, 410)), (0, (420, 410)), (200, (200, 194)), (5000, (420, 410))]
)
def test_the_whole_photograph_at_even_sides_without_one_invented_pixel(codec, sitter, limit, size):
    bound = codec.bound(replace(sitter, limit=limit))
    assert bound.size == size and bound.picture.shape == (*size, 3)
    if limit != 200:
        assert np.array_equal(bound.picture, sitter.image[:420, :410])
    assert f"{size[1]} x {size[0]} pixels; the photograph has 411 x 421" in bound.place()


def test_the_square_around_the_face_ends_where_the_photograph_does(codec, sitter):
    bound = codec.bound(replace(sitter, view="face"))
    x0, y0, x1, y1 = bound.seen_part()
    square = sitter.square
    assert abs(x0 - max(0, square.x)) <= 1 and abs(y0 - max(0, square.y)) <= 1
    assert abs(x1 - min(411, square.x + square.side)) <= 2 and abs(y1 - min(421, square.y + square.side)) <= 2
    cut = sitter.image[round(y0) : round(y1), round(x0) : round(x1)]
    assert np.array_equal(bound.picture, cut) and not any(side % 2 for side in bound.size)


def test_a_fit_does_not_depend_on_what_is_drawn_and_how_large(codec, sitter):
    own = codec.bound(sitter)
    for other in (replace(sitter, limit=200), replace(sitter, view="face", limit=120)):
        small = codec.bound(other)
        np.testing.assert_array_equal(own.fit.coefficients, small.fit.coefficients)
        np.testing.assert_array_equal(own.fit.pose, small.fit.pose)
        there = small.fit.points / small.scale + small.corner
        np.testing.assert_allclose(there, own.fit.points, atol=1e-6)
        at = head_model().at_landmarks(small.fit.vertices())[:468].astype(float)
        drawn = small.fit.camera.project(to_camera(at, small.fit.R, small.fit.T))
        assert np.abs(drawn - small.fit.points[:468]).mean() < 1  # the mesh lies on the landmarks
        x, y = np.round(small.fit.points[1] - small.box[:2]).astype(int)  # the nose's tip
        i, j = np.round(own.fit.points[1]).astype(int)[::-1]
        assert np.abs(small.picture[y, x].astype(int) - sitter.image[i, j]).max() < 40


def test_a_mask_over_the_photographed_mouth_is_the_maps_mouth(codec, sitter):
    bound = codec.bound(sitter)
    lips = sitter.face.points().lips
    mask = np.zeros(sitter.image.shape[:2], np.float32)
    mask[int(lips[1]) : int(lips[3]), int(lips[0]) : int(lips[2])] = 1
    carried = bound.carried(mask)
    mouth = torch.from_numpy(face_map().regions["mouth"])
    assert carried.shape == (32, 32) and carried.min() >= 0 and carried.max() > 0.9
    assert (carried * (1 - mouth)).sum() < 0.02 * carried.sum()
    assert bound.carried(np.ones_like(mask)).min() == 1 and not bound.carried(np.zeros_like(mask)).any()


@pytest.mark.parametrize("side", [0, 1])
def test_half_of_a_photograph_is_half_of_the_map(codec, sitter, side):
    bound = codec.bound(sitter)
    middle = sum(sitter.face.points().mouth[:1])
    mask = np.zeros(sitter.image.shape[:2], np.float32)
    mask[:, int(middle) :] = 1
    mask = mask if side else 1 - mask
    carried = bound.carried(mask)
    inner, outer = (carried[4:28, 18:28], carried[4:28, 4:14])[:: 1 if side else -1]
    assert inner.mean() > 0.95 and outer.mean() < 0.05


def test_a_region_is_shown_over_the_photograph_where_it_lies(codec, sitter):
    bound = codec.bound(sitter)
    mouth, upper = (bound.shown(bound.masks[name]) for name in ("mouth", "upper"))
    points = sitter.face.points()
    x, y = (round(v) for v in points.mouth)
    eye = [round(v) for v in points.eye_left]
    assert mouth[y, x] > 0.9 and upper[y, x] < 0.1
    assert upper[eye[1], eye[0]] > 0.9 and mouth[eye[1], eye[0]] < 0.1
    assert not mouth[:, :5].any() and not upper[-5:].any()


def test_faces_without_landmarks_are_refused(codec, sitter):
    box = Face(sitter.face.box)
    with pytest.raises(InputError, match="landmarks of a human face were looked for"):
        codec.bound(replace(sitter, face=box))


def test_what_the_network_is_told_of_the_portrait(codec, sitter):
    bound = codec.bound(sitter)
    assert bound.reference.shape == (1, 24, 32, 32)
    assert torch.equal(bound.reference[0, :20], codec.places)
    own = codec.read(bound.reference[:, 20:])[0].numpy()
    np.testing.assert_allclose(own[:12], bound.fit.coefficients[:12], atol=1e-3)
    np.testing.assert_allclose(own[54:57], bound.fit.pose[:3], atol=0.01)


def test_motion_that_is_read_is_the_portraits_own_and_what_is_added(codec, sitter):
    bound = codec.bound(sitter)
    still = bound.motion(torch.zeros(1, 3, 4, 32, 32), 5, 25.0)
    np.testing.assert_allclose(still.times, [0.2, 0.24, 0.28])
    np.testing.assert_allclose(still.pose, np.repeat(bound.fit.pose[None], 3, 0), atol=1e-6)
    np.testing.assert_allclose(still.coefficients[1], bound.fit.coefficients, atol=1e-6)


def test_codecs_of_pictures_show_their_square_alone(sitter):
    codec = PixelUnshuffle(8)
    bound = codec.bound(sitter)
    assert np.array_equal(bound.picture, sitter.square.apply(sitter.image, 128)) and bound.size == (128, 128)
    assert VIEWS == ("photo", "face") and codec.bound(replace(sitter, view="face", limit=128)).size == (
        128,
        128,
    )
    for other in (replace(sitter, view="photo"), replace(sitter, limit=0), replace(sitter, limit=512)):
        with pytest.raises(InputError, match="128 pixels; leave --(view|size) out"):
            codec.bound(other)
    with pytest.raises(InputError, match="knows no motion"):
        bound.motion(torch.zeros(1, 1, 192, 16, 16), 0, 25.0)
    latents = codec.encode(torch.rand(1, 5, 3, 128, 128) * 2 - 1)
    pieces = list(bound.stream(latents, 2))
    assert [len(piece) for piece in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat(pieces), codec.decode(latents)[0])
    held = torch.cat(list(bound.stream(latents, 2, latents[:, 0], torch.zeros(5, 128, 128))))
    assert torch.equal(held, codec.decode(latents[:, :1])[0].expand(5, -1, -1, -1))


def test_a_tilted_head_is_fitted_as_it_lies(codec):
    image = np.asarray(Image.fromarray(astronaut()).rotate(-25, Image.Resampling.BICUBIC, center=(224, 120)))
    face = find_faces(image, "landmarker")
    bound = codec.bound(Sitter(image, face, Crop(0, 0, 512), 128))
    upright = find_faces(astronaut(), "landmarker")
    straight = codec.bound(Sitter(astronaut(), upright, Crop(0, 0, 512), 128))
    assert bound.fit.pose[2] - straight.fit.pose[2] == pytest.approx(25, abs=3)
    assert bound.masks["mouth"].equal(straight.masks["mouth"])
