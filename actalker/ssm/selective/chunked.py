"""The selective scan in plain PyTorch: any device, any step size, no compiler.

The sequence is cut into chunks that advance side by side: `chunk` steps for all of them, then one step from
chunk to chunk, then `chunk` steps again from the right state. Only products of decays are formed, never a
quotient, so no step size overflows (cumulative sums in log space, which others use, do).

Letters: b batch, l length, d channels, n state size, g groups, w channels a group (d = g w), k steps in a
chunk, j chunks, p pieces (the chunks of all items, p = b j).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..context import Context
from .reference import scan_reference

# States in memory at once; longer sequences go span by span. CPUs want them in cache, GPUs few, wide steps.
SPAN_STATES = {"cpu": 2**21}
SPAN_STATES_ELSEWHERE = 2**26


def scan_chunked(
    A: Tensor, u: Tensor, delta: Tensor, B: Tensor, C: Tensor, fresh: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """As `scan_reference`: the same arguments, shapes and results.

    Differentiable twice; the second time by the slow loop.
    Source: Gu & Dao 2023, section 3.3.2 (a work-efficient scan that recomputes its states in the backward).
    """
    inputs = (u, delta, A, B, C)
    return ChunkedScan.apply(*inputs, fresh, state)


class ChunkedScan(torch.autograd.Function):
    """The scan by chunks. It saves one state a chunk; the backward computes decays and states again."""

    @staticmethod
    def forward(
        ctx: Context,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        fresh: Tensor | None,
        state: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """y and the last state, with the arguments and shapes of `scan_reference`, A behind delta."""
        groups = B.shape[2]
        rate, h = by_group(A, groups), by_group(state, groups)
        y, starts = [], []
        for span in spans(u, A):
            pieces = in_chunks(span, (u, delta), (B, C))
            out, start, h = forward_span(rate, h, goes_on(span, fresh, u), pieces)
            y.append(out[:, : span.stop - span.start])
            starts.append(start)
        ctx.set_materialize_grads(False)
        inputs = (u, delta, A, B, C, fresh, state)
        ctx.save_for_backward(*inputs, *starts)
        return torch.cat(y, 1), from_groups(h)

    @staticmethod
    def backward(ctx: Context, dy: Tensor | None, dfinal: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of the arguments of `forward`, span by span from the end."""
        u, delta, A, B, C, fresh, state, *starts = ctx.saved_tensors
        dy = torch.zeros_like(u) if dy is None else dy
        dfinal = torch.zeros_like(state) if dfinal is None else dfinal
        if torch.is_grad_enabled():  # create_graph: to be differentiated again
            return differentiable_backward(
                ctx.needs_input_grad, (dy, dfinal), fresh, (u, delta, A, B, C, state)
            )
        groups = B.shape[2]
        rate, dstate = by_group(A, groups), by_group(dfinal, groups)
        drate = torch.zeros_like(rate)
        parts = []
        for span, start in zip(reversed(spans(u, A)), reversed(starts), strict=True):
            pieces = in_chunks(span, (u, delta, dy), (B, C))
            with torch.autocast(u.device.type, enabled=False):  # the caller's may be on again
                *grads, drate_part, dstate = backward_span(
                    rate, start, dstate, goes_on(span, fresh, u), pieces
                )
            drate += drate_part
            parts.append([t[:, : span.stop - span.start] for t in grads])
        du, ddelta, dB, dC = (torch.cat(part[::-1], 1) for part in zip(*parts, strict=True))
        return du, ddelta, from_groups(drate), dB, dC, None, from_groups(dstate)


