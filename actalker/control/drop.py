"""Mask-drop and paste: which tokens a branch scans, in which order, and how their change is written back.

The selected tokens of a batch are one list, clip after clip and frame after frame, and their sequences are
scanned one behind the other. There is no padding, so a branch costs as much as the tokens that it scans.

Letters: b batch, f frames, h w rows and columns of tokens, t = h·w, k selected tokens of the whole batch,
s sequences, q stretches of a sequence (rows or frames), n condition tokens a frame, m identity tokens,
l steps of all sequences, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .scanning import Scanning


@dataclass
class Selection:
    """The tokens that mask-drop leaves, in reading order (clip, frame, row, column).

    index: (k,) their positions among the b·f·t tokens of the batch, ascending.
    counts: (b, f, h) number of selected tokens in each row of each frame.
    outside: (k,) bool, true for a token outside the region, which is scanned but never changed; None where
        there is no such token.
    scope: what one sequence holds, `clip` or `frame`; None leaves it to the branch's config.
    """

    index: Tensor
    counts: Tensor
    outside: Tensor | None = None
    scope: str | None = None
    _orders: dict[tuple[int, int, str, str, bool], ScanOrder] = field(default_factory=dict)

    def scan_order(self, n: int, m: int, layout: str, scope: str, causal: bool = False) -> ScanOrder:
        """Return `scan_order` of these tokens; layers on one grid share the result of the first call."""
        key = (n, m, layout, scope, causal)
        if key not in self._orders:
            self._orders[key] = scan_order(self.counts, *key)
        return self._orders[key]


def select(region: Tensor, scanning: Scanning | None = None, opened: Tensor | None = None) -> Selection:
    """Mask-drop, z_in = D(z', M): select the tokens where the region is at least 0.5 (ACTalker, eq. 5).

    Args:
        region: (b, f, h, w) in [0, 1], the region on this level's grid of tokens.
        scanning: `mask_drop` is the chance that a token outside the region is left out, and `generator` draws
            it. Below 1 the other tokens outside are scanned too, but never changed.
        opened: (b, f) or (b, 1) bool, where the signal is open; closed frames or clips select no token.
    """
    scanning = scanning or Scanning()
    inside = region >= 0.5  # (b, f, h, w)
    selected, drop = inside, scanning.mask_drop
    if drop < 1:
        chance = torch.rand(inside.shape, generator=scanning.generator).to(inside.device)
        selected = inside | (chance >= drop)
    if opened is not None:
        selected = selected & opened[..., None, None]
    index = selected.flatten().nonzero().flatten()
    outside = ~inside.flatten()[index] if drop < 1 else None
    return Selection(index, selected.sum(3), outside, scanning.scope)


@dataclass(frozen=True)
class ScanOrder:
    """Hold the order in which a branch scans its tokens, in both directions.

    The tokens are the rows of a table: first the k selected tokens, then the b·f·n condition tokens, then the
    s·m identity tokens (a copy for each sequence).

    order: (2, l) the table row that each step reads, forward and backward; sequences follow one another.
    lengths: (s,) steps of each sequence; 0 where it selects no token, unless the order is causal.
    """

    order: Tensor
    lengths: Tensor


def scan_order(counts: Tensor, n: int, m: int, layout: str, scope: str, causal: bool = False) -> ScanOrder:
    """Order the steps of a branch's sequences, Concat(z_in, e) of ACTalker's eq. 6.

    The layouts differ in how near a condition stands to the tokens that it is to change. This matters because
    a state-space scan forgets distant steps: in the released layer at initialisation, with all conditions
    after a 64 x 64 grid, other audio tokens change the output at the grid's first row by a relative 3e-7.

    `rows`: identity; then, for each row that has selected tokens, its frame's n condition tokens and the
        row's tokens. The backward order visits frames, rows and tokens in reverse, but conditions still stand
        before their row, so that in both directions they reach each token over a short way.
    `interleaved`: the same with frames in place of rows.
    `ends`: identity, all conditions, the selected tokens, all conditions again.
    `end`: the selected tokens, identity, all conditions; the order of the paper and of the release.

    Args:
        counts: (b, f, h) number of selected tokens in each row of each frame.
        n: condition tokens a frame.
        m: identity tokens a sequence.
        layout: a name above.
        scope: `clip` makes one sequence of a clip, `frame` one of each frame.
        causal: whether a frame's steps must not depend on later frames, so that windows of a clip have the
            same steps as the whole clip. Identity then stands before every sequence, even one without tokens,
            and conditions only before stretches with tokens. For the layouts `rows` and `interleaved`.
    Returns: the order, with l steps in all and the number of steps of each sequence.
    """
    b, f, h = counts.shape
    device = counts.device
    s = b * f if scope == "frame" else b
    parts = h if layout == "rows" else 1  # stretches of a frame
    counts = counts.view(s, -1, h // parts).sum(2)  # (s, q): a sequence has q stretches
    q, k = counts.shape[1], int(counts.sum())
    has_identity = counts.sum(1) > 0  # (s,): a sequence that selects no token has no steps
    has_conditions = has_identity[:, None].expand_as(counts)  # (s, q): stretches with conditions before them
    if layout == "rows" or causal:
        has_conditions = counts > 0
    if causal:
        has_identity = torch.ones_like(has_identity)

    # for each step: its stretch, counted over all sequences, and its row in the table; steps are listed by
    # kind, each kind in reading order, and then sorted stably by stretch
    stretch = torch.arange(s * q, device=device).repeat_interleave(counts.flatten(), output_size=k)
    token = torch.stack([stretch, torch.arange(k, device=device)])
    at, j = has_conditions.flatten().nonzero(), torch.arange(n, device=device)
    condition = torch.stack([at.expand(-1, n), k + at // parts * n + j]).flatten(1)
    at, j = has_identity.nonzero(), torch.arange(m, device=device)
    identity = torch.stack([(at * q).expand(-1, m), k + b * f * n + at * m + j]).flatten(1)

    if layout in ("rows", "interleaved"):
        ahead = torch.cat([identity, condition, token], 1)
        turned = torch.cat([condition, token.flip(1)], 1)
        turned[0] = turned[0] // q * 2 * q + q - 1 - turned[0]  # sequences begin with their last stretch
        back = torch.cat([identity, turned], 1)
    else:
        ends = [identity, condition, token, condition]
        ahead = torch.cat(ends if layout == "ends" else [token, identity, condition], 1)
        ahead[0] //= q  # sorted by sequence alone
        back = ahead.flip(1)
    order = torch.stack([rows[where.argsort(stable=True)] for where, rows in (ahead, back)])
    copies = 2 if layout == "ends" else 1
    return ScanOrder(order, counts.sum(1) + has_identity * m + copies * n * has_conditions.sum(1))


def paste(onto: Tensor, change: Tensor, selection: Selection) -> Tensor:
    """Mask-paste: add the change (k, c) of the selected tokens to features (b, f·t, c) (ACTalker, eq. 7).

    Tokens that are not selected, or lie outside the region, stay bit for bit as they are.
    """
    index, flat = selection.index, onto.flatten(0, 1)
    if selection.outside is not None:
        inside = (~selection.outside).nonzero().flatten()
        index, change = index[inside], change[inside]
    return flat.index_add(0, index, change.to(flat.dtype)).view_as(onto)
