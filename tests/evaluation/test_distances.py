"""Distances of distributions and of looks: closed forms, SciPy, torchmetrics, and a loop by names."""

from __future__ import annotations

import json
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from media_files import video_file
from scipy.linalg import sqrtm
from torch import nn
from torch.nn import functional as F

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.evaluation.clip import Clip, Unmeasurable
from actalker.evaluation.frechet import FID, FVD, Moments, frechet_distance
from actalker.evaluation.metric import Weights
from actalker.evaluation.perceptual import LPIPS, SCALE, SHIFT, lpips, lpips_net


def moments(x: np.ndarray) -> Moments:
    out = Moments()
    for block in np.array_split(x, 3):
        out.add(block)
    return out


def clip_of(frames: np.ndarray) -> Clip:
    clip = Clip(Path("made.mp4"))
    vars(clip).update(frames=frames, fps=Fraction(25))
    return clip


def noise(seed: int, count: int = 32, side: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.filterwarnings("ignore:Matrix is")  # fewer clips than numbers: scipy warns, and is right enough
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), d=st.integers(1, 12), n=st.integers(3, 40))
@example(seed=0, d=7, n=3)
def test_the_distance_is_scipys(seed, d, n):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(1, 2, (n + 5, d)) @ rng.normal(size=(d, d))
    c1, c2 = np.cov(x.T).reshape(d, d), np.cov(y.T).reshape(d, d)
    true = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1 + c2) - 2 * np.trace(np.real(sqrtm(c1 @ c2)))
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(true, rel=1e-4, abs=1e-3)


