"""CPU kernels of the scan with one decay a head (Mamba-2). Needs numba at import: only `ssd_cpu.py` does it.

Sixteen channels of a head stand side by side in a vector. The state of a head, n rows of `wide` vectors,
stays in the L1 cache for the whole sequence in the forward; the backward computes CHUNK states again from
the one that was kept. Four steps pass over the state at once, or four vectors of it: loads and stores are the
limit.

Letters: s sequence, t step in the order of the scan, k step in a chunk, i state, v vector of a head. x_0 is
where a sequence's rows of x start, x_t the row of a step, x_k scratch with one entry a step of the chunk.
What is not `Rows` is an address; all sizes are bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from .cpu_kernels import FIRST_CHUNK, ITEM, LENGTH, START, copy_vectors, fill_zero, read, write
from .cpu_vector import SIZE, fma, kernel, load, spread, store, total, zero

CHUNK = 32


class Plan(NamedTuple):
    """Sizes and switches of a call. A job of the backward is a part of the heads of a group of a sequence."""

    heads: int
    wide: int  # vectors of a head
    n: int
    groups: int
    parts: int
    reverse: bool
    half: bool  # x, y and their gradients are bfloat16, else float32


@kernel
def row_of(t, length, plan):
    return length - 1 - t if plan.reverse else t


@kernel
def start_of(rows, place):
    """Where a sequence's rows start."""
    return rows.at + place[ITEM] * rows.item + place[START] * rows.step


