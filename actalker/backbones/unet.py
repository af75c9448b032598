"""diffusers' spatio-temporal UNet with a parallel-control layer in each spatio-temporal transformer.

Letters: b batch, f frames, c channels, h w latent size, m identity tokens, d token width.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..control.attention import AttentionContext, DecoupledAttention
from ..control.conditions import Conditions
from ..control.config import BranchConfig
from ..control.parallel import ParallelControl, Route, route
from ..control.places import Places
from ..errors import InputError
from ..regions.grid import to_grid_bicubic
from ..signals.signal import SIGNALS
from .attach import ContextOfPass, attach, control_scope, cross_attentions
from .base import SpatioTemporalNetwork
from .denoiser import Estimate
from .guider import LocationGuider


class _Routes:
    """The routes of one forward pass, one a grid size, made when a level first asks."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.by_size: dict[tuple[int, int], Route] = {}

    def at(self, size: tuple[int, int]) -> Route:
        if size not in self.by_size:
            self.by_size[size] = route(self.conditions, size)
        return self.by_size[size]


class ControlUNet(SpatioTemporalNetwork):
    """SVD's UNet at any size, with one `ParallelControl` behind every spatio-temporal transformer.

    The base network's state-dict keys stay as in diffusers; the additions are `control.*`, `guider.*` and
    `places.*`. Input channels: the noisy latent and the reference latent side by side.

    patch: latent positions along each side that the network takes as one, as channels: the grid is that much
    smaller. Channels and grids are those behind it.

    placed: whether every place of the grid has learned features of its own (`Places`), behind conv_in and in
    each control layer; for latents of sample_size where a place always means the same. A base's weights then
    do not begin as the base. branch_gated: as in `BranchConfig`.

    adapters: signals enter every cross-attention too (`DecoupledAttention`), starting at zero.
    reference_scale: factor on the reference's latents where they are joined; SVD takes them unscaled,
    1 / 0.18215.

    Layers over time begin as nothing (`still_in_time`).

    `from_pretrained` takes SVD's own UNet folder too: see `SpatioTemporalNetwork`.
    """

    ADDITIONS = ("control.", "guider.", "places.")

    @register_to_config
    def __init__(
        self,
        sample_size: int | None = None,
        in_channels: int = 8,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = (
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ),
        up_block_types: tuple[str, ...] = (
            "UpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
        ),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        addition_time_embed_dim: int = 256,
        projection_class_embeddings_input_dim: int = 768,
        layers_per_block: int | tuple[int, ...] = 2,
        cross_attention_dim: int | tuple[int, ...] = 1024,
        transformer_layers_per_block: int | tuple[int, ...] = 1,
        num_attention_heads: int | tuple[int, ...] = (5, 10, 20, 20),
        num_frames: int = 25,
        signals: tuple[str, ...] = tuple(SIGNALS),
        token_width: int = 1024,
        expand: float = 2.0,
        state_size: int = 16,
        scan_scope: str = "clip",
        condition_layout: str = "interleaved",
        scan_form: str = "selective",
        head_size: int = 64,
        conv: int = 0,
        branch_identity: bool = True,
        branch_gated: bool = False,
        location_masks: int = 2,
        adapters: bool = False,
        reference_scale: float = 1.0,
        patch: int = 1,
        placed: bool = False,
    ) -> None:
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            addition_time_embed_dim=addition_time_embed_dim,
            projection_class_embeddings_input_dim=projection_class_embeddings_input_dim,
            layers_per_block=layers_per_block,
            cross_attention_dim=cross_attention_dim,
            transformer_layers_per_block=transformer_layers_per_block,
            num_attention_heads=num_attention_heads,
            num_frames=num_frames,
        )
        still_in_time(self)
        branch = BranchConfig(
            expand=expand,
            state_size=state_size,
            scan_scope=scan_scope,  # type: ignore[arg-type]
            condition_layout=condition_layout,  # type: ignore[arg-type]
            form=scan_form,  # type: ignore[arg-type]
            head_size=head_size,
            conv=conv,
            identity=branch_identity,
            gated=branch_gated,
        )
        sides = self._sides(sample_size or 0, patch) if placed else {}
        self.control = nn.ModuleList()
        for k, site in enumerate(self.control_sites()):
            side = sides.get(site, 0)
            self.control.append(ParallelControl(site.in_channels, token_width, signals, branch, side))
            attach(self, site, "_controlled", k)
        for attention, spatial in cross_attentions(self) if adapters else ():
            channels = attention.to_k.out_features
            context = ContextOfPass(self.scope_id)
            processor = DecoupledAttention(channels, token_width, spatial, context, signals)
            for values in processor.to_v_ip.parameters():
                nn.init.zeros_(values)
            attention.set_processor(processor)
        self.guider = LocationGuider(location_masks, block_out_channels[0]) if location_masks else None
        if self.guider is not None:
            attach(self, self.conv_in, "_guided")
        self.places = Places((sample_size or 0) // patch, block_out_channels[0], 0.5) if placed else None
        if self.places is not None:
            attach(self, self.conv_in, "_placed")

    def blocks(self) -> list[nn.Module]:
        """The parts that hold nearly all weights, each used through its own forward: what is sharded."""
        return [*self.down_blocks, self.mid_block, *self.up_blocks, *self.control]

    def _controlled(self, output: Any, call: _Call, k: int) -> Any:
        """A transformer's output, tuple or dataclass of (b·f, c, h, w), behind control layer k."""
        hidden = output[0] if isinstance(output, tuple) else output.sample
        f = call.routes.conditions.location.shape[1]
        z = hidden.unflatten(0, (-1, f)).permute(0, 1, 3, 4, 2)  # (b, f, h, w, c)
        z = self.control[k](z, call.routes.at(tuple(hidden.shape[-2:])))
        return (z.permute(0, 1, 4, 2, 3).flatten(0, 1),)

    def _guided(self, features: Tensor, call: _Call) -> Tensor:
        assert self.guider is not None
        guide = self.guider(call.routes.conditions.location.to(features.dtype), features.shape[-2:])
        return features + guide

    def _placed(self, features: Tensor, call: _Call) -> Tensor:
        assert self.places is not None
        return self.places.planes(features)

    def _sides(self, size: int, patch: int) -> dict[nn.Module, int]:
        """Rows of the grid of each control site, for square latents of this size."""
        last, folds = len(self.down_blocks) - 1, patch * 2 ** (len(self.down_blocks) - 1)
        if not size or size % folds:
            raise InputError(f"placed: sample_size is {size or 'none'}; give one that {folds} divides")
        blocks = [*enumerate(self.down_blocks), (last, self.mid_block)]
        blocks += [(last - k, block) for k, block in enumerate(self.up_blocks)]
        sites = set(self.control_sites())
        return {m: size // patch >> level for level, block in blocks for m in block.modules() if m in sites}

    def estimate(self, sample: Tensor, timestep: Tensor | float, conditions: Conditions) -> Estimate:
        """As `forward`."""
        f, patch = sample.shape[1], self.config.patch
        if patch > 1:
            sample = nn.functional.pixel_unshuffle(sample, patch)
        folded = nn.functional.pixel_unshuffle(conditions.reference, patch)
        reference = folded[:, None].expand(-1, f, -1, -1, -1).to(sample.dtype)
        with control_scope(self, _Call(_Routes(conditions.spoken_in(sample.dtype)))):
            output = self.base(
                torch.cat([sample, self.config.reference_scale * reference], dim=2),
                timestep,
                conditions.identity.to(sample.dtype),
                conditions.micro.to(sample.dtype),
            )
        if patch > 1:
            output = nn.functional.pixel_shuffle(output, patch)
        return Estimate(output)


def still_in_time(network: nn.Module) -> None:
    """Layers over time begin as nothing: a fresh network sees each frame for itself, and can learn frames
    first (as SVD began, Blattmann et al. 2023).
    """
    for name, part in network.named_modules():
        last = name.endswith((".temporal_res_block.conv2", ".time_pos_embed.linear_2"))
        if last or (".temporal_transformer_blocks." in name and name.endswith((".to_out.0", ".net.2"))):
            for weights in part.parameters():
                nn.init.zeros_(weights)


class _Call:
    """What the hooks of one forward pass share."""

    def __init__(self, routes: _Routes) -> None:
        self.routes = routes
        self.grids: dict[tuple[str, int], Tensor] = {}

    @cached_property
    def context(self) -> AttentionContext:
        """What cross-attentions attend to beside who it is: the open signals."""
        told = self.routes.conditions
        f = told.location.shape[1]
        gates = {name: told.gates[name] for name in told.open}
        tokens = {
            name: torch.where(gate[..., None, None] > 0, told.tokens[name], 0.0)
            for name, gate in gates.items()
        }
        identity = told.identity[:, None].expand(-1, f, -1, -1)
        return AttentionContext(identity, tokens, gates, self.mask)

    def mask(self, signal: str, count: int) -> Tensor:
        """A signal's region on the level of so many tokens, (b, f, t)."""
        if (signal, count) not in self.grids:
            region = self.routes.conditions.regions[signal]
            grid = to_grid_bicubic(region.flatten(0, 1)[:, None], count)[:, 0]
            self.grids[signal, count] = grid.clamp(0, 1).unflatten(0, region.shape[:2])
        return self.grids[signal, count]
