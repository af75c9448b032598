"""The warp, and the head that draws on it, against scipy and by their properties."""

import numpy as np
import pytest
import torch
from models import small_model, some_conditions
from scipy.ndimage import map_coordinates

from actalker.backbones.warp import DetailHead, Grain, Painting, paint, refined, warp
from actalker.errors import InputError


def test_a_warp_of_nothing_is_the_picture_and_whole_steps_are_exact():
    picture = torch.randn(1, 3, 16, 16)
    assert torch.allclose(
        warp(picture, torch.zeros(1, 2, 2, 16, 16)), picture[:, None].expand(1, 2, -1, -1, -1), atol=1e-5
    )
    field = torch.zeros(1, 1, 2, 16, 16)
    field[:, :, 0], field[:, :, 1] = 2, -1  # taken from two to the right and one above
    moved = warp(picture, field)[0, 0]
    torch.testing.assert_close(moved[:, 1:, :-2], picture[0, :, :-1, 2:], atol=1e-5, rtol=1e-5)


def test_a_warp_is_scipys_interpolation():
    rng = np.random.default_rng(0)
    picture, field = rng.normal(size=(20, 20)), rng.normal(size=(2, 20, 20))
    got = warp(torch.tensor(picture)[None, None], torch.tensor(field)[None, None])[0, 0, 0].numpy()
    rows, columns = np.mgrid[:20, :20].astype(float)
    expected = map_coordinates(picture, [rows + field[1], columns + field[0]], order=1, mode="nearest")
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_folded_warp_moves_pixels():
    picture = torch.randn(2, 3, 32, 32)
    field = torch.randn(2, 3, 2, 8, 8) * 0.3
    folded = warp(torch.pixel_unshuffle(picture, 8), field, stride=8)
    plain = warp(picture, field * 8)
    torch.testing.assert_close(torch.pixel_shuffle(folded, 8), plain)


def test_positions_are_as_fine_in_bfloat16_as_in_float32():
    """What is rounded is the picture and the field, not where a pixel stands."""
    picture, field = torch.randn(1, 3, 128, 128).bfloat16(), torch.randn(1, 1, 2, 32, 32).bfloat16()
    exact = warp(picture.float(), field.float())
    torch.testing.assert_close(warp(picture, field), exact.bfloat16(), atol=0, rtol=0)


@pytest.mark.parametrize(("stride", "side"), [(2, 24), (4, 16), (8, 12)])
def test_detail_starts_at_nothing_and_reaches_only_its_neighbours(stride, side):
    torch.manual_seed(stride)
    head = DetailHead(16, stride, 8).eval().requires_grad_(False)
    features = torch.randn(1, 16, side, side)
    centre, output = torch.randn(2, 1, 3 * stride**2, side, side)
    assert not any(part.any() for part in head(features, centre, output))
    torch.nn.init.normal_(head.conv_out.weight)
    before = torch.cat(head(features, centre, output), dim=1)
    reach = stride + 2 * (1 + 1 + 1 + 2 + 4 + 1)  # six convolutions of two by two pixels
    for changed in (0, 1):
        told = [centre.clone(), output.clone()]
        told[changed][:, :, 0, 0] += 1
        moved = (torch.cat(head(features, *told), dim=1) - before).abs().amax((0, 1))
        assert moved[:stride, :stride].any() and not moved[reach:].any() and not moved[:, reach:].any()


def test_detail_needs_pixels_folded_by_an_even_number():
    for stride in (1, 5):
        with pytest.raises(InputError, match=f"folds {stride} pixels"):
            DetailHead(16, stride, 8)


def test_painting_is_the_warp_and_paint_over_it():
    """In pixels, by hand: finer motion adds to the field, cover takes the picture away, paint is added."""
    picture, stride = torch.rand(2, 3, 32, 32), 8
    reference, flow = torch.pixel_unshuffle(picture, stride), torch.randn(2, 2, 2, 8, 8) * 0.2
    nothing = Painting(torch.zeros(4, 2, 32, 32), torch.zeros(4, 1, 32, 32), torch.zeros(4, 3, 32, 32))
    clean = torch.zeros_like(reference)
    plain = paint(reference, clean, refined(flow, nothing), nothing, stride)
    torch.testing.assert_close(plain, warp(reference, flow, stride))

    step = torch.zeros(4, 2, 32, 32)
    step[:, 0] = 1 / stride  # from one pixel to the right
    cover = torch.zeros(4, 1, 32, 32)
    cover[..., :16, :] = 1
    cover[..., 16:20, :] = 0.25
    colour = torch.full((4, 3, 32, 32), 0.5) * cover
    painting = Painting(step, cover, colour)
    still = torch.zeros(2, 2, 2, 8, 8)
    got = paint(reference, clean, refined(still, painting), painting, stride)
    shown = torch.pixel_shuffle(got, stride)
    expected = picture.roll(-1, -1)[:, None, :, :, :-1].expand(-1, 2, -1, -1, -1).clone()
    expected[..., :16, :] = 0.5
    expected[..., 16:20, :] = 0.75 * expected[..., 16:20, :] + 0.125
    torch.testing.assert_close(shown[..., :-1], expected, atol=1e-5, rtol=1e-5)


def test_grain_stays_where_it_is():
    """A portrait whose grain is told apart shows, moved and painted on, the same and the grain."""
    stride = 8
    plain, grain = (torch.pixel_unshuffle(torch.rand(2, 3, 32, 32), stride) for _ in range(2))
    flow = torch.randn(2, 2, 2, 32, 32) * 0.2
    painting = Painting(flow.flatten(0, 1), torch.rand(4, 1, 32, 32), torch.rand(4, 3, 32, 32))
    apart = paint(plain + grain, grain, flow, painting, stride)
    expected = paint(plain, torch.zeros_like(plain), flow, painting, stride) + grain[:, None]
    torch.testing.assert_close(apart, expected, atol=1e-5, rtol=1e-5)


def test_grain_is_read_near_each_place_and_is_none_at_the_start():
    stride = 4
    finder, portrait = Grain(stride, width=8), torch.randn(2, 3 * stride**2, 8, 8)
    assert torch.equal(finder(portrait), torch.zeros_like(portrait))
    torch.nn.init.normal_(finder.layers[-1].weight)
    before, changed = finder(portrait), portrait.clone()
    changed[:, :, 0, 0] += 1
    moved = torch.pixel_shuffle(finder(changed) - before, stride).abs().amax((0, 1))
    reach = stride + 2 * 3  # three convolutions of two by two pixels
    assert moved[:stride, :stride].any() and not moved[reach:].any() and not moved[:, reach:].any()


def test_a_network_with_a_new_detail_head_is_the_network_without():
    plain, more = small_model(), small_model(denoiser_args={"detail_width": 8})
    missing = more.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all(key.startswith(("network.detail.", "network.grain.")) for key in missing)
    told, x = some_conditions(plain), torch.randn(1, 4, 192, 8, 8)
    ours, theirs = (m.denoise(x, torch.ones(1), told) for m in (plain, more))
    assert torch.equal(ours, theirs)
    torch.nn.init.normal_(more.network.detail.conv_out.weight)
    assert not torch.equal(more.denoise(x, torch.ones(1), told), theirs)
