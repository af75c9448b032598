"""Vectors of 16 float32 inside numba, for the CPU kernels.

numba's own loops come out scalar there (index checks, aliasing, no vector exponential: 4 to 6 times slower).
So the kernels work on addresses and on `V`, one LLVM vector, which the compiler splits where the CPU has
shorter ones.
Needs numba at import.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import extending, njit
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from .arguments import LANES, SIZE

LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453

intrinsic: Any = extending.intrinsic  # its type hints describe the Python call, not the kernel's
FLOAT, INT = ir.FloatType(), ir.IntType(32)
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)
HALVES = ir.VectorType(ir.IntType(16), LANES)


class VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="float32x16")


V = VectorType()


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, FLOATS)


@cache
def sources() -> str:
    """Hash of all files that hold CPU kernels: this folder's, and those of both operators."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *sorted(here.parent.glob("*/numba_*.py"))]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile when first called; keep the result on disk where that is possible."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    # numba's cache notices edits of a kernel's own file; with this in the name, of what it calls too
    function.__qualname__ += "_" + sources()
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder that can be written: compile in every process
        return njit(**options)(function)


# ---- the vector's arithmetic, as LLVM instructions


def constant(x: float) -> ir.Constant:
    return ir.Constant(FLOATS, [x] * LANES)


def integers(values: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(INT, len(values)), values)


def operation(symbol: Any, instruction: str) -> None:
    """Let the Python operator work on two vectors."""

    @infer_global(symbol)
    class Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(V, V, V) if tuple(args) == (V, V) else None

    @lower_builtin(symbol, V, V)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=("contract", "nsz"))


operation(operator.add, "fadd")
operation(operator.sub, "fsub")
operation(operator.mul, "fmul")


