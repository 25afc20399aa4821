"""Nearest points and Voronoi codes, many blocks side by side. No checks.

A block is eight numbers; D4's four are followed by zeros, which stay zeros. What is done to a block
has no branch, so that a loop over blocks becomes a loop over vectors of them: a tile holds
`_LANES` blocks as rows of one flat array, whose distances the compiler knows.
"""

from __future__ import annotations

import numpy as np

from quantlab._jit import inlined, kernel

_LANES = 64
_SHRINK, _MOST_STEPS = 0.97, 200  # of a block that no scale holds


@inlined
def _over(a, b):  # type: ignore[no-untyped-def]
    return np.divide(a, b)  # a / b looks for b = 0, which would keep loops from becoming vectors


@inlined
def _larger(a, b):  # type: ignore[no-untyped-def]
    return a if a > b else b


@inlined
def _smaller(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@inlined
def _moved(r, off, worst, open_):  # type: ignore[no-untyped-def]
    """r, a step to the other side if it is the first that is `worst` away; whether none was yet."""
    here = open_ & (abs(off) == worst)
    return r + ((1.0 if off >= 0 else -1.0) if here else 0.0), open_ & (not here)


@inlined
def _checkerboard(x, shift):  # type: ignore[no-untyped-def]
    """2 (nearest point of D8 + shift) to the block x, and its squared distance."""
    t = (x[0] - shift, x[1] - shift, x[2] - shift, x[3] - shift,
         x[4] - shift, x[5] - shift, x[6] - shift, x[7] - shift)  # fmt: skip
    r = (np.rint(t[0]), np.rint(t[1]), np.rint(t[2]), np.rint(t[3]),
         np.rint(t[4]), np.rint(t[5]), np.rint(t[6]), np.rint(t[7]))  # fmt: skip
    o = (t[0] - r[0], t[1] - r[1], t[2] - r[2], t[3] - r[3],
         t[4] - r[4], t[5] - r[5], t[6] - r[6], t[7] - r[7])  # fmt: skip
    distance = (
        o[0] * o[0] + o[1] * o[1] + o[2] * o[2] + o[3] * o[3]
        + o[4] * o[4] + o[5] * o[5] + o[6] * o[6] + o[7] * o[7]
    )  # fmt: skip
    worst = _larger(
        _larger(_larger(abs(o[0]), abs(o[1])), _larger(abs(o[2]), abs(o[3]))),
        _larger(_larger(abs(o[4]), abs(o[5])), _larger(abs(o[6]), abs(o[7]))),
    )
    half = 0.5 * (r[0] + r[1] + r[2] + r[3] + r[4] + r[5] + r[6] + r[7])
    # an odd sum: the coordinate that is farthest from its integer goes to the other side
    odd = np.floor(half) != half
    distance += 1 - 2 * worst if odd else 0.0
    r0, odd = _moved(r[0], o[0], worst, odd)
    r1, odd = _moved(r[1], o[1], worst, odd)
    r2, odd = _moved(r[2], o[2], worst, odd)
    r3, odd = _moved(r[3], o[3], worst, odd)
    r4, odd = _moved(r[4], o[4], worst, odd)
    r5, odd = _moved(r[5], o[5], worst, odd)
    r6, odd = _moved(r[6], o[6], worst, odd)
    r7, odd = _moved(r[7], o[7], worst, odd)
    s = 2 * shift
    point = (2 * r0 + s, 2 * r1 + s, 2 * r2 + s, 2 * r3 + s,
             2 * r4 + s, 2 * r5 + s, 2 * r6 + s, 2 * r7 + s)  # fmt: skip
    return point, distance


@inlined
def _nearest(x, halves):  # type: ignore[no-untyped-def]
    """2 (nearest point to the block x) of D8 or, with halves, of D8 and D8 + 1/2."""
    a, far_a = _checkerboard(x, 0.0)
    b, far_b = _checkerboard(x, 0.5)
    second = halves & (far_b < far_a)
    return (
        b[0] if second else a[0], b[1] if second else a[1],
        b[2] if second else a[2], b[3] if second else a[3],
        b[4] if second else a[4], b[5] if second else a[5],
        b[6] if second else a[6], b[7] if second else a[7],
    )  # fmt: skip


@inlined
def _placed(p, q, offset):  # type: ignore[no-untyped-def]
    """The doubled point p, over 2 q and off the borders."""
    s = _over(0.5, q)
    return (p[0] * s + offset[0], p[1] * s + offset[1], p[2] * s + offset[2],
            p[3] * s + offset[3], p[4] * s + offset[4], p[5] * s + offset[5],
            p[6] * s + offset[6], p[7] * s + offset[7])  # fmt: skip


@inlined
def _inside(x, halves):  # type: ignore[no-untyped-def]
    """Whether 0 is the nearest point: x v <= v v / 2 for all shortest v.

    They are +-e_i +-e_j and, with halves, (+-1/2, .., +-1/2) of an even number of minuses.
    """
    a0, a1, a2, a3 = abs(x[0]), abs(x[1]), abs(x[2]), abs(x[3])
    a4, a5, a6, a7 = abs(x[4]), abs(x[5]), abs(x[6]), abs(x[7])
    h0, h1, h2, h3 = _larger(a0, a1), _larger(a2, a3), _larger(a4, a5), _larger(a6, a7)
    l0, l1, l2, l3 = _smaller(a0, a1), _smaller(a2, a3), _smaller(a4, a5), _smaller(a6, a7)
    # the two largest of each half, then of both
    m0, n0 = _larger(h0, h1), _larger(_smaller(h0, h1), _larger(l0, l1))
    m1, n1 = _larger(h2, h3), _larger(_smaller(h2, h3), _larger(l2, l3))
    two = _larger(m0, m1) + _larger(_smaller(m0, m1), _larger(n0, n1))
    least = _smaller(_smaller(l0, l1), _smaller(l2, l3))
    odd = (
        (x[0] < 0) ^ (x[1] < 0) ^ (x[2] < 0) ^ (x[3] < 0)
        ^ (x[4] < 0) ^ (x[5] < 0) ^ (x[6] < 0) ^ (x[7] < 0)
    )  # fmt: skip
    total = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 - (2 * least if odd else 0.0)
    return (two <= 1.0) & ((total <= 2.0) | (not halves))


@inlined
def _row(values, i):  # type: ignore[no-untyped-def]
    return (values[i, 0], values[i, 1], values[i, 2], values[i, 3],
            values[i, 4], values[i, 5], values[i, 6], values[i, 7])  # fmt: skip


@kernel
def nearest_kernel(x, halves, found):  # type: ignore[no-untyped-def]
    # found (m, 8) = 2 (nearest points to x (m, 8))
    for i in range(x.shape[0]):
        p = _nearest(_row(x, i), halves)
        for j in range(8):
            found[i, j] = p[j]


@kernel
def copy_kernel(columns, out):  # type: ignore[no-untyped-def]
    # out (m, k or more) = columns (k, m) as rows, read along lines of memory
    for j in range(columns.shape[0]):
        for i in range(columns.shape[1]):
            out[i, j] = columns[j, i]


@kernel
def _load(values, deviation, tile):  # type: ignore[no-untyped-def]
    # the first rows of a tile = values (blocks, n) over `deviation`, divided in their own precision
    blocks, n = values.shape
    for i in range(blocks):
        for j in range(n):
            tile[j * _LANES + i] = _over(values[i, j], deviation)


@kernel
def _try_scale(tile, scale, number, q, offset, halves):  # type: ignore[no-untyped-def]
    """Give `number` and the nearest points at `scale` to the blocks that it is the first to hold.

    tile: 8 rows of entries, 8 of doubled points, one of numbers, -1 where there is none yet.
    """
    n = _LANES
    for i in range(n):
        x = (_over(tile[i], scale), _over(tile[n + i], scale),
             _over(tile[2 * n + i], scale), _over(tile[3 * n + i], scale),
             _over(tile[4 * n + i], scale), _over(tile[5 * n + i], scale),
             _over(tile[6 * n + i], scale), _over(tile[7 * n + i], scale))  # fmt: skip
        p = _nearest(x, halves)
        first = _inside(_placed(p, q, offset), halves) & (tile[16 * n + i] < 0)
        tile[16 * n + i] = number if first else tile[16 * n + i]
        tile[8 * n + i] = p[0] if first else tile[8 * n + i]
        tile[9 * n + i] = p[1] if first else tile[9 * n + i]
        tile[10 * n + i] = p[2] if first else tile[10 * n + i]
        tile[11 * n + i] = p[3] if first else tile[11 * n + i]
        tile[12 * n + i] = p[4] if first else tile[12 * n + i]
        tile[13 * n + i] = p[5] if first else tile[13 * n + i]
        tile[14 * n + i] = p[6] if first else tile[14 * n + i]
        tile[15 * n + i] = p[7] if first else tile[15 * n + i]


@kernel
def _draw_in(tile, i, scale, q, offset, halves):  # type: ignore[no-untyped-def]
    """Block i of a tile, along its ray until the code holds it."""
    x = np.empty((1, 8))
    for step in range(1, _MOST_STEPS):
        for j in range(8):
            x[0, j] = tile[j * _LANES + i] / scale * _SHRINK**step
        p = _nearest(_row(x, 0), halves)
        if _inside(_placed(p, q, offset), halves):
            break
    for j in range(8):
        tile[(8 + j) * _LANES + i] = p[j]


@kernel
def _index(tile, n, halves, q, codes):  # type: ignore[no-untyped-def]
    """Coordinates mod q in the basis 2 e_1, e_2 - e_1, .. (E8: the last (1/2, .., 1/2))."""
    for i in range(codes.shape[0]):
        last = np.int32(tile[(7 + n) * _LANES + i]) if halves else np.int32(0)
        carried = np.int32(0)
        for j in range(n - 1, 0, -1):
            if halves and j == n - 1:
                codes[i, j] = last & (q - 1)
            else:
                carried += np.int32(tile[(8 + j) * _LANES + i]) - last
                codes[i, j] = (carried >> 1) & (q - 1)
        carried += np.int32(tile[8 * _LANES + i]) - last
        codes[i, 0] = (carried >> 2) & (q - 1)


@kernel
def encode_kernel(values, deviation, halves, q, scales, offset, codes, which):  # type: ignore[no-untyped-def]
    # values (blocks, n) over `deviation` -> codes (blocks, n), which (blocks,); the blocks that no
    # scale holds
    blocks, n = values.shape
    tile = np.zeros(17 * _LANES)
    place = _row(offset, 0)
    overloaded = 0
    for start in range(0, blocks, _LANES):
        count = min(_LANES, blocks - start)
        _load(values[start : start + count], deviation, tile)
        tile[16 * _LANES :] = -1
        for s in range(scales.size):
            _try_scale(tile, scales[s], float(s), q, place, halves)
        for i in range(count):
            if tile[16 * _LANES + i] < 0:
                tile[16 * _LANES + i] = scales.size - 1
                _draw_in(tile, i, scales[-1], q, place, halves)
                overloaded += 1
            which[start + i] = np.uint8(tile[16 * _LANES + i])
        _index(tile, n, halves, q, codes[start : start + count])
    return overloaded


@kernel
def _wrap(tile, q, offset, halves):  # type: ignore[no-untyped-def]
    """The doubled points of a tile's first 8 rows, each the one that the code has in its place."""
    n = _LANES
    for i in range(n):
        p = (tile[i], tile[n + i], tile[2 * n + i], tile[3 * n + i], tile[4 * n + i],
             tile[5 * n + i], tile[6 * n + i], tile[7 * n + i])  # fmt: skip
        f = _nearest(_placed(p, q, offset), halves)
        tile[i] = p[0] - q * f[0]
        tile[n + i] = p[1] - q * f[1]
        tile[2 * n + i] = p[2] - q * f[2]
        tile[3 * n + i] = p[3] - q * f[3]
        tile[4 * n + i] = p[4] - q * f[4]
        tile[5 * n + i] = p[5] - q * f[5]
        tile[6 * n + i] = p[6] - q * f[6]
        tile[7 * n + i] = p[7] - q * f[7]


@kernel
def decode_kernel(codes, halves, q, offset, points):  # type: ignore[no-untyped-def]
    # codes (blocks, n) -> doubled points (blocks, n)
    blocks, n = codes.shape
    tile = np.zeros(8 * _LANES)
    place = _row(offset, 0)
    for start in range(0, blocks, _LANES):
        count = min(_LANES, blocks - start)
        for i in range(count):
            last = int(codes[start + i, n - 1]) if halves else 0
            above = 0 if halves else int(codes[start + i, n - 1])
            tile[(n - 1) * _LANES + i] = last + 2 * above
            for j in range(n - 2, 0, -1):
                own = int(codes[start + i, j])
                tile[j * _LANES + i] = last + 2 * own - 2 * above
                above = own
            tile[i] = last + 4 * int(codes[start + i, 0]) - 2 * above
        _wrap(tile, q, place, halves)
        for i in range(count):
            for j in range(n):
                points[start + i, j] = np.int8(tile[j * _LANES + i])


@kernel
def squares_kernel(values, largest):  # type: ignore[no-untyped-def]
    # sum of (values / largest)^2 of a vector, in float64
    n = _LANES
    sums = np.zeros(n)
    whole = values.size // n * n
    for start in range(0, whole, n):
        for i in range(n):
            v = _over(np.float64(values[start + i]), largest)
            sums[i] += v * v
    total = sums.sum()
    for i in range(whole, values.size):
        v = _over(np.float64(values[i]), largest)
        total += v * v
    return total
