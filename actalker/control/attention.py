"""Decoupled cross-attention: signals that attend beside the identity, each with keys and values of its own.

ACTalker's released code adds them to every cross-attention, in space under the signal's region, in time
without one (after IP-Adapter, Ye et al. 2023).

Letters: b batch, f frames, t tokens a frame, c channels, n tokens, d width, q queries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from .pass_ import Pass


class DecoupledAttention(nn.Module):
    """A processor for diffusers' `Attention`; `to_k_ip.0` is the first signal's, and so on."""

    def __init__(
        self,
        channels: int,
        token_width: int,
        spatial: bool,
        current_pass: Callable[[], Pass],
        signals: Sequence[str],
        scale: float = 1.0,
        overshoot: bool = False,
    ) -> None:
        """current_pass: gives the forward pass that the network is in. scale: factor on what signals add.
        overshoot: whether masks count beyond [0, 1], as bicubic interpolation makes them.
        """
        super().__init__()
        self.spatial, self.current_pass, self.signals = spatial, current_pass, tuple(signals)
        self.scale, self.overshoot = scale, overshoot
        self.to_k_ip = nn.ModuleList([nn.Linear(token_width, channels, bias=False) for _ in signals])
        self.to_v_ip = nn.ModuleList([nn.Linear(token_width, channels, bias=False) for _ in signals])

    def forward(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Features (b·f, t, c) in space or (b·t, f, c) in time, to the same.

        In time all places of a clip share their context, the mean over its frames: its keys and values are
        made once, and all queries of the clip attend together.
        """
        pass_ = self.current_pass()
        b = pass_.identity.shape[0]
        if self.spatial:
            identity, x = pass_.identity.flatten(0, 1), hidden_states
        else:
            identity = pass_.identity.mean(1)
            x = hidden_states.view(b, -1, hidden_states.shape[-1])  # (b, t·f, c)
        query = attn.to_q(x)
        out = attend(query, attn.to_k(identity), attn.to_v(identity), attn.heads)
        for k, signal in enumerate(self.signals):
            if signal not in pass_.signals:
                continue
            gate = pass_.conditions.gates[signal]
            if self.spatial:
                tokens = pass_.tokens(signal).flatten(0, 1)
                mask = pass_.mask(signal, x.shape[1])
                weight = (gate[..., None] * (mask if self.overshoot else mask.clamp(0, 1))).flatten(0, 1)
            else:  # a place's frames stand side by side
                tokens = pass_.tokens_over_time(signal)
                weight = gate.repeat(1, x.shape[1] // gate.shape[1])
            added = attend(query, self.to_k_ip[k](tokens), self.to_v_ip[k](tokens), attn.heads)
            out = out + self.scale * weight[..., None] * added
        out = attn.to_out[1](attn.to_out[0](out.to(query.dtype)))  # gates may be more precise
        return out.view_as(hidden_states) / attn.rescale_output_factor


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention of queries (b, q, c) on keys and values (b, n, c)."""
    query, key, value = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
