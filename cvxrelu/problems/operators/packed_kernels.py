"""Kernels of the masked products, by the method of four Russians on masks of one bit per entry.

Both products are sums of rows: of the weighted rows of X over the bits of a pattern, or of the weights of the patterns
over the bits of a row of the mask. Four rows have 16 subset sums, which a table holds; four bits select one. A pass
takes 32 rows in 8 tables, and adds 8 vectors to each sum in place of 32 times 0 or 1. A sum has the summands of the
plain product, in another order, and no more roundings: bounds for sums in any order hold.

Arrays are one-dimensional; see `packed_products` for those of both products.
"""

import numpy as np

from cvxrelu.runtime.compilation import Kernel, kernel
from cvxrelu.runtime.vectors import add, lanes, load, multiply, scale, store, total, transpose_bits, zeros

WIDTH = 4  # vectors of a pass: its tables fill 16 kB
BLOCK = 512  # patterns, or rows of the mask, whose sums are held at once: 64 kB
TABLES = 8 * 16  # entries of the tables of a pass
PASS = 32  # rows of a pass
FLUSH = 2048  # rows after which sums of a Gram matrix are added to their totals, as errors grow with their number


@kernel()
def _fill_tables(rows, start, count, stride, weights, step, width, tables):  # type: ignore[no-untyped-def]
    """Write the subset sums of ``count`` weighted rows, or of 32 if there are more; others count as zero.

    Row j starts at ``start + j stride`` and has weight ``weights[j step]``. The index of a sum has its first row in the
    highest bit, as `np.packbits` has.
    """
    lane = lanes(tables)
    entry = WIDTH * lane
    for j in range(0, PASS, 4):
        for k in range(0, width * lane, lane):
            row = start + j * stride + k
            a, b, c, d = zeros(tables), zeros(tables), zeros(tables), zeros(tables)
            if j < count:
                a = scale(weights[np.uint64(j * step)], load(rows, row))
            if j + 1 < count:
                b = scale(weights[np.uint64((j + 1) * step)], load(rows, row + stride))
            if j + 2 < count:
                c = scale(weights[np.uint64((j + 2) * step)], load(rows, row + 2 * stride))
            if j + 3 < count:
                d = scale(weights[np.uint64((j + 3) * step)], load(rows, row + 3 * stride))
            ab, cd = add(a, b), add(c, d)
            at = 4 * j * entry + k
            store(tables, at, zeros(tables))
            store(tables, at + entry, d)
            store(tables, at + 2 * entry, c)
            store(tables, at + 3 * entry, cd)
            store(tables, at + 4 * entry, b)
            store(tables, at + 5 * entry, add(b, d))
            store(tables, at + 6 * entry, add(b, c))
            store(tables, at + 7 * entry, add(b, cd))
            store(tables, at + 8 * entry, a)
            store(tables, at + 9 * entry, add(a, d))
            store(tables, at + 10 * entry, add(a, c))
            store(tables, at + 11 * entry, add(a, cd))
            store(tables, at + 12 * entry, ab)
            store(tables, at + 13 * entry, add(ab, d))
            store(tables, at + 14 * entry, add(ab, c))
            store(tables, at + 15 * entry, add(ab, cd))


@kernel()
def _selected(tables, a, b, c, d, e, f, g, h, n_bytes):  # type: ignore[no-untyped-def]
    """Return the sum of 8 entries, or of the first 4 if others are not needed."""
    entries = add(add(load(tables, a), load(tables, b)), add(load(tables, c), load(tables, d)))
    if n_bytes > 2:
        others = add(add(load(tables, e), load(tables, f)), add(load(tables, g), load(tables, h)))
        entries = add(entries, others)
    return entries


@kernel()
def _add_selected(words, first, index, start, stop, n_bytes, tables, width, sums):  # type: ignore[no-untyped-def]
    """Add the entries that words select to the sums of the items from ``start`` to ``stop``.

    The word of item i is ``words[first + index[i]]``. Its bytes select entries of two tables each, from its lowest on.
    Tables of bytes beyond ``n_bytes`` are zero.
    """
    lane = lanes(tables)
    entry = WIDTH * lane
    table = 16 * entry
    at = 0
    for i in range(start, stop):
        word = np.uint64(words[np.uint64(first + index[np.uint64(i)])])
        a = np.intp((word >> np.uint64(4)) & np.uint64(15)) * entry
        b = np.intp(word & np.uint64(15)) * entry + table
        c = np.intp((word >> np.uint64(12)) & np.uint64(15)) * entry + 2 * table
        d = np.intp((word >> np.uint64(8)) & np.uint64(15)) * entry + 3 * table
        e = np.intp((word >> np.uint64(20)) & np.uint64(15)) * entry + 4 * table
        f = np.intp((word >> np.uint64(16)) & np.uint64(15)) * entry + 5 * table
        g = np.intp((word >> np.uint64(28)) & np.uint64(15)) * entry + 6 * table
        h = np.intp((word >> np.uint64(24)) & np.uint64(15)) * entry + 7 * table
        # No loop: its addresses would need more registers than there are.
        store(sums, at, add(load(sums, at), _selected(tables, a, b, c, d, e, f, g, h, n_bytes)))
        k = lane
        if width > 1:
            entries = _selected(tables, a + k, b + k, c + k, d + k, e + k, f + k, g + k, h + k, n_bytes)
            store(sums, at + k, add(load(sums, at + k), entries))
        k = 2 * lane
        if width > 2:
            entries = _selected(tables, a + k, b + k, c + k, d + k, e + k, f + k, g + k, h + k, n_bytes)
            store(sums, at + k, add(load(sums, at + k), entries))
        k = 3 * lane
        if width > 3:
            entries = _selected(tables, a + k, b + k, c + k, d + k, e + k, f + k, g + k, h + k, n_bytes)
            store(sums, at + k, add(load(sums, at + k), entries))
        at += width * lane


