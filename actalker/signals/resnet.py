"""The residual networks of ACTalker's release that read faces: expression, head pose, identity.

Expression and pose are ResNets (He et al. 2016) with group norms; identity is ArcFace (Deng et al. 2019). The
weights have the names of the release's files, so that these load as they are.

Letters: b batch, h w picture size, c channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..weights import load_frozen, read_tensors

STAGES = (64, 128, 256, 512)  # channels


class Bottleneck(nn.Module):
    """ResNet's bottleneck: convolutions 1 x 1, 3 x 3 (with the stride), 1 x 1, with norms of one group."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        """Make a block from `before` channels to 4 · width."""
        super().__init__()
        after = 4 * width
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.gn1 = nn.GroupNorm(1, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.gn2 = nn.GroupNorm(1, width)
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.gn3 = nn.GroupNorm(1, after)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.GroupNorm(1, after))
            if stride > 1 or before != after
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, before, h, w) to (b, 4 · width, h/stride, w/stride)."""
        y = F.relu(self.gn1(self.conv1(x)))
        y = F.relu(self.gn2(self.conv2(y)))
        y = self.gn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ExpressionNet(nn.Module):
    """ResNet-50 that reads the expression of a face."""

    def __init__(self, depths: tuple[int, ...] = (3, 4, 6, 3), features: int = 512) -> None:
        """Make a network; depths: blocks in each stage. features: of an expression."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.gn1 = nn.GroupNorm(1, 64)
        before = 64
        for k, (depth, width) in enumerate(zip(depths, STAGES, strict=True)):
            blocks = []
            for j in range(depth):
                blocks.append(Bottleneck(before, width, 2 if k and not j else 1))
                before = 4 * width
            setattr(self, f"layer{k + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, features)

    def forward(self, faces: Tensor) -> Tensor:
        """Map face crops (b, 3, h, w) in [0, 1] to expressions (b, features).

        Crops have 256 pixels a side in the release.
        """
        x = F.max_pool2d(F.relu(self.gn1(self.conv1(faces))), 3, 2, 1)
        for k in range(len(STAGES)):
            x = getattr(self, f"layer{k + 1}")(x)
        return self.fc(x.mean((2, 3)))


class PoseBlock(nn.Module):
    """ResNet's basic block: two 3 x 3 convolutions, the first with the stride, with norms of 32 groups."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        """Make a block from `before` channels to `width`."""
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.GroupNorm(32, width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.GroupNorm(32, width)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.GroupNorm(32, width))
            if stride > 1 or before != width
            else nn.Sequential()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, before, h, w) to (b, width, h/stride, w/stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class PoseNet(nn.Module):
    """ResNet-18 that reads the pose of a head."""

    def __init__(self, stem: int = 7) -> None:
        """Make a network; stem: side of the first kernel, 7 with a stride and pooling, 3 without either."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, stem, 2 if stem > 3 else 1, stem // 2, bias=False)
        self.bn1 = nn.GroupNorm(32, 64)
        self.pooled = stem > 3
        before = 64
        for k, width in enumerate(STAGES):
            setattr(
                self,
                f"layer{k + 1}",
                nn.Sequential(PoseBlock(before, width, 2 if k else 1), PoseBlock(width, width, 1)),
            )
            before = width
        self.fc = nn.Linear(before, 6)

    def forward(self, faces: Tensor) -> Tensor:
        """Map face crops (b, 3, h, w) in [-1, 1] to poses (b, 6).

        Three rotations in degrees within ±180, then three translations within ±2.
        """
        x = F.relu(self.bn1(self.conv1(faces)))
        x = F.max_pool2d(x, 3, 2, 1) if self.pooled else x
        for k in range(len(STAGES)):
            x = getattr(self, f"layer{k + 1}")(x)
        share = torch.sigmoid(self.fc(x.mean((2, 3))))
        return torch.cat([share[:, :3] * 360 - 180, share[:, 3:] * 4 - 2], dim=1)


class IdentityBlock(nn.Module):
    """ArcFace's block: norm, 3 x 3, norm, PReLU, 3 x 3 (with the stride), norm."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        """Make a block from `before` channels to `width`."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            if stride > 1 or before != width
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, before, h, w) to (b, width, h/stride, w/stride)."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        y = self.bn3(self.conv2(y))
        return y + (x if self.downsample is None else self.downsample(x))


class IdentityNet(nn.Module):
    """ArcFace's network as insightface has it (IResNet), which reads the identity of a face."""

    def __init__(self, depths: tuple[int, ...] = (3, 4, 14, 3)) -> None:
        """Make a network; depths: blocks in each stage."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        before = 64
        for k, (depth, width) in enumerate(zip(depths, STAGES, strict=True)):
            blocks = [IdentityBlock(width if j else before, width, 1 if j else 2) for j in range(depth)]
            setattr(self, f"layer{k + 1}", nn.Sequential(*blocks))
            before = width
        self.bn2 = nn.BatchNorm2d(before)
        self.fc = nn.Linear(before * 49, 512)
        self.features = nn.BatchNorm1d(512)

    def forward(self, heads: Tensor) -> Tensor:
        """Map head crops (b, 3, 112, 112) in [-1, 1] to identities (b, 512) of length 1."""
        x = self.prelu(self.bn1(self.conv1(heads)))
        for k in range(len(STAGES)):
            x = getattr(self, f"layer{k + 1}")(x)
        return F.normalize(self.features(self.fc(self.bn2(x).flatten(1))))


def depths_of(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the number of blocks in each of a residual network's four stages, from its weights' names."""
    counts = []
    for stage in range(1, 5):
        numbers = [int(m[1]) for key in weights if (m := re.match(rf"layer{stage}\.(\d+)\.", key))]
        counts.append(max(numbers, default=-1) + 1)
    return tuple(counts)


def load_identity(path: Path) -> nn.Module:
    """Load ArcFace's network (insightface's backbone), frozen. Raises InputError for other files."""
    weights = read_tensors(path)
    return load_frozen(partial(IdentityNet, depths_of(weights)), weights, path)


@torch.no_grad()
def identity_vectors(network: nn.Module, heads: np.ndarray) -> Tensor:
    """Compute identities, unit vectors (f, 512), of head crops (f, 112, 112, 3) uint8 RGB."""
    pixels = torch.from_numpy(heads).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.cat([network(block) for block in pixels.split(16)])
