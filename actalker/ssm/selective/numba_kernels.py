"""CPU kernels of the selective scan, forward and backward. Needs numba: only `numba.py` imports this.

Sixteen channels stand side by side in a vector, a block. A block goes through CHUNK steps with its states in
the L1 cache, then the next block through the same steps, then all of them through the next chunk. The
forward keeps one state in CHUNK, the backward computes the others again. A reversed scan walks backwards from
a sequence's last step. A scan with an `order` reads and writes, at step t, the row order[t] (a gather index).

Letters: l length, r rows, d channels, g groups, n state size, s sequence, t step in the order of the scan,
k step in a chunk, i state. For a tensor x: x_0 is the address at which an item's rows start, x_t the address
of a step's row, x_k scratch memory with one entry per step of the chunk.
Offsets of a block, in bytes: o within a row of float32 values, p within a row of x in the dtype of x.
An argument that is not `Rows` is an address; all sizes are in bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.arguments import FIRST_CHUNK, ITEM, LANES, LENGTH, SIZE, START, Rows
from ..kernels.memory import copy_vectors, fill_zero, read, write
from ..kernels.vector import (
    Vector,
    exp2,
    fma,
    kernel,
    ln2,
    load,
    load_index,
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


class Plan(NamedTuple):
    """Sizes and switches of a call.

    A job scans one part of the channels of one group, over one sequence.
    parts: the number of jobs into which the channels of a group are divided.
    """

    d: int  # a whole number of blocks a group
    n: int
    groups: int
    parts: int
    softplus: bool
    reverse: bool
    half: bool  # u, delta, y and their gradients are bfloat16, else float32
    results: int  # rows from there on have no y, and may be read at several steps


@kernel
def job_of(job: int, plan: Plan) -> tuple[int, int, int, int, int, int]:
    """Decode the job with number `job`.

    Jobs are numbered by sequence, then part, then group. So the g jobs that differ in the group alone follow
    one another: in a scan with an `order` they add to the same rows of y.

    Returns: its sequence, group and part; its number of blocks; the byte offset of its first block within a
    row of float32, and within the group's part of that row.
    """
    group, part = job % plan.groups, job // plan.groups % plan.parts
    blocks = plan.d // plan.groups // LANES
    first, last = blocks * part // plan.parts, blocks * (part + 1) // plan.parts
    s = job // (plan.parts * plan.groups)
    return s, group, part, last - first, (group * blocks + first) * SIZE, first * SIZE


@kernel
def chunks_of(l: int) -> int:
    """How many chunks l steps have."""
    return (l + CHUNK - 1) // CHUNK


@kernel
def row_of(t: int, place: np.ndarray, order: int, plan: Plan) -> int:
    """The row of step t among those of its item; order: the address of the group's row numbers, or 0."""
    if order:
        return load_index(order + (place[START] + t) * 8)
    return place[START] + (place[LENGTH] - 1 - t if plan.reverse else t)


@kernel
def start_of(rows: Rows, place: np.ndarray, group: int) -> int:
    """The address at which a group's part of an item's rows starts."""
    return rows.at + place[ITEM] * rows.item + group * rows.group


@kernel
def put(address: int, value: Vector, half: bool, more: int) -> None:
    """Write sixteen numbers to a row; with `more`, add them to what is there."""
    write(address, value + read(address, half) if more else value, half)


