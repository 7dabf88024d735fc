"""All activation patterns of a data matrix, each with a gate that proves it."""

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr
from scipy.sparse.csgraph import connected_components

from cvxrelu._validation import FloatArray, check_integer, check_matrix
from cvxrelu.numerics.rows import unit_rows
from cvxrelu.patterns.activation_patterns import ActivationPatterns, strictly_inside
from cvxrelu.patterns.arrangements import RESOLUTION, IntArray, half_of_the_cells
from cvxrelu.patterns.packed_mask import PackedMask, packed_bits
from cvxrelu.runtime.memory import require

# Largest entries of rows and columns: in this range no product with a gate that decides a sign over- or underflows.
_SMALLEST, _LARGEST = 2.0**-500, 2.0**500

# Bits within which rows and columns are balanced.
_BALANCED = 20.0

# A cell that is wider, and not confirmed by X, is more than a sliver of rounding.
_THIN = 2.0**-20

# Entries of the masks that are verified at once.
_BLOCK = 2**22

_Part: TypeAlias = tuple[NDArray[np.uint8], FloatArray]


def count_patterns(n: int, rank: int) -> int:
    """Return 2 sum_{k < rank} C(n - 1, k), the number of non-singular patterns of n rows in general position.

    General position: every ``rank`` of the rows are linearly independent; for ``rank >= n`` the number is 2^n. No data
    of n non-zero rows and this rank have more non-singular patterns, degenerate data have fewer. The all-zero pattern
    counts where some g has x_j'g < 0 for all rows. Rank 0 has one pattern: its rows are zero, and 1[0 >= 0] = 1.

    Parameters
    ----------
    n : int
        Number of rows, at least 1. Zero rows, and rows parallel or opposite to others, need not be counted.
    rank : int
        Rank of the data, at least 0.

    Returns
    -------
    int
        Exact, however large.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    TypeError
        If an argument is not an integer.

    References
    ----------
    Cover, "Geometrical and statistical properties of systems of linear inequalities with applications in pattern
    recognition", IEEE Trans. Electronic Computers, 1965; quoted for activation patterns by Pilanci & Ergen, ICML 2020.

    Examples
    --------
    >>> import cvxrelu as cr
    >>> cr.count_patterns(n=100, rank=3)
    9902
    >>> cr.count_patterns(n=5, rank=5) == 2**5
    True
    """
    n = check_integer("n", n, minimum=1)
    rank = check_integer("rank", rank, minimum=0)
    if rank == 0:
        return 1
    term = total = 1
    for k in range(1, min(rank, n)):
        term = term * (n - k) // k
        total += term
    return 2 * total


