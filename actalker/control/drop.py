"""Mask-drop and paste: which tokens a branch scans, in what order, and how they come back.

Whatever a batch keeps is one list, item after item and frame after frame, and is scanned as one pack of
sequences: no padding anywhere, so that a branch costs what it keeps.

Letters: b batch, f frames, t tokens a frame (h·w), k kept tokens of the whole batch, s sequences, p frames a
sequence, n condition tokens a frame, m identity tokens, l length of the pack, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Kept:
    """The tokens that stay after mask-drop, in reading order (item, frame, row, column).

    index: (k,) places among the b·f·t tokens of the batch, ascending.
    counts: (b, f) kept tokens of each frame.
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
    inside = region.flatten(2) >= 0.5  # (b, f, t)
    stays = inside
    if drop < 1:
        chance = torch.rand(inside.shape, generator=generator).to(inside.device)
        stays = inside | (chance >= drop)
    if open_ is not None:
        stays = stays & open_[:, None, None]
    index = stays.flatten().nonzero().flatten()
    context = ~inside.flatten()[index] if drop < 1 else None
    return Kept(index, stays.sum(2), context)


@dataclass(frozen=True)
class Pack:
    """Both directions' sequences of a branch, packed: where every step comes from.

    ahead, back: (l,) rows of the table [kept tokens (k), condition tokens (b·f·n), identity tokens (b·m)].
    from_ahead, from_back: (k,) steps at which the kept tokens stand.
    lengths: (s,), 0 for those that keep no token.
    """

    ahead: Tensor
    back: Tensor
    from_ahead: Tensor
    from_back: Tensor
    lengths: Tensor


def pack(counts: Tensor, n: int, m: int, layout: str, scope: str) -> Pack:
    """The order of a branch's tokens.

    `interleaved`: identity, then for each frame its n condition tokens followed by its kept tokens. The
        backward order goes through the frames and tokens the other way round, but conditions still stand
        before their frame, so that both directions carry them to every token over a short way.
    `ends`: identity, all conditions, the kept tokens, all conditions again.
    `end`: the kept tokens, identity, all conditions (ACTalker, eq. 5).

    Args:
        counts: (b, f) kept tokens of each frame.
        scope: `clip`, one sequence an item, or `frame`, one a frame.
    """
    b, f = counts.shape
    device = counts.device
    counts = counts.reshape(-1, 1) if scope == "frame" else counts  # (s, p)
    s, p = counts.shape
    size = counts.sum(1)  # (s,)
    copies = 2 if layout == "ends" else 1
    lengths = torch.where(size > 0, size + copies * p * n + m, 0)
    first = lengths.cumsum(0) - lengths  # of each sequence in the pack
    k, l = int(size.sum()), int(lengths.sum())

    # of every kept token: its sequence, its frame there, its rank among the sequence's
    frame_of = torch.repeat_interleave(torch.arange(s * p, device=device), counts.flatten(), output_size=k)
    owner, frame = frame_of // p, frame_of % p
    rank = torch.arange(k, device=device) - (size.cumsum(0) - size)[owner]
    # of every condition and identity token: its place in its sequence
    j, i = torch.arange(n, device=device), torch.arange(m, device=device)
    frames = torch.arange(p, device=device)[:, None]
    run = (n * frames + j).expand(s, p, n)  # all conditions in a row
    who = i.expand(s, m)
    if layout == "interleaved":
        before = (counts.cumsum(1) - counts)[..., None]  # (s, p, 1) tokens of earlier frames
        after = size[:, None, None] - before - counts[..., None]
        token = m + n * (frame + 1) + rank
        token_back = m + n * (p - frame) + size[owner] - 1 - rank
        condition = [m + n * frames + j + before]
        condition_back = [m + n * (p - 1 - frames) + j + after]
        who_back = who
    else:
        if layout == "ends":
            token = m + p * n + rank
            condition = [m + run, m + p * n + size[:, None, None] + run]
        else:
            token = rank
            condition = [size[:, None, None] + m + run]
            who = size[:, None] + who
        last = lengths - 1
        token_back = last[owner] - token
        condition_back = [last[:, None, None] - c for c in condition]
        who_back = last[:, None] - who

    alive = (size > 0).nonzero().flatten()
    item = torch.arange(s, device=device) * b // s  # whose sequence it is
    rows_token = torch.arange(k, device=device)
    rows_condition = k + torch.arange(b * f * n, device=device).view(s, p * n)[alive]
    rows_who = k + b * f * n + (item[:, None] * m + i)[alive]

    def source(token: Tensor, conditions: list[Tensor], who: Tensor) -> Tensor:
        at = first[alive, None]
        places = [token, *((c.reshape(s, p * n)[alive] + at) for c in conditions), who[alive] + at]
        rows = [rows_token, *[rows_condition] * len(conditions), rows_who]
        out = torch.empty(l, dtype=torch.int64, device=device)
        out[torch.cat([x.flatten() for x in places])] = torch.cat([x.flatten() for x in rows])
        return out

    token, token_back = token + first[owner], token_back + first[owner]
    return Pack(
        source(token, condition, who),
        source(token_back, condition_back, who_back),
        token,
        token_back,
        lengths,
    )


def paste(onto: Tensor, change: Tensor, kept: Kept) -> Tensor:
    """Add the kept tokens' change (k, c) to a batch of clips (b, f·t, c): nothing else is touched."""
    index, flat = kept.index, onto.flatten(0, 1)
    if kept.context is not None:
        inside = (~kept.context).nonzero().flatten()
        index, change = index[inside], change[inside]
    return flat.index_copy(0, index, flat[index] + change).view_as(onto)
