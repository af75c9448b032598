"""Mask-drop and paste: which tokens a branch scans, in what order, and how they come back.

Letters: b batch, f frames, t tokens a frame (h·w), k most tokens that any item keeps, n condition tokens a
frame, m identity tokens, l sequence length, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Kept:
    """The tokens that stay after mask-drop, in reading order (frame, row, column).

    index: (b, k) positions in the flattened clip, (f·t) long; padding points to f·t.
    frame: (b, k) the frame of each kept token.
    valid: (b, k) false for padding.
    inside: (b, k) true where the token lies inside the region; only those are pasted.
    counts: (b, f) kept tokens of each frame.
    total: f·t.
    """

    index: Tensor
    frame: Tensor
    valid: Tensor
    inside: Tensor
    counts: Tensor
    total: int


def keep(region: Tensor, drop: float = 1.0, generator: torch.Generator | None = None) -> Kept:
    """Mask-drop: keep the tokens where the region is at least 0.5 (ACTalker, 3.3).

    Args:
        region: (b, f, h, w) in [0, 1], the region on this level's token grid.
        drop: chance that a token outside the region is left out. Below 1, the rest of them is scanned as
            context, but never pasted.
        generator: of the random choice; needed when drop < 1.
    """
    b, f = region.shape[:2]
    inside = region.flatten(1) >= 0.5  # (b, f·t)
    stays = inside
    if drop < 1:
        chance = torch.rand(inside.shape, generator=generator).to(inside.device)
        stays = inside | (chance >= drop)
    total = stays.shape[1]
    k = int(stays.sum(1).max()) if b else 0
    index = stays.int().argsort(dim=1, descending=True, stable=True)[:, :k]  # kept first, in order
    valid = stays.gather(1, index)
    return Kept(
        index=index.masked_fill(~valid, total),
        frame=index // max(1, total // f),
        valid=valid,
        inside=inside.gather(1, index) & valid,
        counts=stays.view(b, f, -1).sum(2),
        total=total,
    )


def per_frame(kept: Kept) -> tuple[Kept, Tensor]:
    """The same tokens as one sequence a frame: (b·f, k') and where each stands in the clip's list.

    Returns the kept tokens of b·f one-frame clips, and (b·f, k') positions in the clip's `Kept` rows; the
    padding points to k.
    """
    b, f = kept.counts.shape
    k, most = kept.index.shape[1], int(kept.counts.max()) if kept.counts.numel() else 0
    first = kept.counts.cumsum(1) - kept.counts  # (b, f)
    step = torch.arange(most, device=first.device)
    rows = first[..., None] + step  # (b, f, k')
    valid = step < kept.counts[..., None]
    rows = rows.masked_fill(~valid, k).flatten(0, 1)  # (b·f, k')
    inside = torch.cat([kept.inside, kept.inside.new_zeros(b, 1)], 1)
    inside = inside.repeat_interleave(f, 0).gather(1, rows)
    flat = replace(
        kept,
        index=rows,
        frame=torch.zeros_like(rows),
        valid=valid.flatten(0, 1),
        inside=inside,
        counts=kept.counts.reshape(-1, 1),
    )
    return flat, rows


@dataclass(frozen=True)
class Order:
    """Where every token stands in one direction's sequence; padding points to `length`.

    tokens: (b, k); conditions: (b, copies, f, n); identity: (b, m).
    """

    tokens: Tensor
    conditions: Tensor
    identity: Tensor
    length: int


def orders(kept: Kept, n: int, m: int, layout: str) -> tuple[Order, Order, Tensor]:
    """The forward and the backward order of a branch's tokens, and each item's length (b,).

    `interleaved`: identity, then for each frame its n condition tokens followed by its kept tokens. The
        backward order goes through the frames and tokens the other way round, but conditions still stand
        before their frame, so that both directions carry them to every token over a short way.
    `ends`: identity, all conditions, the kept tokens, all conditions again.
    `end`: the kept tokens, identity, all conditions (ACTalker, eq. 5).
    """
    b, k = kept.index.shape
    f, device = kept.counts.shape[1], kept.index.device
    size = kept.counts.sum(1, keepdim=True)  # (b, 1) tokens kept
    rank = torch.arange(k, device=device).expand(b, k)
    frames = torch.arange(f, device=device)[:, None]
    each = torch.arange(n, device=device)
    identity = torch.arange(m, device=device).expand(b, m)

    if layout == "interleaved":
        before = (kept.counts.cumsum(1) - kept.counts)[..., None]  # (b, f, 1)
        after = size[..., None] - before - kept.counts[..., None]
        lengths = size[:, 0] + f * n + m
        length = k + f * n + m
        tokens = m + n * (kept.frame + 1) + rank
        back = m + n * (f - kept.frame) + size - 1 - rank
        ahead = Order(_pad(tokens, kept, length), (m + n * frames + each + before)[:, None], identity, length)
        conditions = (m + n * (f - 1 - frames) + each + after)[:, None]
        return ahead, Order(_pad(back, kept, length), conditions, identity, length), lengths

    run = (n * frames + each).expand(b, f, n)  # all conditions in a row
    if layout == "ends":
        lengths = size[:, 0] + 2 * f * n + m
        length = k + 2 * f * n + m
        tokens = m + f * n + rank
        conditions = torch.stack([m + run, m + f * n + size[..., None] + run], dim=1)
    else:
        lengths = size[:, 0] + f * n + m
        length = k + f * n + m
        tokens = rank
        identity = size + identity
        conditions = (size[..., None] + m + run)[:, None]
    last = lengths[:, None] - 1
    places = _pad(last - tokens, kept, length)
    turned = Order(places, last[..., None, None] - conditions, last - identity, length)
    return Order(_pad(tokens, kept, length), conditions, identity, length), turned, lengths


def _pad(positions: Tensor, kept: Kept, length: int) -> Tensor:
    return positions.masked_fill(~kept.valid, length)


def arrange(tokens: Tensor, conditions: Tensor, identity: Tensor, order: Order) -> Tensor:
    """Lay tokens (b, k, c), conditions (b, f, n, c) and identity (b, m, c) out as one sequence (b, l, c)."""
    copies = order.conditions.shape[1]
    parts = torch.cat([tokens, conditions.flatten(1, 2).repeat(1, copies, 1), identity], dim=1)
    places = torch.cat([order.tokens, order.conditions.flatten(1), order.identity], dim=1)
    sequence = parts.new_zeros(parts.shape[0], order.length + 1, parts.shape[2])
    return sequence.scatter(1, places[..., None].expand_as(parts), parts)[:, :-1]


def pick(sequence: Tensor, order: Order) -> Tensor:
    """The tokens' own steps of a sequence (b, l, c) -> (b, k, c), in reading order; padding is zero."""
    return take(sequence, order.tokens)


def take(rows: Tensor, index: Tensor) -> Tensor:
    """Rows (b, r, c) at index (b, k); an index of r gives zeros."""
    padded = torch.cat([rows, rows.new_zeros(rows.shape[0], 1, rows.shape[2])], dim=1)
    return padded.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))


def paste(change: Tensor, kept: Kept) -> Tensor:
    """Write the kept tokens' change (b, k, c) back to the clip (b, f·t, c): exactly zero elsewhere."""
    out = change.new_zeros(change.shape[0], kept.total + 1, change.shape[2])
    index = kept.index.masked_fill(~kept.inside, kept.total)
    return out.scatter(1, index[..., None].expand_as(change), change)[:, : kept.total]
