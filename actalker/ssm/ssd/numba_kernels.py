"""CPU kernels of the scan with one decay a head (Mamba-2). Needs numba at import: only `numba.py` does it.

CHUNK steps are matrix products, blocks of four rows by four vectors in registers; a state of n rows of
`width` vectors goes from chunk to chunk. A chunk's rows of B and C are copied side by side, once for all
heads of a job, with zeros behind the last step and up to `rows`, n rounded up to a multiple of four. Within a
chunk (Dao & Gu 2024, section 6, S the state before it, a the decays):

    y_t = E_t C_t S + Σ_{s≤t} G_ts L_ts x_s,   E_t = a_0 .. a_t,   G = C Bᵀ,   L_ts = a_{s+1} .. a_t
    S'  = E_last S + Σ_s w_s B_sᵀ x_s,         w_s = a_{s+1} .. a_last

Letters: s sequence, t step in the order of the scan, k step in a chunk, i state, v vector of a head. For a
tensor x: x_0 is the address at which a sequence's rows start, x_k scratch memory (steps, channels or states)
with one row per step of the chunk, x_T its transpose (channels or states, steps).
An argument that is not `Rows` is an address; all sizes are in bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..kernels.arguments import FIRST_CHUNK, ITEM, LENGTH, SIZE, START, Rows
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
    zero,
)


class Plan(NamedTuple):
    """Sizes and switches of a call.

    A job scans one part of the heads of one group, over one sequence.
    parts: the number of jobs into which the heads of a group are divided.
    """

    heads: int
    width: int  # vectors of a head
    n: int
    groups: int
    parts: int
    reverse: bool
    half: bool  # x, y and their gradients are bfloat16, else float32


@kernel
def row_of(t: int, length: int, plan: Plan) -> int:
    """The row of step t in a sequence of `length` steps."""
    return length - 1 - t if plan.reverse else t


@kernel
def start_of(rows: Rows, place: np.ndarray) -> int:
    """The address at which a sequence's rows start; place: its row of `places_of`."""
    return rows.at + place[ITEM] * rows.item + place[START] * rows.step


@kernel
def job_of(job: int, plan: Plan) -> tuple[int, int, int, int, int]:
    """The sequence, group and part of job number `job`, and its heads from the first to the last + 1."""
    part, group = job % plan.parts, job // plan.parts % plan.groups
    share = plan.heads // plan.groups
    first, last = share * part // plan.parts, share * (part + 1) // plan.parts
    return job // (plan.parts * plan.groups), group, part, group * share + first, group * share + last


@kernel
def gather(
    t_0: int, steps: int, length: int, plan: Plan, B_0: int, B_step: int, turned: int, side: int
) -> None:
    """Copy a chunk's rows of B (or C) into one or two contiguous matrices.

    t_0, steps: the chunk's first step, and its number of steps.
    B_0, B_step: address of the sequence's first row, and bytes from row to row.
    side: address of the copy (steps, states).
    turned: address of the transposed copy (states, steps); 0: none is made.
    """
    states = by_fours(plan.n)
    if steps < CHUNK or states > plan.n:
        fill_zero(side, ROW * states)
        fill_zero(turned, ROW * states if turned else 0)
    for k in range(steps):
        from_, to = B_0 + row_of(t_0 + k, length, plan) * B_step, side + k * states * 4
        for i in range(plan.n):
            number = load_number(from_ + i * 4)
            store(to + i * 4, number)
            if turned:
                store(turned + i * STEPS + k * 4, number)


@kernel
def decays(
    t_0: int, steps: int, length: int, plan: Plan, decay_0: int, decay_step: int, E: int, w: int
) -> Vector:
    """Write E_k and w_k of a chunk's steps, each in all lanes of a vector.

    Returns: the product of the chunk's decays, by which a state goes through the chunk.
    """
    e = one()
    for k in range(steps):
        e = normal(e * spread(decay_0 + row_of(t_0 + k, length, plan) * decay_step))
        store(E + k * SIZE, e)
    left = one()
    for k in range(steps - 1, -1, -1):
        store(w + k * SIZE, left)
        left = normal(left * spread(decay_0 + row_of(t_0 + k, length, plan) * decay_step))
    for k in range(steps, by_fours(steps)):
        store(E + k * SIZE, zero())
        store(w + k * SIZE, zero())
    return e


@kernel
def drives(
    t_0: int,
    steps: int,
    length: int,
    width: int,
    plan: Plan,
    x_0: int,
    x_step: int,
    dt_0: int,
    dt_step: int,
    x_k: int,
) -> None:
    """Write dt x, or x if dt_0 is 0, for a chunk's steps to x_k; add zero rows up to a multiple of four."""
    for k in range(steps):
        at = row_of(t_0 + k, length, plan)
        step = spread(dt_0 + at * dt_step) if dt_0 else one()
        for v in range(width):
            p, next_ = v * SIZE, (v + width) * SIZE
            o = x_0 + at * x_step
            store(x_k + k * width * SIZE + p, read(o + (p >> 1 if plan.half else p), plan.half) * step)
            prefetch(o + (next_ >> 1 if plan.half else next_))  # the next head's
    fill_zero(x_k + steps * width * SIZE, (by_fours(steps) - steps) * width)


