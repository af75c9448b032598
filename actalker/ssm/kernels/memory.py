"""Reading and writing memory in whole vectors, inside numba. Needs numba at import. All sizes are bytes."""

from __future__ import annotations

from .vector import SIZE, kernel, load, load_half, store, store_half, zero


@kernel
def fill_zero(address, size):
    """Zero `size` vectors."""
    for i in range(size):
        store(address + i * SIZE, zero())


@kernel
def copy_vectors(source, target, size):
    """Copy `size` vectors; from address 0, zeros."""
    for i in range(size):
        store(target + i * SIZE, load(source + i * SIZE) if source else zero())


@kernel
def read(address, half):
    """Sixteen numbers of a row."""
    return load_half(address) if half else load(address)


@kernel
def write(address, value, half):
    """Sixteen numbers to a row."""
    if half:
        store_half(address, value)
    else:
        store(address, value)
