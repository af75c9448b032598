"""Reading and writing memory in whole vectors, inside numba. Needs numba at import. All sizes are bytes."""

from __future__ import annotations

from .arguments import SIZE
from .vector import Vector, kernel, load, load_half, store, store_half, zero


@kernel
def fill_zero(address: int, size: int) -> None:
    """Set `size` vectors from an address on to zero."""
    for i in range(size):
        store(address + i * SIZE, zero())


@kernel
def copy_vectors(source: int, target: int, size: int) -> None:
    """Copy `size` vectors from one address to another; a source of 0 stands for zeros."""
    for i in range(size):
        store(target + i * SIZE, load(source + i * SIZE) if source else zero())


@kernel
def read(address: int, half: bool) -> Vector:
    """Sixteen numbers of a row; half: they are bfloat16, not float32."""
    return load_half(address) if half else load(address)


@kernel
def write(address: int, value: Vector, half: bool) -> None:
    """Write sixteen numbers to a row, as bfloat16 with `half`, else as float32."""
    if half:
        store_half(address, value)
    else:
        store(address, value)