def test_gaussians_whose_distance_is_known():
    """Of equal covariance: the squared distance of the means. Of one mean: Σ (σ1 - σ2)²."""
    x = np.random.default_rng(0).normal(size=(500, 3))
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(x.T)), (x - x.mean(0)).T).T
    assert frechet_distance(moments(whitened), moments(whitened + [3, 0, 4])) == pytest.approx(25)
    assert frechet_distance(moments(whitened), moments(whitened * [2, 3, 1])) == pytest.approx(5)
    assert frechet_distance(moments(x), moments(x)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(Unmeasurable, match="less than two"):
        frechet_distance(moments(x[:1]), moments(x))


class Pictures(nn.Module):
    """What is asked of Inception's TorchScript: uint8 pictures of any size to features."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(48, 12)

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features
        return self.mix(F.adaptive_avg_pool2d(x.float() / 255, [4, 4]).flatten(1))


class Videos(nn.Module):
    """What is asked of I3D's: (b, 3, 16, 224, 224) in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv3d(3, 6, 4, 4)

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> torch.Tensor:
        assert not rescale and not resize and return_features
        assert x.shape[1:] == [3, 16, 224, 224] and float(x.abs().max()) < 1.001
        return self.mix(x).mean([2, 3, 4])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Weights:
    """Random weights in the published files' forms and names."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Pictures()).save(str(folder / "inception.pt"))
        torch.jit.script(Videos()).save(str(folder / "i3d.pt"))
    net = LPIPS("alex")
    torch.save(
        {f"features.{k}": v for k, v in net.features.state_dict().items()}
        | {"classifier.1.weight": torch.ones(2)},
        folder / "alexnet.pth",
    )
    torch.save(
        {f"lin{k}.model.1.weight": layer.weight.abs() for k, layer in enumerate(net.lins)},
        folder / "alex.pth",
    )
    return Weights(
        inception=folder / "inception.pt",
        i3d=folder / "i3d.pt",
        backbone=folder / "alexnet.pth",
        lpips=folder / "alex.pth",
    )


@pytest.mark.parametrize("kind", [FID, FVD])
def test_videos_are_at_no_distance_from_themselves_and_order_does_not_matter(kind, weights):
    one, other = [clip_of(noise(k, 64)) for k in (0, 1)], [clip_of(noise(k, 64) // 2) for k in (2, 3)]
    same, apart, turned = kind(weights), kind(weights), kind(weights)
    for a, b in zip(one, other, strict=True):
        same.add(a, a)
        apart.add(a, b)
    for a, b in zip(one[::-1], other[::-1], strict=True):
        turned.add(a, b)
    assert 0 <= same.value() < 1e-4
    assert apart.value() > 0.01 and turned.value() == pytest.approx(apart.value(), rel=1e-3)
    with pytest.raises(Unmeasurable, match="less than"):
        kind(weights).value()


def test_fid_is_the_distance_of_all_frames_features(weights):
    pool, net = FID(weights), torch.jit.load(str(weights.inception))
    a, b = noise(0, 20), noise(1, 20) // 2
    pool.add(clip_of(a), clip_of(b))
    with torch.no_grad():
        x, y = (
            net(torch.from_numpy(v).permute(0, 3, 1, 2), return_features=True).double().numpy()
            for v in (a, b)
        )
    assert pool.value() == pytest.approx(frechet_distance(moments(x), moments(y)), rel=1e-3)


def test_fvd_takes_whole_stretches_of_sixteen_frames(weights):
    pool = FVD(weights)
    assert pool.features(noise(0, 50)).shape == (3, 6)
    assert (pool.features(noise(0, 50)) == pool.features(noise(0, 48))).all()
    with pytest.raises(Unmeasurable, match="16 frames"):
        pool.add(clip_of(noise(0, 15)), clip_of(noise(0, 16)))


@pytest.mark.parametrize("kind", ["vgg", "alex"])
def test_lpips_is_the_loop_over_layers_and_channels(kind):
    """In float64 from the definition: unit features, squared, weighted, averaged, summed."""
    torch.manual_seed(0)
    net = LPIPS(kind).double().requires_grad_(False)
    one, other = torch.rand(2, 2, 3, 64, 64, dtype=torch.float64) * 2 - 1
    expected = torch.zeros(2).double()
    found = []
    for pictures in (one, other):
        x = torch.stack([(pictures[:, c] - SHIFT[c]) / SCALE[c] for c in range(3)], 1)
        kept = []
        for k, layer in enumerate(net.features):
            if isinstance(layer, nn.MaxPool2d) and kind == "vgg":
                x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
            else:
                x = layer(x)
            if k in net.taps:
                kept.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        found.append(kept)
    for a, b, lin in zip(*found, net.lins, strict=True):
        for c in range(a.shape[1]):
            expected += lin.weight[0, c, 0, 0] * (a[:, c] - b[:, c]).pow(2).mean((1, 2))
    torch.testing.assert_close(net(one, other), expected)
    assert net(one, one).abs().max() == 0


def test_the_stacks_have_the_published_layers_names():
    names = {"vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), "alex": (0, 3, 6, 8, 10)}
    for kind, layers in names.items():
        assert [k for k, layer in enumerate(LPIPS(kind).features) if isinstance(layer, nn.Conv2d)] == [
            *layers
        ]


def test_lpips_of_a_clip(weights):
    a = clip_of(noise(0, 11))
    assert lpips(a, a, weights) == 0
    assert lpips(a, clip_of(noise(1, 11)), weights) > 0
    with pytest.raises(Unmeasurable, match="smaller than 33"):
        lpips(clip_of(noise(0, 3, 20)), clip_of(noise(0, 3, 20)), weights)


def test_files_that_hold_other_weights_are_refused(weights, tmp_path):
    for wrong in ({"features.0.weight": torch.ones(2, 2)}, {"a": torch.ones(1)}):
        torch.save(wrong, tmp_path / "wrong.pth")
        with pytest.raises(InputError, match="neither vgg16 nor alexnet"):
            lpips_net(tmp_path / "wrong.pth", weights.lpips)
    with pytest.raises(InputError, match=r"alex\.pth"):
        lpips_net(weights.backbone, weights.backbone)
    (tmp_path / "no.pt").write_text("no")
    with pytest.raises(InputError, match="no TorchScript"):
        FVD(Weights(i3d=tmp_path / "no.pt"))


def test_the_program_gives_distances_of_folders(weights, tmp_path, capsys):
    for folder, shade in (("made", 1), ("real", 2)):
        (tmp_path / folder).mkdir()
        for k, count in enumerate((16, 32, 6)):
            video_file(tmp_path / folder / f"{k}.mp4", list(noise(k, count, 48) // shade), 25)
    words = ["evaluate", tmp_path / "made", "--reference", tmp_path / "real", "--out", tmp_path / "out"]
    words += ["--metrics", "fid,fvd,lpips", "--inception", weights.inception, "--i3d", weights.i3d]
    words += ["--backbone", weights.backbone, "--lpips", weights.lpips]
    assert main([str(word) for word in words]) == 0
    held = {row["metric"]: row for row in json.loads((tmp_path / "out" / "metrics.json").read_text())["rows"]}
    assert held["fid"]["count"] == 3 and held["fid"]["value"] > 0 and held["fid"]["low"] is None
    assert held["fvd"]["count"] == 2 and held["fvd"]["failures"] == {"less than 16 frames": 1}
    assert held["lpips"]["count"] == 3 and held["lpips"]["protocol"]["weights"].keys() == {
        "backbone",
        "lpips",
    }
    assert "fvd ↓" in capsys.readouterr().out
