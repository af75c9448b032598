"""CUDA kernels of the selective scan, forward and backward, in Triton. Needs triton at import.

A program scans BD channels of one sequence with their states in registers. It reads the B and C of a group
once for all channels of the group, reads packed sequences in place in either direction, and reads rows by a
gather index (`order`), so that nothing is padded, reversed, gathered or expanded beforehand. A sum to which
several programs contribute is written as one term per program and summed later. A row that is visited by
several steps of a program is added to by this program alone, step after step, so that sums are the same in
every run.

Letters: l steps, r rows, d channels, e channels of a group, n state size, g groups, s sequence, t step in the
order of the scan.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def softplus(x):
    """log(1 + e^x); log1p(e) = 2 artanh(e / (e + 2)) loses no digits where e is small."""
    e = tl.exp(-tl.abs(x))
    s = e / (e + 2)
    q = s * s
    series = 2 + q * (2 / 3 + q * (2 / 5 + q * (2 / 7 + q * (2 / 9 + q * (2 / 11 + q * (2 / 13))))))
    return tl.maximum(x, 0.0) + s * series


@triton.jit
def sigmoid(x):
    """1 / (1 + e^-x), without overflow."""
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0, e, 1.0) / (1 + e)


@triton.jit
def row_of(t, start, length, order, ORDERED: tl.constexpr, REVERSE: tl.constexpr):
    """The row of step t of a sequence; order: the address of the row numbers of the program's group."""
    if ORDERED:
        return tl.load(order + start + t)
    return start + (length - 1 - t if REVERSE else t)


@triton.jit
def mask_if(condition, mask):
    """The mask where the condition holds, else nothing.

    Triton's interpreter has no "and" of one value with many.
    """
    return tl.where(condition, mask, mask ^ mask)


@triton.jit
def put(address, value, once, inside, ORDERED: tl.constexpr):
    """Store `value` at `address`, for the elements where the mask `inside` is true.

    once: with ORDERED, whether the row is visited by a single step, so that a store is enough. If it may be
    visited by several steps, the value is added atomically to what is there. Ignored without ORDERED.
    """
    if ORDERED:
        tl.store(address, value, mask=mask_if(once, inside))
        tl.atomic_add(address, value, mask=mask_if(once == 0, inside))
    else:
        tl.store(address, value.to(address.dtype.element_ty), mask=inside)