@kernel
def scan_forward(
    jobs: tuple[int, int],
    places: np.ndarray,
    plan: Plan,
    x: Rows,
    dt: Rows,
    decay: Rows,
    B: Rows,
    C: Rows,
    y: Rows,
    D: int,
    states: int,
    initial: int,
    final: int,
    scratch: int,
) -> None:
    """Write y, the states after the last steps to `final`, and the state before every chunk to `states`.

    Args:
        jobs: the first and the last + 1.
        dt, decay: rows of one number a head.
        D: (heads,), or 0 for none.
        states: (chunks, heads, n, width, 16), or 0 where they are not wanted.
        initial: (s, heads, n, width, 16), the states before the first steps, or 0 for zeros.
        final: (s, heads, n, width, 16).
        scratch: `forward_vectors` vectors.
    """
    n, width, half, rows = plan.n, plan.width, plan.half, by_fours(plan.n)
    line, size, saved_size = width * SIZE, rows * width * SIZE, plan.n * width * SIZE
    C_k = scratch
    B_k, B_T = C_k + rows * STEPS, C_k + 2 * rows * STEPS
    G = B_T + rows * STEPS
    GL, units = G + CHUNK * STEPS, G + 2 * CHUNK * STEPS
    E = units + CHUNK * STEPS
    w, x_k = E + CHUNK * SIZE, E + 2 * CHUNK * SIZE
    y_k = x_k + CHUNK * line
    S_head = y_k + CHUNK * line  # (heads of the job,)
    set_units(units)
    for job in range(jobs[0], jobs[1]):
        s, group, _, first, last = job_of(job, plan)
        place = places[s]
        length = place[LENGTH]
        x_0, y_0 = start_of(x, place), start_of(y, place)
        dt_0, decay_0 = start_of(dt, place), start_of(decay, place)
        B_0, C_0 = start_of(B, place) + group * n * 4, start_of(C, place) + group * n * 4
        for head in range(first, last):
            S = S_head + (head - first) * size
            fill_zero(S, rows * width)
            copy_vectors(initial + (s * plan.heads + head) * saved_size if initial else 0, S, n * width)
        for chunk in range((length + CHUNK - 1) // CHUNK):
            t_0 = chunk * CHUNK
            steps = min(CHUNK, length - t_0)
            fours = by_fours(steps)
            gather(t_0, steps, length, plan, B_0, B.step, B_T, B_k)
            gather(t_0, steps, length, plan, C_0, C.step, 0, C_k)
            product(fours, rows, ROW, C_k, rows * 4, 4, B_T, STEPS, G)
            for head in range(first, last):
                S = S_head + (head - first) * size
                if states:
                    saved = states + ((place[FIRST_CHUNK] + chunk) * plan.heads + head) * saved_size
                    copy_vectors(S, saved, n * width)
                o = head * line >> 1 if half else head * line
                left = decays(t_0, steps, length, plan, decay_0 + head * 4, decay.step, E, w)
                drives(t_0, steps, length, width, plan, x_0 + o, x.step, dt_0 + head * 4, dt.step, x_k)
                l0, l1 = zero(), zero()
                for k in range(steps):
                    at = row_of(t_0 + k, length, plan)
                    for v in range(width):
                        prefetch(y_0 + at * y.step + o + (v * SIZE >> 1 if half else v * SIZE))
                    a = spread(decay_0 + head * 4 + at * decay.step)
                    m = k * STEPS
                    l0 = normal(fma(l0, a, load(units + m)))
                    l1 = normal(fma(l1, a, load(units + m + SIZE)))
                    store(GL + m, l0 * load(G + m))
                    store(GL + m + SIZE, l1 * load(G + m + SIZE))
                fill_zero(GL + steps * STEPS, (fours - steps) * ROW)
                product(fours, rows, width, C_k, rows * 4, 4, S, line, y_k)
                scale_rows(fours, width, E, y_k)
                for k in range(0, fours, 4):
                    multiply(4, k + 4, width, GL + k * STEPS, STEPS, 4, x_k, line, y_k + k * line)
                skip = spread(D + head * 4) if D else zero()
                for k in range(steps):
                    at = row_of(t_0 + k, length, plan)
                    for v in range(width):
                        p = o + ((v * SIZE) >> 1 if half else v * SIZE)
                        added = skip * read(x_0 + at * x.step + p, half)
                        write(y_0 + at * y.step + p, load(y_k + (k * width + v) * SIZE) + added, half)
                scale_rows(fours, width, w, x_k)
                for i in range(rows * width):
                    store(S + i * SIZE, load(S + i * SIZE) * left)
                multiply(rows, fours, width, B_k, 4, rows * 4, x_k, line, S)
        for head in range(first, last):
            offset = (s * plan.heads + head) * saved_size
            copy_vectors(S_head + (head - first) * size, final + offset, n * width)


def forward_vectors(n: int, width: int, heads: int) -> int:
    """Vectors of scratch that `scan_forward` needs for a job of `heads` heads."""
    rows = -(-n // 4) * 4
    return 3 * rows * ROW + 3 * CHUNK * ROW + 2 * CHUNK + 2 * CHUNK * width + heads * rows * width
