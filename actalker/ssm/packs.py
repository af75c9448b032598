"""Sequences of different lengths, packed one behind another, for recurrences that know only one sequence.

Letters: b batch, l length, g groups, e channels of a group, s sequences; r rows, k rows with a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .backends import Result

Recurrence = Callable[..., tuple[Tensor, Tensor]]
"""(*parts, fresh, state) to y and the state behind the last step. Parts (b, l, ...) are what it reads at each
step; fresh (l,) bool or None: steps that forget what was before; state (b, ...)."""


def starts_of(lengths: Tensor, l: int, reverse: bool = False) -> Tensor:
    """Which of the l steps of a pack start a sequence, in the order of the scan: (l,) bool."""
    ends = lengths.cumsum(0)
    at = ends - 1 if reverse else ends - lengths
    # an empty sequence starts nothing; scatter, for a selection would synchronise an accelerator
    at = torch.where(lengths > 0, at, l)
    return torch.zeros(l + 1, dtype=torch.bool, device=lengths.device).scatter(0, at, True)[:l]


def scan_pack(
    recurrence: Recurrence,
    parts: Sequence[Tensor],
    zeros: Tensor,
    lengths: Tensor | None,
    reverse: bool,
    state: Tensor | None,
) -> Result:
    """Run a recurrence over packs, in either direction.

    Args:
        parts: (b, l, ...) each, what the recurrence reads at each step.
        zeros: (b, ...), a state of zeros.
        lengths: (s,) of the one item's sequences; None: every item is a sequence.
        reverse: from each sequence's last step to its first.
        state: (s, ...) what the sequences start from; None: from zeros, all at once.
    Returns: y (b, l, ...), and the states behind the last steps (s, ...), None where there is no state.
    """
    turned = [t.flip(1) if reverse else t for t in parts]
    if lengths is None:
        y, final = recurrence(*turned, None, zeros if state is None else state)
        last = None if state is None else final
    elif state is None:
        fresh = starts_of(lengths, parts[0].shape[1], reverse)
        y, _ = recurrence(*turned, fresh.flip(0) if reverse else fresh, zeros)
        last = None
    else:
        y, last = scan_sequences_in_turn(recurrence, turned, state, lengths.tolist(), reverse)
    return y.flip(1) if reverse else y, last


def scan_sequences_in_turn(
    recurrence: Recurrence, turned: list[Tensor], states: Tensor, lengths: list[int], reverse: bool
) -> tuple[Tensor, Tensor]:
    """Run a recurrence over each sequence of a pack, from that sequence's own state.

    turned: what it reads at each step, (1, l, ...), in the order of the scan: a reversed pack starts with its
    last sequence.
    Returns: y (1, l, ...), and the states behind the last steps (s, ...).
    """
    out, final, at = [], [], 0
    for k in reversed(range(len(lengths))) if reverse else range(len(lengths)):
        state = states[k : k + 1]
        if lengths[k]:
            y, state = recurrence(*(t[:, at : at + lengths[k]] for t in turned), None, state)
            out.append(y)
        final.append(state)
        at += lengths[k]
    return torch.cat(out, 1), torch.cat(final[::-1] if reverse else final)


def sum_over_orders(steps: Tensor, order: Tensor, rows: int, results: int) -> Tensor:
    """Bring values at the steps of g orders, (l, g, e), back to rows and sum them over orders: (k, e).

    Only the first k = `results` of `rows` rows are returned; the others may stand at several steps.
    """
    group = torch.arange(len(order), device=order.device)[:, None]
    out = steps.new_zeros(rows, *steps.shape[1:])
    return out.index_put((order, group.expand_as(order)), steps.transpose(0, 1))[:results].sum(1)
