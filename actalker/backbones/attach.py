"""Hang control layers on a network without copying its source.

A hook runs the layer on a module's output; the conditions reach it through a scope that the network's own
`forward` opens around each call. Nothing is left behind on a module: a layer that runs outside a scope (a
recomputation under another pass, say) raises, instead of reading some other pass's conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import nn
from torch.utils.checkpoint import checkpoint

_scope: ContextVar[tuple[nn.Module, Any] | None] = ContextVar("control_scope", default=None)


@contextmanager
def control_scope(network: nn.Module, conditions: Any) -> Iterator[None]:
    """Inside, the hooks of `network` see `conditions`; scopes of other networks may nest."""
    token = _scope.set((network, conditions))
    try:
        yield
    finally:
        _scope.reset(token)


def in_scope(network: nn.Module) -> Any:
    """The conditions of the pass that `network` is in. Raises: RuntimeError outside one."""
    current = _scope.get()
    if current is None or current[0] is not network:
        raise RuntimeError(
            "a control layer ran outside its network's forward: recompute whole forward passes, "
            "not single modules"
        )
    return current[1]


def checkpointed(module: nn.Module, *args: Any) -> Any:
    """torch's checkpointing, in whose recomputation the conditions of the pass are there again."""
    held = _scope.get()

    def run(*inputs: Any) -> Any:
        token = _scope.set(held)
        try:
            return module(*inputs)
        finally:
            _scope.reset(token)

    return checkpoint(run, *args, use_reentrant=False)


def attach(network: nn.Module, site: nn.Module, apply: Callable[[Any, Any], Any]) -> None:
    """After every call of `site`, replace its output by `apply(output, conditions)`."""

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        return apply(output, in_scope(network))

    site.register_forward_hook(hook)


def cross_attentions(network: nn.Module) -> list[tuple[Any, bool]]:
    """Every cross-attention, and whether it is one in space; in the order of the release's adapters."""
    found: list[tuple[Any, bool]] = []
    for site in network.modules():
        if isinstance(site, TransformerSpatioTemporalModel):
            found += [(block.attn2, True) for block in site.transformer_blocks]
            found += [(block.attn2, False) for block in site.temporal_transformer_blocks]
    return found