@kernel()
def _add_products(words, n_items, n_bytes, tables, width, X, first, sums):  # type: ignore[no-untyped-def]
    """Add the products of X from ``first`` on with the entries that words select to a vector of each item."""
    lane = lanes(tables)
    entry = WIDTH * lane
    table = 16 * entry
    x = first
    for i in range(n_items):
        word = np.uint64(words[np.uint64(i)])
        a = np.intp((word >> np.uint64(4)) & np.uint64(15)) * entry
        b = np.intp(word & np.uint64(15)) * entry + table
        c = np.intp((word >> np.uint64(12)) & np.uint64(15)) * entry + 2 * table
        d = np.intp((word >> np.uint64(8)) & np.uint64(15)) * entry + 3 * table
        e = np.intp((word >> np.uint64(20)) & np.uint64(15)) * entry + 4 * table
        f = np.intp((word >> np.uint64(16)) & np.uint64(15)) * entry + 5 * table
        g = np.intp((word >> np.uint64(28)) & np.uint64(15)) * entry + 6 * table
        h = np.intp((word >> np.uint64(24)) & np.uint64(15)) * entry + 7 * table
        along = multiply(load(X, x), _selected(tables, a, b, c, d, e, f, g, h, n_bytes))
        k = lane
        if width > 1:
            entries = _selected(tables, a + k, b + k, c + k, d + k, e + k, f + k, g + k, h + k, n_bytes)
            along = add(along, multiply(load(X, x + k), entries))
        k = 2 * lane
        if width > 2:
            entries = _selected(tables, a + k, b + k, c + k, d + k, e + k, f + k, g + k, h + k, n_bytes)
            along = add(along, multiply(load(X, x + k), entries))
        k = 3 * lane
        if width > 3:
            entries = _selected(tables, a + k, b + k, c + k, d + k, e + k, f + k, g + k, h + k, n_bytes)
            along = add(along, multiply(load(X, x + k), entries))
        store(sums, i * lane, add(load(sums, i * lane), along))
        x += width * lane


@kernel()
def _clear(sums, size):  # type: ignore[no-untyped-def]
    for at in range(0, size, lanes(sums)):
        store(sums, at, zeros(sums))


@kernel()
def _transpose(words, n_patterns, index, start, count, group, n_groups, block, rows):  # type: ignore[no-untyped-def]
    """Write the words of 32 rows of the mask each, for ``count`` <= 32 patterns, in ``n_groups`` groups of 32 rows.

    Bits of further patterns are arbitrary, as tables beyond ``count`` are zero.
    """
    for k in range(n_groups):
        first = (group + k) * n_patterns
        for i in range(count):
            block[np.uint64(i)] = words[np.uint64(first + index[np.uint64(start + i)])]
        transpose_bits(block, 0, rows, PASS * k)


