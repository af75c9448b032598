"""Decoupled cross-attention: each signal adds an attention of its own, with its own keys and values.

This is IP-Adapter (Ye et al. 2023), which ACTalker's released code adds to every cross-attention of the UNet
beside the control layers; the paper does not describe it. In space the added attention is weighted by the
signal's region; in time it is not.

Letters: b batch, f frames, t tokens a frame, c channels, n tokens, d width, q queries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from .pass_ import Pass

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention


class DecoupledAttention(nn.Module):
    """A processor of diffusers' `Attention` that adds each open signal's attention to the identity's.

        out = Attn(Q, K_id, V_id) + scale Σ_s g_s M_s Attn(Q, K_s, V_s)

    g_s is the signal's gate and M_s, in space alone, its region. `to_k_ip.0` and `to_v_ip.0` are the
    projections of the first of `signals`, and so on, as in the release's checkpoints.
    """

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
        """Make the signals' projections.

        Args:
            channels: c of the attention's queries.
            token_width: d of the signals' tokens.
            spatial: whether this attention mixes the tokens of a frame; else it mixes the frames of a place.
            current_pass: returns the `Pass` that the network is computing.
            signals: their names, in the order of the weights.
            scale: factor on what signals add; 1.25 in the release.
            overshoot: whether region masks keep the values outside [0, 1] that bicubic interpolation gives,
                as in the release; else they are clamped.
        """
        super().__init__()
        self.spatial, self.current_pass, self.signals = spatial, current_pass, tuple(signals)
        self.scale, self.overshoot = scale, overshoot
        self.to_k_ip = nn.ModuleList([nn.Linear(token_width, channels, bias=False) for _ in signals])
        self.to_v_ip = nn.ModuleList([nn.Linear(token_width, channels, bias=False) for _ in signals])

    def forward(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        """Attend from features (b·f, t, c) in space, or (b·t, f, c) in time; same shape out.

        In time all positions of a clip share one context, the mean of the tokens over its frames. So keys and
        values are computed once, and all queries of the clip attend together.

        Args:
            attn: diffusers' module, whose projections are those of the identity.
            hidden_states: the features.
            encoder_hidden_states: ignored; the contexts come from the pass.
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
            else:  # (b, t·f): the frames of a position stand side by side
                tokens = pass_.tokens_over_time(signal)
                weight = gate.repeat(1, x.shape[1] // gate.shape[1])
            added = attend(query, self.to_k_ip[k](tokens), self.to_v_ip[k](tokens), attn.heads)
            out = out + self.scale * weight[..., None] * added
        out = attn.to_out[1](attn.to_out[0](out.to(query.dtype)))  # gates may have a more precise dtype
        return out.view_as(hidden_states) / attn.rescale_output_factor


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention of queries (b, q, c) to keys and values (b, n, c), in `heads` heads."""
    query, key, value = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
