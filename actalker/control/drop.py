"""Mask-drop and paste: which tokens a branch scans, in what order, and how they come back.

Whatever a batch keeps is one list, item after item and frame after frame, and is scanned as sequences one
behind the other: no padding anywhere, so that a branch costs what it keeps.

Letters: b batch, f frames, h w rows and columns of tokens, t = h·w, k kept tokens of the whole batch,
s sequences, q stretches of a sequence, n condition tokens a frame, m identity tokens, l steps of
all sequences, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .scanning import Scanning


@dataclass
class Selection:
    """The tokens that stay after mask-drop, in reading order (item, frame, row, column).

    index: (k,) places among the b·f·t tokens of the batch, ascending.
    counts: (b, f, h) kept tokens of each row of each frame.
    outside: (k,) true where the token lies outside the region: scanned, never pasted; None: no such.
    scope: `clip` or `frame`, what one sequence holds; None: as the branch's config says.
    """

    index: Tensor
    counts: Tensor
    outside: Tensor | None = None
    scope: str | None = None
    _orders: dict[tuple[int, int, str, str, bool], ScanOrder] = field(default_factory=dict)

    def scan_order(self, n: int, m: int, layout: str, scope: str, causal: bool = False) -> ScanOrder:
        """As the function of this name, computed when first asked for: layers on one grid share it."""
        key = (n, m, layout, scope, causal)
        if key not in self._orders:
            self._orders[key] = scan_order(self.counts, *key)
        return self._orders[key]


def select(region: Tensor, scanning: Scanning | None = None, opened: Tensor | None = None) -> Selection:
    """Mask-drop: keep the tokens where the region is at least 0.5 (ACTalker, 3.3).

    Args:
        region: (b, f, h, w) in [0, 1], the region on this level's token grid.
        scanning: its `mask_drop` is the chance that a token outside the region is left out. Below 1, the
            rest of them is scanned too, but never pasted.
        opened: (b, f) or (b, 1) bool, where the branch is open; other frames or items keep nothing.
    """
    scanning = scanning or Scanning()
    inside = region >= 0.5  # (b, f, h, w)
    stays, drop = inside, scanning.mask_drop
    if drop < 1:
        chance = torch.rand(inside.shape, generator=scanning.generator).to(inside.device)
        stays = inside | (chance >= drop)
    if opened is not None:
        stays = stays & opened[..., None, None]
    index = stays.flatten().nonzero().flatten()
    outside = ~inside.flatten()[index] if drop < 1 else None
    return Selection(index, stays.sum(3), outside, scanning.scope)


@dataclass(frozen=True)
class ScanOrder:
    """Both directions' sequences of a branch, one behind the other: where every step comes from.

    order: (2, l), forward and backward, rows of the table [kept tokens (k), condition tokens (b·f·n),
        identity tokens (s·m): a copy for each sequence].
    lengths: (s,) steps of each; none where no token is kept, unless it is `causal`.
    """

    order: Tensor
    lengths: Tensor


def scan_order(counts: Tensor, n: int, m: int, layout: str, scope: str, causal: bool = False) -> ScanOrder:
    """The order of a branch's tokens.

    `rows`: identity, then for each row of tokens that keeps any its frame's n condition tokens followed by
        its kept tokens. The backward order goes through frames, rows and tokens the other way round, but
        conditions still stand before their row, so that both directions carry them to every token over a
        short way, past few tokens that drown them.
    `interleaved`: the same with frames in the place of rows.
    `ends`: identity, all conditions, the kept tokens, all conditions again.
    `end`: the kept tokens, identity, all conditions (ACTalker, eq. 5).

    Steps are listed kind by kind, each kind in reading order, and sorted by where they stand: those that
    stand at one place stay as they are listed.

    Args:
        counts: (b, f, h) kept tokens of each row of each frame.
        scope: `clip`, one sequence an item, or `frame`, one a frame.
        causal: whether frames must not depend on whether later ones keep tokens, so that a clip in windows
            has the steps of the clip as a whole: identity stands before every sequence, conditions before
            those stretches alone that keep tokens. With the layouts `rows` and `interleaved`.
    """
    b, f, h = counts.shape
    device = counts.device
    s = b * f if scope == "frame" else b
    parts = h if layout == "rows" else 1  # stretches of a frame
    counts = counts.view(s, -1, h // parts).sum(2)  # (s, q): a sequence has q stretches
    q, k = counts.shape[1], int(counts.sum())
    alive = counts.sum(1) > 0  # (s,): a sequence that keeps no token has no steps
    spoken = alive[:, None].expand_as(counts)  # (s, q): stretches with conditions before them
    if layout == "rows" or causal:
        spoken = counts > 0
    if causal:
        alive = torch.ones_like(alive)

    # of every step: its stretch, counted over all sequences, and its row in the table
    stretch = torch.arange(s * q, device=device).repeat_interleave(counts.flatten(), output_size=k)
    token = torch.stack([stretch, torch.arange(k, device=device)])
    at, j = spoken.flatten().nonzero(), torch.arange(n, device=device)
    condition = torch.stack([at.expand(-1, n), k + at // parts * n + j]).flatten(1)
    at, j = alive.nonzero(), torch.arange(m, device=device)
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
    return ScanOrder(order, counts.sum(1) + alive * m + copies * n * spoken.sum(1))


def paste(onto: Tensor, change: Tensor, selection: Selection) -> Tensor:
    """Add the selected tokens' change (k, c) to a batch of clips (b, f·t, c): nothing else is touched."""
    index, flat = selection.index, onto.flatten(0, 1)
    if selection.outside is not None:
        inside = (~selection.outside).nonzero().flatten()
        index, change = index[inside], change[inside]
    return flat.index_add(0, index, change.to(flat.dtype)).view_as(onto)