@kernel
def scan_forward(jobs, places, plan, x, dt, decay, B, C, y, D, states, begin, final, scratch):
    """Write y, the state before every chunk to `states` unless 0, and the states behind the last steps.

    dt, decay: rows of one number a head. Addresses: D (heads,) or 0; states (chunks, heads, n, wide, 16) or
    0; begin, final (s, heads, n, wide, 16), begin or 0; scratch, one state. jobs: the first and the last + 1;
    a job is a head of a sequence.
    """
    n, wide, half = plan.n, plan.wide, plan.half
    line = wide * SIZE  # one row of a state
    for job in range(jobs[0], jobs[1]):
        s, head = job // plan.heads, job % plan.heads
        place, group = places[s], head // (plan.heads // plan.groups)
        length = place[LENGTH]
        column = head * line
        x_0, y_0 = start_of(x, place), start_of(y, place)
        dt_0, decay_0 = start_of(dt, place) + head * 4, start_of(decay, place) + head * 4
        B_0, C_0 = start_of(B, place) + group * n * 4, start_of(C, place) + group * n * 4
        own = job * n * line
        copy_vectors(begin + own if begin else 0, scratch, n * wide)
        skip = spread(D + head * 4) if D else zero()
        t = 0
        while t < length:
            if states and t % CHUNK == 0:
                kept = states + ((place[FIRST_CHUNK] + t // CHUNK) * plan.heads + head) * n * line
                copy_vectors(scratch, kept, n * wide)
            four = t + 4 <= length and t % CHUNK + 4 <= CHUNK
            at = row_of(t, length, plan)
            on = (-1 if plan.reverse else 1) if four else 0
            at1, at2, at3 = at + on, at + 2 * on, at + 3 * on
            a0, a1 = spread(decay_0 + at * decay.step), spread(decay_0 + at1 * decay.step)
            a2, a3 = spread(decay_0 + at2 * decay.step), spread(decay_0 + at3 * decay.step)
            for v in range(wide):
                o = column + v * SIZE
                p = o >> 1 if half else o
                x0, x1 = read(x_0 + at * x.step + p, half), read(x_0 + at1 * x.step + p, half)
                x2, x3 = read(x_0 + at2 * x.step + p, half), read(x_0 + at3 * x.step + p, half)
                y0, y1, y2, y3 = skip * x0, skip * x1, skip * x2, skip * x3
                x0, x1 = x0 * spread(dt_0 + at * dt.step), x1 * spread(dt_0 + at1 * dt.step)
                x2, x3 = x2 * spread(dt_0 + at2 * dt.step), x3 * spread(dt_0 + at3 * dt.step)
                h = scratch + v * SIZE
                B_t, B1, B2, B3 = (
                    B_0 + at * B.step,
                    B_0 + at1 * B.step,
                    B_0 + at2 * B.step,
                    B_0 + at3 * B.step,
                )
                C_t, C1, C2, C3 = (
                    C_0 + at * C.step,
                    C_0 + at1 * C.step,
                    C_0 + at2 * C.step,
                    C_0 + at3 * C.step,
                )
                if four:
                    for i in range(n):
                        state = fma(load(h + i * line), a0, x0 * spread(B_t + i * 4))
                        y0 = fma(state, spread(C_t + i * 4), y0)
                        state = fma(state, a1, x1 * spread(B1 + i * 4))
                        y1 = fma(state, spread(C1 + i * 4), y1)
                        state = fma(state, a2, x2 * spread(B2 + i * 4))
                        y2 = fma(state, spread(C2 + i * 4), y2)
                        state = fma(state, a3, x3 * spread(B3 + i * 4))
                        y3 = fma(state, spread(C3 + i * 4), y3)
                        store(h + i * line, state)
                    write(y_0 + at1 * y.step + p, y1, half)
                    write(y_0 + at2 * y.step + p, y2, half)
                    write(y_0 + at3 * y.step + p, y3, half)
                else:
                    for i in range(n):
                        state = fma(load(h + i * line), a0, x0 * spread(B_t + i * 4))
                        y0 = fma(state, spread(C_t + i * 4), y0)
                        store(h + i * line, state)
                write(y_0 + at * y.step + p, y0, half)
            t += 4 if four else 1
        copy_vectors(scratch, final + own, n * wide)


@kernel
def adjoint_one(n, line, h, after, grad, dB, dC, B, C, a, x, dy):
    """One vector of a head, one step back: dL/dx of the drive, and Σ grad · state, of which da is the sum.

    Addresses: h, after: the state before the step and behind it; grad: dL/dh; dB, dC: sums, a vector a state.
    """
    ddrive, da = zero(), zero()
    for i in range(n):
        g = fma(dy, spread(C + i * 4), load(grad + i * line))
        store(dC + i * SIZE, fma(dy, load(after + i * line), load(dC + i * SIZE)))
        store(dB + i * SIZE, fma(g, x, load(dB + i * SIZE)))
        ddrive = fma(g, spread(B + i * 4), ddrive)
        da = fma(g, load(h + i * line), da)
        store(grad + i * line, g * a)
    return ddrive, da


@kernel
def adjoint_four(n, line, h, after, grad, dB, dC, B, C, a, x0, x1, x2, x3, y0, y1, y2, y3):
    """`adjoint_one` of four vectors side by side: their sums are stored once."""
    d0, d1, d2, d3, da, da1 = zero(), zero(), zero(), zero(), zero(), zero()
    for i in range(n):
        m = i * line
        c, b, q = spread(C + i * 4), spread(B + i * 4), i * SIZE
        g0, g1 = fma(y0, c, load(grad + m)), fma(y1, c, load(grad + m + SIZE))
        g2, g3 = fma(y2, c, load(grad + m + 2 * SIZE)), fma(y3, c, load(grad + m + 3 * SIZE))
        sum_ = fma(y0, load(after + m), fma(y1, load(after + m + SIZE), load(dC + q)))
        store(dC + q, fma(y2, load(after + m + 2 * SIZE), fma(y3, load(after + m + 3 * SIZE), sum_)))
        store(dB + q, fma(g0, x0, fma(g1, x1, fma(g2, x2, fma(g3, x3, load(dB + q))))))
        d0, d1, d2, d3 = fma(g0, b, d0), fma(g1, b, d1), fma(g2, b, d2), fma(g3, b, d3)
        da = fma(g0, load(h + m), fma(g1, load(h + m + SIZE), da))
        da1 = fma(g2, load(h + m + 2 * SIZE), fma(g3, load(h + m + 3 * SIZE), da1))
        store(grad + m, g0 * a)
        store(grad + m + SIZE, g1 * a)
        store(grad + m + 2 * SIZE, g2 * a)
        store(grad + m + 3 * SIZE, g3 * a)
    return d0, d1, d2, d3, da + da1


@kernel
def scan_backward(
    jobs,
    places,
    plan,
    x,
    dt,
    decay,
    B,
    C,
    dy,
    dx,
    ddt,
    ddecay,
    dB,
    dC,
    D,
    states,
    dfinal,
    dD,
    dbegin,
    scratch,
):
    """Write every gradient; that of dt without what goes through the decay.

    dB, dC: (b, l, groups, parts, n), to be summed over parts. Addresses: dfinal (s, heads, n, wide, 16) or 0;
    dbegin likewise; dD (s, heads); scratch, `backward_vectors` vectors. The rest as in `scan_forward`.
    """
    n, wide, half = plan.n, plan.wide, plan.half
    line = wide * SIZE
    size = n * line  # one state
    share = plan.heads // plan.groups
    state_k = scratch  # before each step and after the last
    dB_k = state_k + (CHUNK + 1) * size
    dC_k = dB_k + CHUNK * n * SIZE
    dh_head = dC_k + CHUNK * n * SIZE  # (heads of the job,)
    for job in range(jobs[0], jobs[1]):
        part, group = job % plan.parts, job // plan.parts % plan.groups
        s = job // (plan.parts * plan.groups)
        place = places[s]
        length = place[LENGTH]
        first, last = (
            group * share + share * part // plan.parts,
            group * share + share * (part + 1) // plan.parts,
        )
        x_0, dy_0, dx_0 = start_of(x, place), start_of(dy, place), start_of(dx, place)
        dt_0, decay_0 = start_of(dt, place), start_of(decay, place)
        ddt_0, ddecay_0 = start_of(ddt, place), start_of(ddecay, place)
        B_0, C_0 = start_of(B, place) + group * n * 4, start_of(C, place) + group * n * 4
        column = (group * plan.parts + part) * n * 4
        dB_0, dC_0 = start_of(dB, place) + column, start_of(dC, place) + column
        own = (s * plan.heads + first) * size
        copy_vectors(dfinal + own if dfinal else 0, dh_head, (last - first) * n * wide)
        fill_zero(dD + (s * plan.heads + first) * SIZE, last - first)
        for chunk in range((length + CHUNK - 1) // CHUNK - 1, -1, -1):
            t_0 = chunk * CHUNK
            steps = min(CHUNK, length - t_0)
            fill_zero(dB_k, steps * n)
            fill_zero(dC_k, steps * n)
            for head in range(first, last):
                kept = states + ((place[FIRST_CHUNK] + chunk) * plan.heads + head) * size
                copy_vectors(kept, state_k, n * wide)
                for k in range(steps):  # the states again
                    at = row_of(t_0 + k, length, plan)
                    a, step = (
                        spread(decay_0 + at * decay.step + head * 4),
                        spread(dt_0 + at * dt.step + head * 4),
                    )
                    B_t = B_0 + at * B.step
                    for v in range(wide):
                        o = head * line + v * SIZE
                        drive = read(x_0 + at * x.step + (o >> 1 if half else o), half) * step
                        h = state_k + k * size + v * SIZE
                        for i in range(n):
                            store(
                                h + size + i * line, fma(load(h + i * line), a, drive * spread(B_t + i * 4))
                            )
                skip = spread(D + head * 4) if D else zero()
                dD_at = dD + (s * plan.heads + head) * SIZE
                dD_sum, grad = load(dD_at), dh_head + (head - first) * size
                for k in range(steps - 1, -1, -1):  # the adjoint, backwards
                    at = row_of(t_0 + k, length, plan)
                    a, step = (
                        spread(decay_0 + at * decay.step + head * 4),
                        spread(dt_0 + at * dt.step + head * 4),
                    )
                    B_t, C_t = B_0 + at * B.step, C_0 + at * C.step
                    dB_t, dC_t = dB_k + k * n * SIZE, dC_k + k * n * SIZE
                    da_sum, dt_sum = zero(), zero()
                    v = 0
                    while v < wide:
                        o = head * line + v * SIZE
                        p = o >> 1 if half else o
                        x_t, dy_t, dx_t = (
                            x_0 + at * x.step + p,
                            dy_0 + at * dy.step + p,
                            dx_0 + at * dx.step + p,
                        )
                        next_ = SIZE >> 1 if half else SIZE
                        h, g = state_k + k * size + v * SIZE, grad + v * SIZE
                        x0, y0 = read(x_t, half), read(dy_t, half)
                        if v + 4 <= wide:
                            x1, y1 = read(x_t + next_, half), read(dy_t + next_, half)
                            x2, y2 = read(x_t + 2 * next_, half), read(dy_t + 2 * next_, half)
                            x3, y3 = read(x_t + 3 * next_, half), read(dy_t + 3 * next_, half)
                            d0, d1, d2, d3, da = adjoint_four(
                                n,
                                line,
                                h,
                                h + size,
                                g,
                                dB_t,
                                dC_t,
                                B_t,
                                C_t,
                                a,
                                x0 * step,
                                x1 * step,
                                x2 * step,
                                x3 * step,
                                y0,
                                y1,
                                y2,
                                y3,
                            )
                            write(dx_t + next_, fma(d1, step, skip * y1), half)
                            write(dx_t + 2 * next_, fma(d2, step, skip * y2), half)
                            write(dx_t + 3 * next_, fma(d3, step, skip * y3), half)
                            dt_sum = fma(d1, x1, fma(d2, x2, fma(d3, x3, dt_sum)))
                            dD_sum = fma(y1, x1, fma(y2, x2, fma(y3, x3, dD_sum)))
                            v += 4
                        else:
                            d0, da = adjoint_one(
                                n, line, h, h + size, g, dB_t, dC_t, B_t, C_t, a, x0 * step, y0
                            )
                            v += 1
                        write(dx_t, fma(d0, step, skip * y0), half)
                        dt_sum, dD_sum, da_sum = fma(d0, x0, dt_sum), fma(y0, x0, dD_sum), da_sum + da
                    store(ddt_0 + at * ddt.step + head * 4, total(dt_sum))
                    store(ddecay_0 + at * ddecay.step + head * 4, total(da_sum))
                store(dD_at, dD_sum)
            for k in range(steps):
                at = row_of(t_0 + k, length, plan)
                for i in range(n):
                    store(dB_0 + at * dB.step + i * 4, total(load(dB_k + (k * n + i) * SIZE)))
                    store(dC_0 + at * dC.step + i * 4, total(load(dC_k + (k * n + i) * SIZE)))
        copy_vectors(dh_head, dbegin + own, (last - first) * n * wide)


def backward_vectors(n: int, wide: int, heads: int) -> int:
    """Vectors of scratch that `scan_backward` needs for a job of so many heads."""
    return (CHUNK + 1) * n * wide + 2 * CHUNK * n + heads * n * wide
