"""Encoder of the facial motion in crops of a driving video, through a code too small to carry identity.

Letters: b batch, f frames, n tokens a frame, d width, k numbers of the code, s side of a crop in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .optical_flow import optical_flow
from .signal import repeat_null
from .standardize import Standardize

POSE = 6  # numbers of the code for the head's pose: three angles, two shifts, a scale
EYES = (0.25, 0.55, 0.14, 0.86)  # top, bottom, left, right in the crop: lids, brows, gaze move by few pixels
FLOW_SIDE, MAP_SIDE = 64, 16  # sides of the pictures for optical flow, and of the map of its means
DIFFERENCE_GAIN = 3.0  # differences from the rest are small numbers


@dataclass(frozen=True)
class ExpressionConfig:
    """Settings of `ExpressionEncoder`."""

    width: int = 64  # d of the tokens
    tokens: int = 2  # n tokens a frame
    code: int = 24  # numbers for the face's motion: enough for lids, brows, gaze and lips, not for a likeness
    channels: tuple[int, ...] = (24, 48, 96, 128)  # convolutions of stride 2 over the face at half size
    eye_channels: tuple[int, ...] = (24, 48, 96)  # convolutions of stride 2 over the eyes at full size
    flow_channels: tuple[int, ...] = (32, 48, 64)  # convolutions over the map of optical flow
    size: int = 128  # side of the crops, pixels


class ExpressionEncoder(nn.Module):
    """Encoder of face crops to tokens, by way of a code of k = `code` + 6 numbers a frame.

    Motion is relative to a picture of the same face at rest; at inference that is the driving video's first
    frame with a face. The tokens depend on the pictures only through the code, whose size keeps identity out;
    6 of its numbers are room for the head's pose (`POSE`). The pose is also read from the optical flow
    between rest and frame, since a small turn moves the face by few pixels; what else the flow tells
    of the face has to pass through the same code.
    """

    name = "expression"
    reach = None  # one square for the whole video, since the head's place belongs to its motion

    def __init__(self, config: ExpressionConfig) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config = config
        side = config.size // 2
        top, bottom, left, right = (round(v * config.size) for v in EYES)
        self.face = _convolutions(config.channels)
        self.eyes = _convolutions(config.eye_channels)
        shrunk = [side, side]
        cut = [bottom - top, right - left]
        for _ in config.channels:
            shrunk = [-(-v // 2) for v in shrunk]
        for _ in config.eye_channels:
            cut = [-(-v // 2) for v in cut]
        features = config.channels[-1] * shrunk[0] * shrunk[1] + config.eye_channels[-1] * cut[0] * cut[1]
        self.code = nn.Linear(features, config.code + POSE)
        self.pose = _pose_reader(config.flow_channels, config.code + POSE)
        self.project = nn.Sequential(
            nn.Linear(config.code + POSE, 2 * config.width),
            nn.SiLU(),
            nn.Linear(2 * config.width, config.tokens * config.width),
        )
        self.norm = nn.Sequential(nn.LayerNorm(config.width), Standardize(config.tokens, config.width))
        self.null = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))

    def forward(self, crops: Tensor, rest: Tensor) -> Tensor:
        """Encode crops (b, f, 3, s, s) and a rest (b, 3, s, s), both in [-1, 1], to tokens (b, f, n, d)."""
        return self.tokens(self.read(crops, rest))

    def read(self, crops: Tensor, rest: Tensor) -> Tensor:
        """Compute the code (b, f, k) of the motion from a rest (b, 3, s, s) to crops (b, f, 3, s, s)."""
        b, f = crops.shape[:2]
        both = torch.cat([crops, DIFFERENCE_GAIN * (crops - rest[:, None])], dim=2).flatten(0, 1)
        top, bottom, left, right = (round(v * self.config.size) for v in EYES)
        face = self.face(F.avg_pool2d(both, 2)).flatten(1)
        eyes = self.eyes(both[..., top:bottom, left:right]).flatten(1)
        pose = self.pose(_flow_maps(crops, rest))
        code: Tensor = self.code(torch.cat([face, eyes], dim=1)) + pose
        return code.view(b, f, -1)

    def tokens(self, code: Tensor) -> Tensor:
        """Compute the tokens (b, f, n, d) of a code (b, f, k), which may have been edited."""
        z = self.project(code).unflatten(-1, (self.config.tokens, self.config.width))
        return self.norm(z)

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, n, d) of a clip without a driving video."""
        return repeat_null(self.null, b, f)


def _convolutions(channels: tuple[int, ...]) -> nn.Sequential:
    """Make convolutions of stride 2 over a picture and its difference from the rest, 6 channels."""
    layers: list[nn.Module] = []
    for before, after in zip((6, *channels), channels, strict=False):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
    return nn.Sequential(*layers)


