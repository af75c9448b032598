"""CPU kernels of the selective scan, forward and backward. Needs numba at import: only `cpu.py` imports this.

Sixteen channels stand side by side in a vector, a block. A block goes through CHUNK steps with its states in
the L1 cache, then the next block through the same steps, then all of them through the next chunk. The
forward keeps one state in CHUNK, the backward computes the others again. A reversed scan walks backwards from
an item's own last step.

Letters: b items, l length, d channels, n state size, t step in the order of the scan, k step in a chunk,
i state. x_0 is where an item's rows of x start, x_t the row of a step, x_k scratch with one entry a step of
the chunk, o the byte of a block within a row. What is not `Rows` is an address; all sizes are bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from numba.core import types

from .cpu_vector import (
    LANES,
    SIZE,
    exp2,
    fma,
    kernel,
    ln2,
    load,
    load_number,
    one,
    prefetch,
    sigmoid,
    softplus,
    spread,
    store,
    sums,
    zero,
)

CHUNK = 64


class Rows(NamedTuple):
    """Where a tensor (b, l, ...) is: its first number, and the way from item to item and from row to row."""

    at: int
    item: int
    step: int


class Plan(NamedTuple):
    """Sizes and switches of a call. A job is one part of one group of one item; parts share out channels."""

    l: int
    d: int  # a whole number of blocks a group
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
def chunks_of(l):
    return (l + CHUNK - 1) // CHUNK


@kernel
def row_of(t, length, plan):
    return length - 1 - t if plan.reverse else t


@kernel
def scan_forward(jobs, lengths, plan, u, delta, B, C, y, A, D, bias, states, scratch):
    """Write y, zero past an item's length, and to `states`, unless 0, the state before every chunk.

    Addresses: A (d / 16, n, 16), times log2(e); D, bias (d,) or 0; states (b, chunks, d / 16, n, 16) or 0;
    scratch, n vectors a block of the largest job. jobs: the first and the last + 1.
    """
    n, l = plan.n, plan.l
    bundle, row = n * SIZE, plan.d * 4  # the states of a block, a row of channels
    for job in range(jobs[0], jobs[1]):
        item, group, column, blocks = job_of(job, plan)
        length = lengths[item]
        u_0, delta_0, y_0 = u.at + item * u.item, delta.at + item * delta.item, y.at + item * y.item
        B_0, C_0 = B.at + item * B.item + group * n * 4, C.at + item * C.item + group * n * 4
        fill_zero(scratch, blocks * n)
        for chunk in range(chunks_of(length)):
            for block in range(blocks):
                o, h = column + block * SIZE, scratch + block * bundle
                rate = A + o * n
                shift = load(bias + o) if bias else zero()
                skip = load(D + o) if D else zero()
                if states:
                    kept = states + ((item * chunks_of(l) + chunk) * row + o) * n
                    for i in range(0, bundle, SIZE):
                        store(kept + i, load(h + i))
                for t in range(chunk * CHUNK, min((chunk + 1) * CHUNK, length)):
                    at = row_of(t, length, plan)
                    u_t, delta_t = u_0 + at * u.step + o, delta_0 + at * delta.step + o
                    y_t, B_t, C_t = y_0 + at * y.step + o, B_0 + at * B.step, C_0 + at * C.step
                    prefetch(u_t + SIZE)  # the next block's: too far off for the CPU to guess
                    prefetch(delta_t + SIZE)
                    prefetch(y_t + SIZE)
                    x, dt = load(u_t), load(delta_t) + shift
                    if plan.softplus:
                        dt = softplus(dt)
                    drive, out = dt * x, skip * x
                    for i in range(n):
                        m = i * SIZE
                        state = fma(exp2(dt * load(rate + m)), load(h + m), drive * spread(B_t + i * 4))
                        store(h + m, state)
                        out = fma(state, spread(C_t + i * 4), out)
                    store(y_t, out)
        for t in range(length, l):
            fill_zero(y_0 + t * y.step + column, blocks)
        if states:  # read by nobody, but the same in every run
            for chunk in range(chunks_of(length), chunks_of(l)):
                fill_zero(states + ((item * chunks_of(l) + chunk) * row + column) * n, blocks * n)


@kernel
def scan_backward(
    jobs, lengths, plan, u, delta, B, C, dy, du, ddelta, dB, dC, A, D, bias, states, dA, dD, dbias, scratch
):
    """Write every gradient, zero past an item's length.

    dB, dC: (b, l, groups, parts, n), to be summed over parts. Addresses: dA (b, d / 16, n, 16), dD, dbias
    (b, d), to be summed over b; scratch, `backward_vectors` vectors. The rest as in `scan_forward`.
    """
    n, l = plan.n, plan.l
    bundle, row = n * SIZE, plan.d * 4
    dB_k = scratch  # (k, n)
    dC_k, decay_k, state_k = dB_k + CHUNK * bundle, dB_k + 2 * CHUNK * bundle, dB_k + 3 * CHUNK * bundle
    dt_k = state_k + (CHUNK + 1) * bundle  # state_k: before each step and after the last;    (k,)
    slope_k = dt_k + CHUNK * SIZE  # (k,)
    dh_block = slope_k + CHUNK * SIZE  # (blocks, n)
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
        for chunk in range(chunks_of(length) - 1, -1, -1):
            t_0 = chunk * CHUNK
            steps = min(CHUNK, length - t_0)
            fill_zero(dB_k, steps * n)
            fill_zero(dC_k, steps * n)
            for block in range(blocks):
                o, dh = column + block * SIZE, dh_block + block * bundle
                rate, dA_o = A + o * n, dA + (item * row + o) * n
                dD_o, dbias_o = dD + item * row + o, dbias + item * row + o
                shift = load(bias + o) if bias else zero()
                skip = load(D + o) if D else zero()
                kept = states + ((item * chunks_of(l) + chunk) * row + o) * n
                for i in range(0, bundle, SIZE):
                    store(state_k + i, load(kept + i))
                for k in range(steps):  # the states again
                    at = row_of(t_0 + k, length, plan)
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
                for k in range(steps - 1, -1, -1):  # the adjoint, backwards
                    at = row_of(t_0 + k, length, plan)
                    B_t, C_t = B_0 + at * B.step, C_0 + at * C.step
                    x, dy_t = load(u_0 + at * u.step + o), load(dy_0 + at * dy.step + o)
                    dt, ddrive, dexponent = load(dt_k + k * SIZE), zero(), zero()
                    drive = dt * x
                    for i in range(n):
                        s, m = i * SIZE, k * bundle + i * SIZE
                        grad = fma(dy_t, spread(C_t + i * 4), load(dh + s))  # dL/dh of this step
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
            for total in (dB_k, dC_k):  # over lanes, in place
                for i in range(0, steps * n, LANES):
                    store(total + i * 4, sums(total + i * SIZE))
            for k in range(steps):
                at = row_of(t_0 + k, length, plan)
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
