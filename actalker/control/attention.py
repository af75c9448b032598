"""Decoupled cross-attention: signals that attend beside the identity, each with keys and values of its own.

ACTalker's released code adds them to every cross-attention, in space under the signal's region, in time
without one (after IP-Adapter, Ye et al. 2023).

Letters: b batch, f frames, t tokens a frame, c channels, n tokens, d width, q queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

SCALE = 1.25  # of both signals, in the release
SIGNALS = ("audio", "expression")


@dataclass(frozen=True)
class AttentionContext:
    """What all of a pass's cross-attentions attend to.

    identity: (b, f, m, d). tokens: signal -> (b, f, n, d). gates: signal -> (b, f).
    mask: signal, tokens a frame -> (b, f, t) in [0, 1].
    """

    identity: Tensor
    tokens: Mapping[str, Tensor]
    gates: Mapping[str, Tensor]
    mask: Callable[[str, int], Tensor]


class DecoupledAttention(nn.Module):
    """A processor for diffusers' `Attention`; `to_k_ip.0` is the audio's, `to_k_ip.1` the motion's."""

    def __init__(
        self,
        channels: int,
        token_width: int,
        spatial: bool,
        context: Callable[[], AttentionContext],
    ) -> None:
        super().__init__()
        self.spatial, self.context = spatial, context
        self.to_k_ip = nn.ModuleList([nn.Linear(token_width, channels, bias=False) for _ in SIGNALS])
        self.to_v_ip = nn.ModuleList([nn.Linear(token_width, channels, bias=False) for _ in SIGNALS])

    def forward(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Features (b·f, t, c) in space or (b·t, f, c) in time, to the same.

        In time all places of a clip share their context, the mean over its frames: its keys and values are
        made once, and all queries of the clip attend together.
        """
        context = self.context()
        b = context.identity.shape[0]
        if self.spatial:
            identity = context.identity.flatten(0, 1)
            tokens = {s: v.flatten(0, 1) for s, v in context.tokens.items()}
            x = hidden_states
        else:
            identity = context.identity.mean(1)
            tokens = {s: v.mean(1) for s, v in context.tokens.items()}
            x = hidden_states.view(b, -1, hidden_states.shape[-1])  # (b, t·f, c)
        query = attn.to_q(x)
        out = attend(query, attn.to_k(identity), attn.to_v(identity), attn.heads)
        for k, signal in enumerate(SIGNALS):
            added = attend(
                query, self.to_k_ip[k](tokens[signal]), self.to_v_ip[k](tokens[signal]), attn.heads
            )
            gate = context.gates[signal]
            if self.spatial:
                where = gate[..., None] * context.mask(signal, x.shape[1])
                added = added * where.flatten(0, 1)[..., None]
            else:  # a place's frames stand side by side
                added = added * gate.repeat(1, x.shape[1] // gate.shape[1])[..., None]
            out = out + SCALE * added
        out = attn.to_out[1](attn.to_out[0](out))
        return out.view_as(hidden_states) / attn.rescale_output_factor


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention of queries (b, q, c) on keys and values (b, n, c)."""
    query, key, value = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
