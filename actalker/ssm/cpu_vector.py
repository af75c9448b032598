"""CPU kernels of the selective scan: vectors of 16 float32 inside numba, forward and backward.

Needs numba at import: only `cpu.py` imports this file, and only when the backend is tried. The vector type and
the kernels share a file on purpose: numba's cache on disk notices edits of a kernel's own file alone.

numba's own loops come out scalar here (index checks, aliasing, no vector exponential: 4 to 6 times slower), so
the kernels work on addresses and on `V`, one LLVM vector, which the compiler splits where the CPU has shorter
ones. Sixteen channels stand side by side in a vector; a step's states of these channels stay in the L1 cache.

Letters: b items, l length, d channels, n state size, t time, k step in a chunk; a block is 16 channels.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16            # also best on CPUs with shorter vectors: more independent work in flight
SIZE = 4 * LANES      # bytes of a vector
CHUNK = 64            # steps whose states the backward holds at once; one state in CHUNK is kept by the forward
LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453

FLOAT, INT = ir.FloatType(), ir.IntType(32)
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


class VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="float32x16")


V = VectorType()


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, FLOATS)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile when first called; keep the result on disk where that is possible."""
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:                       # no folder that can be written: compile in every process
        return njit(**options)(function)


# ---------------------------------------------------------------- the vector's arithmetic, as LLVM instructions

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
    return emit_call(builder, "llvm.fmuladd.v16f32", x, y, z)     # llvm.fma: a slow library call on older CPUs


def emit_polynomial(builder: Any, x: Any, coefficients: tuple[float, ...]) -> Any:
    """Horner's rule, highest power first."""
    y = constant(coefficients[0])
    for c in coefficients[1:]:
        y = emit_fma(builder, y, x, constant(c))
    return y


def emit_exp2(context: Any, builder: Any, x: Any) -> Any:
    """2^x within 2e-7; where it is below 1e-38 that or 0, above the largest float inf; NaN stays NaN."""
    # around the nearest whole number: near x = 0 the error then shrinks with x, and a slow decay compounds none
    best = (0.0013300264330902145, 0.009669708463637385, 0.055505599941115556, 0.2402228160658189, LN2, 1.0)
    if "+avx512dq" in context.codegen().magic_tuple()[2]:          # what numba compiles for here
        mask, usual, nearest = ir.Constant(ir.IntType(16), -1), INT(4), INT(8)
        rest = emit_call(builder, "llvm.x86.avx512.mask.reduce.ps.512", x, nearest, x, mask, usual)
        y, whole = emit_polynomial(builder, rest, best), builder.fsub(x, rest)
        return emit_call(builder, "llvm.x86.avx512.mask.scalef.ps.512", y, whole, y, mask, usual)   # y 2^whole
    for bound, beyond in ((-126.0, "<"), (128.0, ">")):
        x = builder.select(builder.fcmp_ordered(beyond, x, constant(bound)), constant(bound), x)
    magic = constant(1.5 * 2**23)              # adding it leaves the nearest whole number in the low bits
    whole = builder.fadd(x, magic)
    rest = builder.fsub(x, builder.fsub(whole, magic))                             # in [-1/2, 1/2]
    y = emit_polynomial(builder, rest, best)
    exponent = builder.shl(builder.bitcast(whole, INTS), integers([23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(y, INTS), exponent), FLOATS)


def emit_softplus(context: Any, builder: Any, x: Any) -> tuple[Any, Any]:
    """log(1 + e^x) and its derivative, the sigmoid: log1p(e) = 2 artanh(e / (e + 2)), no cancellation anywhere."""
    zero, one = constant(0.0), constant(1.0)
    negative = builder.fcmp_ordered("<", x, zero)
    e = emit_exp2(context, builder, builder.fmul(builder.select(negative, x, builder.fsub(zero, x)), constant(LOG2E)))
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


def emit_spread(builder: Any, x: Any) -> Any:
    first = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), x, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, first, integers([0] * LANES))


