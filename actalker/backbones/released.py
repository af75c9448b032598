"""SVD's UNet as ACTalker's released code extends it: a layer in every spatio-temporal transformer of the
down and up blocks, between its spatial and its temporal part, and two more contexts in every cross-attention.

Letters: b batch, f frames, c channels, h w latent size, m identity tokens, n tokens, d token width.
"""

from __future__ import annotations

from collections.abc import Set

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn

from ..control.attention import SIGNALS, AttentionContext, DecoupledAttention
from ..control.conditions import Conditions
from ..control.released import ReleasedControl
from ..regions.grid import to_grid_bicubic
from .attach import ContextOfPass, attach, control_scope, cross_attentions
from .base import SpatioTemporalNetwork
from .denoiser import Estimate
from .guider import ReleasedGuider


class ReleasedUNet(SpatioTemporalNetwork):
    """The release's network; keys of its weights are the release's own.

    Its control layers take the place of features, so that, unlike a `ControlUNet`, it is not SVD's UNet
    before it has been trained.
    """

    ADDITIONS = ("guider.",)

    @classmethod
    def _is_addition(cls, key: str) -> bool:
        return ".mamba_blocks." in key or super()._is_addition(key)

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
        cross_attention_dim: int = 1024,
        transformer_layers_per_block: int | tuple[int, ...] = 1,
        num_attention_heads: int | tuple[int, ...] = (5, 10, 20, 20),
        num_frames: int = 25,
        guider_blocks: tuple[int, ...] | None = None,
        reference_scale: float = 1.0,
    ) -> None:
        """guider_blocks: channels of the location guider's pairs; None: it has none.
        reference_scale: factor on the reference's latents, which SVD takes unscaled.
        """
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
        names = {module: name for name, module in self.named_modules()}
        for site in self.control_sites():
            channels = site.num_attention_heads * site.attention_head_dim
            layers = [ReleasedControl(channels, cross_attention_dim) for _ in site.transformer_blocks]
            site.mamba_blocks = nn.ModuleList(layers)
            for k, block in enumerate(site.transformer_blocks):
                attach(self, block, "_replaced", f"{names[site]}.mamba_blocks.{k}")
        for attention, spatial in cross_attentions(self):
            width = attention.to_k.out_features
            context = ContextOfPass(self.scope_id)
            attention.set_processor(DecoupledAttention(width, cross_attention_dim, spatial, context))
        self.fit_additions({name for name, _ in self.named_parameters()})

        self.guider = None if guider_blocks is None else ReleasedGuider(block_out_channels[0], guider_blocks)
        if self.guider is not None:
            attach(self, self.conv_in, "_guided")

    def control_sites(self) -> list[TransformerSpatioTemporalModel]:
        """The transformers of the down and up blocks, in order: 15 at SVD's size."""
        blocks = [*self.down_blocks, *self.up_blocks]
        return [
            m for block in blocks for m in block.modules() if isinstance(m, TransformerSpatioTemporalModel)
        ]

    def fit_additions(self, keys: Set[str]) -> None:
        """Signals attend as the identity does, until they are trained or loaded."""
        names = {module: name for name, module in self.named_modules()}
        for attention, _ in cross_attentions(self):
            processor = attention.processor
            for layers, source in ((processor.to_k_ip, attention.to_k), (processor.to_v_ip, attention.to_v)):
                for layer in layers:
                    if f"{names[layer]}.weight" in keys and not source.weight.is_meta:
                        layer.load_state_dict(source.state_dict())

    def blocks(self) -> list[nn.Module]:
        """The parts that hold nearly all weights, each used through its own forward: what is sharded."""
        return [*self.down_blocks, self.mid_block, *self.up_blocks]

    def estimate(self, sample: Tensor, timestep: Tensor | float, conditions: Conditions) -> Estimate:
        """As `forward`. A signal without tokens, or shut, is not computed."""
        b, f = sample.shape[:2]
        reference = conditions.reference[:, None].expand(-1, f, -1, -1, -1).to(sample.dtype)
        tokens, regions, gates = {}, {}, {}
        for name in SIGNALS:
            gate = conditions.gates.get(name, sample.new_zeros(b, f)).to(sample.dtype)
            held = conditions.tokens.get(name)
            width = conditions.identity.shape[-1]
            given = sample.new_zeros(b, f, 1, width) if held is None else held.to(gate)
            region = conditions.regions.get(name, conditions.location[:, :, 0]).to(gate)
            opened = (gate > 0).to(gate)
            tokens[name] = torch.where(gate[..., None, None] > 0, given, 0.0)
            regions[name], gates[name] = region * opened[..., None, None], gate
        identity = conditions.identity[:, None].expand(-1, f, -1, -1).to(sample.dtype)
        output = self.denoise(
            torch.cat([sample, self.config.reference_scale * reference], dim=2),
            timestep,
            tokens,
            regions,
            gates,
            identity,
            conditions.micro.to(sample.dtype),
            conditions.location[:, :, 0].to(sample.dtype) if self.guider is not None else None,
        )
        return Estimate(output)

    def denoise(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        tokens: dict[str, Tensor],
        regions: dict[str, Tensor],
        gates: dict[str, Tensor],
        identity: Tensor,
        micro: Tensor,
        face: Tensor | None = None,
    ) -> Tensor:
        """One pass on the release's own inputs: (b, f, c, h, w) to (b, f, c', h, w).

        Args:
            sample: scaled latents, with the reference joined to each frame.
            timestep: c_noise of the noise level.
            tokens: audio, expression -> (b, f, n, d); zeros where the gate is closed.
            regions: audio, expression -> (b, f, H, W); zeros where the gate is closed.
            gates: audio, expression -> (b, f).
            identity: (b, f, m, d). micro: (b, 3) frames a second, head and expression motion.
            face: (b, f, H, W) the face's box, for the guider.
        """
        call = _Call(tokens, regions, gates, identity, face)
        with control_scope(self, call):
            return self.base(sample, timestep, identity[:, 0], micro)

    def _replaced(self, hidden: Tensor, call: _Call, name: str) -> Tensor:
        """A spatial block's output (b·f, t, c), replaced by that of the control layer of this name."""
        tokens = {s: call.tokens[s].flatten(0, 1) for s in SIGNALS}
        gates = {s: call.gates[s].flatten() for s in SIGNALS}
        layer = self.get_submodule(name)
        return layer(hidden, tokens, call.identity.flatten(0, 1), call.kept(hidden.shape[1]), gates)

    def _guided(self, features: Tensor, call: _Call) -> Tensor:
        if call.face is None:
            return features
        assert self.guider is not None
        drawn = call.face[:, None].expand(-1, 3, -1, -1, -1)  # (b, 3, f, H, W)
        return features + self.guider(drawn).transpose(1, 2).flatten(0, 1)


class _Call:
    """The conditions of one pass, and their masks at every level."""

    def __init__(
        self,
        tokens: dict[str, Tensor],
        regions: dict[str, Tensor],
        gates: dict[str, Tensor],
        identity: Tensor,
        face: Tensor | None,
    ) -> None:
        self.tokens, self.gates, self.identity, self.face = tokens, gates, identity, face
        self.regions = torch.stack([regions[s] for s in SIGNALS], dim=2).flatten(0, 1)  # (b·f, 2, H, W)
        self.frames = identity.shape[:2]
        self.levels: dict[int, Tensor] = {}
        self.context = AttentionContext(identity, tokens, gates, self.mask)

    def level(self, count: int) -> Tensor:
        """Regions (b·f, 2, t) on the level that has so many tokens."""
        if count not in self.levels:
            self.levels[count] = to_grid_bicubic(self.regions, count)
        return self.levels[count]

    def mask(self, signal: str, count: int) -> Tensor:
        return self.level(count)[:, SIGNALS.index(signal)].unflatten(0, self.frames)

    def kept(self, count: int) -> dict[str, Tensor]:
        return {s: self.level(count)[:, k].int() == 1 for k, s in enumerate(SIGNALS)}
