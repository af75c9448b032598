"""Decoupled cross-attention against its sum, written out for each frame and position in float64."""

import torch
from diffusers.models.attention_processor import Attention

from actalker.control.attention import DecoupledAttention
from actalker.control.conditions import Conditions
from actalker.control.pass_ import Pass

B, F, H, W, C, D, HEADS = 2, 3, 2, 4, 8, 6, 2
SCALE, RESCALE = 1.25, 2.0


def some_pass() -> Pass:
    gates = torch.tensor([[1.0, 0.0, 0.5], [0.25, 1.0, 1.0]])
    regions = torch.rand(B, F, 2 * H, 2 * W)
    tokens = torch.randn(B, F, 2, D)
    conditions = Conditions({"wink": tokens}, {"wink": regions}, {"wink": gates}, torch.randn(B, 1, D))
    return Pass(conditions.to(torch.float64))


def one_query(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q kᵀ / √d) v of one query (c,) to keys and values (n, c), head by head."""
    parts = []
    for rows in torch.arange(C).chunk(HEADS):
        weights = ((k[:, rows] @ q[rows]) / len(rows) ** 0.5).softmax(0)
        parts.append(weights @ v[:, rows])
    return torch.cat(parts)


def written_out(attn, processor, x, pass_, spatial):
    """The same for features (b, f, t, c)."""
    conditions, out = pass_.conditions, torch.empty_like(x)
    gates, tokens = conditions.gates["wink"], conditions.tokens["wink"]
    to_k, to_v = processor.to_k_ip[0], processor.to_v_ip[0]
    for i in range(B):
        mean = sum(tokens[i, j] for j in range(F) if gates[i, j] > 0) / int((gates[i] > 0).sum())
        for j in range(F):
            context = tokens[i, j] if spatial else mean
            for p in range(H * W):
                query, who = attn.to_q(x[i, j, p]), conditions.identity[i]
                weight = gates[i, j] * (pass_.mask("wink", H * W)[i, j, p].clamp(0, 1) if spatial else 1)
                added = one_query(query, to_k(context), to_v(context))
                both = one_query(query, attn.to_k(who), attn.to_v(who)) + SCALE * weight * added
                out[i, j, p] = attn.to_out[0](both) / RESCALE
    return out


@torch.no_grad()
def compared(spatial: bool):
    attn = Attention(
        C, cross_attention_dim=D, heads=HEADS, dim_head=C // HEADS, rescale_output_factor=RESCALE
    ).double()
    pass_ = some_pass()
    processor = DecoupledAttention(C, D, spatial, lambda: pass_, ["wink"], SCALE).double()
    x = torch.randn(B, F, H * W, C, dtype=torch.float64)
    if spatial:
        got = processor(attn, x.flatten(0, 1)).unflatten(0, (B, F))
    else:
        got = processor(attn, x.transpose(1, 2).flatten(0, 1)).unflatten(0, (B, H * W)).transpose(1, 2)
    return got, written_out(attn, processor, x, pass_, spatial)


def test_in_space_a_signal_adds_its_frames_tokens_by_gate_and_region():
    torch.testing.assert_close(*compared(True))


def test_in_time_a_signal_adds_the_mean_of_its_open_frames_by_gate():
    torch.testing.assert_close(*compared(False))