def _pose_reader(channels: tuple[int, ...], code: int) -> nn.Sequential:
    """Make the net from flow maps (b·f, 4, 16, 16) to what they add to the code (b·f, k), at first zero."""
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(zip((4, *channels), channels, strict=False)):
        layers += [nn.Conv2d(before, after, 3, stride=2 if k else 1, padding=1), nn.SiLU()]
    side = -(-MAP_SIDE // 2 ** (len(channels) - 1))
    last = nn.Linear(channels[-1], code)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(channels[-1] * side * side, channels[-1]), nn.SiLU(), last
    )


def _flow_maps(crops: Tensor, rest: Tensor) -> Tensor:
    """Compute the optical flow from the rest to each frame, and the logarithm of its contrast.

    Returns: (b·f, 4, 16, 16), flow to the right and down in 64ths of the crop's side, averaged over each cell
    with the contrast as weight, then the two contrasts.
    """
    b, f = crops.shape[:2]
    grey = torch.cat([rest[:, None], crops], 1).float().mean(2, keepdim=True).flatten(0, 1)
    grey = F.adaptive_avg_pool2d(grey / 2, FLOW_SIDE).unflatten(0, (b, f + 1))
    still, now = grey[:, :1].expand(-1, f, -1, -1, -1).flatten(0, 1), grey[:, 1:].flatten(0, 1)
    flow, contrast = optical_flow(still, now)
    weight = contrast.sum(1, keepdim=True) + 0.02
    mean = F.adaptive_avg_pool2d(flow * weight, MAP_SIDE) / F.adaptive_avg_pool2d(weight, MAP_SIDE)
    trust = (F.adaptive_avg_pool2d(contrast, MAP_SIDE) + 1e-3).log()
    return torch.cat([mean, trust], 1).to(crops.dtype)


@dataclass(frozen=True)
class AugmentStrategy:
    """How far `augment` changes a driving face's appearance and framing; all 0 changes nothing."""

    scale: float = 0.1
    """Largest relative change of size."""

    shift: float = 0.06
    """Largest shift, as a share of half a side."""

    blur: float = 0.5
    """Chance that a clip is blurred."""

    grey: float = 0.5
    """Chance that a clip loses some or all of its colour."""

    contrast: float = 0.3
    """Largest relative change of contrast."""

    colour: float = 0.2
    """Largest relative change of a colour channel's gain."""

    light: float = 0.25
    """Largest shift of a colour channel, as a share of half its range."""

    cover: float = 0.25
    """Largest side of the patch that covers part of the picture, as a share of the picture's side."""


def augment(crops: Tensor, generator: torch.Generator, config: AugmentStrategy | None = None) -> Tensor:
    """Change how a face looks and is framed, but not how it moves, so that the code does not learn identity.

    Scale, shift, blur, grey, contrast, colour and a covering patch are drawn once a clip, the same for all
    its frames, since a change between frames would be motion. Nothing is mirrored: left and right lids
    are different motions.

    Args:
        crops: (b, f, 3, s, s) in [-1, 1].
        generator: source of the draws.
        config: how far to change; the defaults without one.
    Returns: (b, f, 3, s, s) in [-1, 1].
    """
    by = config or AugmentStrategy()
    b, f, c, s, _ = crops.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        """Draw (b, *shape) uniformly."""
        draw = torch.rand(b, *shape, generator=generator, device=generator.device)
        return (low + (high - low) * draw).to(crops)

    def share(chance: float, *shape: int) -> Tensor:
        """Draw (b, *shape) that is 0, or with this chance uniform in [0, 1]."""
        return (1 - uniform(0.0, 1.0, *shape) / max(chance, 1e-9)).clamp(0, 1)

    scale, shift = uniform(1 - by.scale, 1 + by.scale, 1), uniform(-by.shift, by.shift, 2)
    theta = torch.cat([torch.diag_embed(scale.expand(b, 2)), shift[..., None]], dim=2)
    grid = F.affine_grid(theta, [b, f * c, s, s], align_corners=False)
    out = F.grid_sample(crops.reshape(b, f * c, s, s), grid, padding_mode="border", align_corners=False)

    soft = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    out = torch.lerp(out, soft, share(by.blur, 1, 1, 1)).view(b, f, c, s, s)

    grey = out.mean(dim=2, keepdim=True)
    out = torch.lerp(out, grey.expand_as(out), share(by.grey, 1, 1, 1, 1))
    mean = out.mean(dim=(1, 2, 3, 4), keepdim=True)
    out = (out - mean) * uniform(1 - by.contrast, 1 + by.contrast, *(1, 1, 1, 1)) + mean
    gain, level = (uniform(m - d, m + d, *(1, c, 1, 1)) for m, d in ((1.0, by.colour), (0.0, by.light)))
    out = out * gain + level

    axis = torch.arange(s, device=crops.device) / s
    corner, side = uniform(-0.2, 1.0, 2, 1), uniform(0.0, by.cover, 2, 1)  # often outside
    covered = (axis >= corner) & (axis < corner + side)  # (b, 2, s)
    patch = covered[:, 0, :, None] & covered[:, 1, None, :]
    fill = uniform(-1.0, 1.0, *(1, c, 1, 1))
    return torch.where(patch[:, None, None], fill, out).clamp(-1, 1)
