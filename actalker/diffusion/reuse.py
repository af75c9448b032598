"""Attention that is kept over steps (pyramid attention broadcast, Zhao et al. 2024), by diffusers' hooks.

From step to step of a window the outputs of attention change little; every few steps they are made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast
from diffusers.hooks import HookRegistry
from diffusers.hooks.pyramid_attention_broadcast import _PYRAMID_ATTENTION_BROADCAST_HOOK
from torch import Tensor, nn

from ..backbones.denoiser import Network
from ..control.conditions import Conditions
from .guidance import Denoise

ALWAYS = (0, 2)  # steps are not told apart by their noise level: each is number 1


@contextmanager
def reused(denoise: Denoise, network: Network, every: int) -> Iterator[Denoise]:
    """Inside, the outputs of the network's attentions are made anew in every `every`-th call only.

    A noise level that does not fall begins another window, in which everything is made anew. Calls of one
    window follow one another, each with all of its guidance passes as one batch.
    """
    if every == 1:
        yield denoise
        return
    apply_pyramid_attention_broadcast(
        network,
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=every,
            temporal_attention_block_skip_range=every,
            cross_attention_block_skip_range=every,
            spatial_attention_timestep_skip_range=ALWAYS,
            temporal_attention_timestep_skip_range=ALWAYS,
            cross_attention_timestep_skip_range=ALWAYS,
            spatial_attention_block_identifiers=(r"\.transformer_blocks",),
            temporal_attention_block_identifiers=("temporal_transformer_blocks",),
            cross_attention_block_identifiers=("transformer_blocks",),
            current_timestep_callback=lambda: 1,
        ),
    )
    registries = [HookRegistry.check_if_exists_or_initialize(m) for m in network.modules() if _is_hooked(m)]
    last: Tensor | None = None

    def call(x: Tensor, sigma: Tensor, conditions: Conditions) -> Tensor:
        nonlocal last
        if last is None or sigma[0] >= last:
            for registry in registries:
                registry.reset_stateful_hooks(recurse=False)
        last = sigma[0]
        return denoise(x, sigma, conditions)

    try:
        yield call
    finally:
        for registry in registries:
            registry.remove_hook(_PYRAMID_ATTENTION_BROADCAST_HOOK, recurse=False)


def _is_hooked(module: nn.Module) -> bool:
    registry = getattr(module, "_diffusers_hook", None)
    return registry is not None and registry.get_hook(_PYRAMID_ATTENTION_BROADCAST_HOOK) is not None
