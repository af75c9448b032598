"""Vectors of 16 float32 inside numba, for the CPU kernels.

numba's own loops come out scalar there (index checks, aliasing, no vector exponential: 4 to 6 times slower).
So the kernels work on addresses and on `V`, one LLVM vector. This module gives the functions that kernels
call; `instructions` writes what they consist of. Needs numba at import.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from llvmlite import ir
from numba import extending, njit
from numba.core import cgutils, types
from numba.core.cpu import CPUContext
from numba.core.datamodel import DataModelManager
from numba.core.typing import BaseContext as TypingContext
from numba.core.typing.templates import AbstractTemplate, Signature, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from .arguments import LANES
from .instructions import (
    FLOAT,
    FLOATS,
    INT,
    LN2,
    constant,
    emit_exp2,
    emit_fma,
    emit_load,
    emit_load_half,
    emit_pointer,
    emit_softplus,
    emit_spread,
    emit_store,
    emit_store_half,
    emit_sums,
    integers,
)

Emit = Callable[[CPUContext, ir.IRBuilder, Signature, Sequence[ir.Value]], ir.Value]
"""Writes the instructions of a call into the kernel that is being compiled."""
Intrinsic = tuple[Signature, Emit]
"""The types of a function that kernels call, and what emits it."""

# numba's own type hints describe a call from Python; a kernel calls it without the typing context
intrinsic = cast(Callable[[Callable[..., Intrinsic]], Callable[..., Any]], extending.intrinsic)


class Vector(Protocol):
    """Sixteen float32 in a register, as kernels see them."""

    def __add__(self, other: Vector) -> Vector: ...
    def __sub__(self, other: Vector) -> Vector: ...
    def __mul__(self, other: Vector) -> Vector: ...


class VectorType(types.Type):
    """The type of `Vector` in numba."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


V = VectorType()


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    """How numba holds a vector: as one LLVM vector."""

    def __init__(self, manager: DataModelManager, fe_type: types.Type) -> None:
        super().__init__(manager, fe_type, FLOATS)


