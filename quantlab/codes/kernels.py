"""Loops over codes: count thresholds, pack, unpack, decode. No checks; every array is C-ordered."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import literal_unroll, njit

from quantlab._jit import kernel

_BLOCK = 1024


@cache
def count_kernel(n_thresholds: int) -> Callable[..., bool]:
    """Kernel for exactly `n_thresholds`, few: the loop over them unrolls into vectors."""

    @kernel
    def count_thresholds_kernel(x, thresholds, codes):  # type: ignore[no-untyped-def]
        # x (N,), thresholds (n_thresholds,), codes (N,) uint8
        finite = True
        for i in range(x.size):
            value = x[i]
            passed = np.int32(0)
            for j in range(n_thresholds):
                passed += np.int32(value > thresholds[j])
            codes[i] = passed
            finite &= value - value == 0  # neither NaN nor infinite
        return finite

    return count_thresholds_kernel


@njit(nogil=True, fastmath={"reassoc"})  # the order of a sum of zeros does not matter
def finite_kernel(x):  # type: ignore[no-untyped-def]
    total = x[0] - x[0]
    for i in range(1, x.size):
        total += x[i] - x[i]  # NaN if x is, or is infinite
    return total == 0


@cache
def bucket_kernel(n_steps: int) -> Callable[..., bool]:
    """Kernel for buckets of less than 2^n_steps thresholds each."""
    strides = tuple(1 << step for step in reversed(range(n_steps)))

    @kernel
    def bucket_thresholds_kernel(x, start, inverse, first, last, thresholds, codes):  # type: ignore[no-untyped-def]
        # x (N,), first (buckets,): thresholds below a bucket; thresholds: padded with inf
        # x -> bucket is monotone, so that only the bucket's own thresholds are in doubt
        finite = True
        for start_of_block in range(0, x.size, _BLOCK):
            block = x[start_of_block : start_of_block + _BLOCK]
            found = codes[start_of_block : start_of_block + _BLOCK]
            for i in range(block.size):
                value = block[i]
                position = (value - start) * inverse
                # NaN compares false: it lands in bucket 0
                position = position if position > 0 else np.float32(0)
                position = position if position < last else last
                # unsigned indices cannot wrap around
                code = np.uint32(first[np.uint32(np.int32(position))])
                for stride in literal_unroll(strides):
                    above = value > thresholds[code + np.uint32(stride - 1)]
                    code += np.uint32(stride) if above else np.uint32(0)
                found[i] = code
            finite &= finite_kernel(block)  # apart, in vectors, while the block is near
        return finite

    return bucket_thresholds_kernel


@kernel
def pack_kernel(codes, bits, packed):  # type: ignore[no-untyped-def]
    # codes (rows, columns), packed (rows, ceil(columns bits / 8))
    for i in range(codes.shape[0]):
        if bits == 4:
            for j in range(codes.shape[1] // 2):
                packed[i, j] = codes[i, 2 * j] | (codes[i, 2 * j + 1] << 4)
            if codes.shape[1] % 2:
                packed[i, -1] = codes[i, -1]
            continue
        held, n_held, at = np.uint32(0), 0, 0
        for j in range(codes.shape[1]):
            held |= np.uint32(codes[i, j]) << np.uint32(n_held)
            n_held += bits
            if n_held >= 8:
                packed[i, at] = held & np.uint32(255)
                held >>= np.uint32(8)
                n_held -= 8
                at += 1
        if n_held:
            packed[i, at] = held


@kernel
def unpack_row_kernel(row, bits, first, codes):  # type: ignore[no-untyped-def]
    # row (bytes,) of a packed matrix; codes (count,) gets entries first, first + 1, ...
    if bits == 8:
        for j in range(codes.size):
            codes[j] = row[first + j]
    elif bits == 4 and first % 2 == 0:
        base = first // 2
        pairs = row[base : base + codes.size // 2]
        for j in range(np.uintp(pairs.size)):  # unsigned indices cannot wrap around
            codes[np.uintp(2) * j] = pairs[j] & 15
            codes[np.uintp(2) * j + np.uintp(1)] = pairs[j] >> 4
        if codes.size % 2:
            codes[-1] = row[base + codes.size // 2] & 15
    else:
        mask = (1 << bits) - 1
        for j in range(codes.size):
            bit = (first + j) * bits
            value = np.intp(row[bit >> 3]) >> (bit & 7)
            if (bit & 7) + bits > 8:
                value |= np.intp(row[(bit >> 3) + 1]) << (8 - (bit & 7))
            codes[j] = value & mask


@kernel
def unpack_kernel(packed, bits, codes):  # type: ignore[no-untyped-def]
    for i in range(codes.shape[0]):
        unpack_row_kernel(packed[i], bits, 0, codes[i])


@kernel
def decode_kernel(packed, bits, centers, out):  # type: ignore[no-untyped-def]
    # out (rows, columns) of the centres' dtype
    codes = np.empty(out.shape[1], np.uint8)
    for i in range(out.shape[0]):
        unpack_row_kernel(packed[i], bits, 0, codes)
        for j in range(codes.size):
            out[i, j] = centers[codes[j]]
