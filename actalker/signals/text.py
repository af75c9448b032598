"""A script to tokens: every phrase encoded on its own, placed on the frames where it holds.

Letters: b batch, f frames, n tokens a frame, d width, K phases, L bytes a phrase, r phrases of the batch.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .offloaded import weights_here
from .script import Script
from .signal import repeat_null
from .standardize import Standardize

PAD, EOS, OFFSET = 0, 1, 3  # ByT5's ids: byte + 3; 2 is its unknown, never needed for bytes
SWINGS = (0.5, 1.0, 2.0, 4.0)  # Hz: what is asked for may go to and fro, as a nod does
LENGTH = 64  # bytes of a phrase with its end mark; longer ones are cut, with a warning


class TextInput(NamedTuple):
    """A script as arrays: row 0 of `bytes` is the base text, row k phase k."""

    bytes: np.ndarray  # (K + 1, L) int64
    timing: np.ndarray  # (f, K, 4) float32: inside, seconds since its start, to its end, progress 0..1


def phrase_bytes(text: str) -> np.ndarray:
    """Ids (L,) of a phrase; case and spacing do not matter. Empty text is all padding.

    >>> phrase_bytes("No")[:4]
    array([113, 114,   1,   0])
    """
    ids = np.full(LENGTH, PAD, dtype=np.int64)
    raw = " ".join(text.lower().split()).encode("utf-8", errors="replace")
    if len(raw) >= LENGTH:
        logging.getLogger("actalker").warning("text '%s...' is cut to %d bytes", text[:24], LENGTH - 1)
        raw = raw[: LENGTH - 1]
    if raw:
        ids[: len(raw)] = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) + OFFSET
        ids[len(raw)] = EOS
    return ids


@dataclass(frozen=True)
class TextConfig:
    width: int = 64  # d of the tokens and of the transformer
    layers: int = 2  # word order within a phrase
    heads: int = 4
    buckets: int = 2048  # hashed byte triples: whole words at once, so that few phrases are learned fast
    phases: int = 8  # phase embeddings (AVATAR's K is open; 8 is our choice); later phases reuse them


class MixingLayer(nn.TransformerEncoderLayer):
    """PyTorch's layer, norm first, whose short way past its own layers' `forward` is left to plain ones: it
    knows neither quantisation nor adapters."""

    def forward(self, src: Tensor, *args: Any, **options: Any) -> Tensor:  # type: ignore[override]
        if type(self.linear1) is nn.Linear and type(self.linear2) is nn.Linear:
            return super().forward(src, *args, **options)
        mask, padding = options.get("src_mask"), options.get("src_key_padding_mask")
        x = src + self._sa_block(self.norm1(src), mask, padding)
        return x + self._ff_block(self.norm2(x))


class TextEncoder(nn.Module):
    """Phrases (b, K + 1, L) and timing (b, f, K, 4) to tokens (b, f, 2, d).

    Token 0 is the base text, the same at every frame. Token 1 is the sum over the phases that hold at the
    frame of text + e_k + what they mean at this moment of the phase (e_k the phase embedding of ActAvatar's
    phase-aware attention, zero at first), or the learned `no_phase` where none holds. What a text means at a
    moment is not the sum of the two: a nod goes down and up where a smile stays. A frame outside a phase
    never feels that phase's text.
    """

    name = "text"

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        d = config.width
        self.embed = nn.Embedding(256 + OFFSET, d)
        self.place = nn.Parameter(0.5 * torch.randn(LENGTH, d))  # large enough that order counts
        layer = MixingLayer(
            d, config.heads, 2 * d, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.mix = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.triples = nn.Embedding(config.buckets, d)
        self.join = nn.Sequential(nn.Linear(2 * d, d), nn.GELU(), nn.Linear(d, d))
        self.phase = nn.Parameter(torch.zeros(config.phases, d))
        self.time = nn.Sequential(nn.Linear(d + 4 + 4 * len(SWINGS), 2 * d), nn.SiLU(), nn.Linear(2 * d, d))
        self.no_phase = nn.Parameter(0.02 * torch.randn(d))
        self.norm = nn.Sequential(nn.LayerNorm(d), Standardize(2, d))
        self.null = nn.Parameter(0.02 * torch.randn(2, d))

    @staticmethod
    def tokenize(
        script: Script, fps: Fraction, frames: int, start: int = 0, phases: int | None = None
    ) -> TextInput:
        """The script at frames start .. start + frames; frame k is at k / fps seconds, exactly.

        Every phase of the script has a row, also those outside these frames, so that a frame's tokens do not
        depend on the range it is read in. phases: pad to this many (a batch needs one K); InputError if the
        script has more.
        """
        steps = script.steps
        if phases is not None and len(steps) > phases:
            raise InputError(
                f"the script has {len(steps)} phases (each ', then' adds one); at most {phases} fit"
            )
        rows = [phrase_bytes(text) for text in [script.base, *(step.text for step in steps)]]
        empty = [phrase_bytes("")] * ((phases or len(steps)) - len(steps))
        rate = Fraction(fps)
        timing = np.zeros((frames, len(steps) + len(empty), 4), dtype=np.float32)
        for slot, step in enumerate(steps):
            first = max(math.ceil(step.start * rate), start)  # frames first .. last - 1 hold it
            last = min(math.ceil(step.stop * rate), start + frames)
            since = np.arange(first, last) / float(rate) - float(step.start)
            length = float(step.stop - step.start)
            row = np.stack([np.ones_like(since), since, length - since, since / length], axis=-1)
            timing[first - start : max(last, first) - start, slot] = row
        return TextInput(np.stack(rows + empty), timing)

    def encode(self, ids: Tensor) -> Tensor:
        """Phrases (r, L) to vectors (r, d), each from its own bytes alone; zeros for an empty phrase."""
        held = ids != PAD  # (r, L)
        ids = F.pad(ids[held.any(1)], (0, 2), value=PAD)  # filled rows, with room for triples
        own = held[held.any(1)]
        z = self.embed(ids[:, :-2]) + self.place[: own.shape[1]]
        with weights_here(self.mix):  # PyTorch's layer reads those of its own layers
            z = self.mix(z, src_key_padding_mask=~own)
        weight = (own / own.sum(1, keepdim=True))[..., None].to(z)  # mean over the phrase's bytes
        hashed = (ids[:, :-2] * 961 + ids[:, 1:-1] * 31 + ids[:, 2:]) % self.config.buckets
        pooled = torch.cat([(z * weight).sum(1), (self.triples(hashed) * weight).sum(1)], dim=-1)
        joined = self.join(pooled)  # under autocast: its own dtype
        out = joined.new_zeros(held.shape[0], joined.shape[-1])
        out[held.any(1)] = joined
        return out

    def forward(self, bytes: Tensor, timing: Tensor) -> Tensor:
        b, rows, _ = bytes.shape
        holds = torch.cat([timing.new_ones(b, 1), (timing[..., 0] > 0).any(1).to(timing)], 1)  # at any frame
        bytes = torch.where(holds[..., None] > 0, bytes, PAD)
        phrases = self.encode(bytes.flatten(0, 1)).view(b, rows, -1)
        base = phrases[:, :1].expand(-1, timing.shape[1], -1)  # (b, f, d)
        inside = timing[..., :1] > 0  # (b, f, K, 1)
        e = self.phase[torch.arange(rows - 1, device=bytes.device) % self.config.phases]
        said = (phrases[:, 1:] + e)[:, None].expand(-1, timing.shape[1], -1, -1)  # (b, f, K, d)
        said = said + self.time(torch.cat([said, moments(timing).to(said)], dim=-1))
        now = torch.where(inside, said, 0).sum(2)  # chosen, not multiplied: exact
        now = torch.where(inside.any(2), now, self.no_phase)
        return self.norm(torch.stack([base, now], dim=2))

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without a script, (b, f, 2, d)."""
        return repeat_null(self.null, b, f)


def moments(timing: Tensor) -> Tensor:
    """Where in its phase a frame is: times, and waves of SWINGS from both ends, (..., 4) to (..., 20)."""
    times = timing[..., 1:3]  # since the start, to the end, seconds
    turns = 2 * math.pi * times[..., None] * torch.tensor(SWINGS, device=timing.device)
    waves = torch.cat([turns.sin(), turns.cos()], dim=-1).flatten(-2)
    return torch.cat([timing[..., :1], times.log1p(), timing[..., 3:], waves], dim=-1)
