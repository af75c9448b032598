"""diffusers' spatio-temporal UNet with a parallel-control layer in each spatio-temporal transformer.

Letters: b batch, f frames, c channels, h w latent size, m identity tokens, d token width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..control.attention import DecoupledAttention
from ..control.conditions import Conditions
from ..control.config import BranchConfig
from ..control.parallel import ParallelControl
from ..control.pass_ import Pass, States
from ..control.places import Places
from ..errors import InputError
from ..media.image import height_width
from ..signals.signal import SIGNALS
from .attach import CurrentPass, attach, control_scope, cross_attentions
from .base import SpatioTemporalNetwork
from .denoiser import Estimate
from .guider import LocationGuider

GUIDING = ("face", "mouth")  # maps that the guider reads, in the order of its weights


class ControlUNet(SpatioTemporalNetwork):
    """SVD's UNet of any size, with a `ParallelControl` behind each spatio-temporal transformer.

    In ACTalker (figure 2) each block is: spatial convolution, temporal convolution, spatial attention,
    temporal attention, control layer; the spatial attention reads the identity tokens in place of SVD's CLIP
    tokens. The input channels are the noisy latents and the reference's latents, concatenated.

    The base's weights keep their names of diffusers; the additions are `control.*`, `guider.*`, `places.*`.
    `from_pretrained` also takes SVD's own UNet folder (`SpatioTemporalNetwork`); control layers, guider and
    adapters start at zero, so the network then computes what SVD computes, unless it is `placed`. A network
    without pretrained weights starts without exchange between frames (`still_in_time`).
    """

    ADDITIONS = ("control.", "guider.", "places.")

    @register_to_config
    def __init__(
        self,
        signals: tuple[str, ...] = tuple(SIGNALS),
        token_width: int = 1024,
        branch: Mapping[str, object] | None = None,
        guided: bool = True,
        adapters: bool = False,
        adapter_scale: float = 1.25,
        reference_scale: float = 1.0,
        patch: int = 1,
        placed: bool = False,
        **base: Any,
    ) -> None:
        """Make a network.

        Args:
            signals: names of the signals that get branches.
            token_width: d of the signals' and the identity's tokens.
            branch: settings of the branches by name (`BranchConfig`).
            guided: whether masks of face and mouth are added to the first features (`LocationGuider`).
            adapters: whether signals also enter each cross-attention (`DecoupledAttention`).
            adapter_scale: factor on what the adapters add; 1.25 in the release.
            reference_scale: factor on the reference's latents. SVD takes them unscaled, so its weights need
                1 / 0.18215.
            patch: side of the squares of latent positions that are folded into channels before the network,
                and unfolded behind it: its grid is smaller by this factor on each side.
            placed: whether each position of the grid has learned features (`Places`), behind conv_in and in
                each control layer; for latents of `sample_size`, (h, w) or a side, in which a position always
                means the same.
            base: settings of diffusers' UNet; grids and channels are those behind the patches.
        Raises: InputError for unknown settings of branches, and, with `placed`, for a sample_size that
            does not give whole grids at every level.
        """
        super().__init__(**base)
        still_in_time(self)
        config = BranchConfig.from_dict(branch or {})
        self.register_to_config(branch=asdict(config))
        grids = self._grids(patch) if placed else {}
        self.control = nn.ModuleList()
        for k, site in enumerate(self.control_sites()):
            grid = grids.get(site)
            self.control.append(ParallelControl(site.in_channels, token_width, signals, config, grid))
            attach(self, site, "_controlled", k)
        for attention, spatial in cross_attentions(self) if adapters else ():
            channels, current = attention.to_k.out_features, CurrentPass(self.scope_id)
            processor = DecoupledAttention(
                channels, token_width, spatial, current, signals=signals, scale=adapter_scale
            )
            for values in processor.to_v_ip.parameters():
                nn.init.zeros_(values)
            attention.set_processor(processor)
        self.guider = LocationGuider(len(GUIDING), self.width) if guided else None
        if self.guider is not None:
            attach(self, self.conv_in, "_guided")
        self.places = Places(grids[self.conv_in], self.width, 0.5) if placed else None
        if self.places is not None:
            attach(self, self.conv_in, "_placed")

    def blocks(self) -> list[nn.Module]:
        """Return the modules to shard: blocks of the UNet, and the control layers."""
        return [*self.down_blocks, self.mid_block, *self.up_blocks, *self.control]

    def maps(self) -> tuple[str, ...]:
        """Return the names of the maps that the location guider reads."""
        return () if self.guider is None else GUIDING

    def branches(self) -> list[nn.Module]:
        """Return the branches of all control layers."""
        layers = [layer for layer in self.control if isinstance(layer, ParallelControl)]
        return [branch for layer in layers for branch in layer.branches.children()]

    def _controlled(self, output: Any, pass_: Pass, k: int) -> Any:
        """Apply control layer k to a transformer's output, a tuple or a dataclass of (b·f, c, h, w)."""
        hidden = output[0] if isinstance(output, tuple) else output.sample
        z = hidden.unflatten(0, (-1, pass_.frames)).permute(0, 1, 3, 4, 2)  # (b, f, h, w, c)
        z = self.control[k](z, pass_, site=k)
        return (z.permute(0, 1, 4, 2, 3).flatten(0, 1),)

    def _guided(self, features: Tensor, pass_: Pass) -> Tensor:
        """Add the location guider's features to those of conv_in, (b·f, c, h, w)."""
        assert self.guider is not None
        masks = torch.stack([pass_.conditions.maps[name] for name in GUIDING], dim=2)
        return features + self.guider(masks.to(features.dtype), features.shape[-2:])

    def _placed(self, features: Tensor, _: Pass) -> Tensor:
        """Add each position's learned features to those of conv_in, (b·f, c, h, w)."""
        assert self.places is not None
        return self.places.planes(features)

    def _grids(self, patch: int) -> dict[nn.Module, tuple[int, int]]:
        """Return the grid (h, w) of each control site, and of conv_in, for latents of `sample_size`."""
        size, last = self.config.sample_size, len(self.down_blocks) - 1
        folds = patch * 2**last
        if not size or any(n % folds for n in height_width(size)):
            raise InputError(f"placed: sample_size is {size or 'none'}; give one that {folds} divides")
        h, w = (n // patch for n in height_width(size))
        blocks = [(0, self.conv_in), *enumerate(self.down_blocks), (last, self.mid_block)]
        blocks += [(last - k, block) for k, block in enumerate(self.up_blocks)]
        places = {self.conv_in, *self.control_sites()}
        return {m: (h >> k, w >> k) for k, block in blocks for m in block.modules() if m in places}

    def estimate(
        self, sample: Tensor, timestep: Tensor | float, conditions: Conditions, states: States | None = None
    ) -> Estimate:
        """Compute the raw output; arguments and result as of `forward`."""
        f, patch = sample.shape[1], self.config.patch
        if patch > 1:
            sample = nn.functional.pixel_unshuffle(sample, patch)
        folded = nn.functional.pixel_unshuffle(conditions.reference, patch)
        reference = folded[:, None].expand(-1, f, -1, -1, -1).to(sample.dtype)
        pass_ = Pass(conditions.in_dtype(sample.dtype), states=states)
        with control_scope(self, pass_):
            output = self.base(
                torch.cat([sample, self.config.reference_scale * reference], dim=2),
                timestep,
                conditions.identity.to(sample.dtype),
                conditions.scalars,
            )
        if patch > 1:
            output = nn.functional.pixel_shuffle(output, patch)
        return Estimate(output, pass_.next_states)


def still_in_time(network: nn.Module) -> None:
    """Set the last weights of all temporal layers to zero, so that a new network treats each frame alone.

    It can then learn single frames first, as SVD did (Blattmann et al. 2023).
    """
    for name, part in network.named_modules():
        last = name.endswith((".temporal_res_block.conv2", ".time_pos_embed.linear_2"))
        if last or (".temporal_transformer_blocks." in name and name.endswith((".to_out.0", ".net.2"))):
            for weights in part.parameters():
                nn.init.zeros_(weights)
