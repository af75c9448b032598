"""Checks of a scan's arguments: the kind of numbers, shapes that fit, lengths that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import InputError

Shapes = Mapping[str, tuple[Tensor | None, tuple[int, ...]]]
"""By the name of an argument: the tensor, and the shape that it must have."""


def check_real(what: str, tensors: Mapping[str, Tensor | None]) -> None:
    """Raise InputError naming the first tensor that does not hold real numbers as floats."""
    for name, t in tensors.items():
        if t is None or (isinstance(t, Tensor) and t.is_floating_point()):
            continue
        if not isinstance(t, Tensor):
            raise InputError(f"{what}: {name} is of type {type(t).__name__}; give a torch.Tensor")
        dtype = str(t.dtype).removeprefix("torch.")
        remedy = f"{name}.real, if that is meant" if t.is_complex() else f"{name}.float()"
        raise InputError(f"{what}: {name} is {dtype}; give real numbers as floats, {remedy}")


def check_shapes(shapes: Shapes, because: str) -> None:
    """Raise InputError naming the first tensor whose shape is not the one that `because` needs."""
    for name, (t, shape) in shapes.items():
        if t is not None and t.shape != shape:
            raise InputError(f"scan: {name} is {tuple(t.shape)}; {because} {shape}")


def checked_state(
    state: Tensor | None, sequences: int, shape: tuple[int, ...], wanted: bool, like: Tensor
) -> Tensor | None:
    """The states that a call of `sequences` sequences starts from, (s, *shape), or None.

    Where no state is passed but the last ones are `wanted`, zeros of the dtype and device of `like`.
    Raises: InputError for a state of another shape.
    """
    needed = (sequences, *shape)
    if state is not None and state.shape != needed:
        raise InputError(f"scan: state is {tuple(state.shape)}; {sequences} sequences need {needed}")
    return like.new_zeros(needed) if state is None and wanted else state


def checked_lengths(lengths: Tensor | Sequence[int] | None, u: Tensor) -> Tensor | None:
    """The lengths as int64 (s,) on the device of u (1, l, ...); None stays None.

    Raises: InputError if they are not whole numbers from 0 whose sum is l.
    """
    if lengths is None:
        return None
    b, l = u.shape[:2]
    sizes = torch.as_tensor(lengths, dtype=None if torch.is_tensor(lengths) or len(lengths) else torch.int64)
    if sizes.ndim != 1 or sizes.is_floating_point() or sizes.is_complex() or sizes.dtype == torch.bool:
        raise InputError(f"lengths: {tuple(sizes.shape)} {sizes.dtype}; give one whole number a sequence")
    if b != 1:
        raise InputError(f"lengths: u has {b} items; pack the sequences one behind another, (1, l, d)")
    if can_look(sizes) and (int(sizes.sum()) != l or bool((sizes < 0).any())):
        raise InputError(f"lengths: {sizes.tolist()}; give numbers from 0 whose sum is the pack's length {l}")
    return sizes.to(u.device, torch.int64)


def can_look(t: Tensor) -> bool:
    """Return True if a check may read the values of t: on the CPU, and not while torch compiles.

    Reading values from an accelerator would make the CPU wait for it, and a traced tensor has no values yet.
    """
    return t.device.type == "cpu" and not torch.compiler.is_compiling()