@triton.jit
def scan_forward(
    u,
    delta,
    A,
    B,
    C,
    D,
    bias,
    order,
    places,
    y,
    states,
    initial,
    final,
    u_row,
    u_group,
    delta_row,
    delta_group,
    B_row,
    B_group,
    C_row,
    C_group,
    l,
    results,
    groups,
    e,
    n,
    HAS_D: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_INITIAL: tl.constexpr,
    ORDERED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    REVERSE: tl.constexpr,
    KEEP: tl.constexpr,
    CHUNK: tl.constexpr,
    BD: tl.constexpr,
    BN: tl.constexpr,
):
    """Write y (results, d), the last states, and, with KEEP, the state before every chunk.

    All tensors are float32, but for u, delta and y, which are of one type.

    Args:
        order: (g, l), the row of each step.
        places: (s, 3), first row or step, length and first chunk of each sequence.
        states: (chunks, d, n), the state before every chunk.
        initial, final: (s, d, n), the states before the first steps and after the last ones.
        u_row, u_group: strides of u from row to row and from group to group, in elements; likewise for delta,
            B and C.
    """
    s, block = tl.program_id(0), tl.program_id(1)
    per_group = tl.cdiv(e, BD)
    group = block // per_group
    lane = (block % per_group) * BD + tl.arange(0, BD)
    inside = lane < e
    channel = group * e + lane
    state = tl.arange(0, BN)
    real = state < n
    both = inside[:, None] & real[None, :]
    at = channel[:, None] * n + state[None, :]
    d = groups * e
    start, length, chunk = tl.load(places + s * 3), tl.load(places + s * 3 + 1), tl.load(places + s * 3 + 2)
    u_0, delta_0 = u + group * u_group + lane, delta + group * delta_group + lane
    B_0, C_0 = B + group * B_group + state, C + group * C_group + state
    rows = order
    if ORDERED:
        rows = order + group * l
    rate = tl.load(A + at, mask=both, other=0.0)
    h = tl.zeros((BD, BN), tl.float32)
    if HAS_INITIAL:
        h = tl.load(initial + s * d * n + at, mask=both, other=0.0)
    shift = tl.zeros((BD,), tl.float32)
    skip = tl.zeros((BD,), tl.float32)
    if HAS_BIAS:
        shift = tl.load(bias + channel, mask=inside, other=0.0)
    if HAS_D:
        skip = tl.load(D + channel, mask=inside, other=0.0)
    for t in range(length):
        if KEEP:  # noqa: SIM102  (known when the kernel is compiled)
            if t % CHUNK == 0:
                tl.store(states + (chunk + t // CHUNK) * d * n + at, h, mask=both)
        row = row_of(t, start, length, rows, ORDERED, REVERSE)
        x = tl.load(u_0 + row * u_row, mask=inside, other=0.0).to(tl.float32)
        dt = tl.load(delta_0 + row * delta_row, mask=inside, other=0.0).to(tl.float32) + shift
        if SOFTPLUS:
            dt = softplus(dt)
        drive = tl.load(B_0 + row * B_row, mask=real, other=0.0)
        read = tl.load(C_0 + row * C_row, mask=real, other=0.0)
        h = tl.exp(dt[:, None] * rate) * h + (dt * x)[:, None] * drive[None, :]
        out = tl.sum(h * read[None, :], 1) + skip * x
        tl.store(y + row * d + channel, out.to(y.dtype.element_ty), mask=mask_if(row < results, inside))
    tl.store(final + s * d * n + at, h, mask=both)


@triton.jit
def scan_backward(
    u,
    delta,
    A,
    B,
    C,
    D,
    bias,
    order,
    places,
    dy,
    states,
    dfinal,
    past,
    du,
    ddelta,
    dA,
    dB,
    dC,
    dD,
    dbias,
    dinitial,
    u_row,
    u_group,
    delta_row,
    delta_group,
    B_row,
    B_group,
    C_row,
    C_group,
    l,
    results,
    groups,
    e,
    n,
    HAS_D: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_FINAL: tl.constexpr,
    ORDERED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    REVERSE: tl.constexpr,
    CHUNK: tl.constexpr,
    BD: tl.constexpr,
    BN: tl.constexpr,
):
    """Write every gradient.

    Args:
        past: (s, blocks, CHUNK, BD, BN), scratch for the states of a chunk, which are computed again.
        dA, dD, dbias: (s, d, n), (s, d) and (s, d), still to be summed over sequences.
        dB, dC: (rows, groups, blocks, n), still to be summed over blocks.
        the others: as in `scan_forward`.
    """
    s, block = tl.program_id(0), tl.program_id(1)
    per_group = tl.cdiv(e, BD)
    group, part = block // per_group, block % per_group
    lane = part * BD + tl.arange(0, BD)
    inside = lane < e
    channel = group * e + lane
    state = tl.arange(0, BN)
    real = state < n
    both = inside[:, None] & real[None, :]
    at = channel[:, None] * n + state[None, :]
    here = tl.arange(0, BD)[:, None] * BN + state[None, :]
    room = past + (s * tl.num_programs(1) + block) * CHUNK * BD * BN
    d = groups * e
    start, length, chunk = tl.load(places + s * 3), tl.load(places + s * 3 + 1), tl.load(places + s * 3 + 2)
    u_0, delta_0 = u + group * u_group + lane, delta + group * delta_group + lane
    B_0, C_0 = B + group * B_group + state, C + group * C_group + state
    rows = order
    if ORDERED:
        rows = order + group * l
    rate = tl.load(A + at, mask=both, other=0.0)
    shift = tl.zeros((BD,), tl.float32)
    skip = tl.zeros((BD,), tl.float32)
    if HAS_BIAS:
        shift = tl.load(bias + channel, mask=inside, other=0.0)
    if HAS_D:
        skip = tl.load(D + channel, mask=inside, other=0.0)
    dh = tl.zeros((BD, BN), tl.float32)
    if HAS_FINAL:
        dh = tl.load(dfinal + s * d * n + at, mask=both, other=0.0)
    dA_sum = tl.zeros((BD, BN), tl.float32)
    dD_sum = tl.zeros((BD,), tl.float32)
    dbias_sum = tl.zeros((BD,), tl.float32)
    chunks = tl.cdiv(length, CHUNK)
    for back in range(chunks):
        number = chunks - 1 - back
        first = number * CHUNK
        steps = tl.minimum(CHUNK, length - first)
        h = tl.load(states + (chunk + number) * d * n + at, mask=both, other=0.0)
        for k in range(steps):
            tl.store(room + k * BD * BN + here, h)
            row = row_of(first + k, start, length, rows, ORDERED, REVERSE)
            x = tl.load(u_0 + row * u_row, mask=inside, other=0.0).to(tl.float32)
            dt = tl.load(delta_0 + row * delta_row, mask=inside, other=0.0).to(tl.float32) + shift
            if SOFTPLUS:
                dt = softplus(dt)
            drive = tl.load(B_0 + row * B_row, mask=real, other=0.0)
            h = tl.exp(dt[:, None] * rate) * h + (dt * x)[:, None] * drive[None, :]
        tl.debug_barrier()  # what one thread stored, another loads
        for left in range(steps):
            k = steps - 1 - left
            row = row_of(first + k, start, length, rows, ORDERED, REVERSE)
            x = tl.load(u_0 + row * u_row, mask=inside, other=0.0).to(tl.float32)
            raw = tl.load(delta_0 + row * delta_row, mask=inside, other=0.0).to(tl.float32) + shift
            dt = raw
            if SOFTPLUS:
                dt = softplus(raw)
            drive = tl.load(B_0 + row * B_row, mask=real, other=0.0)
            read = tl.load(C_0 + row * C_row, mask=real, other=0.0)
            before = tl.load(room + k * BD * BN + here)
            decay = tl.exp(dt[:, None] * rate)
            after = decay * before + (dt * x)[:, None] * drive[None, :]
            once = row < results
            dout = tl.load(dy + row * d + channel, mask=mask_if(once, inside), other=0.0).to(tl.float32)
            grad = dh + dout[:, None] * read[None, :]  # dL/dh of this step
            place = ((row * groups + group) * per_group + part) * n + state
            put(dC + place, tl.sum(dout[:, None] * after, 0), once, real, ORDERED)
            put(dB + place, tl.sum(grad * (dt * x)[:, None], 0), once, real, ORDERED)
            ddrive = tl.sum(grad * drive[None, :], 1)
            dh = grad * decay
            dexponent = dh * before
            dA_sum += dexponent * dt[:, None]
            ddt = x * ddrive + tl.sum(dexponent * rate, 1)
            if SOFTPLUS:
                ddt = ddt * sigmoid(raw)
            dx = dt * ddrive + skip * dout
            put(du + row * d + channel, dx, once, inside, ORDERED)
            put(ddelta + row * d + channel, ddt, once, inside, ORDERED)
            dD_sum += dout * x
            dbias_sum += ddt
        tl.debug_barrier()  # before the next chunk's states overwrite these
    tl.store(dA + s * d * n + at, dA_sum, mask=both)
    tl.store(dD + s * d + channel, dD_sum, mask=inside)
    tl.store(dbias + s * d + channel, dbias_sum, mask=inside)
    tl.store(dinitial + s * d * n + at, dh, mask=both)
