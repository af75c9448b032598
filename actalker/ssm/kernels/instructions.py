"""The LLVM instructions of vectors of 16 float32: what `vector` puts into kernels. Needs numba at import.

Addresses are 64-bit integers. A vector is `FLOATS`, which the compiler splits where the CPU has shorter ones.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils
from numba.core.cpu import CPUContext

from .arguments import LANES, SIZE

LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453

FLOAT, INT = ir.FloatType(), ir.IntType(32)
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)
HALVES = ir.VectorType(ir.IntType(16), LANES)


def constant(x: float) -> ir.Constant:
    """A vector of equal numbers."""
    return ir.Constant(FLOATS, [x] * LANES)


def integers(values: list[int]) -> ir.Constant:
    """A vector of 32-bit integers."""
    return ir.Constant(ir.VectorType(INT, len(values)), values)


def emit_call(builder: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """A call of an LLVM function that gives a vector."""
    kind = ir.FunctionType(FLOATS, [x.type for x in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def emit_fma(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    """x y + z, by one instruction where the CPU has it."""
    return emit_call(builder, "llvm.fmuladd.v16f32", x, y, z)  # llvm.fma: a library call on older CPUs


def emit_polynomial(builder: ir.IRBuilder, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
    """The polynomial of x by Horner's rule; coefficients: highest power first."""
    y = constant(coefficients[0])
    for c in coefficients[1:]:
        y = emit_fma(builder, y, x, constant(c))
    return y


def emit_exp2(context: CPUContext, builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """2^x with a relative error of at most 2e-7.

    Results below 1e-38 become 1e-38 or 0, those above the largest float inf; NaN stays NaN.
    """
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


def emit_softplus(context: CPUContext, builder: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """log(1 + e^x) and its derivative, the sigmoid; log1p(e) = 2 artanh(e / (e + 2)) loses no digits."""
    zero, one = constant(0.0), constant(1.0)
    negative = builder.fcmp_ordered("<", x, zero)
    falling = builder.select(negative, x, builder.fsub(zero, x))  # -|x|
    e = emit_exp2(context, builder, builder.fmul(falling, constant(LOG2E)))
    s = builder.fdiv(e, builder.fadd(e, constant(2.0)))
    series = emit_polynomial(builder, builder.fmul(s, s), tuple(2 / k for k in (13, 11, 9, 7, 5, 3, 1)))
    sigmoid = builder.fdiv(builder.select(negative, e, one), builder.fadd(e, one))
    return emit_fma(builder, series, s, builder.select(negative, zero, x)), sigmoid


def emit_pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """An address as a pointer to values of a type."""
    return builder.inttoptr(address, kind.as_pointer())


def emit_load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """The value of a type at an address, which is a multiple of 4."""
    value = builder.load(emit_pointer(builder, address, kind))
    value.align = 4
    return value


def emit_store(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    """Write a value to an address, which is a multiple of 4."""
    builder.store(value, emit_pointer(builder, address, value.type)).align = 4


def emit_load_half(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    """Sixteen bfloat16 at an address as float32, whose upper halves they are."""
    halves = builder.load(emit_pointer(builder, address, HALVES))
    halves.align = 2
    return builder.bitcast(builder.shl(builder.zext(halves, INTS), integers([16] * LANES)), FLOATS)


def emit_store_half(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    """Write sixteen float32 to an address as bfloat16, rounded to the nearest and to even; NaN stays NaN."""
    bits = builder.bitcast(value, INTS)
    odd = builder.and_(builder.lshr(bits, integers([16] * LANES)), integers([1] * LANES))
    rounded = builder.add(builder.add(bits, odd), integers([0x7FFF] * LANES))
    broken = builder.fcmp_unordered("uno", value, value)
    rounded = builder.select(broken, integers([0x7FC00000] * LANES), rounded)
    halves = builder.trunc(builder.lshr(rounded, integers([16] * LANES)), HALVES)
    builder.store(halves, emit_pointer(builder, address, HALVES)).align = 2


def emit_spread(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """A vector whose lanes all hold the number x."""
    first = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), x, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, first, integers([0] * LANES))


def emit_sums(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    """The sums of 16 vectors that lie side by side; lane i holds that of vector i.

    Halves of vectors are added and paired, four times.
    """
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
