"""Pyramid attention broadcast (Zhao et al. 2024): attention outputs are reused over several steps.

They change little from step to step of a window, so computing them at every few steps saves time. The hooks
are diffusers'.
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

ALWAYS = (0, 2)  # diffusers reuses within a range of timesteps; each of our calls is timestep 1


@contextmanager
def reused(denoise: Denoise, network: Network, every: int) -> Iterator[Denoise]:
    """Yield a denoiser whose network computes its attentions at every `every`-th call only.

    A noise level that does not fall marks the beginning of another window, where all are computed.
    The calls of a window have to follow one another, each with all its passes of guidance as one batch.

    Args:
        denoise: the guided denoiser that calls the network.
        network: the network; its hooks are removed at the end of the context.
        every: steps from one computation to the next; 1 changes nothing.
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
    """Return whether a module's attention is reused."""
    registry = getattr(module, "_diffusers_hook", None)
    return registry is not None and registry.get_hook(_PYRAMID_ATTENTION_BROADCAST_HOOK) is not None