def emit_sums(builder: Any, address: Any) -> Any:
    """Lane i of the result is the sum of the i-th of 16 vectors: halves are folded and paired, four times."""
    vectors = [emit_load(builder, builder.add(address, ir.Constant(address.type, i * SIZE)), FLOATS)
               for i in range(LANES)]
    fold = LANES // 2
    while fold:
        low = [lane + side for start in range(0, LANES, 2 * fold) for side in (0, LANES)
               for lane in range(start, start + fold)]
        high = [lane + fold for lane in low]
        pairs = zip(vectors[:fold], vectors[fold:], strict=True)
        vectors = [builder.fadd(builder.shuffle_vector(x, y, integers(low)),
                                builder.shuffle_vector(x, y, integers(high))) for x, y in pairs]
        fold //= 2
    return vectors[0]


# ---------------------------------------------------------------- the same as functions that kernels call

@intrinsic
def load(typing: Any, address: Any) -> Any:
    return V(types.int64), lambda context, builder, sig, args: emit_load(builder, args[0], FLOATS)


@intrinsic
def load_number(typing: Any, address: Any) -> Any:
    return types.float32(types.int64), lambda context, builder, sig, args: emit_load(builder, args[0], FLOAT)


@intrinsic
def spread(typing: Any, address: Any) -> Any:
    """The number at the address in all lanes."""
    return V(types.int64), lambda context, builder, sig, args: emit_spread(
        builder, emit_load(builder, args[0], FLOAT))


@intrinsic
def sums(typing: Any, address: Any) -> Any:
    return V(types.int64), lambda context, builder, sig, args: emit_sums(builder, args[0])


@intrinsic
def store(typing: Any, address: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        emit_store(builder, *args)
        return context.get_dummy_value()

    return types.void(types.int64, value), generate


@intrinsic
def prefetch(typing: Any, address: Any) -> Any:
    """Fetch the cache line at the address, which may be nobody's."""
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer, bits = emit_pointer(builder, args[0], ir.IntType(8)), [INT(0), INT(3), INT(1)]
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, INT, INT, INT])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), [pointer, *bits])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def zero(typing: Any) -> Any:
    return V(), lambda context, builder, sig, args: constant(0.0)


@intrinsic
def one(typing: Any) -> Any:
    return V(), lambda context, builder, sig, args: constant(1.0)


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


# ---------------------------------------------------------------- the kernels

class Rows(NamedTuple):
    """Where a tensor (b, l, ...) is: address of its first number, bytes from item to item and from step to step."""

    at: int
    item: int
    step: int


class Plan(NamedTuple):
    """Sizes and switches of a call. A job is one part of one group of one item; parts share a group's channels."""

    l: int
    d: int           # a whole number of blocks a group
    n: int
    groups: int
    parts: int
    softplus: bool
    reverse: bool


@kernel
def fill_zero(address, size):
    """Zero `size` vectors."""
    for i in range(size):
        store(address + i * SIZE, zero())


@kernel
def job_of(job, plan):
    """The item, the group, and the channels of a job as its first byte in a row and its number of blocks."""
    part = job % plan.parts
    group = job // plan.parts % plan.groups
    blocks = plan.d // plan.groups // LANES
    first = blocks * part // plan.parts
    last = blocks * (part + 1) // plan.parts
    return job // (plan.parts * plan.groups), group, (group * blocks + first) * SIZE, last - first