def enumerate_patterns(X: ArrayLike, *, max_patterns: int = 1_000_000) -> ActivationPatterns:
    """Return all non-singular activation patterns of X, each with a gate strictly inside its cone.

    Each pattern comes once, with its gate of unit l1 norm: ``D == (X @ G >= 0)``, no product with a non-zero row is
    within rounding of zero, and so ``is_singular(X)`` is False throughout. Rows may be zero, repeated, parallel,
    opposite or otherwise in special position, and X may have any rank: nothing is perturbed. Zero rows are always
    active, 1[0 >= 0] = 1.

    The all-zero pattern is among them if some gate is inactive on every row (with a constant column: always): it is
    non-singular and counts in `count_patterns`, though its neurons do nothing. `ActivationPatterns.unique` drops it.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data.
    max_patterns : int
        Refuse data that may have more patterns. What is compared is `count_patterns` of the distinct lines through
        rows of X and its rank, so degenerate data may have far fewer than predicted. They take n / 8 + 8 d bytes each,
        and 7 n / 8 more up to 2^29 entries in all.

    Returns
    -------
    ActivationPatterns
        The patterns, in an order that depends on X alone.

    Raises
    ------
    ValueError
        If X is empty, not 2-D or not finite, may have more than ``max_patterns`` patterns, has non-zero rows or
        columns whose largest entry is not between 2^-500 and 2^500, or sizes so far apart that its patterns cannot all
        be told.
    TypeError
        If X does not hold real numbers or ``max_patterns`` is not an integer.
    InsufficientMemoryError
        If so many patterns would not fit in the memory that is free.

    See Also
    --------
    iter_patterns : The same patterns in chunks.
    sample_patterns : Some of the patterns.

    Notes
    -----
    The cones are the cells of the arrangement of the hyperplanes x_j'w = 0, found by `cvxrelu.patterns.arrangements`
    in time proportional to their number; about 2^(rank - 1) rays are held for each of those in work, so a rank of 10 or
    so is the most that is practical, unless there are as few rows. After columns and rows are scaled, X is rotated to
    its row space, where its columns are orthonormal: the result does not depend on the lengths of rows nor on the
    scales of columns. Rows that are parallel or opposite there, up to 2^-40, count as one line; the rows themselves are
    never rounded.

    Every pattern is verified by the products of its gate with X itself, so that none is returned that X does not have.
    Only cones thinner than about 2^-40 in those coordinates (for unit rows; times the condition number of the scaled X)
    may be missed.

    References
    ----------
    Mishkin, Sahiner & Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks", ICML 2022, arXiv 2202.01331.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> patterns = cr.enumerate_patterns(X)
    >>> sorted("".join(map(str, column)) for column in patterns.D.astype(int).T)
    ['000', '001', '011', '100', '110', '111']
    >>> len(patterns) == cr.count_patterns(n=3, rank=2)
    True
    """
    max_patterns = check_integer("max_patterns", max_patterns, minimum=1)
    arrangement = _Arrangement(X)
    count = arrangement.most_patterns
    if count > max_patterns:
        shown = f"{count:,}" if count < 10**15 else f"about 10^{math.log10(count):.1f}"
        raise ValueError(
            f"max_patterns must be at least the number of patterns that X may have, {shown} for {arrangement.n_lines} "
            f"distinct lines through its rows and rank {arrangement.rank}; got {max_patterns:,}. Raise it, or take "
            "iter_patterns, a part of them at a time, or sample_patterns"
        )
    require(
        2.0 * count * (arrangement.n / 8 + 8 * arrangement.n_features),
        f"As many as {count:,} patterns, with gates of {arrangement.n_features} features,",
        "take iter_patterns, a part of them at a time, or sample_patterns",
    )
    bits, gates = zip(*arrangement.parts(), strict=True)
    return ActivationPatterns(PackedMask(np.concatenate(bits), arrangement.n), np.concatenate(gates).T)


def iter_patterns(X: ArrayLike, *, chunk_size: int = 65_536) -> Iterator[ActivationPatterns]:
    """Return an iterator over the patterns of `enumerate_patterns`, with the same gates and in the same order.

    Memory is bounded by the chunks, however many patterns there are; no pattern comes twice.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data.
    chunk_size : int
        Number of patterns at a time; the last are fewer.

    Returns
    -------
    Iterator of ActivationPatterns

    Raises
    ------
    ValueError
        If ``chunk_size < 1``, or X is refused as by `enumerate_patterns`, but for the number of patterns.
    TypeError
        If X does not hold real numbers or ``chunk_size`` is not an integer.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> [len(patterns) for patterns in cr.iter_patterns(X, chunk_size=150)]
    [150, 150, 82]
    >>> cr.count_patterns(n=20, rank=3)
    382
    """
    chunk_size = check_integer("chunk_size", chunk_size, minimum=1)
    arrangement = _Arrangement(X)  # checks X now, not at the first chunk
    return (
        ActivationPatterns(PackedMask(bits, arrangement.n), gates.T)
        for bits, gates in _regrouped(arrangement.parts(), chunk_size)
    )


