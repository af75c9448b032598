"""Optical flow against motion that is known and against scikit-image's."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, gaussian_filter, shift
from skimage.registration import optical_flow_ilk

from actalker.signals.optical_flow import optical_flow

INNER = slice(10, -10)  # what comes in at the border was not there before


def texture(seed: int, side: int = 64) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 2) * 2


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).float()[None, None]


@pytest.mark.parametrize("moved", [(0.0, 0.0), (0.3, -0.7), (2.5, 1.0), (-4.0, 5.0)])
def test_a_shift_is_found_to_a_tenth_of_a_pixel(moved):
    right, down = moved
    for seed in range(3):
        picture = texture(seed)
        now = shift(picture, (down, right), mode="nearest")
        flow = optical_flow(tensor(picture), tensor(now)).flow[0, :, INNER, INNER]
        apart = (flow - torch.tensor(moved)[:, None, None]).norm(dim=0)
        assert apart.mean() < 0.1


def test_a_turn_is_found_as_well_as_by_scikit_image():
    angle, middle = np.deg2rad(4), 31.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # rows, columns
    rows, columns = np.mgrid[:64, :64] - middle
    true = np.stack(
        [turn[1, 0] * rows + turn[1, 1] * columns - columns, turn[0, 0] * rows + turn[0, 1] * columns - rows]
    )
    for seed in range(3):
        before = texture(seed)
        back = turn.T  # a place now was there before
        now = affine_transform(before, back, offset=middle - back @ [middle, middle], mode="nearest")
        ours = optical_flow(tensor(before), tensor(now)).flow[0].numpy()
        down, right = optical_flow_ilk(before.astype(np.float32), now.astype(np.float32), radius=5)
        error = [
            np.linalg.norm((f - true)[:, INNER, INNER], axis=0).mean()
            for f in (ours, np.stack([right, down]))
        ]
        assert error[0] < 0.15 and error[0] < 1.2 * error[1]


def test_what_a_picture_looks_like_drops_out():
    """Another contrast and level changes nothing, nor does the other half of a batch."""
    before, now = texture(0), shift(texture(0), (1.0, -2.0), mode="nearest")
    flow = optical_flow(tensor(before), tensor(now)).flow
    other = optical_flow(tensor(0.5 * before + 3), tensor(0.5 * now + 3)).flow
    torch.testing.assert_close(flow, other, atol=0.1, rtol=0)
    assert (flow - other).abs().mean() < 0.005
    pair = optical_flow(
        torch.cat([tensor(before), tensor(now)]), torch.cat([tensor(now), tensor(before)])
    ).flow
    torch.testing.assert_close(pair[:1], flow, atol=1e-4, rtol=0)


def test_without_contrast_there_is_no_motion():
    found = optical_flow(torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32))
    assert not found.flow.any() and not found.contrast.any()
    still = optical_flow(tensor(texture(1)), tensor(texture(1)))
    assert still.flow.abs().max() < 1e-6
    assert still.contrast.mean() == pytest.approx(1, abs=1e-3)
