"""Hang control layers on a network without copying its source.

A hook on a module asks the network for what follows it; the forward pass reaches it through a scope that the
network's own `forward` opens around each call. Nothing is left behind on a module: a layer that runs outside
a scope (a recomputation under another pass, say) raises, instead of reading some other pass's conditions.

Hooks hold names alone, neither networks nor layers: the copy of a network, its pickle and its replica on
another device use their own layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..control.pass_ import Pass

_scope: ContextVar[tuple[nn.Module, Pass] | None] = ContextVar("control_scope", default=None)


@contextmanager
def control_scope(network: nn.Module, pass_: Pass) -> Iterator[None]:
    """Inside, the hooks of `network` see this pass; scopes of other networks may nest."""
    token = _scope.set((network, pass_))
    try:
        yield
    finally:
        _scope.reset(token)


def in_scope(scope_id: str) -> tuple[nn.Module, Pass]:
    """The network of this `scope_id` that is in a forward pass, and that pass.

    Raises: RuntimeError outside one.
    """
    current = _scope.get()
    if current is None or current[0].scope_id != scope_id:
        raise RuntimeError(
            "a control layer ran outside its network's forward: recompute whole forward passes, "
            "not single modules"
        )
    return current


def checkpointed(module: nn.Module, *args: Any) -> Any:
    """torch's checkpointing, in whose recomputation the forward pass is there again."""
    scope = _scope.get()

    def run(*inputs: Any) -> Any:
        token = _scope.set(scope)
        try:
            return module(*inputs)
        finally:
            _scope.reset(token)

    return checkpoint(run, *args, use_reentrant=False)


@dataclass(frozen=True)
class SiteHook:
    """A forward hook: the network's method `method` makes the output of a module anew."""

    scope_id: str
    method: str
    arguments: tuple[Any, ...]

    def __call__(self, _: nn.Module, __: Any, output: Any) -> Any:
        network, pass_ = in_scope(self.scope_id)
        return getattr(network, self.method)(output, pass_, *self.arguments)


@dataclass(frozen=True)
class CurrentPass:
    """What a `DecoupledAttention` calls for the forward pass that its network is in."""

    scope_id: str

    def __call__(self) -> Pass:
        return in_scope(self.scope_id)[1]


def attach(network: Any, site: nn.Module, method: str, *arguments: Any) -> None:
    """After every call of `site`, replace its output by `network.method(output, pass, *arguments)`."""
    site.register_forward_hook(SiteHook(network.scope_id, method, arguments))


def cross_attentions(network: nn.Module) -> list[tuple[Any, bool]]:
    """Every cross-attention, and whether it is one in space; in the order of the release's adapters."""
    attentions: list[tuple[Any, bool]] = []
    for site in network.modules():
        if isinstance(site, TransformerSpatioTemporalModel):
            attentions += [(block.attn2, True) for block in site.transformer_blocks]
            attentions += [(block.attn2, False) for block in site.temporal_transformer_blocks]
    return attentions
