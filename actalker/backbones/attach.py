"""Attach control layers to a network of diffusers without copying its source.

A forward hook on a module calls a method of the network, which replaces the module's output.
The hook gets the current `Pass` from a scope that the network's `forward` opens around each call.
No conditions are stored on modules, so a layer that runs outside a scope, such as one recomputed alone,
raises instead of reading the conditions of another pass.

Hooks store names, neither networks nor layers, so that a copy of a network, its pickle and its replica on
another device use their own layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..control.pass_ import Pass

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention

    from .base import SpatioTemporalNetwork

_scope: ContextVar[tuple[nn.Module, Pass] | None] = ContextVar("control_scope", default=None)


@contextmanager
def control_scope(network: nn.Module, pass_: Pass) -> Iterator[None]:
    """Let the hooks of `network` use this pass inside the context; scopes of other networks may nest."""
    token = _scope.set((network, pass_))
    try:
        yield
    finally:
        _scope.reset(token)


def in_scope(scope_id: str) -> tuple[nn.Module, Pass]:
    """Return the network with this `scope_id` that is in a forward pass, and its pass.

    Raises: RuntimeError outside such a pass.
    """
    current = _scope.get()
    if current is None or current[0].scope_id != scope_id:
        raise RuntimeError(
            "a control layer ran outside its network's forward: recompute whole forward passes, "
            "not single modules"
        )
    return current


def checkpointed(module: nn.Module, *args: object) -> object:
    """Run a module with torch's gradient checkpointing, and recompute it in the same scope."""
    scope = _scope.get()

    def run(*inputs: object) -> object:
        token = _scope.set(scope)
        try:
            return module(*inputs)
        finally:
            _scope.reset(token)

    return checkpoint(run, *args, use_reentrant=False)


@dataclass(frozen=True)
class SiteHook:
    """Callable that serves as a forward hook: it replaces a module's output.

    The new output is `network.method(output, pass, *arguments)`.
    """

    scope_id: str
    method: str
    arguments: tuple[object, ...]

    def __call__(self, _: nn.Module, __: object, output: object) -> object:
        network, pass_ = in_scope(self.scope_id)
        return getattr(network, self.method)(output, pass_, *self.arguments)


@dataclass(frozen=True)
class CurrentPass:
    """Callable that returns the `Pass` which the network computes at the moment of the call.

    Attention processors hold one to find their conditions. It stores only the network's `scope_id`, so it can
    be copied and pickled with the network.
    """

    scope_id: str

    def __call__(self) -> Pass:
        return in_scope(self.scope_id)[1]


def attach(network: SpatioTemporalNetwork, site: nn.Module, method: str, *arguments: object) -> None:
    """Replace the output of each call of `site` by `network.method(output, pass, *arguments)`."""
    site.register_forward_hook(SiteHook(network.scope_id, method, arguments))


def cross_attentions(network: nn.Module) -> list[tuple[Attention, bool]]:
    """Return all cross-attentions, and whether each is spatial, in the order of the release's adapters."""
    attentions: list[tuple[Attention, bool]] = []
    for site in network.modules():
        if isinstance(site, TransformerSpatioTemporalModel):
            attentions += [(block.attn2, True) for block in site.transformer_blocks]
            attentions += [(block.attn2, False) for block in site.temporal_transformer_blocks]
    return attentions
