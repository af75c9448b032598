"""Fréchet distances between the features of generated and of real videos: FID by frames, FVD by clips.

Letters: f frames, h w picture size, d width of a feature, n features.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..extras import need
from .clip import Clip, Unmeasurable
from .metric import Weights

STRETCH, SIDE = 16, 224  # frames and pixels that I3D sees at once
BATCH = 16
FEWEST = 2  # features that have a covariance


class Moments:
    """Accumulate the mean and covariance of features in float64."""

    def __init__(self) -> None:
        self.count, self.sum, self.products = 0, np.zeros(()), np.zeros(())

    def add(self, features: np.ndarray) -> None:
        """Add features (n, d)."""
        x = features.astype(np.float64)
        self.count += len(x)
        self.sum = self.sum + x.sum(0)
        self.products = self.products + x.T @ x

    def mean_and_covariance(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean (d,) and the unbiased covariance (d, d).

        Raises: Unmeasurable for fewer than two features.
        """
        if self.count < FEWEST:
            raise Unmeasurable("less than two features")
        mean = self.sum / self.count
        return mean, (self.products - self.count * np.outer(mean, mean)) / (self.count - 1)


def frechet_distance(one: Moments, other: Moments) -> float:
    """Return |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½) of two Gaussians (Dowson & Landau 1982).

    tr (S1 S2)^½ is the sum of the roots of the eigenvalues of S1^½ S2 S1^½, which are real and not negative.
    """
    (m1, s1), (m2, s2) = one.mean_and_covariance(), other.mean_and_covariance()
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ s2 @ root), 0, None)).sum()
    return float(max(0.0, ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * cross))


@lru_cache(maxsize=2)
def scripted(path: Path, what: str) -> nn.Module:
    """Load a TorchScript file; the last two stay in memory. what: the file that is wanted, for messages.

    Raises: InputError for other files.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is on its way out of torch; these weights are in it
            return torch.jit.load(str(path), map_location="cpu").eval()
    except Exception as error:  # a file that is none can make the reader raise anything
        words = " ".join(str(error).split())[:80]
        raise InputError(f"{path}: is no TorchScript ({words}); give {what}") from None


@torch.no_grad()
def tried(look: Callable[[], object], path: Path) -> int:
    """Check a feature network by one call before the work; returns the width d of its features.

    Args:
        look: calls the network on a blank clip and returns its features, which must be (1, d).
        path: file of the network, for messages.
    Raises: InputError for a network that cannot be called so, or returns something else.
    """
    try:
        features = look()
    except Exception as error:  # a network of another kind can raise anything
        words = " ".join(str(error).strip().splitlines()[-1:])[:120]
        raise InputError(f"{path}: is not called as the network that is wanted ({words})") from None
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 1:
        raise InputError(f"{path}: gives no features (1, d) of a clip; give the network that is wanted")
    return int(features.shape[1])


class Inception(nn.Module):
    """Inception's features of frames, as `torchmetrics` asks for them.

    A TorchScript such as NVIDIA's inception-2015-12-05.pt, called with return_features, takes (n, 3, h, w)
    uint8 and resizes them itself.
    """

    num_features = 2048

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.net = scripted(path, "inception-2015-12-05.pt, from NVIDIA's stylegan3")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features (n, 2048) of pictures (n, 3, h, w) uint8."""
        return self.net(pictures, return_features=True).float()


class FID:
    """torchmetrics' Fréchet inception distance over all frames of all clips."""

    def __init__(self, weights: Weights) -> None:
        assert weights.inception is not None
        fid = need("eval", "torchmetrics.image.fid").FrechetInceptionDistance
        net = Inception(weights.inception)
        blank = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
        net.num_features = tried(partial(net, blank), weights.inception)
        self.metric = fid(feature=net, input_img_size=(3, 64, 64))
        self.counts = [0, 0]

    def add(self, generated: Clip, reference: Clip | None) -> None:
        """Add the frames of a clip and of its reference."""
        assert reference is not None
        for k, frames in enumerate((generated.frames, reference.frames)):
            self.counts[k] += len(frames)
            for block in torch.from_numpy(frames).permute(0, 3, 1, 2).split(BATCH):
                self.metric.update(block, real=bool(k))

    def value(self) -> float:
        """Return the distance. Raises: Unmeasurable for fewer than two frames."""
        if min(self.counts) < FEWEST:
            raise Unmeasurable("less than two features")
        return max(0.0, float(self.metric.compute()))  # of equal clips it is a little below


class FVD:
    """Fréchet video distance over stretches of 16 frames, one after another, at 224 pixels in [-1, 1].

    I3D as TorchScript (i3d_torchscript.pt, from StyleGAN-V), called with rescale, resize and
    return_features.
    """

    def __init__(self, weights: Weights) -> None:
        assert weights.i3d is not None
        self.net = scripted(weights.i3d, "i3d_torchscript.pt, from StyleGAN-V")
        tried(partial(self._look, torch.zeros(1, 3, STRETCH, SIDE, SIDE)), weights.i3d)
        self.generated, self.reference = Moments(), Moments()

    def add(self, generated: Clip, reference: Clip | None) -> None:
        """Add the stretches of a clip and of its reference.

        Raises: Unmeasurable for clips of fewer than 16 frames.
        """
        assert reference is not None
        both = [self.features(clip.frames) for clip in (generated, reference)]
        for moments, features in zip((self.generated, self.reference), both, strict=True):
            moments.add(features)

    def _look(self, clip: Tensor) -> Tensor:
        """Return features (1, d) of a clip (1, 3, 16, 224, 224) in [-1, 1]."""
        return self.net(clip, rescale=False, resize=False, return_features=True).flatten(1)

    @torch.no_grad()
    def features(self, frames: np.ndarray) -> np.ndarray:
        """Return I3D's features (n, d) of frames (f, h, w, 3) uint8, n = f // 16.

        Raises: Unmeasurable for fewer than 16 frames.
        """
        count = len(frames) // STRETCH
        if not count:
            raise Unmeasurable(f"less than {STRETCH} frames")
        out = []
        for k in range(count):
            pixels = torch.from_numpy(frames[k * STRETCH : (k + 1) * STRETCH]).permute(0, 3, 1, 2).float()
            pixels = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False) / 127.5 - 1
            out.append(self._look(pixels.permute(1, 0, 2, 3)[None]))
        return torch.cat(out).double().numpy()

    def value(self) -> float:
        """Return the distance. Raises: Unmeasurable for fewer than two stretches."""
        return frechet_distance(self.generated, self.reference)
