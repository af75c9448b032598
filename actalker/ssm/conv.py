"""The short causal convolution in front of a scan, over packed sequences.

Letters: l length of the pack, s sequences, e channels, q taps.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

import torch
from torch import Tensor
from torch.nn import functional as F

from .checks import check_real
from .trial import constant, failure


def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    lengths: Tensor,
    tail: Tensor | None = None,
    silu: bool = False,
) -> Tensor:
    """y_t = bias + Σ_j weight_j · x_{t - (q - 1) + j}, each channel by itself, within each sequence.

    | x, y   | weight | bias | lengths | tail          |
    |--------|--------|------|---------|---------------|
    | (l, e) | (e, q) | (e,) | (s,)    | (s, q - 1, e) |

    Args:
        x: sequence behind sequence, of any float dtype; sums are float32 (float64 for float64), whatever x
            and the weights are.
        lengths: steps of each sequence, of sum l.
        tail: the steps before each sequence's first; None: zeros.
        silu: return y · sigmoid(y), computed before y is rounded to the dtype of x.
    Returns: (l, e) in the dtype of x. Without a tail, CUDA uses the package `causal_conv1d` if it runs there.
    Raises: InputError for complex and whole numbers.
    """
    check_real("convolution", {"x": x, "weight": weight, "bias": bias, "tail": tail})
    if x.is_cuda and tail is None and package_refuses(x, weight.shape[1]) is None:
        return conv_package(x, weight, bias, lengths, silu)
    dtype = torch.promote_types(x.dtype, torch.float32)
    exact, weight, bias = (t.to(dtype) for t in (x, weight, bias))
    (rank, owner), q = rank_and_owner(x, lengths), weight.shape[1]
    before = exact.new_zeros(1, x.shape[1]) if tail is None else tail.flatten(0, 1).to(dtype)
    table = torch.cat([before, exact])
    y = bias + exact * weight[:, -1]
    at = torch.arange(len(x), device=x.device) + len(before)
    for back in range(1, q):
        outside = owner * (q - 1) + (q - 1 + rank - back) if tail is not None else torch.zeros_like(at)
        y = y + table[torch.where(rank >= back, at - back, outside)] * weight[:, -1 - back]
    return (F.silu(y) if silu else y).to(x.dtype)


def last_steps(x: Tensor, lengths: Tensor, taps: int, tail: Tensor | None = None) -> Tensor:
    """The last q - 1 steps of each sequence, (s, q - 1, e): the `tail` from which `causal_conv` continues it.

    x: (l, e); lengths: (s,); taps: q; tail: the steps before each sequence, as in `causal_conv`.
    """
    s, e, before = len(lengths), x.shape[1], taps - 1
    earlier = x.new_zeros(s, before, e) if tail is None else tail.to(x.dtype)
    table = torch.cat([earlier.flatten(0, 1), x])
    first = lengths.cumsum(0) - lengths + s * before
    rank = lengths[:, None] - before + torch.arange(before, device=x.device)  # (s, q - 1)
    within_tail = torch.arange(s, device=x.device)[:, None] * before + before + rank
    return table[torch.where(rank >= 0, first[:, None] + rank, within_tail)]


def rank_and_owner(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """For every step its index within its sequence, and the number of that sequence, (l,) each."""
    steps = torch.arange(len(x), device=x.device)
    owner = torch.repeat_interleave(torch.arange(len(lengths), device=x.device), lengths, output_size=len(x))
    return steps - (lengths.cumsum(0) - lengths)[owner], owner


def package_refuses(x: Tensor, taps: int) -> str | None:
    """Why the package `causal_conv1d` cannot convolve x (l, e) with that many taps, or None."""
    if x.dtype == torch.float64:
        return "the package knows no float64"
    if not 2 <= taps <= 4 or x.shape[1] % 8:
        return f"the package knows 2 to 4 taps and channels in eights, not {taps} and {x.shape[1]}"
    return trial(x.device)


@constant
@cache
def trial(device: torch.device) -> str | None:
    """Why the package fails on this device, or None: it is tried on two short sequences."""

    def run() -> Tensor:
        x = torch.arange(40.0, device=device).view(5, 8)
        ones, lengths = torch.ones(8, 2, device=device), torch.tensor([2, 3], device=device)
        return conv_package(x, ones, ones[:, 0], lengths)[:, 0]

    expected = torch.tensor([1.0, 9.0, 17.0, 41.0, 57.0])
    return failure("causal_conv1d", run, expected, "pip install 'actalker[cuda]'")


def conv_package(x: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor, silu: bool = False) -> Tensor:
    """`causal_conv` without a tail by the package `causal_conv1d`, which sums in float32 too.

    It takes float32 weights beside an x of half precision; sequences are told apart by their numbers.
    """
    _, owner = rank_and_owner(x, lengths)
    conv = import_module("causal_conv1d").causal_conv1d_fn
    y = conv(
        x[None].transpose(1, 2),
        weight.contiguous(),
        bias.to(weight.dtype),
        seq_idx=owner.to(torch.int32)[None],
        activation="silu" if silu else None,
    )
    return y.transpose(1, 2)[0]
