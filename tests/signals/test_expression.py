"""The motion code is a bottleneck; augmentation changes looks, not motion, and the same way in all frames."""

import numpy as np
import pytest
import torch

from actalker.signals.expression import POSE, AugmentStrategy, ExpressionConfig, ExpressionEncoder, augment
from actalker.signals.identity import IdentityConfig, IdentityEncoder
from actalker.signals.optical_flow import optical_flow


@pytest.fixture
def encoder():
    return ExpressionEncoder(ExpressionConfig()).eval()


def clip(b=2, f=3, seed=0, size=64):
    """Smooth random pictures."""
    coarse = torch.rand(b * f, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").view(b, f, 3, size, size)


def still(b=2, size=128):
    """A rest picture."""
    return clip(b, 1, 9, size)[:, 0]


def test_tokens_see_the_picture_only_through_the_code(encoder):
    tokens, code = (part(clip(size=128), still()) for part in (encoder, encoder.read))
    assert code.shape == (2, 3, 24 + POSE)
    assert torch.equal(encoder.tokens(code), tokens)
    assert tokens.shape == encoder.absent(2, 3).shape


def test_each_frame_is_read_on_its_own(encoder):
    x = clip(size=128)
    y = x.clone()
    y[0, 2] = -y[0, 2]
    assert (encoder.read(x, still()) != encoder.read(y, still())).any(-1).nonzero().tolist() == [[0, 2]]


def test_a_code_learns_where_something_is(encoder):
    """A bright dot's place is read off after a few steps, on clips not seen before."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(encoder.parameters(), 2e-3)

    def dots():
        at = torch.rand(1, 32, 2, generator=generator) * 1.2 - 0.6
        axis = torch.linspace(-1, 1, 128)
        dx, dy = axis[None, :] - at[0, :, :1], axis[None, :] - at[0, :, 1:]
        dot = torch.exp(-(dx[:, None, :] ** 2 + dy[:, :, None] ** 2) / 0.05)
        return (2 * dot - 1)[None, :, None].expand(1, 32, 3, 128, 128), at

    for _ in range(60):
        crops, at = dots()
        loss = (encoder.read(crops, torch.zeros(1, 3, 128, 128))[..., :2] - at).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    crops, at = dots()
    read = encoder.read(crops, torch.zeros(1, 3, 128, 128))[..., :2]
    assert (read - at).abs().mean() < 0.15  # 0.3 for a guess of the middle


def test_augmentation_is_the_same_for_all_frames_of_a_clip():
    one = clip(b=4, f=1)
    out = augment(one.expand(4, 5, 3, 64, 64), torch.Generator().manual_seed(3))
    assert (out == out[:, :1]).all()
    assert out.abs().max() <= 1
    assert all((out[k] - one[k]).abs().mean() > 0.02 for k in range(4))


NOTHING = dict.fromkeys(AugmentStrategy.__dataclass_fields__, 0.0)


def test_augmentation_of_strength_zero_changes_nothing_and_each_setting_something():
    crops = clip(b=6)
    none = augment(crops, torch.Generator().manual_seed(0), AugmentStrategy(**NOTHING))
    assert torch.allclose(none, crops, atol=1e-5)
    for name in NOTHING:
        one = augment(crops, torch.Generator().manual_seed(0), AugmentStrategy(**{**NOTHING, name: 0.3}))
        assert (one - crops).abs().max() > 0.01, name


def test_augmentation_differs_between_clips_and_follows_the_generator():
    same = clip(b=1).expand(2, 3, 3, 64, 64)
    a, b, c = (augment(same, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c) and not torch.equal(a[0], a[1])


def test_augmentation_never_mirrors():
    """A bright left half stays the bright half in every draw: image-left and right lids stay apart."""
    crops = torch.full((64, 1, 3, 64, 64), -0.8)
    crops[..., :32] = 0.8
    out = augment(crops, torch.Generator().manual_seed(0)).median(dim=3).values  # over rows
    assert (out[..., 8:24].mean((1, 2, 3)) > out[..., 40:56].mean((1, 2, 3)) + 0.3).all()


def test_augmentation_keeps_a_point_near_its_place():
    crops = torch.full((32, 1, 3, 64, 64), -1.0)
    crops[..., 30:34, 30:34] = 1.0
    out = augment(crops, torch.Generator().manual_seed(0)).mean(2)[:, 0]
    place = out[:, 20:44, 20:44].flatten(1).argmax(1)
    row, column = place // 24 + 20, place % 24 + 20
    near = ((row - 31.5).abs() < 5) & ((column - 31.5).abs() < 5)
    assert near.float().mean() > 0.85  # a covering patch may hide it


def test_identity_tokens_are_of_the_picture_not_of_its_size():
    encoder = IdentityEncoder(IdentityConfig()).eval()
    small = clip(b=2, f=1)[:, 0]
    large = small.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    torch.testing.assert_close(encoder(large), encoder(small), atol=1e-5, rtol=1e-5)
    assert (encoder(small)[0] - encoder(small)[1]).abs().max() > 1e-2
    assert encoder.absent(2).shape == encoder(small).shape


def test_identity_sees_the_mean_of_fine_detail():
    """A checkerboard of single pixels is grey, not what every second pixel happens to be."""
    encoder = IdentityEncoder(IdentityConfig())
    checker = (torch.arange(128)[:, None] + torch.arange(128)) % 2 * 2.0 - 1
    grey = encoder(torch.zeros(1, 3, 128, 128))
    torch.testing.assert_close(encoder(checker.expand(1, 3, 128, 128)), grey, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [64, 128, 200])
def test_the_pose_sees_how_far_a_face_went(size):
    """In 64ths of the crop's side, whatever that is and whatever the picture's colours; at first unused."""
    encoder = ExpressionEncoder(ExpressionConfig(size=size)).eval()
    seen = []
    encoder.pose.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    generator = torch.Generator().manual_seed(1)
    wide = torch.rand(1, 3, 24, 24, generator=generator)
    wide = torch.nn.functional.interpolate(wide, (2 * size, 2 * size), mode="bicubic") * 2 - 1
    rows, columns = round(0.02 * size), round(0.05 * size)
    start = size // 2
    rest = wide[..., start : start + size, start : start + size]
    crop = wide[..., start - rows : start - rows + size, start - columns : start - columns + size]
    code = encoder.read(torch.stack([rest, crop], 1), rest)
    still, moved = seen[0][:, :2, 3:-3, 3:-3].mean((2, 3))
    assert still.abs().max() < 0.02
    expected = torch.tensor([columns, rows]) * 64 / size
    torch.testing.assert_close(moved, expected, atol=0.25, rtol=0)
    torch.nn.init.normal_(encoder.pose[0].weight)
    assert torch.equal(encoder.read(torch.stack([rest, crop], 1), rest), code)


def test_what_a_place_did_is_what_its_edges_did():
    """The mean by contrast of the places' flow, in a loop: what has no edges knows least of motion."""
    encoder = ExpressionEncoder(ExpressionConfig(size=64)).eval()
    seen = []
    encoder.pose.register_forward_pre_hook(lambda module, given: seen.append(given[0][0]))
    rest, crop = clip(1, 2, seed=4)[0]
    crop = 0.5 * rest + 0.5 * crop
    encoder(crop[None, None], rest[None])
    grey = [(picture.mean(0) / 2)[None, None] for picture in (rest, crop)]
    flow, contrast = (t[0].double().numpy() for t in optical_flow(*grey))
    weight, apart = contrast.sum(0), []
    for i in range(16):
        for j in range(16):
            place = slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4)
            if weight[place].mean() < 1:  # hardly any edges
                continue
            for k in range(2):
                expected = np.average(flow[k][place], weights=weight[place])
                assert float(seen[0][k, i, j]) == pytest.approx(expected, abs=0.05)
                apart.append(abs(expected - flow[k][place].mean()))
    assert max(apart) > 0.25  # a plain mean would not do