@cache
def sources() -> str:
    """Hash of all files that hold CPU kernels: this folder's, and those of both operators."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *sorted(here.parent.glob("*/numba_*.py"))]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function when it is first called; keep the result on disk where that is possible."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    # numba's cache notices edits of a kernel's own file; with this in the name, of what it calls too
    function.__qualname__ += "_" + sources()
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written: compile in every process
        return njit(**options)(function)


def operation(symbol: Callable[..., object], instruction: str) -> None:
    """Let the Python operator work on two vectors."""

    @infer_global(symbol)
    class Typing(AbstractTemplate):
        def generic(self, args: Sequence[types.Type], kws: object) -> Signature | None:
            return signature(V, V, V) if tuple(args) == (V, V) else None

    @lower_builtin(symbol, V, V)
    def lower(
        context: CPUContext, builder: ir.IRBuilder, sig: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        return getattr(builder, instruction)(*args, flags=("contract", "nsz"))


operation(operator.add, "fadd")
operation(operator.sub, "fsub")
operation(operator.mul, "fmul")


@intrinsic
def load(typing: TypingContext, address: types.Type) -> Intrinsic:
    """The sixteen float32 at an address."""
    return V(types.int64), lambda context, builder, sig, args: emit_load(builder, args[0], FLOATS)


@intrinsic
def load_half(typing: TypingContext, address: types.Type) -> Intrinsic:
    """The sixteen bfloat16 at an address, as float32."""
    return V(types.int64), lambda context, builder, sig, args: emit_load_half(builder, args[0])


@intrinsic
def store_half(typing: TypingContext, address: types.Type, value: types.Type) -> Intrinsic:
    """Write sixteen float32 to an address as bfloat16."""

    def generate(
        context: CPUContext, builder: ir.IRBuilder, sig: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        emit_store_half(builder, *args)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def load_number(typing: TypingContext, address: types.Type) -> Intrinsic:
    """The float32 at an address."""
    return types.float32(types.int64), lambda context, builder, sig, args: emit_load(builder, args[0], FLOAT)


@intrinsic
def load_index(typing: TypingContext, address: types.Type) -> Intrinsic:
    """The int64 at an address."""
    return types.int64(types.int64), lambda context, builder, sig, args: builder.load(
        emit_pointer(builder, args[0], ir.IntType(64))
    )


@intrinsic
def spread(typing: TypingContext, address: types.Type) -> Intrinsic:
    """The float32 at an address in all lanes."""

    def generate(
        context: CPUContext, builder: ir.IRBuilder, sig: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        return emit_spread(builder, emit_load(builder, args[0], FLOAT))

    return V(types.int64), generate


@intrinsic
def sums(typing: TypingContext, address: types.Type) -> Intrinsic:
    """The sums of the 16 vectors from an address on: lane i holds that of vector i."""
    return V(types.int64), lambda context, builder, sig, args: emit_sums(builder, args[0])


@intrinsic
def total(typing: TypingContext, x: types.Type) -> Intrinsic:
    """The sum over the lanes of x, a number; halves are added four times."""

    def generate(
        context: CPUContext, builder: ir.IRBuilder, sig: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        x, fold = args[0], LANES // 2
        while fold:
            low, high = integers(list(range(fold))), integers(list(range(fold, 2 * fold)))
            x = builder.fadd(builder.shuffle_vector(x, x, low), builder.shuffle_vector(x, x, high))
            fold //= 2
        return builder.extract_element(x, INT(0))

    return types.float32(V), generate


@intrinsic
def store(typing: TypingContext, address: types.Type, value: types.Type) -> Intrinsic:
    """Write a vector or a number to an address."""

    def generate(
        context: CPUContext, builder: ir.IRBuilder, sig: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        emit_store(builder, *args)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def prefetch(typing: TypingContext, address: types.Type) -> Intrinsic:
    """Ask for the cache line at an address, which need not be valid."""

    def generate(
        context: CPUContext, builder: ir.IRBuilder, sig: Signature, args: Sequence[ir.Value]
    ) -> ir.Value:
        pointer, bits = emit_pointer(builder, args[0], ir.IntType(8)), [INT(0), INT(3), INT(1)]
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, INT, INT, INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, *bits])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def zero(typing: TypingContext) -> Intrinsic:
    """Zeros."""
    return V(), lambda context, builder, sig, args: constant(0.0)


@intrinsic
def one(typing: TypingContext) -> Intrinsic:
    """Ones."""
    return V(), lambda context, builder, sig, args: constant(1.0)


@intrinsic
def tiny(typing: TypingContext) -> Intrinsic:
    """2^-80 in every lane: far below 1, and far above the numbers that slow CPUs down."""
    return V(), lambda context, builder, sig, args: constant(2.0**-80)


@intrinsic
def ln2(typing: TypingContext) -> Intrinsic:
    """The natural logarithm of 2 in every lane."""
    return V(), lambda context, builder, sig, args: constant(LN2)


@intrinsic
def fma(typing: TypingContext, x: types.Type, y: types.Type, z: types.Type) -> Intrinsic:
    """x y + z."""
    return V(V, V, V), lambda context, builder, sig, args: emit_fma(builder, *args)


@intrinsic
def exp2(typing: TypingContext, x: types.Type) -> Intrinsic:
    """2^x, as `emit_exp2`."""
    return V(V), lambda context, builder, sig, args: emit_exp2(context, builder, *args)


@intrinsic
def softplus(typing: TypingContext, x: types.Type) -> Intrinsic:
    """log(1 + e^x)."""
    return V(V), lambda context, builder, sig, args: emit_softplus(context, builder, *args)[0]


@intrinsic
def sigmoid(typing: TypingContext, x: types.Type) -> Intrinsic:
    """1 / (1 + e^-x)."""
    return V(V), lambda context, builder, sig, args: emit_softplus(context, builder, *args)[1]
