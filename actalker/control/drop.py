"""Mask-drop and paste: which tokens a branch scans, in what order, and how they come back.

Whatever a batch keeps is one list, item after item and frame after frame, and is scanned as one pack of
sequences: no padding anywhere, so that a branch costs what it keeps.

Letters: b batch, f frames, h w rows and columns of tokens, t = h·w, k kept tokens of the whole batch,
s sequences, p frames a sequence, q stretches of it, n condition tokens a frame, m identity tokens, l length
of the pack, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Kept:
    """The tokens that stay after mask-drop, in reading order (item, frame, row, column).

    index: (k,) places among the b·f·t tokens of the batch, ascending.
    counts: (b, f, h) kept tokens of each row of each frame.
    context: (k,) true where the token lies outside the region: scanned, never pasted; None: no such.
    """

    index: Tensor
    counts: Tensor
    context: Tensor | None = None
    packs: dict[tuple[int, int, str, str], Pack] = field(default_factory=dict)  # made when first asked for

    def pack(self, n: int, m: int, layout: str, scope: str) -> Pack:
        """The order in which a branch with n condition tokens a frame and m identity tokens scans."""
        key = (n, m, layout, scope)
        if key not in self.packs:
            self.packs[key] = pack(self.counts, *key)
        return self.packs[key]


def keep(
    region: Tensor,
    drop: float = 1.0,
    generator: torch.Generator | None = None,
    open_: Tensor | None = None,
) -> Kept:
    """Mask-drop: keep the tokens where the region is at least 0.5 (ACTalker, 3.3).

    Args:
        region: (b, f, h, w) in [0, 1], the region on this level's token grid.
        drop: chance that a token outside the region is left out. Below 1, the rest of them is scanned as
            context, but never pasted.
        generator: of the random choice; needed when drop < 1.
        open_: (b,) bool, items for which the branch is open; the others keep nothing.
    """
    inside = region >= 0.5  # (b, f, h, w)
    stays = inside
    if drop < 1:
        chance = torch.rand(inside.shape, generator=generator).to(inside.device)
        stays = inside | (chance >= drop)
    if open_ is not None:
        stays = stays & open_[:, None, None, None]
    index = stays.flatten().nonzero().flatten()
    context = ~inside.flatten()[index] if drop < 1 else None
    return Kept(index, stays.sum(3), context)


@dataclass(frozen=True)
class Pack:
    """Both directions' sequences of a branch, packed: where every step comes from.

    order: (2, l), forward and backward, rows of the table [kept tokens (k), condition tokens (b·f·n),
        identity tokens (s·m): a copy for each sequence].
    lengths: (s,), 0 for those that keep no token.
    """

    order: Tensor
    lengths: Tensor


def pack(counts: Tensor, n: int, m: int, layout: str, scope: str) -> Pack:
    """The order of a branch's tokens.

    `rows`: identity, then for each row of tokens that keeps any its frame's n condition tokens followed by
        its kept tokens. The backward order goes through frames, rows and tokens the other way round, but
        conditions still stand before their row, so that both directions carry them to every token over a
        short way, past few tokens that drown them.
    `interleaved`: the same with frames in the place of rows.
    `ends`: identity, all conditions, the kept tokens, all conditions again.
    `end`: the kept tokens, identity, all conditions (ACTalker, eq. 5).

    Args:
        counts: (b, f, h) kept tokens of each row of each frame.
        scope: `clip`, one sequence an item, or `frame`, one a frame.
    """
    b, f, h = counts.shape
    device = counts.device
    s, p = (b * f, 1) if scope == "frame" else (b, f)
    parts = h if layout == "rows" else 1  # of a frame
    counts = counts.view(s, p * parts, h // parts).sum(2)  # (s, q): a sequence has q stretches
    q = p * parts
    size = counts.sum(1)  # (s,)
    ahead_of = torch.full_like(counts, n)  # condition tokens before each stretch
    if layout == "rows":
        ahead_of = torch.where(counts > 0, n, 0)
    copies = 2 if layout == "ends" else 1
    conditions = ahead_of.sum(1) * copies
    lengths = torch.where(size > 0, size + conditions + m, 0)
    first = lengths.cumsum(0) - lengths  # of each sequence in the pack
    k, l = int(size.sum()), int(lengths.sum())

    # of every kept token: its stretch, counted over all sequences, its sequence, its rank in both
    stretch = torch.repeat_interleave(torch.arange(s * q, device=device), counts.flatten(), output_size=k)
    owner = stretch // q
    number = torch.arange(k, device=device)
    rank = number - (size.cumsum(0) - size)[owner]
    inside = number - (counts.flatten().cumsum(0) - counts.flatten())[stretch]
    j, who = torch.arange(n, device=device), torch.arange(m, device=device).expand(s, m)
    if layout in ("rows", "interleaved"):
        both = counts + ahead_of
        before, after = both.cumsum(1) - both, both.sum(1, keepdim=True) - both.cumsum(1)

        def of_token(start: Tensor) -> Tensor:
            return m + (start + ahead_of).flatten()[stretch]

        token = of_token(before) + inside
        token_back = of_token(after) + counts.flatten()[stretch] - 1 - inside
        condition, condition_back = [m + before[..., None] + j], [m + after[..., None] + j]
        who_back = who
    else:
        run = (n * torch.arange(q, device=device)[:, None] + j).expand(s, q, n)  # all conditions in a row
        if layout == "ends":
            token = m + q * n + rank
            condition = [m + run, m + q * n + size[:, None, None] + run]
        else:
            token = rank
            condition = [size[:, None, None] + m + run]
            who = size[:, None] + who
        last = lengths - 1
        token_back = last[owner] - token
        condition_back = [last[:, None, None] - c for c in condition]
        who_back = last[:, None] - who

    alive = (size > 0)[:, None]
    spoken = (alive & (ahead_of > 0)).flatten().nonzero().flatten()  # stretches with conditions before them
    alive = alive.flatten().nonzero().flatten()
    frame = torch.arange(s * q, device=device) // parts
    rows_condition = k + (frame[:, None] * n + j)[spoken]
    rows_who = k + b * f * n + torch.arange(s * m, device=device).view(s, m)[alive]

    def source(token: Tensor, conditions: list[Tensor], who: Tensor) -> Tensor:
        begin = first.repeat_interleave(q)[spoken, None]
        spoken_at = [c.reshape(s * q, n)[spoken] + begin for c in conditions]
        places = [token, *spoken_at, who[alive] + first[alive, None]]
        rows = [number, *[rows_condition] * len(conditions), rows_who]
        out = torch.empty(l, dtype=torch.int64, device=device)
        out[torch.cat([x.flatten() for x in places])] = torch.cat([x.flatten() for x in rows])
        return out

    token, token_back = token + first[owner], token_back + first[owner]
    order = [source(token, condition, who), source(token_back, condition_back, who_back)]
    return Pack(torch.stack(order), lengths)


def paste(onto: Tensor, change: Tensor, kept: Kept) -> Tensor:
    """Add the kept tokens' change (k, c) to a batch of clips (b, f·t, c): nothing else is touched."""
    index, flat = kept.index, onto.flatten(0, 1)
    if kept.context is not None:
        inside = (~kept.context).nonzero().flatten()
        index, change = index[inside], change[inside]
    return flat.index_add(0, index, change.to(flat.dtype)).view_as(onto)
