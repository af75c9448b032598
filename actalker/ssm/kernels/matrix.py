"""Matrix products of CPU kernels, in blocks of four rows by four vectors that stay in registers. Needs numba.

A matrix lies row by row, rows of whole vectors; a row of steps has one number for each of CHUNK. What is
called left, right, out, source, target is an address; all sizes are bytes.
"""

from __future__ import annotations

from .arguments import LANES, SIZE
from .memory import fill_zero
from .vector import Vector, fma, kernel, load, load_number, one, spread, store, tiny

CHUNK = 32
ROW = CHUNK // LANES  # vectors of a row of steps
STEPS = ROW * SIZE  # its bytes


@kernel
def by_fours(count: int) -> int:
    """A count rounded up to a multiple of four."""
    return (count + 3) // 4 * 4


@kernel
def normal(x: Vector) -> Vector:
    """x, not negative, with 0 for what is below 1e-31: numbers below 1e-38 take a hundred times as long."""
    return (x + tiny()) - tiny()


@kernel
def store_rows(at: int, line: int, y0: Vector, y1: Vector, y2: Vector, y3: Vector) -> None:
    """Write four vectors, one below the other in rows of `line` bytes."""
    store(at, y0)
    store(at + line, y1)
    store(at + 2 * line, y2)
    store(at + 3 * line, y3)


@kernel
def multiply(
    rows: int, terms: int, width: int, left: int, row: int, term: int, right: int, line: int, out: int
) -> None:
    """out_r += Σ_k left_rk right_k: add a product to `rows` rows, a multiple of four, of `width` vectors.

    Args:
        terms: how many k are summed.
        row, term: bytes from row to row and from term to term of left, which is read number by number.
        line: bytes from row to row of right and of out.
    """
    for r in range(0, rows, 4):
        l_0, o_0 = left + r * row, out + r * line
        o_1, o_2, o_3 = o_0 + line, o_0 + 2 * line, o_0 + 3 * line
        v = 0
        while v < width:
            o, m = v * SIZE, right + v * SIZE
            y00, y10, y20, y30 = load(o_0 + o), load(o_1 + o), load(o_2 + o), load(o_3 + o)
            if v + 4 <= width:
                p, q, z = o + SIZE, o + 2 * SIZE, o + 3 * SIZE
                y01, y11, y21, y31 = load(o_0 + p), load(o_1 + p), load(o_2 + p), load(o_3 + p)
                y02, y12, y22, y32 = load(o_0 + q), load(o_1 + q), load(o_2 + q), load(o_3 + q)
                y03, y13, y23, y33 = load(o_0 + z), load(o_1 + z), load(o_2 + z), load(o_3 + z)
                for k in range(terms):
                    at, to = l_0 + k * term, m + k * line
                    a, b, c, d = spread(at), spread(at + row), spread(at + 2 * row), spread(at + 3 * row)
                    m0, m1, m2, m3 = load(to), load(to + SIZE), load(to + 2 * SIZE), load(to + 3 * SIZE)
                    y00, y01, y02, y03 = fma(a, m0, y00), fma(a, m1, y01), fma(a, m2, y02), fma(a, m3, y03)
                    y10, y11, y12, y13 = fma(b, m0, y10), fma(b, m1, y11), fma(b, m2, y12), fma(b, m3, y13)
                    y20, y21, y22, y23 = fma(c, m0, y20), fma(c, m1, y21), fma(c, m2, y22), fma(c, m3, y23)
                    y30, y31, y32, y33 = fma(d, m0, y30), fma(d, m1, y31), fma(d, m2, y32), fma(d, m3, y33)
                store_rows(o_0 + p, line, y01, y11, y21, y31)
                store_rows(o_0 + q, line, y02, y12, y22, y32)
                store_rows(o_0 + z, line, y03, y13, y23, y33)
                v += 4
            elif v + 2 <= width:
                p = o + SIZE
                y01, y11, y21, y31 = load(o_0 + p), load(o_1 + p), load(o_2 + p), load(o_3 + p)
                for k in range(terms):
                    at, to = l_0 + k * term, m + k * line
                    a, b, c, d = spread(at), spread(at + row), spread(at + 2 * row), spread(at + 3 * row)
                    m0, m1 = load(to), load(to + SIZE)
                    y00, y10, y20, y30 = fma(a, m0, y00), fma(b, m0, y10), fma(c, m0, y20), fma(d, m0, y30)
                    y01, y11, y21, y31 = fma(a, m1, y01), fma(b, m1, y11), fma(c, m1, y21), fma(d, m1, y31)
                store_rows(o_0 + p, line, y01, y11, y21, y31)
                v += 2
            else:
                for k in range(terms):
                    at, m0 = l_0 + k * term, load(m + k * line)
                    y00, y10 = fma(spread(at), m0, y00), fma(spread(at + row), m0, y10)
                    y20, y30 = fma(spread(at + 2 * row), m0, y20), fma(spread(at + 3 * row), m0, y30)
                v += 1
            store_rows(o_0 + o, line, y00, y10, y20, y30)


@kernel
def product(
    rows: int, terms: int, width: int, left: int, row: int, term: int, right: int, line: int, out: int
) -> None:
    """out = left right: `multiply` into zeros, with the same arguments."""
    fill_zero(out, rows * width)
    multiply(rows, terms, width, left, row, term, right, line, out)


@kernel
def scale_rows(rows: int, width: int, by: int, out: int) -> None:
    """Multiply each row of `width` vectors by a vector of its own; by: the address of the first of them."""
    for k in range(rows):
        factor = load(by + k * SIZE)
        for v in range(width):
            o = out + (k * width + v) * SIZE
            store(o, load(o) * factor)


@kernel
def turn(rows: int, columns: int, line: int, source: int, target: int) -> None:
    """Transpose: numbers of `rows` rows of `line` bytes to `columns` rows of the chunk's steps."""
    for k in range(rows):
        for j in range(columns):
            store(target + j * STEPS + k * 4, load_number(source + k * line + j * 4))


@kernel
def set_units(units: int) -> None:
    """Write the unit matrix over a chunk's steps."""
    store(units, one())
    number = load_number(units)
    fill_zero(units, CHUNK * ROW)
    for k in range(CHUNK):
        store(units + k * STEPS + k * 4, number)
