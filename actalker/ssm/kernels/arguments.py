"""How a CPU kernel is called: sizes, addresses and strides in the place of tensors. Nothing here needs numba.

Letters: b batch, r rows, g groups, d channels, n state size, s sequences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LANES = 16  # numbers of a vector; also best on CPUs with shorter ones: more independent work in flight
SIZE = 4 * LANES  # bytes of a vector

ITEM, START, LENGTH, FIRST_CHUNK = range(4)  # columns of `places_of`


class Rows(NamedTuple):
    """The address of a tensor (b, r, g, ...), and the bytes between items, rows and groups."""

    at: int
    item: int
    step: int
    group: int


def is_plain(t: Tensor) -> bool:
    """Whether a tensor has values in main memory now: it is no stand-in, and nothing is being compiled."""
    return type(t) is Tensor and t.device.type == "cpu" and not torch.compiler.is_compiling()


def rows(t: Tensor) -> Rows:
    """Where the rows of a tensor (b, r, g, ...) are; a single group serves all groups."""
    size = t.element_size()
    group = t.stride(2) if t.shape[2] > 1 else 0
    return Rows(t.data_ptr(), size * t.stride(0), size * t.stride(1), size * group)


def rows_of_order(order: Tensor | None) -> Rows:
    """Where an order (g, l) int64 is, as rows of one number a step; None: at 0."""
    if order is None:
        return Rows(0, 0, 0, 0)
    return Rows(order.data_ptr(), 0, order.element_size(), order.stride(0) * order.element_size())


def address(t: Tensor | None) -> int:
    """The address of a contiguous tensor; 0 for None and for an empty one."""
    return 0 if t is None or not t.numel() else t.data_ptr()


def places_of(lengths: Tensor, b: int, chunk: int) -> np.ndarray:
    """Where each sequence lies, (s, 4) int64: item, first step, length, and the number of its first chunk.

    lengths: (s,) steps of each sequence; with one item, b = 1, they lie in it one behind another.
    """
    size = lengths.numpy()
    packed = b == 1
    item = np.zeros_like(size) if packed else np.arange(b)
    start = size.cumsum() - size if packed else np.zeros_like(size)
    chunks = -(-size // chunk)
    return np.stack([item, start, size, chunks.cumsum() - chunks], 1)


def chunks_in(places: np.ndarray, chunk: int) -> int:
    """How many chunks the sequences of `places_of` have together."""
    return int(places[-1, FIRST_CHUNK] - (-places[-1, LENGTH] // chunk)) if len(places) else 0


def scratch(vectors: int) -> np.ndarray:
    """Memory for `vectors` vectors, each in one cache line: one that lies in two costs two loads."""
    space = np.empty((vectors + 1) * LANES, np.float32)  # torch.empty fills it if deterministic
    first = -space.ctypes.data // space.itemsize % LANES
    return space[first : first + vectors * LANES]


def in_blocks(t: Tensor) -> Tensor:
    """(..., d, n) to (..., d / 16, n, 16), the order in which the kernels of the selective scan read it."""
    return t.unflatten(-2, (-1, LANES)).transpose(-1, -2).contiguous()


def out_of_blocks(t: Tensor) -> Tensor:
    """The inverse of `in_blocks`, of a tensor whose shape says (..., d, n) already."""
    d, n = t.shape[-2:]
    return t.view(*t.shape[:-2], d // LANES, n, LANES).transpose(-1, -2).reshape(t.shape).contiguous()
