"""Encoder of a script: each phrase is encoded alone, and placed on the frames of its phase.

Letters: b batch, f frames, n tokens a frame, d width, K phases, L bytes a phrase, r phrases of the batch.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .offloaded import weights_here
from .script import Script
from .signal import repeat_null
from .standardize import Standardize

PAD, EOS, OFFSET = 0, 1, 3  # ByT5's ids: byte + 3; its 2, unknown, is not needed for bytes
SWINGS = (0.5, 1.0, 2.0, 4.0)  # Hz of waves in a phase, for actions that go to and fro, such as a nod
LENGTH = 64  # bytes of a phrase and its end mark; longer ones are cut, with a warning


class TextInput(NamedTuple):
    """A script as arrays.

    bytes: (K + 1, L) int64 ids; row 0 is the base text, row k phase k.
    timing: (f, K, 4) float32, for each frame and phase: 1 inside the phase, seconds since its start,
        seconds to its end, progress in [0, 1]; zeros outside.
    """

    bytes: np.ndarray
    timing: np.ndarray


def phrase_bytes(text: str) -> np.ndarray:
    """Return the ids (L,) of a phrase, without regard to case and spacing; an empty text is all padding.

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
    """Settings of `TextEncoder`."""

    width: int = 64  # d of the tokens and of the transformer
    layers: int = 2  # of the transformer, which reads the order of words
    heads: int = 4  # of its attention
    buckets: int = 2048  # embeddings of hashed byte triples, by which a few phrases are learnt fast
    phases: int = 8  # phase embeddings e_k; ActAvatar names no number; later phases reuse them


class MixingLayer(nn.TransformerEncoderLayer):
    """PyTorch's transformer layer, whose fast path serves plain linear layers only.

    That path reads the weights of its linear layers without calling them, so quantised layers and adapters
    would have no effect; for these the slow path is taken here.
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Map tokens (r, L, d), as PyTorch's layer does."""
        if type(self.linear1) is nn.Linear and type(self.linear2) is nn.Linear:
            return super().forward(src, src_mask, src_key_padding_mask, is_causal)
        x = src + self._sa_block(self.norm1(src), src_mask, src_key_padding_mask)
        return x + self._ff_block(self.norm2(x))


class TextEncoder(nn.Module):
    """Encoder of a script to two tokens a frame.

    Token 0 is the base text, the same at every frame. Token 1 is

        Σ_k (t_k + e_k + MLP(t_k + e_k, moment))    over the phases k that hold at the frame

    with the phrase's vector t_k and the phase embedding e_k of ActAvatar's phase-aware cross-attention,
    zero at first; it is a learned vector where no phase holds. The MLP reads text and moment together,
    since a text
    means something else at each moment: a nod goes down and up, a smile stays. A phase has no effect
    on frames outside it.
    """

    name = "text"

    def __init__(self, config: TextConfig) -> None:
        """Make an encoder with new weights."""
        super().__init__()
        self.config = config
        d = config.width
        self.embed = nn.Embedding(256 + OFFSET, d)
        self.place = nn.Parameter(0.5 * torch.randn(LENGTH, d))  # large enough for the order to matter
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
        """Return the script's arrays at frames start .. start + frames - 1; frame k is at exactly k / fps s.

        Each phase has a row, also one outside these frames, so that a frame's tokens do not depend
        on the range that it is read in.

        Args:
            script: text with times.
            fps: exact frames a second.
            frames: f.
            start: number of the first frame.
            phases: K, to which phases are padded, since a batch needs one K; None
                for the script's own number.
        Raises: InputError for a script with more than `phases` phases.
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
            first = max(math.ceil(step.start * rate), start)  # the step holds at frames first .. last - 1
            last = min(math.ceil(step.stop * rate), start + frames)
            since = np.arange(first, last) / float(rate) - float(step.start)
            length = float(step.stop - step.start)
            row = np.stack([np.ones_like(since), since, length - since, since / length], axis=-1)
            timing[first - start : max(last, first) - start, slot] = row
        return TextInput(np.stack(rows + empty), timing)

    def encode(self, ids: Tensor) -> Tensor:
        """Encode phrases (r, L) to vectors (r, d), each from its own bytes; an empty phrase to zeros."""
        filled = ids != PAD  # (r, L)
        ids = F.pad(ids[filled.any(1)], (0, 2), value=PAD)  # rows with text, with room for triples
        present = filled[filled.any(1)]
        z = self.embed(ids[:, :-2]) + self.place[: present.shape[1]]
        with weights_here(self.mix):  # PyTorch's layer reads the weights of its own layers
            z = self.mix(z, src_key_padding_mask=~present)
        weight = (present / present.sum(1, keepdim=True))[..., None].to(z)  # mean over the phrase's bytes
        hashed = (ids[:, :-2] * 961 + ids[:, 1:-1] * 31 + ids[:, 2:]) % self.config.buckets
        pooled = torch.cat([(z * weight).sum(1), (self.triples(hashed) * weight).sum(1)], dim=-1)
        joined = self.join(pooled)  # under autocast: its own dtype
        vectors = joined.new_zeros(filled.shape[0], joined.shape[-1])
        vectors[filled.any(1)] = joined
        return vectors

    def forward(self, bytes: Tensor, timing: Tensor) -> Tensor:
        """Encode ids (b, K + 1, L) and timing (b, f, K, 4) to tokens (b, f, 2, d)."""
        b, rows, _ = bytes.shape
        holds = torch.cat([timing.new_ones(b, 1), (timing[..., 0] > 0).any(1).to(timing)], 1)  # at any frame
        bytes = torch.where(holds[..., None] > 0, bytes, PAD)
        phrases = self.encode(bytes.flatten(0, 1)).view(b, rows, -1)
        base = phrases[:, :1].expand(-1, timing.shape[1], -1)  # (b, f, d)
        inside = timing[..., :1] > 0  # (b, f, K, 1)
        e = self.phase[torch.arange(rows - 1, device=bytes.device) % self.config.phases]
        said = (phrases[:, 1:] + e)[:, None].expand(-1, timing.shape[1], -1, -1)  # (b, f, K, d)
        said = said + self.time(torch.cat([said, moments(timing).to(said)], dim=-1))
        now = torch.where(inside, said, 0).sum(2)  # not a product with 0, so that NaN outside stays out
        now = torch.where(inside.any(2), now, self.no_phase)
        return self.norm(torch.stack([base, now], dim=2))

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, 2, d) of a clip without a script."""
        return repeat_null(self.null, b, f)


def moments(timing: Tensor) -> Tensor:
    """Return features (..., 20) of timing (..., 4), the values of `TextInput.timing`.

    With s the seconds since the start of the phase, e the seconds to its end, and the 4 frequencies SWINGS:
    inside, log(1 + s), log(1 + e), progress; then for t = s, e: sin 2π SWINGS t (4), cos 2π SWINGS t (4).
    """
    times = timing[..., 1:3]  # since the start, to the end, seconds
    turns = 2 * math.pi * times[..., None] * torch.tensor(SWINGS, device=timing.device)
    waves = torch.cat([turns.sin(), turns.cos()], dim=-1).flatten(-2)
    return torch.cat([timing[..., :1], times.log1p(), timing[..., 3:], waves], dim=-1)