@kernel
def scan_forward(jobs, lengths, plan, u, delta, B, C, y, A, D, bias, states, scratch):
    """Write y, zero past an item's length, and the state before every CHUNK steps to `states` unless that is 0.

    Addresses: A (d / 16, n, 16), times log2(e); D, bias (d,) or 0; states (b, chunks, d / 16, n, 16) or 0;
    scratch, n vectors a block of the largest job. jobs: the first and the last + 1.
    """
    n, l = plan.n, plan.l
    bundle = n * SIZE                             # the states of a block
    for job in range(jobs[0], jobs[1]):
        item, group, column, blocks = job_of(job, plan)
        length = lengths[item]
        u_0, delta_0, y_0 = u.at + item * u.item, delta.at + item * delta.item, y.at + item * y.item
        B_0, C_0 = B.at + item * B.item + group * n * 4, C.at + item * C.item + group * n * 4
        fill_zero(scratch, blocks * n)
        for chunk in range((length + CHUNK - 1) // CHUNK):   # chunks outside, channels inside: rows stay in cache
            for block in range(blocks):
                o, h = column + block * SIZE, scratch + block * bundle
                rate = A + o * n
                shift = load(bias + o) if bias else zero()
                skip = load(D + o) if D else zero()
                if states:
                    kept = states + ((item * ((l + CHUNK - 1) // CHUNK) + chunk) * plan.d * 4 + o) * n
                    for i in range(0, bundle, SIZE):
                        store(kept + i, load(h + i))
                for t in range(chunk * CHUNK, min((chunk + 1) * CHUNK, length)):
                    at = length - 1 - t if plan.reverse else t
                    u_t, delta_t, y_t = u_0 + at * u.step + o, delta_0 + at * delta.step + o, y_0 + at * y.step + o
                    prefetch(u_t + SIZE)
                    prefetch(delta_t + SIZE)
                    prefetch(y_t + SIZE)
                    x, dt = load(u_t), load(delta_t) + shift
                    if plan.softplus:
                        dt = softplus(dt)
                    drive, out = dt * x, skip * x
                    B_t, C_t = B_0 + at * B.step, C_0 + at * C.step
                    for i in range(n):
                        m = i * SIZE
                        state = fma(exp2(dt * load(rate + m)), load(h + m), drive * spread(B_t + i * 4))
                        store(h + m, state)
                        out = fma(state, spread(C_t + i * 4), out)
                    store(y_t, out)
        for t in range(length, l):
            fill_zero(y_0 + t * y.step + column, blocks)


@kernel
def scan_backward(
    jobs, lengths, plan, u, delta, B, C, dy, du, ddelta, dB, dC, A, D, bias, states, dA, dD, dbias, scratch
):
    """Write every gradient, zero past an item's length.

    dB, dC: (b, l, groups, parts, n), to be summed over parts. Addresses: dA (b, d / 16, n, 16), dD, dbias (b, d),
    to be summed over b; scratch, `backward_vectors` vectors. The rest as in `scan_forward`.
    """
    n, l = plan.n, plan.l
    bundle, row = n * SIZE, plan.d * 4
    dB_k = scratch                                                                              # (k, n)
    dC_k, decay_k, state_k = dB_k + CHUNK * bundle, dB_k + 2 * CHUNK * bundle, dB_k + 3 * CHUNK * bundle
    dt_k = state_k + (CHUNK + 1) * bundle      # state_k: before each step and after the last;    (k,)
    slope_k = dt_k + CHUNK * SIZE                                                               # (k,)
    dh_block = slope_k + CHUNK * SIZE                                                           # (blocks, n)
    for job in range(jobs[0], jobs[1]):
        item, group, column, blocks = job_of(job, plan)
        length, part = lengths[item], job % plan.parts
        u_0, delta_0, dy_0 = u.at + item * u.item, delta.at + item * delta.item, dy.at + item * dy.item
        du_0, ddelta_0 = du.at + item * du.item, ddelta.at + item * ddelta.item
        B_0, C_0 = B.at + item * B.item + group * n * 4, C.at + item * C.item + group * n * 4
        place = (group * plan.parts + part) * n * 4
        dB_0, dC_0 = dB.at + item * dB.item + place, dC.at + item * dC.item + place
        fill_zero(dh_block, blocks * n)
        fill_zero(dA + (item * row + column) * n, blocks * n)
        fill_zero(dD + item * row + column, blocks)
        fill_zero(dbias + item * row + column, blocks)
        for chunk in range((length + CHUNK - 1) // CHUNK - 1, -1, -1):
            t_0 = chunk * CHUNK
            steps = min(CHUNK, length - t_0)
            fill_zero(dB_k, steps * n)
            fill_zero(dC_k, steps * n)
            for block in range(blocks):
                o, dh = column + block * SIZE, dh_block + block * bundle
                rate, dA_o, dD_o, dbias_o = A + o * n, dA + (item * row + o) * n, dD + item * row + o, dbias + item * row + o
                shift = load(bias + o) if bias else zero()
                skip = load(D + o) if D else zero()
                kept = states + ((item * ((l + CHUNK - 1) // CHUNK) + chunk) * row + o) * n
                for i in range(0, bundle, SIZE):
                    store(state_k + i, load(kept + i))
                for k in range(steps):                                                # the states again
                    at = length - 1 - t_0 - k if plan.reverse else t_0 + k
                    u_t, delta_t = u_0 + at * u.step + o, delta_0 + at * delta.step + o
                    prefetch(u_t + SIZE)
                    prefetch(delta_t + SIZE)
                    prefetch(dy_0 + at * dy.step + o)
                    prefetch(du_0 + at * du.step + o)
                    prefetch(ddelta_0 + at * ddelta.step + o)
                    dt = load(delta_t) + shift
                    slope = one()
                    if plan.softplus:
                        slope = sigmoid(dt)
                        dt = softplus(dt)
                    store(dt_k + k * SIZE, dt)
                    store(slope_k + k * SIZE, slope)
                    drive, B_t = dt * load(u_t), B_0 + at * B.step
                    for i in range(n):
                        m = k * bundle + i * SIZE
                        decay = exp2(dt * load(rate + i * SIZE))
                        store(decay_k + m, decay)
                        state = fma(decay, load(state_k + m), drive * spread(B_t + i * 4))
                        store(state_k + bundle + m, state)
                dD_sum, dbias_sum = load(dD_o), load(dbias_o)
                for k in range(steps - 1, -1, -1):                                    # the adjoint, backwards
                    at = length - 1 - t_0 - k if plan.reverse else t_0 + k
                    B_t, C_t = B_0 + at * B.step, C_0 + at * C.step
                    x, dy_t, dt = load(u_0 + at * u.step + o), load(dy_0 + at * dy.step + o), load(dt_k + k * SIZE)
                    drive, ddrive, dexponent = dt * x, zero(), zero()
                    for i in range(n):
                        s, m = i * SIZE, k * bundle + i * SIZE
                        grad = fma(dy_t, spread(C_t + i * 4), load(dh + s))           # dL/dh of this step
                        store(dC_k + m, fma(dy_t, load(state_k + bundle + m), load(dC_k + m)))
                        store(dB_k + m, fma(grad, drive, load(dB_k + m)))
                        ddrive = fma(grad, spread(B_t + i * 4), ddrive)
                        grad = grad * load(decay_k + m)
                        store(dh + s, grad)
                        # not h - drive B, which is the same but loses all digits where decay is small
                        grad = grad * load(state_k + m)
                        dexponent = fma(grad, load(rate + s), dexponent)
                        store(dA_o + s, fma(grad, dt, load(dA_o + s)))
                    store(du_0 + at * du.step + o, fma(dt, ddrive, skip * dy_t))
                    ddt = fma(x, ddrive, dexponent * ln2()) * load(slope_k + k * SIZE)
                    store(ddelta_0 + at * ddelta.step + o, ddt)
                    dbias_sum = dbias_sum + ddt
                    dD_sum = fma(dy_t, x, dD_sum)
                store(dD_o, dD_sum)
                store(dbias_o, dbias_sum)
            for total in (dB_k, dC_k):                                                # over lanes, in place
                for i in range(0, steps * n, LANES):
                    store(total + i * 4, sums(total + i * SIZE))
            for k in range(steps):
                at = length - 1 - t_0 - k if plan.reverse else t_0 + k
                for i in range(n):
                    store(dB_0 + at * dB.step + i * 4, load_number(dB_k + (k * n + i) * 4))
                    store(dC_0 + at * dC.step + i * 4, load_number(dC_k + (k * n + i) * 4))
        for t in range(length, l):
            fill_zero(du_0 + t * du.step + column, blocks)
            fill_zero(ddelta_0 + t * ddelta.step + column, blocks)
            for i in range(n):
                store(dB_0 + t * dB.step + i * 4, types.float32(0))
                store(dC_0 + t * dC.step + i * 4, types.float32(0))


def backward_vectors(n: int, blocks: int) -> int:
    """Vectors of scratch that `scan_backward` needs for a job of so many blocks."""
    return CHUNK * (4 * n + 2) + n + blocks * n