@kernel
def scan_forward(
    jobs: tuple[int, int],
    places: np.ndarray,
    plan: Plan,
    order: Rows,
    u: Rows,
    delta: Rows,
    B: Rows,
    C: Rows,
    y: Rows,
    A: int,
    D: int,
    bias: int,
    states: int,
    initial: int,
    final: int,
    scratch: int,
) -> None:
    """Write y, the states after the last steps to `final`, and the state before every chunk to `states`.

    Args:
        jobs: the first and the last + 1.
        order: (g, l), the rows' numbers, int64, or at 0 for none; with it y is the sum over groups.
        A: (d / 16, n, 16), times log2(e).
        D, bias: (d,), or 0 for none.
        states: (chunks, d / 16, n, 16), or 0 where they are not wanted.
        initial: (s, d / 16, n, 16), the states before the first steps, or 0 for zeros.
        final: (s, d / 16, n, 16).
        scratch: n vectors for each block of the largest job.
    """
    n, half = plan.n, plan.half
    bundle, row = n * SIZE, plan.d * 4  # the states of a block, a row of channels
    for job in range(jobs[0], jobs[1]):
        s, group, part, blocks, column, inner = job_of(job, plan)
        place = places[s]
        length, rows, more = place[LENGTH], start_of(order, place, group), order.at and group > 0
        u_0, delta_0, y_0 = (
            start_of(u, place, group),
            start_of(delta, place, group),
            start_of(y, place, group),
        )
        B_0, C_0 = start_of(B, place, group), start_of(C, place, group)
        offset = (s * row + column) * n  # of the sequence's states
        copy_vectors(initial + offset if initial else 0, scratch, blocks * n)
        for chunk in range(chunks_of(length)):
            for block in range(blocks):
                o, h = column + block * SIZE, scratch + block * bundle
                p = (inner + block * SIZE) >> half
                rate = A + o * n
                shift = load(bias + o) if bias else zero()
                skip = load(D + o) if D else zero()
                if states:
                    copy_vectors(h, states + ((place[FIRST_CHUNK] + chunk) * row + o) * n, n)
                for t in range(chunk * CHUNK, min((chunk + 1) * CHUNK, length)):
                    at = row_of(t, place, rows, plan)
                    u_t, delta_t = u_0 + at * u.step + p, delta_0 + at * delta.step + p
                    y_t, B_t, C_t = y_0 + at * y.step + p, B_0 + at * B.step, C_0 + at * C.step
                    prefetch(u_t + SIZE)  # the next block's: too far off for the CPU to guess
                    prefetch(delta_t + SIZE)
                    prefetch(y_t + SIZE)
                    x, dt = read(u_t, half), read(delta_t, half) + shift
                    if plan.softplus:
                        dt = softplus(dt)
                    drive, out = dt * x, skip * x
                    for i in range(n):
                        m = i * SIZE
                        state = fma(exp2(dt * load(rate + m)), load(h + m), drive * spread(B_t + i * 4))
                        store(h + m, state)
                        out = fma(state, spread(C_t + i * 4), out)
                    if at < plan.results:
                        put(y_t, out, half, more)
        copy_vectors(scratch, final + offset, blocks * n)


