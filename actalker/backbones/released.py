"""SVD's UNet as ACTalker's released code extends it.

Each spatio-temporal transformer of the down and up blocks has a control layer between its spatial and its
temporal part, and each cross-attention has two more contexts, audio and motion.

Letters: b batch, f frames, c channels, h w latent size, m identity tokens, n tokens, d token width.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn

from ..control.attention import DecoupledAttention
from ..control.conditions import Conditions
from ..control.pass_ import Pass, States
from ..control.released import ReleasedControl
from .attach import CurrentPass, attach, control_scope, cross_attentions
from .base import SpatioTemporalNetwork
from .denoiser import Estimate
from .guider import ReleasedGuider

SIGNALS = ("audio", "expression")  # in the order of the release's weights
ADAPTER_SCALE = 1.25


class ReleasedUNet(SpatioTemporalNetwork):
    """The release's network, with the release's names of weights.

    Its control layers replace features instead of adding to them. So, unlike a `ControlUNet`, it does not
    compute what SVD computes before it is trained.
    """

    ADDITIONS = ("guider.",)

    @classmethod
    def _is_addition(cls, key: str) -> bool:
        """Return whether the plain UNet has no weight of this name."""
        return ".mamba_blocks." in key or super()._is_addition(key)

    @register_to_config
    def __init__(
        self,
        guider_blocks: tuple[int, ...] | None = None,
        reference_scale: float = 1.0,
        **base: object,
    ) -> None:
        """Make a network.

        Args:
            guider_blocks: channels of the location guider (`ReleasedGuider`); None leaves it out.
            reference_scale: factor on the reference's latents, which SVD takes unscaled.
            base: settings of diffusers' UNet.
        """
        super().__init__(**base)
        token_width = self.config.cross_attention_dim
        names = {module: name for name, module in self.named_modules()}
        for site in self.control_sites():
            channels = site.num_attention_heads * site.attention_head_dim
            layers = [ReleasedControl(channels, token_width) for _ in site.transformer_blocks]
            site.mamba_blocks = nn.ModuleList(layers)
            for k, block in enumerate(site.transformer_blocks):
                attach(self, block, "_replaced", f"{names[site]}.mamba_blocks.{k}")
        for attention, spatial in cross_attentions(self):
            width = attention.to_k.out_features
            attention.set_processor(
                DecoupledAttention(
                    width,
                    token_width,
                    spatial,
                    CurrentPass(self.scope_id),
                    SIGNALS,
                    scale=ADAPTER_SCALE,
                    overshoot=True,
                )
            )
        self.fit_additions({name for name, _ in self.named_parameters()})

        self.guider = None if guider_blocks is None else ReleasedGuider(self.width, guider_blocks)
        if self.guider is not None:
            attach(self, self.conv_in, "_guided")

    def control_sites(self) -> list[TransformerSpatioTemporalModel]:
        """Return the transformers of the down and up blocks in their order: 15 at SVD's size."""
        blocks = [*self.down_blocks, *self.up_blocks]
        return [
            m for block in blocks for m in block.modules() if isinstance(m, TransformerSpatioTemporalModel)
        ]

    def fit_additions(self, keys: Set[str]) -> None:
        """Copy the identity's key and value weights to the adapters under `keys`, as the release does."""
        names = {module: name for name, module in self.named_modules()}
        for attention, _ in cross_attentions(self):
            processor = attention.processor
            for layers, source in ((processor.to_k_ip, attention.to_k), (processor.to_v_ip, attention.to_v)):
                for layer in layers:
                    if f"{names[layer]}.weight" in keys and not source.weight.is_meta:
                        layer.load_state_dict(source.state_dict())

    def blocks(self) -> list[nn.Module]:
        """Return the modules to shard: the blocks of the UNet, control layers included."""
        return [*self.down_blocks, self.mid_block, *self.up_blocks]

    def maps(self) -> tuple[str, ...]:
        """Return ("face",): the map that the guider reads, and that signals without a region act on."""
        return ("face",)

    def branches(self) -> list[nn.Module]:
        """Return no branches: the release's layers contain their scans."""
        return []

    def estimate(
        self, sample: Tensor, timestep: Tensor | float, conditions: Conditions, states: States | None = None
    ) -> Estimate:
        """Compute the raw output; arguments and result are those of `forward`.

        A signal with a closed gate changes nothing, nor does one that `conditions` does not name. A signal
        without a region acts on the map `face`.
        """
        b, f = sample.shape[:2]
        reference = conditions.reference[:, None].expand(-1, f, -1, -1, -1).to(sample.dtype)
        zeros = sample.new_zeros(b, f, 1, conditions.identity.shape[-1])
        tokens, regions, gates = {}, {}, {}
        for name in SIGNALS:
            gate = conditions.gates.get(name, sample.new_zeros(b, f)).to(sample.dtype)
            tokens[name] = conditions.tokens.get(name, zeros).to(gate)
            region = conditions.regions.get(name, conditions.maps["face"]).to(gate)
            regions[name], gates[name] = region * (gate > 0).to(gate)[..., None, None], gate
        both = replace(
            conditions,
            tokens=tokens,
            regions=regions,
            gates=gates,
            identity=conditions.identity.to(sample.dtype),
        )
        joined = torch.cat([sample, self.config.reference_scale * reference], dim=2)
        pass_ = Pass(both, states=states)
        return Estimate(self.denoise(joined, timestep, pass_), pass_.next_states)

    def denoise(self, sample: Tensor, timestep: Tensor | float, pass_: Pass) -> Tensor:
        """Run the network on the release's own inputs, (b, f, 2c, h, w) to (b, f, c, h, w).

        Args:
            sample: scaled latents, concatenated with the reference's at each frame.
            timestep: c_noise of the noise level.
            pass_: conditions of both signals; those of a signal with a closed gate have no effect.
        """
        with control_scope(self, pass_):
            return self.base(sample, timestep, pass_.identity[:, 0], pass_.conditions.scalars)

    def _replaced(self, hidden: Tensor, pass_: Pass, name: str) -> Tensor:
        """Replace a spatial block's output (b·f, t, c) by that of the control layer of this name."""
        count, gates = hidden.shape[1], pass_.conditions.gates
        return self.get_submodule(name)(
            hidden,
            tokens={s: pass_.tokens(s).flatten(0, 1) for s in SIGNALS},
            identity=pass_.identity.flatten(0, 1),
            # truncated as in the release, so a partly covered token at the border is not selected
            selected={s: pass_.mask(s, count).flatten(0, 1).int() == 1 for s in SIGNALS},
            gates={s: gates[s].flatten() for s in SIGNALS},
        )

    def _guided(self, features: Tensor, pass_: Pass) -> Tensor:
        """Add the location guider's features of the face's mask to those of conv_in, (b·f, c, h, w)."""
        assert self.guider is not None
        face = pass_.conditions.maps["face"].to(features.dtype)
        drawn = face[:, None].expand(-1, 3, -1, -1, -1)  # (b, 3, f, H, W)
        return features + self.guider(drawn).transpose(1, 2).flatten(0, 1)
