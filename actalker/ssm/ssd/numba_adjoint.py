"""CPU kernel of the gradients of the scan with one decay per head. Needs numba: only `numba.py` imports it.

Chunks are taken from the last to the first, by matrix products. The names are those of `numba_kernels`;
M = dy xᵀ, and dS is the gradient of the state after the chunk:

    dx_s = Σ_{t≥s} G_ts L_ts dy_t + w_s B_s dS             dS' = E_last dS + Σ_t E_t C_tᵀ dy_t
    dC_t = E_t dy_t Sᵀ + Σ_s M_ts L_ts B_s                 dB_s = w_s x_s dSᵀ + Σ_t M_ts L_ts C_t

The gradient of log a_k, the logarithm of the decay of step k, sums all terms that step k decays:

    Σ_{t≥k} E_t dy_t C_t S + Σ_{s<k≤t} G_ts L_ts M_ts + Σ_{s<k} w_s x_s B_s dS + E_last Σ S dS
"""

from __future__ import annotations

import numpy as np

from ..kernels.arguments import FIRST_CHUNK, LANES, LENGTH, SIZE, Rows
from ..kernels.matrix import (
    CHUNK,
    ROW,
    STEPS,
    by_fours,
    multiply,
    normal,
    product,
    scale_rows,
    set_units,
    turn,
)
from ..kernels.memory import copy_vectors, fill_zero, read, write
from ..kernels.vector import (
    Vector,
    fma,
    kernel,
    load,
    load_number,
    one,
    prefetch,
    spread,
    store,
    total,
    zero,
)
from .numba_kernels import Plan, decays, drives, gather, job_of, row_of, start_of


@kernel
def off_sums(rows: int, off: int, by: int, B_T: int, sums: int) -> tuple[Vector, Vector]:
    """Scale the columns of `off` (rows, steps) by a row of steps at `by`, and add the result to `sums`.

    Returns: Σ_i B_i off_i, one row of steps.
    """
    by0, by1 = load(by), load(by + SIZE)
    f0, f1 = zero(), zero()
    for i in range(rows):
        m = i * STEPS
        o0, o1 = load(off + m) * by0, load(off + m + SIZE) * by1
        f0, f1 = fma(o0, load(B_T + m), f0), fma(o1, load(B_T + m + SIZE), f1)
        store(sums + m, load(sums + m) + o0)
        store(sums + m + SIZE, load(sums + m + SIZE) + o1)
    return f0, f1