def emit_call(builder: Any, name: str, *args: Any) -> Any:
    kind = ir.FunctionType(FLOATS, [x.type for x in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def emit_fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    return emit_call(builder, "llvm.fmuladd.v16f32", x, y, z)  # llvm.fma: a library call on older CPUs


def emit_polynomial(builder: Any, x: Any, coefficients: tuple[float, ...]) -> Any:
    """Horner's rule, highest power first."""
    y = constant(coefficients[0])
    for c in coefficients[1:]:
        y = emit_fma(builder, y, x, constant(c))
    return y


def emit_exp2(context: Any, builder: Any, x: Any) -> Any:
    """2^x within 2e-7; where it is below 1e-38 that or 0, above the largest float inf; NaN stays NaN."""
    # from the nearest whole number: so the error shrinks with x, and a slow decay compounds none
    best = (0.0013300264330902145, 0.009669708463637385, 0.055505599941115556, 0.2402228160658189, LN2, 1.0)
    if "+avx512dq" in context.codegen().magic_tuple()[2]:  # what numba compiles for here
        mask, usual, nearest = ir.Constant(ir.IntType(16), -1), INT(4), INT(8)
        rest = emit_call(builder, "llvm.x86.avx512.mask.reduce.ps.512", x, nearest, x, mask, usual)
        y, whole = emit_polynomial(builder, rest, best), builder.fsub(x, rest)  # y 2^whole:
        return emit_call(builder, "llvm.x86.avx512.mask.scalef.ps.512", y, whole, y, mask, usual)
    for bound, beyond in ((-126.0, "<"), (128.0, ">")):
        x = builder.select(builder.fcmp_ordered(beyond, x, constant(bound)), constant(bound), x)
    magic = constant(1.5 * 2**23)  # adding it leaves the nearest whole number in the low bits
    whole = builder.fadd(x, magic)
    rest = builder.fsub(x, builder.fsub(whole, magic))  # in [-1/2, 1/2]
    y = emit_polynomial(builder, rest, best)
    exponent = builder.shl(builder.bitcast(whole, INTS), integers([23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(y, INTS), exponent), FLOATS)


def emit_softplus(context: Any, builder: Any, x: Any) -> tuple[Any, Any]:
    """log(1 + e^x) and its derivative, the sigmoid; log1p(e) = 2 artanh(e / (e + 2)) loses no digits."""
    zero, one = constant(0.0), constant(1.0)
    negative = builder.fcmp_ordered("<", x, zero)
    falling = builder.select(negative, x, builder.fsub(zero, x))  # -|x|
    e = emit_exp2(context, builder, builder.fmul(falling, constant(LOG2E)))
    s = builder.fdiv(e, builder.fadd(e, constant(2.0)))
    series = emit_polynomial(builder, builder.fmul(s, s), tuple(2 / k for k in (13, 11, 9, 7, 5, 3, 1)))
    sigmoid = builder.fdiv(builder.select(negative, e, one), builder.fadd(e, one))
    return emit_fma(builder, series, s, builder.select(negative, zero, x)), sigmoid


def emit_pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def emit_load(builder: Any, address: Any, kind: Any) -> Any:
    value = builder.load(emit_pointer(builder, address, kind))
    value.align = 4
    return value


def emit_store(builder: Any, address: Any, value: Any) -> None:
    builder.store(value, emit_pointer(builder, address, value.type)).align = 4


def emit_load_half(builder: Any, address: Any) -> Any:
    """Sixteen bfloat16 as float32: the upper halves of the words."""
    halves = builder.load(emit_pointer(builder, address, HALVES))
    halves.align = 2
    return builder.bitcast(builder.shl(builder.zext(halves, INTS), integers([16] * LANES)), FLOATS)


def emit_store_half(builder: Any, address: Any, value: Any) -> None:
    """Sixteen float32 as bfloat16, rounded to the nearest and to even; NaN stays NaN."""
    bits = builder.bitcast(value, INTS)
    odd = builder.and_(builder.lshr(bits, integers([16] * LANES)), integers([1] * LANES))
    rounded = builder.add(builder.add(bits, odd), integers([0x7FFF] * LANES))
    broken = builder.fcmp_unordered("uno", value, value)
    rounded = builder.select(broken, integers([0x7FC00000] * LANES), rounded)
    halves = builder.trunc(builder.lshr(rounded, integers([16] * LANES)), HALVES)
    builder.store(halves, emit_pointer(builder, address, HALVES)).align = 2


def emit_spread(builder: Any, x: Any) -> Any:
    first = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), x, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, first, integers([0] * LANES))


def emit_sums(builder: Any, address: Any) -> Any:
    """Lane i of the result is the sum of the i-th of 16 vectors: halves are folded and paired, four times."""
    vectors = [
        emit_load(builder, builder.add(address, ir.Constant(address.type, i * SIZE)), FLOATS)
        for i in range(LANES)
    ]
    fold = LANES // 2
    while fold:
        low = [
            lane + side
            for start in range(0, LANES, 2 * fold)
            for side in (0, LANES)
            for lane in range(start, start + fold)
        ]
        high = [lane + fold for lane in low]
        pairs = zip(vectors[:fold], vectors[fold:], strict=True)
        vectors = [
            builder.fadd(
                builder.shuffle_vector(x, y, integers(low)), builder.shuffle_vector(x, y, integers(high))
            )
            for x, y in pairs
        ]
        fold //= 2
    return vectors[0]


# ---- the same as functions that kernels call


@intrinsic
def load(typing: Any, address: Any) -> Any:
    return V(types.int64), lambda context, builder, sig, args: emit_load(builder, args[0], FLOATS)


@intrinsic
def load_half(typing: Any, address: Any) -> Any:
    """Sixteen bfloat16."""
    return V(types.int64), lambda context, builder, sig, args: emit_load_half(builder, args[0])


@intrinsic
def store_half(typing: Any, address: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit_store_half(builder, *args)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def load_number(typing: Any, address: Any) -> Any:
    return types.float32(types.int64), lambda context, builder, sig, args: emit_load(builder, args[0], FLOAT)


@intrinsic
def load_index(typing: Any, address: Any) -> Any:
    return types.int64(types.int64), lambda context, builder, sig, args: builder.load(
        emit_pointer(builder, args[0], ir.IntType(64))
    )


@intrinsic
def spread(typing: Any, address: Any) -> Any:
    """The number at the address in all lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_spread(builder, emit_load(builder, args[0], FLOAT))

    return V(types.int64), generate


@intrinsic
def sums(typing: Any, address: Any) -> Any:
    return V(types.int64), lambda context, builder, sig, args: emit_sums(builder, args[0])


@intrinsic
def total(typing: Any, x: Any) -> Any:
    """The sum over the lanes, in halves."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, fold = args[0], LANES // 2
        while fold:
            low, high = integers(list(range(fold))), integers(list(range(fold, 2 * fold)))
            x = builder.fadd(builder.shuffle_vector(x, x, low), builder.shuffle_vector(x, x, high))
            fold //= 2
        return builder.extract_element(x, INT(0))

    return types.float32(V), generate


@intrinsic
def store(typing: Any, address: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit_store(builder, *args)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Ask for the cache line at the address, which may be nobody's."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, bits = emit_pointer(builder, args[0], ir.IntType(8)), [INT(0), INT(3), INT(1)]
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, INT, INT, INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, *bits])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def zero(typing: Any) -> Any:
    return V(), lambda context, builder, sig, args: constant(0.0)


@intrinsic
def one(typing: Any) -> Any:
    return V(), lambda context, builder, sig, args: constant(1.0)


@intrinsic
def tiny(typing: Any) -> Any:
    return V(), lambda context, builder, sig, args: constant(2.0**-80)


@intrinsic
def ln2(typing: Any) -> Any:
    return V(), lambda context, builder, sig, args: constant(LN2)


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    return V(V, V, V), lambda context, builder, sig, args: emit_fma(builder, *args)


@intrinsic
def exp2(typing: Any, x: Any) -> Any:
    return V(V), lambda context, builder, sig, args: emit_exp2(context, builder, *args)


@intrinsic
def softplus(typing: Any, x: Any) -> Any:
    return V(V), lambda context, builder, sig, args: emit_softplus(context, builder, *args)[0]


@intrinsic
def sigmoid(typing: Any, x: Any) -> Any:
    return V(V), lambda context, builder, sig, args: emit_softplus(context, builder, *args)[1]