class _Arrangement:
    """The distinct lines through the rows of X, in coordinates of its row space, and the way back to gates."""

    def __init__(self, X: ArrayLike) -> None:
        self._X = check_matrix("X", X).astype(np.float64)
        self.n, self.n_features = self._X.shape
        _check_sizes("columns", self._X.T)
        rows = _check_sizes("rows", self._X)
        self._zero = rows == 0.0
        self.rank = self.n_lines = 0
        if not rows.any():
            return
        exponents = column_exponents(self._X[~self._zero])
        scaled = unit_rows(np.ldexp(self._X[~self._zero], -exponents))
        _, s, Vt = np.linalg.svd(scaled, full_matrices=False)
        self.rank = int(np.sum(s > s[0] * max(scaled.shape) * np.finfo(np.float64).eps))
        to_row_space = Vt[: self.rank].T / s[: self.rank]
        # A gate is for the columns as they are; the common factor keeps it from overflow.
        self._to_gates = np.ldexp(to_row_space, (exponents.min() - exponents)[:, None])
        self._lines, first = distinct_lines(unit_rows(scaled @ to_row_space))
        self._row_of_line = np.flatnonzero(~self._zero)[first]
        self.n_lines = len(self._lines)

    @property
    def most_patterns(self) -> int:
        """Upper bound of the number of patterns; exact in general position."""
        return count_patterns(max(1, self.n_lines), self.rank)

    def parts(self) -> Iterator[_Part]:
        """Yield bits and gates (m, d) of verified patterns, a pattern next to its opposite."""
        if self.rank == 0:
            yield packed_bits(np.ones((self.n, 1), dtype=np.bool_)), np.eye(1, self._X.shape[1])
            return
        units = unit_rows(self._X)
        nonzero = packed_bits(~self._zero[:, None])
        basis = qr(self._lines.T, mode="r", pivoting=True)[1][: self.rank].astype(np.intp)
        step = max(1, _BLOCK // self.n)
        for leaves in half_of_the_cells(self._lines, basis):
            for start in range(0, len(leaves.witnesses), step):
                part = slice(start, start + step)
                G = self._to_gates @ leaves.witnesses[part].T
                G /= np.abs(G).sum(axis=0)
                D = self._X @ G >= 0.0
                # A sliver of rounding fails one of these: its pattern is not proven, or is that of another cell.
                on_side = D[self._row_of_line[leaves.path[part].T], np.arange(G.shape[1])] == leaves.sides[part].T
                proven = on_side.all(axis=0) & strictly_inside(units, D, G)
                self._check_slivers(leaves.witnesses[part][~proven])
                bits, gates = packed_bits(D[:, proven]), G[:, proven].T
                yield _alternating(bits, bits ^ nonzero), _alternating(gates, -gates)

    def _check_slivers(self, witnesses: FloatArray) -> None:
        """Raise if cells that X does not confirm are not thin: the coordinates are then too inaccurate for X."""
        if (np.abs(witnesses @ self._lines.T).min(axis=1) > _THIN).any():
            raise ValueError(
                "X must have patterns that double precision can tell: it does not confirm all that were found. Scale "
                "its rows and columns, or round the smallest entries to zero"
            )


def _alternating(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of two arrays in turn."""
    return np.stack([first, second], axis=1).reshape(-1, first.shape[1])


def _check_sizes(name: str, parts: FloatArray) -> FloatArray:
    """Return the largest absolute entry of each row of ``parts``; refuse sizes that could over- or underflow."""
    sizes: FloatArray = np.abs(parts).max(axis=1)
    bad = (sizes > _LARGEST) | ((sizes < _SMALLEST) & (sizes > 0.0))
    if bad.any():
        raise ValueError(
            f"X must have {name} of zeros, or whose largest entry is between {_SMALLEST:.1e} and {_LARGEST:.1e}; "
            f"got {sizes[bad][0]:.1e} ({int(bad.sum())} such {name}). Patterns do not depend on the lengths of rows, "
            "and gates are divided where columns are multiplied: scale X"
        )
    return sizes


def column_exponents(X: FloatArray) -> NDArray[np.intc]:
    """Return the powers of two that columns are divided by; refuse X if they are not clear.

    They are the column factors if row and column factors explain all sizes |X_ji| but zeros within 2^+-20: fitted in
    least squares of the logarithms (Curtis & Reid 1972). Else some entries may be rounding errors of zeros, and the
    largest entries of columns decide, if no row is then left 2^20 below the others.
    """
    nonzero = X != 0.0
    logs = np.log2(np.abs(X), where=nonzero, out=np.full_like(X, -np.inf))
    largest = logs.max(axis=0)
    largest[np.isinf(largest)] = 0.0
    below = logs - largest
    rows_alike = np.ptp(below.max(axis=1)) <= _BALANCED

    # The fit corrects the largest entries: the least correction, as blocks that share no column leave it free.
    below[~nonzero] = 0.0
    in_rows = nonzero.sum(axis=1, keepdims=True)
    correction = _column_factors(below, nonzero)
    left = np.where(nonzero, below - correction, 0.0)
    left -= np.where(nonzero, left.sum(axis=1, keepdims=True) / in_rows, 0.0)
    explained = np.abs(left).max() <= _BALANCED

    both_differ = explained and rows_alike and np.ptp(correction) > 2.0 * _BALANCED
    if both_differ or not (explained or rows_alike):
        raise ValueError(
            "X must have entries whose sizes are balanced by scaling rows and columns: its patterns cannot all be told "
            "in double precision. Scale rows and columns, or round the smallest entries to zero"
        )
    exponents: NDArray[np.intc] = np.round(largest + explained * correction).astype(np.intc)
    return exponents


def _column_factors(logs: FloatArray, nonzero: NDArray[np.bool_]) -> FloatArray:
    """Return the b of least norm in the least-squares fit of ``logs`` (n, d) by a_j + b_i, where ``nonzero``.

    The unknowns that are fewer are kept: a is eliminated, or b. What is left free is one shift for each set of rows and
    columns that share no entry with the others. Each row has an entry.
    """
    n, d = logs.shape
    in_rows, in_columns = nonzero.sum(axis=1), np.maximum(nonzero.sum(axis=0), 1)
    if d <= n:
        centred = np.where(nonzero, logs - logs.sum(axis=1, keepdims=True) / in_rows[:, None], 0.0)
        normal = np.diag(nonzero.sum(axis=0).astype(np.float64)) - nonzero.T @ (nonzero / in_rows[:, None])
        factors: FloatArray = np.linalg.pinv(normal, hermitian=True) @ centred.sum(axis=0)
        return factors
    centred = np.where(nonzero, logs - logs.sum(axis=0) / in_columns, 0.0)
    normal = np.diag(in_rows.astype(np.float64)) - (nonzero / in_columns) @ nonzero.T
    of_rows = np.linalg.pinv(normal, hermitian=True) @ centred.sum(axis=1)
    factors = np.where(nonzero, logs - of_rows[:, None], 0.0).sum(axis=0) / in_columns
    _, parts = connected_components(nonzero.astype(np.float64) @ nonzero.T > 0.0, directed=False)
    used = np.flatnonzero(nonzero.any(axis=0))
    part = parts[nonzero[:, used].argmax(axis=0)]
    factors[used] -= (np.bincount(part, factors[used]) / np.maximum(np.bincount(part), 1))[part]
    return factors


def distinct_lines(units: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return one unit row of each set of parallel and opposite ones, and where it is, in order of first occurrence.

    Only the keys that are compared are rounded. Two rows on either side of a key's boundary count as two lines: that
    costs a little time and no pattern, as the second never cuts the cells of the first.
    """
    leading = np.argmax(np.abs(units) > 0.5 / np.sqrt(units.shape[1]), axis=1)
    signs = np.sign(units[np.arange(len(units)), leading])
    keys = np.round(signs[:, None] * units / RESOLUTION).astype(np.int64)
    first = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    return units[first], first


def _regrouped(parts: Iterator[_Part], size: int) -> Iterator[_Part]:
    """Yield the same patterns, ``size`` at a time."""
    held: list[_Part] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part[0])
        if count >= size:
            bits, gates = (np.concatenate(arrays) for arrays in zip(*held, strict=True))
            whole = count - count % size
            for start in range(0, whole, size):
                yield bits[start : start + size], gates[start : start + size]
            held, count = [(bits[whole:], gates[whole:])], count - whole
    if count:
        bits, gates = (np.concatenate(arrays) for arrays in zip(*held, strict=True))
        yield bits, gates
