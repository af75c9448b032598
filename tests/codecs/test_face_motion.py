"""Motion on the face's map: numbers come back, regions keep to themselves, masks of photographs find their
places.
"""

import numpy as np
import pytest
import torch

from actalker.backbones import Direct
from actalker.codecs import FaceMotion
from actalker.control.conditions import Conditions
from actalker.diffusion.precondition import Precondition, PreconditionConfig
from actalker.errors import InputError
from actalker.heads.eyes import look
from actalker.heads.face_map import CELLS, NUMBERS, face_map, motion_of, numbers_of
from actalker.heads.model import COEFFICIENTS, head_model
from actalker.heads.motion import HeadMotion

READ = [k for k, name in enumerate(NUMBERS) if not name.startswith("eyeLook")]
MOUTH = [k for k, name in enumerate(NUMBERS) if name.startswith(("jaw", "mouth", "cheekPuff", "tongue"))]


@pytest.fixture(scope="module")
def codec():
    return FaceMotion().eval()


def numbers(f, seed=0):
    """Random motion beyond what faces do: (f, 62)."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-1, 1, (f, 8)) * (40, 30, 30, 8, 8, 15, 30, 30)
    return np.concatenate([rng.uniform(-1, 1, (f, 54)), pose], 1).astype(np.float32)


def test_tracks_come_back(codec):
    given = numbers(2000)
    motion = motion_of(given, np.arange(2000) / 25)
    latents = codec.encode(motion)
    assert latents.shape == (1, 2000, 4, 32, 32)
    back = motion_of(codec.read(latents)[0].numpy(), motion.times)
    assert np.abs(back.coefficients - motion.coefficients).max() <= 1e-3
    assert np.abs(back.pose - motion.pose).max() <= 0.01
    assert np.abs(back.gaze - motion.gaze).max() <= 0.01


def test_zeros_are_nothing_and_noise_averages_out(codec):
    assert not codec.read(torch.zeros(3, 4, 32, 32)).any()
    given = torch.from_numpy(numbers(200))
    noisy = codec.lay(given) + 0.1 * torch.randn(200, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    wrong = (codec.read(noisy) - given)[:, READ].std(0)
    assert wrong[: READ.index(NUMBERS.index("yaw"))].median() < 0.02  # of a coefficient of 1


def test_the_map_is_displacement_in_the_heads_axes(codec):
    jaw, blink = (codec.basis[COEFFICIENTS.index(name)] for name in ("jawOpen", "eyeBlink_L"))
    model = head_model()
    chin, lid = ((1 - model.uv[model.landmark_vertices[k, 0], 1]) * 32 for k in (152, 386))
    columns = [int(model.uv[model.landmark_vertices[k, 0], 0] * 32) for k in (152, 386)]
    assert jaw[1, int(chin), columns[0]] < -0.5 * jaw.abs().max()  # down, and y points up
    assert blink[1, int(lid), columns[1]] < -0.5 * blink.abs().max()
    lengths = codec.basis[:, :3].flatten(1).norm(dim=1)
    assert torch.allclose(lengths[lengths > 0], torch.tensor(12.0), atol=1e-3)  # equal energy


def test_closing_lips_move_towards_each_other(codec):
    closing = codec.basis[COEFFICIENTS.index("mouthClose"), 1]
    model = head_model()
    rows = [
        int((1 - model.uv[model.landmark_vertices[k, 0], 1]) * 32) for k in (0, 17)
    ]  # outer lips' middles
    column = int(model.uv[model.landmark_vertices[0, 0], 0] * 32)
    assert closing[rows[0], column] < 0 < closing[rows[1], column]


def test_regions_part_the_map_and_keep_to_themselves(codec):
    regions = face_map().regions
    assert not (regions["mouth"] * regions["upper"]).any()
    assert (regions["mouth"] + regions["upper"] == regions["face"]).all() and regions["frame"].all()
    given = torch.from_numpy(numbers(50))
    for name in ("mouth", "upper"):
        read = codec.read(codec.lay(given) * torch.from_numpy(regions[name]))
        inside = [k for k in READ if (k in MOUTH) == (name == "mouth")]
        outside = [k for k in READ if k not in inside]
        assert (read - given)[:, inside].abs().max() < 0.01 and read[:, outside].abs().max() < 1e-4


def test_pose_lies_outside_the_mouth_and_the_tongue_inside():
    for name in CELLS:
        cells = np.abs(face_map().basis[NUMBERS.index(name), 3]) > 0
        inside = face_map().regions["mouth"][cells]
        assert inside.all() if name == "tongueOut" else not inside.any()
        assert cells.sum() >= 16
        assert np.array_equal(cells, cells[:, ::-1])  # a mask over half of a face takes half of everything


def test_places_tell_where_and_what(codec):
    assert codec.places.shape == (20, 32, 32)
    assert torch.linalg.matrix_rank(codec.places.flatten(1)) == 20
    assert codec.places.abs().max() < 3


def test_direct_is_the_gated_sum_inside_regions(codec):
    given = {s: torch.from_numpy(numbers(6, k))[None] for k, s in enumerate(("audio", "expression"))}
    regions = {"audio": "mouth", "expression": "upper"}
    masks = {s: torch.from_numpy(face_map().regions[r]).expand(1, 6, 32, 32) for s, r in regions.items()}
    gates = {"audio": torch.linspace(0, 1, 6)[None], "expression": torch.full((1, 6), 0.5)}
    told = Conditions({s: n[:, :, None] for s, n in given.items()}, masks, gates)
    denoise = Precondition(Direct(), PreconditionConfig(prediction="sample"))
    x = torch.randn(1, 6, 4, 32, 32)
    read = codec.read(denoise(x, torch.tensor([0.7]), told))
    for s, inside in (("audio", MOUTH), ("expression", [k for k in READ if k not in MOUTH])):
        torch.testing.assert_close(
            read[..., inside], (gates[s][..., None] * given[s])[..., inside], rtol=1e-3, atol=1e-3
        )
    assert torch.equal(denoise.weight(torch.tensor([0.7])), torch.ones(1))


def test_motion_alone_is_no_picture(codec):
    with pytest.raises(InputError, match="with a portrait"):
        codec.decode(torch.zeros(1, 1, 4, 32, 32))


def test_numbers_and_motion_are_one(codec):
    given = numbers(5)
    motion = motion_of(given, np.arange(5.0))
    assert isinstance(motion, HeadMotion)
    np.testing.assert_array_equal(numbers_of(motion)[:, READ], given[:, READ])
    np.testing.assert_array_equal(motion.coefficients, look(given[:, :54], given[:, -2:]))
