"""The portrait warped by a motion field, and what warping cannot give, drawn at the scale of pixels.

Letters: b batch, f frames, c h w a latent's channels and size, H W picture size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError


def warp(reference: Tensor, flow: Tensor, stride: int = 1) -> Tensor:
    """The reference, each place taken from where the motion field points.

    Args:
        reference: (b, c, h, w) latent; with a stride above 1, pixels folded into channels.
        flow: (b, f, 2, ·, ·) x and y in latent positions, at any resolution.
        stride: pixels a latent position covers.
    Returns: (b, f, c, h, w). A field of zeros gives the reference back.
    """
    b, f = flow.shape[:2]
    precise = _precise(flow)  # positions of 8 bits would be off by pixels
    flow, picture = flow.to(precise), reference.to(precise)
    picture = F.pixel_shuffle(picture, stride) if stride > 1 else picture
    height, width = picture.shape[-2:]
    field = F.interpolate(flow.flatten(0, 1), (height, width), mode="bilinear", align_corners=False)
    scale = torch.tensor([2.0 * stride / width, 2.0 * stride / height], device=flow.device, dtype=flow.dtype)
    rows = (torch.arange(height, device=flow.device, dtype=flow.dtype) + 0.5) * (2 / height) - 1
    columns = (torch.arange(width, device=flow.device, dtype=flow.dtype) + 0.5) * (2 / width) - 1
    still = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2)
    grid = still + field.permute(0, 2, 3, 1) * scale
    frames = picture[:, None].expand(-1, f, -1, -1, -1).flatten(0, 1)
    moved = F.grid_sample(frames, grid, mode="bilinear", padding_mode="border", align_corners=False)
    moved = F.pixel_unshuffle(moved, stride) if stride > 1 else moved
    return moved.to(reference.dtype).unflatten(0, (b, f))


def _precise(given: Tensor) -> torch.dtype:
    return torch.promote_types(given.dtype, torch.float32)


class Painting(NamedTuple):
    """What a `DetailHead` makes, for every pixel. Zeros are the warped portrait.

    flow: (n, 2, H, W) in latent positions, added to the motion field. cover: (n, 1, H, W), the share of the
    warped portrait that goes; paint: (n, 3, H, W), what is added in its place (premultiplied alpha). Nothing
    bounds them.
    """

    flow: Tensor
    cover: Tensor
    paint: Tensor


class DetailHead(nn.Module):
    """Draws on the warped portrait what is finer than a latent position: lips, teeth, lids, uncovered ground.

    Convolutions over the warped pixels, two by two, that the network's features steer at every place: scale
    and shift in front of each (SPADE, Park et al. 2019, eq. 1, without normalisation). The last layer starts
    at zero.
    """

    def __init__(
        self, features: int, stride: int, width: int, reach: tuple[int, ...] = (1, 1, 2, 4), guides: int = 16
    ) -> None:
        """stride: pixels that a latent position folds, even; width: channels at two by two pixels; reach: how
        far apart the places are that each block's convolution joins. Raises: InputError for odd strides.
        """
        super().__init__()
        if stride % 2:
            raise InputError(
                f"detail_width: the codec folds {stride} pixels into a latent position, a detail head needs "
                "an even number; change codec_args.stride of PixelUnshuffle, or set detail_width to 0"
            )
        self.stride, self.width = stride, width
        self.spread = nn.Conv2d(features, guides * (stride // 2) ** 2, 1)
        self.conv_in = nn.Conv2d(12 + 12 + guides, width, 3, padding=1)
        self.steer = nn.ModuleList([nn.Conv2d(guides, 2 * width, 1) for _ in reach])
        self.blocks = nn.ModuleList([nn.Conv2d(width, width, 3, padding=r, dilation=r) for r in reach])
        self.conv_out = nn.Conv2d(width, 4 * (2 + 1 + 3), 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        assert self.conv_out.bias is not None
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, features: Tensor, centre: Tensor, output: Tensor) -> Painting:
        """What to do to every pixel.

        features: (n, c, h, w). centre, output: (n, 3·stride², h, w), warped portraits and the raw output.
        """
        guide = F.pixel_shuffle(self.spread(features), self.stride // 2)
        cells = [F.pixel_unshuffle(F.pixel_shuffle(z, self.stride), 2).to(guide) for z in (centre, output)]
        hidden = self.conv_in(torch.cat([*cells, guide], dim=1))
        for steer, block in zip(self.steer, self.blocks, strict=True):
            scale, shift = steer(guide).chunk(2, dim=1)
            hidden = hidden + block(F.silu(hidden * (1 + scale) + shift))
        made = F.pixel_shuffle(self.conv_out(F.silu(hidden)), 2).to(_precise(centre))
        return Painting(*made.split([2, 1, 3], dim=1))


class Grain(nn.Module):
    """What of a portrait stays in place when a head moves: the grain of its paper, canvas or film.

    Convolutions over the portrait's pixels, two by two. The last layer starts at zero: no grain.
    """

    def __init__(self, stride: int, width: int = 32) -> None:
        """stride: pixels that a latent position folds, even; width: channels at two by two pixels."""
        super().__init__()
        self.stride = stride
        last = nn.Conv2d(width, 12, 3, padding=1)
        self.layers = nn.Sequential(
            nn.Conv2d(12, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            last,
        )
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(self, reference: Tensor) -> Tensor:
        """The grain of reference latents (b, 3·stride², h, w), to be taken off before they are warped."""
        cells = F.pixel_unshuffle(F.pixel_shuffle(reference, self.stride), 2)
        grain = F.pixel_shuffle(self.layers(cells), 2)
        return F.pixel_unshuffle(grain, self.stride).to(reference.dtype)


def refined(flow: Tensor, painting: Painting) -> Tensor:
    """A motion field (b, f, 2, ·, ·) with the finer motion that a `DetailHead` adds, (b, f, 2, H, W)."""
    field = flow.flatten(0, 1).to(painting.flow.dtype)
    field = F.interpolate(field, painting.flow.shape[-2:], mode="bilinear", align_corners=False)
    return (field + painting.flow).unflatten(0, flow.shape[:2])


def paint(reference: Tensor, grain: Tensor, flow: Tensor, painting: Painting, stride: int) -> Tensor:
    """The reference, warped by a motion field and painted on by a `DetailHead`, behind its own grain.

    reference (b, c, h, w), flow (b, f, 2, H, W), already `refined`, and stride as for `warp`; grain as a
    `Grain` sees it, of the reference's shape; painting of the b·f frames.
    Returns: (b, f, c, h, w).
    """
    shape = flow.shape[:2]
    picture = F.pixel_shuffle(warp(reference - grain, flow, stride).flatten(0, 1), stride)
    picture = picture - painting.cover * picture + painting.paint
    return F.pixel_unshuffle(picture, stride).to(reference.dtype).unflatten(0, shape) + grain[:, None]