@kernel
def scan_backward(
    jobs: tuple[int, int],
    places: np.ndarray,
    plan: Plan,
    order: Rows,
    u: Rows,
    delta: Rows,
    B: Rows,
    C: Rows,
    dy: Rows,
    du: Rows,
    ddelta: Rows,
    dB: Rows,
    dC: Rows,
    A: int,
    D: int,
    bias: int,
    states: int,
    dfinal: int,
    dA: int,
    dD: int,
    dbias: int,
    dinitial: int,
    scratch: int,
) -> None:
    """Write every gradient; with an order, those of rows without a result must be zero beforehand.

    Args:
        dB, dC: (b, r, groups, parts, n), still to be summed over parts.
        states: (chunks, d / 16, n, 16), the state before every chunk.
        dfinal: (s, d / 16, n, 16), the gradient of the states behind the last steps, or 0 for none.
        dA: (s, d / 16, n, 16), still to be summed over sequences, as are dD and dbias, (s, d).
        dinitial: (s, d / 16, n, 16), the gradient of the states before the first steps.
        scratch: `backward_vectors` vectors.
        the others: as in `scan_forward`.
    """
    n, half = plan.n, plan.half
    bundle, row = n * SIZE, plan.d * 4
    dB_k = scratch  # (k, n)
    dC_k, decay_k, state_k = dB_k + CHUNK * bundle, dB_k + 2 * CHUNK * bundle, dB_k + 3 * CHUNK * bundle
    dt_k = state_k + (CHUNK + 1) * bundle  # state_k: before each step and after the last;    (k,)
    slope_k = dt_k + CHUNK * SIZE  # (k,)
    out_k = slope_k + CHUNK * SIZE  # (k,): dL/dout
    dh_block = out_k + CHUNK * SIZE  # (blocks, n)
    for job in range(jobs[0], jobs[1]):
        s, group, part, blocks, column, inner = job_of(job, plan)
        place = places[s]
        length, rows, share = place[LENGTH], start_of(order, place, group), part * n * 4
        u_0, delta_0, dy_0 = (
            start_of(u, place, group),
            start_of(delta, place, group),
            start_of(dy, place, group),
        )
        du_0, ddelta_0 = start_of(du, place, group), start_of(ddelta, place, group)
        B_0, C_0 = start_of(B, place, group), start_of(C, place, group)
        dB_0, dC_0 = start_of(dB, place, group) + share, start_of(dC, place, group) + share
        offset = (s * row + column) * n
        copy_vectors(dfinal + offset if dfinal else 0, dh_block, blocks * n)
        fill_zero(dA + offset, blocks * n)
        fill_zero(dD + s * row + column, blocks)
        fill_zero(dbias + s * row + column, blocks)
        for chunk in range(chunks_of(length) - 1, -1, -1):
            t_0 = chunk * CHUNK
            steps = min(CHUNK, length - t_0)
            fill_zero(dB_k, steps * n)
            fill_zero(dC_k, steps * n)
            for block in range(blocks):
                o, dh = column + block * SIZE, dh_block + block * bundle
                p = (inner + block * SIZE) >> half
                rate, dA_o = A + o * n, dA + (s * row + o) * n
                dD_o, dbias_o = dD + s * row + o, dbias + s * row + o
                shift = load(bias + o) if bias else zero()
                skip = load(D + o) if D else zero()
                copy_vectors(states + ((place[FIRST_CHUNK] + chunk) * row + o) * n, state_k, n)
                for k in range(steps):  # the states again
                    at = row_of(t_0 + k, place, rows, plan)
                    u_t, delta_t = u_0 + at * u.step + p, delta_0 + at * delta.step + p
                    dy_t = dy_0 + at * dy.step + p
                    prefetch(u_t + SIZE)
                    prefetch(delta_t + SIZE)
                    prefetch(dy_t + SIZE)
                    prefetch(du_0 + at * du.step + p)
                    prefetch(ddelta_0 + at * ddelta.step + p)
                    x, dt = read(u_t, half), read(delta_t, half) + shift
                    slope = one()
                    if plan.softplus:
                        slope = sigmoid(dt)
                        dt = softplus(dt)
                    store(dt_k + k * SIZE, dt)
                    store(slope_k + k * SIZE, slope)
                    drive, B_t = dt * x, B_0 + at * B.step
                    for i in range(n):
                        m = k * bundle + i * SIZE
                        decay = exp2(dt * load(rate + i * SIZE))
                        store(decay_k + m, decay)
                        state = fma(decay, load(state_k + m), drive * spread(B_t + i * 4))
                        store(state_k + bundle + m, state)
                    dout = read(dy_t, half) if at < plan.results else zero()
                    store(out_k + k * SIZE, dout)
                dD_sum, dbias_sum = load(dD_o), load(dbias_o)
                for k in range(steps - 1, -1, -1):  # the adjoint, backwards
                    at = row_of(t_0 + k, place, rows, plan)
                    B_t, C_t = B_0 + at * B.step, C_0 + at * C.step
                    x, dout = read(u_0 + at * u.step + p, half), load(out_k + k * SIZE)
                    dt, ddrive, dexponent = load(dt_k + k * SIZE), zero(), zero()
                    drive = dt * x
                    for i in range(n):
                        c, m = i * SIZE, k * bundle + i * SIZE
                        grad = fma(dout, spread(C_t + i * 4), load(dh + c))  # dL/dh of this step
                        store(dC_k + m, fma(dout, load(state_k + bundle + m), load(dC_k + m)))
                        store(dB_k + m, fma(grad, drive, load(dB_k + m)))
                        ddrive = fma(grad, spread(B_t + i * 4), ddrive)
                        grad = grad * load(decay_k + m)
                        store(dh + c, grad)
                        # not h - drive B, which is the same but loses all digits where decay is small
                        grad = grad * load(state_k + m)
                        dexponent = fma(grad, load(rate + c), dexponent)
                        store(dA_o + c, fma(grad, dt, load(dA_o + c)))
                    more = at >= plan.results
                    du_t = du_0 + at * du.step + p
                    put(du_t, fma(dt, ddrive, skip * dout), half, more or (order.at and group > 0))
                    ddt = fma(x, ddrive, dexponent * ln2()) * load(slope_k + k * SIZE)
                    put(ddelta_0 + at * ddelta.step + p, ddt, half, more)
                    dbias_sum = dbias_sum + ddt
                    dD_sum = fma(dout, x, dD_sum)
                store(dD_o, dD_sum)
                store(dbias_o, dbias_sum)
            for total in (dB_k, dC_k):  # over lanes, in place
                for i in range(0, steps * n, LANES):
                    store(total + i * 4, sums(total + i * SIZE))
            for k in range(steps):
                at = row_of(t_0 + k, place, rows, plan)
                for i in range(n):
                    number_B, number_C = (
                        load_number(dB_k + (k * n + i) * 4),
                        load_number(dC_k + (k * n + i) * 4),
                    )
                    dB_t, dC_t = dB_0 + at * dB.step + i * 4, dC_0 + at * dC.step + i * 4
                    if at >= plan.results:
                        number_B, number_C = number_B + load_number(dB_t), number_C + load_number(dC_t)
                    store(dB_t, number_B)
                    store(dC_t, number_C)
        copy_vectors(dh_block, dinitial + offset, blocks * n)


def backward_vectors(n: int, blocks: int) -> int:
    """Vectors of scratch that `scan_backward` needs for a job of `blocks` blocks."""
    return CHUNK * (4 * n + 3) + n + blocks * n