def _adjoint(  # type: ignore[no-untyped-def]
    words, index, starts, X, T, Z, n_patterns, n, d, stride, tables, sums
):
    """Write the blocks of A't to Z (m, d), for X in panels."""
    lane = lanes(tables)
    vectors = stride // lanes(tables)
    passes = (vectors + WIDTH - 1) // WIDTH
    for k in range(len(starts) - 1):
        for start in range(starts[k], starts[k + 1], BLOCK):
            stop = min(start + BLOCK, starts[k + 1])
            for part in range(passes):  # of nearly equal width
                column = part * vectors // passes * lane
                width = ((part + 1) * vectors // passes) - part * vectors // passes
                _clear(sums, (stop - start) * width * lane)
                for row in range(0, n, PASS):
                    rows = n * column + row * width * lane
                    _fill_tables(X, rows, n - row, width * lane, T[k * n + row :], 1, width, tables)
                    _add_selected(words, row // PASS * n_patterns, index, start, stop, 4, tables, width, sums)
                for i in range(stop - start):
                    for j in range(min(width * lane, d - column)):
                        Z[np.uint64((start + i) * d + column + j)] = sums[np.uint64(i * width * lane + j)]


def _forward(  # type: ignore[no-untyped-def]
    words, index, starts, X, U, one, f, n_patterns, n, stride, tables, sums, block, rows, places
):
    """Add A u to f (n, c) for the blocks U (m, stride), for X in panels."""
    lane = lanes(tables)
    vectors, c = stride // lanes(tables), len(starts) - 1
    passes = (vectors + WIDTH - 1) // WIDTH
    for row in range(0, n, BLOCK):
        n_rows = min(n - row, BLOCK)
        n_groups = (n_rows + PASS - 1) // PASS
        for k in range(c):
            count = starts[k + 1] - starts[k]
            if 0 < count <= PASS:  # in one pass over the patterns, sums need not be held
                _transpose(words, n_patterns, index, starts[k], count, row // PASS, n_groups, block, rows)
                _clear(sums, n_rows * lane)
                for part in range(passes):
                    column = part * vectors // passes * lane
                    width = ((part + 1) * vectors // passes) - part * vectors // passes
                    _fill_tables(U, starts[k] * stride + column, count, stride, one, 0, width, tables)
                    first = n * column + row * width * lane
                    _add_products(rows, n_rows, (count + 7) // 8, tables, width, X, first, sums)
                for i in range(n_rows):
                    f[np.uint64((row + i) * c + k)] += total(load(sums, i * lane))
                continue
            for part in range(passes):
                column = part * vectors // passes * lane
                width = ((part + 1) * vectors // passes) - part * vectors // passes
                _clear(sums, n_rows * width * lane)
                for start in range(starts[k], starts[k + 1], PASS):
                    count = min(starts[k + 1] - start, PASS)
                    _fill_tables(U, start * stride + column, count, stride, one, 0, width, tables)
                    _transpose(words, n_patterns, index, start, count, row // PASS, n_groups, block, rows)
                    _add_selected(rows, 0, places, 0, n_rows, (count + 7) // 8, tables, width, sums)
                for i in range(n_rows):
                    along = zeros(tables)
                    for j in range(0, width * lane, lane):
                        x = load(X, n * column + (row + i) * width * lane + j)
                        along = add(along, multiply(load(sums, i * width * lane + j), x))
                    f[np.uint64((row + i) * c + k)] += total(along)


@kernel()
def _fill_products(X, row, count, d, a, b, stride, products):  # type: ignore[no-untyped-def]
    """Write x_a x_b and what follows it in the upper triangle, of ``count`` rows of X (n, d), to rows of ``stride``.

    Vectors beyond the end of a row of the triangle, or of the products, are overwritten by what comes next.
    """
    lane = lanes(products)
    for j in range(count):
        start, first, second, at = (row + j) * d, a, b, 0
        while at < stride and first < d:
            factor = X[np.uint64(start + first)]
            for k in range(0, min(d - second, stride - at), lane):
                store(products, j * stride + at + k, scale(factor, load(X, start + second + k)))
            at += d - second
            first += 1
            second = first


def _gram(  # type: ignore[no-untyped-def]
    words, first, second, X, weights, triangles, n_patterns, n, d, masks, places, products, tables, sums
):
    """Add the upper triangles of X'D_i diag(w) D_j X to a flat array (m, d (d + 1) / 2), for m pairs i, j.

    They are masked sums of the rows x_a x_b, which are computed where tables are filled. X has entries beyond its end.
    """
    lane = lanes(tables)
    size = d * (d + 1) // 2
    for start in range(0, len(first), BLOCK):
        m = min(len(first) - start, BLOCK)
        a, b = 0, 0
        for column in range(0, size, WIDTH * lane):
            count = min(size - column, WIDTH * lane)
            width = (count + lane - 1) // lane
            for some in range(0, n, FLUSH):
                _clear(sums, m * width * lane)
                for row in range(some, min(some + FLUSH, n), PASS):
                    base = row // PASS * n_patterns
                    for i in range(m):
                        both = words[np.uint64(base + first[np.uint64(start + i)])]
                        masks[np.uint64(i)] = both & words[np.uint64(base + second[np.uint64(start + i)])]
                    _fill_products(X, row, min(n - row, PASS), d, a, b, width * lane, products)
                    _fill_tables(products, 0, n - row, width * lane, weights[row:], 1, width, tables)
                    _add_selected(masks, 0, places, 0, m, 4, tables, width, sums)
                for i in range(m):
                    for k in range(count):
                        triangles[np.uint64((start + i) * size + column + k)] += sums[np.uint64(i * width * lane + k)]
            b += count
            while b >= d and a < d:
                a += 1
                b += a - d


def _kernels(number: str) -> tuple[Kernel, Kernel, Kernel]:
    """Return the kernels of A't, A u and Gram matrices for a type of numbers."""
    shared = f"uint32[::1], intp[::1], intp[::1], {number}[::1], {number}[::1]"
    sizes, scratch = "int64, int64, int64", f"{number}[::1], {number}[::1]"
    masks, rows = "uint32[::1], intp[::1]", "uint32[::1], uint32[::1], intp[::1]"
    return (
        Kernel(_adjoint, f"({shared}, {number}[::1], {sizes}, int64, {scratch})"),
        Kernel(_forward, f"({shared}, {number}[::1], {number}[::1], {sizes}, {scratch}, {rows})"),
        Kernel(_gram, f"({shared}, {number}[::1], {sizes}, {masks}, {number}[::1], {scratch})"),
    )


KERNELS = {np.dtype(number): _kernels(number) for number in ("float64", "float32")}