@kernel
def scan_backward(
    jobs: tuple[int, int],
    places: np.ndarray,
    plan: Plan,
    x: Rows,
    dt: Rows,
    decay: Rows,
    B: Rows,
    C: Rows,
    dy: Rows,
    dx: Rows,
    ddt: Rows,
    drate: Rows,
    dB: Rows,
    dC: Rows,
    D: int,
    states: int,
    dfinal: int,
    dD: int,
    dinitial: int,
    scratch: int,
) -> None:
    """Write the gradients of all inputs of `scan_forward`, given dy and `dfinal`.

    The step size dt acts in two ways: through the drive dt x, and through the decay exp(dt A). `ddt` is the
    gradient through the drive alone; `drate` is the gradient of the logarithm of the decay, dt A.

    Args:
        dB, dC: (b, l, groups, parts, n), still to be summed over parts.
        states: (chunks, heads, n, width, 16), the state before every chunk.
        dfinal: (s, heads, n, width, 16), the gradient of the last states, or 0 for none.
        dinitial: of that shape, the gradient of the states before the first steps.
        dD: (s, heads, 16), still to be summed over sequences and lanes.
        scratch: `backward_vectors` vectors.
        the others: as in `scan_forward`.
    """
    n, width, half, rows = plan.n, plan.width, plan.half, by_fours(plan.n)
    line, size, saved_size, channels = width * SIZE, rows * width * SIZE, plan.n * width * SIZE, width * LANES
    C_k = scratch
    B_k, C_T, B_T = C_k + rows * STEPS, C_k + 2 * rows * STEPS, C_k + 3 * rows * STEPS
    dC_T, dB_T, off = C_k + 4 * rows * STEPS, C_k + 5 * rows * STEPS, C_k + 6 * rows * STEPS
    G = off + rows * STEPS
    GL, M, ML, K = G + CHUNK * STEPS, G + 2 * CHUNK * STEPS, G + 3 * CHUNK * STEPS, G + 4 * CHUNK * STEPS
    units = K + CHUNK * STEPS
    E = units + CHUNK * STEPS
    w, E_T, w_T = E + CHUNK * SIZE, E + 2 * CHUNK * SIZE, E + 2 * CHUNK * SIZE + STEPS
    x_k = w_T + STEPS
    dy_k, dx_k = x_k + CHUNK * line, x_k + 2 * CHUNK * line
    x_T = x_k + 3 * CHUNK * line
    dy_T, S = x_T + channels * STEPS, x_T + 2 * channels * STEPS
    dS_head = S + size  # (heads of the job,)
    set_units(units)
    for job in range(jobs[0], jobs[1]):
        s, group, part, first, last = job_of(job, plan)
        place = places[s]
        length = place[LENGTH]
        x_0, dy_0, dx_0 = start_of(x, place), start_of(dy, place), start_of(dx, place)
        dt_0, decay_0 = start_of(dt, place), start_of(decay, place)
        ddt_0, drate_0 = start_of(ddt, place), start_of(drate, place)
        B_0, C_0 = start_of(B, place) + group * n * 4, start_of(C, place) + group * n * 4
        column = (group * plan.parts + part) * n * 4
        dB_0, dC_0 = start_of(dB, place) + column, start_of(dC, place) + column
        for head in range(first, last):
            dS = dS_head + (head - first) * size
            fill_zero(dS, rows * width)
            copy_vectors(dfinal + (s * plan.heads + head) * saved_size if dfinal else 0, dS, n * width)
        fill_zero(dD + (s * plan.heads + first) * SIZE, last - first)
        for chunk in range((length + CHUNK - 1) // CHUNK - 1, -1, -1):
            t_0 = chunk * CHUNK
            steps = min(CHUNK, length - t_0)
            fours = by_fours(steps)
            gather(t_0, steps, length, plan, B_0, B.step, B_T, B_k)
            gather(t_0, steps, length, plan, C_0, C.step, C_T, C_k)
            product(fours, rows, ROW, C_k, rows * 4, 4, B_T, STEPS, G)
            fill_zero(ML, CHUNK * ROW)
            fill_zero(dC_T, rows * ROW)
            fill_zero(dB_T, rows * ROW)
            if steps < CHUNK:
                fill_zero(x_T, 2 * channels * ROW)
                fill_zero(E_T, 2 * ROW)
            for head in range(first, last):
                dS = dS_head + (head - first) * size
                saved = states + ((place[FIRST_CHUNK] + chunk) * plan.heads + head) * saved_size
                fill_zero(S + n * line, (rows - n) * width)
                copy_vectors(saved, S, n * width)
                o = head * line >> 1 if half else head * line
                left = decays(t_0, steps, length, plan, decay_0 + head * 4, decay.step, E, w)
                drives(t_0, steps, length, width, plan, x_0 + o, x.step, dt_0 + head * 4, dt.step, x_k)
                drives(t_0, steps, length, width, plan, dy_0 + o, dy.step, 0, 0, dy_k)
                turn(steps, channels, line, x_k, x_T)
                turn(steps, channels, line, dy_k, dy_T)
                turn(steps, 1, SIZE, E, E_T)
                turn(steps, 1, SIZE, w, w_T)
                # inside the chunk
                product(fours, channels, ROW, dy_k, line, 4, x_T, STEPS, M)
                l0, l1 = zero(), zero()
                for k in range(steps):
                    at = row_of(t_0 + k, length, plan)
                    for v in range(width):
                        prefetch(dx_0 + at * dx.step + o + (v * SIZE >> 1 if half else v * SIZE))
                    a = spread(decay_0 + head * 4 + at * decay.step)
                    m = k * STEPS
                    l0 = normal(fma(l0, a, load(units + m)))
                    l1 = normal(fma(l1, a, load(units + m + SIZE)))
                    m0, m1 = l0 * load(M + m), l1 * load(M + m + SIZE)
                    g0, g1 = load(G + m), load(G + m + SIZE)
                    store(ML + m, load(ML + m) + m0)
                    store(ML + m + SIZE, load(ML + m + SIZE) + m1)
                    store(GL + m, l0 * g0)
                    store(GL + m + SIZE, l1 * g1)
                    store(K + m, g0 * m0)
                    store(K + m + SIZE, g1 * m1)
                fill_zero(GL + steps * STEPS, (fours - steps) * ROW)
                # what the chunk left behind, and what it found
                product(fours, rows, width, B_k, rows * 4, 4, dS, line, dx_k)
                scale_rows(fours, width, w, dx_k)
                for k in range(0, fours, 4):
                    at = GL + k * STEPS + k * 4
                    multiply(4, fours - k, width, at, 4, STEPS, dy_k + k * line, line, dx_k + k * line)
                product(rows, channels, ROW, dS, line, 4, x_T, STEPS, off)
                f0, f1 = off_sums(rows, off, w_T, B_T, dB_T)
                product(rows, channels, ROW, S, line, 4, dy_T, STEPS, off)
                e0, e1 = off_sums(rows, off, E_T, C_T, dC_T)
                whole = zero()
                for i in range(rows * width):
                    d = load(dS + i * SIZE)
                    whole = fma(load(S + i * SIZE), d, whole)
                    store(dS + i * SIZE, d * left)
                whole = whole * left
                scale_rows(fours, width, E, dy_k)
                multiply(rows, fours, width, C_k, 4, rows * 4, dy_k, line, dS)
                # step by step
                skip = spread(D + head * 4) if D else zero()
                dD_at = dD + (s * plan.heads + head) * SIZE
                dD_sum, r0, r1 = load(dD_at), zero(), zero()
                b0, b1 = one(), one()  # 1 where a step of the row is at or before k
                for j in range(steps, CHUNK):
                    b0, b1 = b0 - load(units + j * STEPS), b1 - load(units + j * STEPS + SIZE)
                for k in range(steps - 1, -1, -1):
                    at, m = row_of(t_0 + k, length, plan), k * STEPS
                    r0, r1 = r0 + load(K + m), r1 + load(K + m + SIZE)  # of this step and all behind it
                    c0, c1 = b0 - load(units + m), b1 - load(units + m + SIZE)  # 1 where it is before k
                    sum_ = fma(f0 + r0, c0, fma(f1 + r1, c1, whole))
                    sum_ = fma(e0, one() - c0, fma(e1, one() - c1, sum_))
                    b0, b1 = c0, c1
                    store(drate_0 + at * drate.step + head * 4, total(sum_))
                    step, dt_sum = spread(dt_0 + at * dt.step + head * 4), zero()
                    for v in range(width):
                        p = o + ((v * SIZE) >> 1 if half else v * SIZE)
                        x_t, dy_t = read(x_0 + at * x.step + p, half), read(dy_0 + at * dy.step + p, half)
                        d = load(dx_k + (k * width + v) * SIZE)
                        write(dx_0 + at * dx.step + p, fma(d, step, skip * dy_t), half)
                        dt_sum, dD_sum = fma(d, x_t, dt_sum), fma(dy_t, x_t, dD_sum)
                    store(ddt_0 + at * ddt.step + head * 4, total(dt_sum))
                store(dD_at, dD_sum)
            turn(fours, CHUNK, STEPS, ML, M)  # M: ML, turned
            multiply(rows, fours, ROW, B_T, STEPS, 4, M, STEPS, dC_T)
            multiply(rows, fours, ROW, C_T, STEPS, 4, ML, STEPS, dB_T)
            for k in range(steps):
                at = row_of(t_0 + k, length, plan)
                for i in range(n):
                    store(dB_0 + at * dB.step + i * 4, load_number(dB_T + i * STEPS + k * 4))
                    store(dC_0 + at * dC.step + i * 4, load_number(dC_T + i * STEPS + k * 4))
        for head in range(first, last):
            offset = (s * plan.heads + head) * saved_size
            copy_vectors(dS_head + (head - first) * size, dinitial + offset, n * width)


def backward_vectors(n: int, width: int, heads: int) -> int:
    """Vectors of scratch that `scan_backward` needs for a job of `heads` heads."""
    rows = -(-n // 4) * 4
    squares, steps = 6 * CHUNK * ROW, 2 * CHUNK + 2 * ROW
    return (
        7 * rows * ROW
        + squares
        + steps
        + 3 * CHUNK * width
        + 2 * width * LANES * ROW
        + (heads + 1) * rows * width
    )
