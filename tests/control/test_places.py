"""What each place of a map has of its own."""

import pytest
import torch
from motion_models import MOTION, motion_model

from actalker.backbones.unet import ControlUNet
from actalker.control.places import Places
from actalker.data.performances.dataset import PerformanceConfig, PerformanceDataset
from actalker.data.performances.told import conditions
from actalker.data.sample import collate
from actalker.errors import InputError


def test_tokens_and_planes_get_the_same_features_place_by_place():
    """Against a loop over frames, rows and columns."""
    torch.manual_seed(0)
    places, frames = Places((3, 4), 5, 0.5), torch.randn(4, 5, 3, 4)
    expected = frames.clone()
    for f in range(4):
        for row in range(3):
            for column in range(4):
                expected[f, :, row, column] += places.features[4 * row + column]
    torch.testing.assert_close(places.planes(frames), expected)
    flat = frames.permute(0, 2, 3, 1).reshape(2, 2 * 12, 5)  # two items of two frames
    given = expected.permute(0, 2, 3, 1).reshape(2, 2 * 12, 5)
    torch.testing.assert_close(places.tokens(flat), given)


def network(**more):
    return ControlUNet(**{**MOTION["denoiser_args"], **more})


def test_every_control_layer_has_the_places_of_its_own_grid():
    """Seen in a pass: as many features as the tokens of a frame that the layer gets."""
    made = motion_model(
        placed=True,
        sample_size=32,
        down_block_types=["CrossAttnDownBlockSpatioTemporal"] * 2,
        up_block_types=["CrossAttnUpBlockSpatioTemporal"] * 2,
    )
    seen = []
    for layer in made.network.control:
        layer.register_forward_hook(
            lambda layer, given, _: seen.append((layer.places.features.shape[0], given[0].shape[2:4]))
        )
    data = PerformanceDataset(PerformanceConfig(frames=2, seconds=1), 1)
    told = conditions(made, collate([data[0]]))
    made.denoise(torch.randn(1, 2, 4, 32, 32), torch.ones(1), told)
    assert len(seen) == len(made.network.control) > 1
    assert all(count == rows * columns for count, (rows, columns) in seen)
    assert len({count for count, _ in seen}) > 1 and made.network.places.features.shape[0] == 16 * 16


@pytest.mark.parametrize("size", [None, 30, 7, (32, 30)])
def test_a_size_that_the_levels_do_not_divide_is_told(size):
    with pytest.raises(InputError, match="placed: sample_size"):
        ControlUNet(**MOTION["denoiser_args"], placed=True, sample_size=size)