def differentiable_backward(
    needed: tuple[bool, ...], grads: tuple[Tensor, Tensor], fresh: Tensor | None, inputs: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """The gradients through `scan_reference`, as a graph that can be differentiated again.

    needed: which arguments of `ChunkedScan.forward` need one. grads: of y and of the last state.
    inputs: u, delta, A, B, C, state.
    """
    u, delta, A, B, C, state = (t.view_as(t) for t in inputs)  # aliases: delta may come from u
    tensors = (u, delta, A, B, C, None, state)
    wanted = [t for t, need in zip(tensors, needed, strict=True) if need and t is not None]
    out = scan_reference(A, u, delta, B, C, fresh=fresh, state=state)
    gradients = iter(torch.autograd.grad(out, wanted, grads, create_graph=True))
    return tuple(next(gradients) if need else None for need in needed)


def by_group(A: Tensor, groups: int) -> Tensor:
    """(..., d, n) -> (..., g, n, w): channels last, so that every step works on contiguous rows."""
    return A.unflatten(-2, (groups, -1)).transpose(-1, -2).contiguous()


def from_groups(h: Tensor) -> Tensor:
    """The inverse of `by_group`."""
    return h.transpose(-1, -2).flatten(-3, -2)


def spans(u: Tensor, A: Tensor) -> list[slice]:
    """The spans of steps that are worked on one after another, so that their states fit into memory."""
    b, l, _ = u.shape
    count = math.ceil(b * l * A.numel() / SPAN_STATES.get(u.device.type, SPAN_STATES_ELSEWHERE))
    size = math.ceil(l / count)
    return [slice(t, min(t + size, l)) for t in range(0, l, size)]


def in_chunks(span: slice, rows: tuple[Tensor, ...], weights: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Cut the steps `span` of tensors into chunks of k steps, padded with zeros, with the steps first.

    span: a slice of the l steps.
    rows: tensors (b, l, d), one value per channel, such as u and delta.
    weights: B and C, (b, l, g, n) each.
    Returns: (k, p, g, w) for each of `rows`, then (k, p, g, n) for B and for C.
    """
    chunk = chunk_of(span)
    B, C = weights
    grouped = (t[:, span].unflatten(2, (B.shape[2], -1)) for t in rows)
    out = []
    for t in (*grouped, B[:, span], C[:, span]):
        t = F.pad(t, (0, 0, 0, 0, 0, -t.shape[1] % chunk))  # steps of size 0 leave the state alone
        out.append(t.unflatten(1, (-1, chunk)).movedim(2, 0).flatten(1, 2))
    return tuple(out)


def chunk_of(span: slice) -> int:
    """Steps of a chunk. The scan takes k + j steps one after another, fewest where k = j."""
    return max(1, round(math.sqrt(span.stop - span.start)))


def goes_on(span: slice, fresh: Tensor | None, like: Tensor) -> Tensor | None:
    """Return a factor on the state before each step of `span`, (k, p, 1, 1, 1): 0 at the start of a sequence.

    fresh (l,) bool: True at steps with which a sequence starts, in the only item (b = 1); None returns None.
    """
    if fresh is None:
        return None
    chunk = chunk_of(span)
    on = F.pad((~fresh[span]).to(like.dtype), (0, -(span.stop - span.start) % chunk), value=1.0)
    return on.unflatten(0, (-1, chunk)).t()[..., None, None, None]


def decays(rate: Tensor, delta: Tensor, on: Tensor | None) -> Tensor:
    """The factor of each step on the state before it, (k, p, g, n, w)."""
    decay = (delta[..., None, :] * rate).exp_()
    return decay if on is None else decay.mul_(on)


def whole(t: Tensor, b: int) -> Tensor:
    """Back from chunks: (k, p, g, x) -> (b, k j, g x)."""
    return t.unflatten(1, (b, -1)).movedim(0, 2).flatten(3).flatten(1, 2)


def forward_span(
    rate: Tensor, state: Tensor, on: Tensor | None, pieces: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Scan a span. pieces: u, delta, B, C in chunks. on: the result of `goes_on`.

    Returns: y (b, k j, d), the state before every chunk (b, j, g, n, w), and the state after the span.
    """
    u, delta, B, C = pieces
    b = state.shape[0]
    decay = decays(rate, delta, on)
    drive = delta * u
    h = torch.zeros_like(decay[0])
    for decay_k, drive_k, B_k in zip(decay, drive, B, strict=True):
        h.mul_(decay_k).addcmul_(B_k[..., None], drive_k[..., None, :])
    start, state = carry(state, decay_of_chunks(delta, rate, on), h)
    h = start.flatten(0, 1).clone()
    y = torch.empty_like(u)
    for k in range(len(u)):
        h.mul_(decay[k]).addcmul_(B[k][..., None], drive[k][..., None, :])
        y[k] = (C[k][..., None, :] @ h).squeeze(-2)
    return whole(y, b), start, state


def decay_of_chunks(delta: Tensor, rate: Tensor, on: Tensor | None) -> Tensor:
    """The factor of each chunk on the state before it, (p, g, n, w)."""
    decay = torch.exp(delta.sum(0)[..., None, :] * rate)
    return decay if on is None else decay * on.amin(0)


def carry(state: Tensor, decay: Tensor, add: Tensor) -> tuple[Tensor, Tensor]:
    """Go from chunk to chunk: state -> decay state + add.

    Returns: the state before each chunk, (b, j, g, n, w), and after the last, (b, g, n, w).
    """
    decay, add = (t.unflatten(0, (len(state), -1)) for t in (decay, add))
    before = torch.empty_like(add)
    for j in range(add.shape[1]):
        before[:, j] = state
        state = torch.addcmul(add[:, j], decay[:, j], state)
    return before, state


def backward_span(
    rate: Tensor, start: Tensor, dstate: Tensor, on: Tensor | None, pieces: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Compute the gradients of a span from dstate, the gradient of the state after the span.

    start: the state before every chunk. on: the result of `goes_on`. pieces: u, delta, dy, B, C in chunks.
    Returns: du, ddelta (b, k j, d), dB, dC (b, k j, g, n), drate (g, n, w), and the gradient of the state
    before the span (b, g, n, w).
    """
    u, delta, dy, B, C = pieces
    b, groups, steps = len(start), len(rate), range(len(u))
    decay = decays(rate, delta, on)
    drive = delta * u
    h = torch.empty(len(u) + 1, *decay.shape[1:], dtype=u.dtype, device=u.device)  # h[k] enters step k
    h[0] = start.flatten(0, 1)
    for k in steps:
        torch.mul(h[k], decay[k], out=h[k + 1]).addcmul_(B[k][..., None], drive[k][..., None, :])

    q = torch.zeros_like(h[0])  # dL/dh, later chunks left out
    for k in reversed(steps):
        q.addcmul_(C[k][..., None], dy[k][..., None, :]).mul_(decay[k])
    turned = (t.unflatten(0, (b, -1)).flip(1).flatten(0, 1) for t in (decay_of_chunks(delta, rate, on), q))
    after, dstate = carry(dstate, *turned)
    q = after.flip(1).flatten(0, 1)

    ddrive, ddelta, dB, dC = (torch.empty_like(t) for t in (drive, delta, B, C))
    drate = torch.zeros_like(q)
    for k in reversed(steps):
        q.addcmul_(C[k][..., None], dy[k][..., None, :])
        dC[k] = (h[k + 1] @ dy[k][..., None]).squeeze(-1)
        dB[k] = (q @ drive[k][..., None]).squeeze(-1)
        ddrive[k] = (B[k][..., None, :] @ q).squeeze(-2)
        q.mul_(decay[k])
        dexponent = torch.mul(q, h[k], out=h[k + 1])  # of exp(delta rate)
        drate.addcmul_(dexponent, delta[k][..., None, :])
        ddelta[k] = dexponent.mul_(rate).sum(-2)
    ddelta.addcmul_(ddrive, u)
    du = ddrive.mul_(delta)
    dB, dC = (whole(t, b).unflatten(-1, (groups, -1)) for t in (dB, dC))
    return whole(du, b), whole(ddelta, b), dB, dC, drate.sum(0), dstate
