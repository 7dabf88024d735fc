"""Enumeration of all activation patterns of a data matrix, each with a gate that proves it."""

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

# Range of the largest entries of rows and columns: no product that decides a sign over- or underflows.
_SMALLEST, _LARGEST = 2.0**-500, 2.0**500

# Largest imbalance of rows and columns after scaling, in bits.
_BALANCE_BITS = 20.0

# Cells that X does not confirm must be thinner than this, or they are not caused by rounding.
_SLIVER = 2.0**-20

# Mask entries verified at once.
_BLOCK = 2**22

_Part: TypeAlias = tuple[NDArray[np.uint8], FloatArray]


def count_patterns(n: int, rank: int) -> int:
    """Return 2 sum_{k < rank} C(n - 1, k), the number of non-singular patterns of n rows in general position.

    General position: every ``rank`` rows are linearly independent; for ``rank >= n`` the number is 2^n. It is an upper
    bound for all data of n non-zero rows and this rank; degenerate data have fewer non-singular patterns. The all-zero
    pattern counts if some g has x_j'g < 0 for all rows. Rank 0 has one pattern, as 1[0 >= 0] = 1.

    Parameters
    ----------
    n : int
        Number of rows, at least 1. Zero rows, and rows parallel or opposite to others, need not be counted.
    rank : int
        Rank of the data, at least 0.

    Returns
    -------
    int
        The exact number.

    Raises
    ------
    ValueError
        If an argument is out of range.
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

    Each pattern occurs once, with a gate of unit l1 norm: ``D == (X @ G >= 0)``, and no product with a non-zero row is
    within rounding of zero, so ``is_singular(X)`` is False for all. Rows may be zero, repeated, parallel, opposite or
    otherwise degenerate, and X may have any rank; X is not perturbed. Zero rows are always active, as 1[0 >= 0] = 1.

    The all-zero pattern is included if some gate is inactive on every row (always, with a constant column): it is
    non-singular and counts in `count_patterns`, though its neurons are inactive. `ActivationPatterns.unique` drops it.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data.
    max_patterns : int
        Refuse data that may have more patterns, according to `count_patterns` of the number of distinct lines through
        rows of X and its rank; degenerate data may have far fewer. A pattern takes n / 8 + 8 d bytes, and 7 n / 8 more
        if all masks have at most 2^29 entries.

    Returns
    -------
    ActivationPatterns
        The patterns, in an order determined by X.

    Raises
    ------
    ValueError
        If X is empty, not 2-D or not finite, may have more than ``max_patterns`` patterns, has non-zero rows or
        columns whose largest entry is not between 2^-500 and 2^500, or is scaled too badly to resolve all patterns.
    TypeError
        If X does not hold real numbers or ``max_patterns`` is not an integer.
    InsufficientMemoryError
        If the patterns would not fit in the free memory.

    See Also
    --------
    iter_patterns : The same patterns in chunks.
    sample_patterns : A random subset of the patterns.

    Notes
    -----
    The cones are the cells of the arrangement of the hyperplanes x_j'w = 0, found by `cvxrelu.patterns.arrangements`
    in time proportional to their number. Each active cone holds about 2^(rank - 1) rays, which limits the rank to about
    10 unless there are as few rows. After scaling of columns and rows, X is transformed to coordinates of its row space
    with orthonormal columns, so the result is independent of the lengths of rows and the scales of columns. Rows that
    are parallel or opposite to within 2^-40 count as one line; the rows themselves are never rounded.

    Every pattern is verified by the products of its gate with X itself, so each returned pattern is one of X. Only
    cones thinner than about 2^-40 in those coordinates (for unit rows; times the condition number of the scaled X) may
    be missed.

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
            f"distinct lines through its rows and rank {arrangement.rank}; got {max_patterns:,}. Raise it, or use "
            "iter_patterns, which yields chunks, or sample_patterns"
        )
    require(
        2.0 * count * (arrangement.n / 8 + 8 * arrangement.n_features),
        f"As many as {count:,} patterns, with gates of {arrangement.n_features} features,",
        "use iter_patterns, which yields chunks, or sample_patterns",
    )
    bits, gates = zip(*arrangement.parts(), strict=True)
    return ActivationPatterns(PackedMask(np.concatenate(bits), arrangement.n), np.concatenate(gates).T)


def iter_patterns(X: ArrayLike, *, chunk_size: int = 65_536) -> Iterator[ActivationPatterns]:
    """Return an iterator over chunks of the patterns of `enumerate_patterns`, with the same gates and order.

    Memory is bounded by the size of a chunk; no pattern occurs twice.

    Parameters
    ----------
    X : array_like of shape (n, d)
        The data.
    chunk_size : int
        Number of patterns in each chunk; the last may be smaller.

    Returns
    -------
    Iterator of ActivationPatterns

    Raises
    ------
    ValueError
        If ``chunk_size < 1``, or as for `enumerate_patterns`, apart from the number of patterns.
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
    arrangement = _Arrangement(X)  # validates X now, not at the first chunk
    return (
        ActivationPatterns(PackedMask(bits, arrangement.n), gates.T)
        for bits, gates in _regrouped(arrangement.parts(), chunk_size)
    )


class _Arrangement:
    """The distinct lines through the rows of X in coordinates of its row space, and the map back to gates."""

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
        # Gates apply to the unscaled columns; the common factor avoids overflow.
        self._to_gates = np.ldexp(to_row_space, (exponents.min() - exponents)[:, None])
        self._lines, first = distinct_lines(unit_rows(scaled @ to_row_space))
        self._row_of_line = np.flatnonzero(~self._zero)[first]
        self.n_lines = len(self._lines)

    @property
    def most_patterns(self) -> int:
        """Upper bound of the number of patterns; exact in general position."""
        return count_patterns(max(1, self.n_lines), self.rank)

    def parts(self) -> Iterator[_Part]:
        """Yield bits and gates (m, d) of verified patterns, each followed by its opposite."""
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
                # Slivers caused by rounding fail one of these tests: not proven, or the pattern of another cell.
                on_side = D[self._row_of_line[leaves.path[part].T], np.arange(G.shape[1])] == leaves.sides[part].T
                proven = on_side.all(axis=0) & strictly_inside(units, D, G)
                self._check_slivers(leaves.witnesses[part][~proven])
                bits, gates = packed_bits(D[:, proven]), G[:, proven].T
                yield _alternating(bits, bits ^ nonzero), _alternating(gates, -gates)

    def _check_slivers(self, witnesses: FloatArray) -> None:
        """Raise ValueError if cells that X does not confirm are not thin: the coordinates are too inaccurate."""
        if (np.abs(witnesses @ self._lines.T).min(axis=1) > _SLIVER).any():
            raise ValueError(
                "X must have patterns that double precision can resolve: some cells were not confirmed by X. Scale its "
                "rows and columns, or round the smallest entries to zero"
            )


def _alternating(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Return the rows of two arrays interleaved."""
    return np.stack([first, second], axis=1).reshape(-1, first.shape[1])


def _check_sizes(name: str, parts: FloatArray) -> FloatArray:
    """Return the largest absolute entry of each row of ``parts``; refuse sizes that could over- or underflow."""
    sizes: FloatArray = np.abs(parts).max(axis=1)
    bad = (sizes > _LARGEST) | ((sizes < _SMALLEST) & (sizes > 0.0))
    if bad.any():
        raise ValueError(
            f"X must have {name} that are zero or have a largest entry between {_SMALLEST:.1e} and {_LARGEST:.1e}; "
            f"got {sizes[bad][0]:.1e} ({int(bad.sum())} such {name}). Scale X: patterns do not depend on the scales of "
            "rows and columns, and gates scale inversely to columns"
        )
    return sizes


def column_exponents(X: FloatArray) -> NDArray[np.intc]:
    """Return the powers of two by which columns are divided; refuse X if they are ambiguous.

    If row and column factors, fitted to the logarithms by least squares (Curtis & Reid 1972), explain all non-zero
    sizes |X_ji| within 2^+-20, the column factors are used. Otherwise some entries may be rounding errors of zeros, and
    the largest entries of columns are used, unless that leaves a row 2^20 below the others.
    """
    nonzero = X != 0.0
    logs = np.log2(np.abs(X), where=nonzero, out=np.full_like(X, -np.inf))
    largest = logs.max(axis=0)
    largest[np.isinf(largest)] = 0.0
    below = logs - largest
    rows_balanced = np.ptp(below.max(axis=1)) <= _BALANCE_BITS

    # The fit corrects the largest entries; minimum norm, as disconnected blocks leave it undetermined.
    below[~nonzero] = 0.0
    in_rows = nonzero.sum(axis=1, keepdims=True)
    correction = _column_factors(below, nonzero)
    residual = np.where(nonzero, below - correction, 0.0)
    residual -= np.where(nonzero, residual.sum(axis=1, keepdims=True) / in_rows, 0.0)
    explained = np.abs(residual).max() <= _BALANCE_BITS

    both_differ = explained and rows_balanced and np.ptp(correction) > 2.0 * _BALANCE_BITS
    if both_differ or not (explained or rows_balanced):
        raise ValueError(
            "X must have entries that scaling of rows and columns can balance: double precision cannot resolve all its "
            "patterns. Scale rows and columns, or round the smallest entries to zero"
        )
    exponents: NDArray[np.intc] = np.round(largest + explained * correction).astype(np.intc)
    return exponents


def _column_factors(logs: FloatArray, nonzero: NDArray[np.bool_]) -> FloatArray:
    """Return the minimum-norm b of the least-squares fit of ``logs`` (n, d) by a_j + b_i on the entries ``nonzero``.

    Eliminates a or b, whichever has more unknowns. The fit is unique up to one shift for each connected component of
    rows and columns. Each row has a non-zero entry.
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
    row_factors = np.linalg.pinv(normal, hermitian=True) @ centred.sum(axis=1)
    factors = np.where(nonzero, logs - row_factors[:, None], 0.0).sum(axis=0) / in_columns
    _, components = connected_components(nonzero.astype(np.float64) @ nonzero.T > 0.0, directed=False)
    used = np.flatnonzero(nonzero.any(axis=0))
    component = components[nonzero[:, used].argmax(axis=0)]
    factors[used] -= (np.bincount(component, factors[used]) / np.maximum(np.bincount(component), 1))[component]
    return factors


def distinct_lines(units: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return one unit row of each set of parallel and opposite ones and its index, in order of first occurrence.

    Only the comparison keys are rounded. Nearly equal rows on two sides of a key's boundary count as two lines: that
    costs a little time and no pattern, as the second never cuts the cells of the first.
    """
    leading = np.argmax(np.abs(units) > 0.5 / np.sqrt(units.shape[1]), axis=1)
    signs = np.sign(units[np.arange(len(units)), leading])
    keys = np.round(signs[:, None] * units / RESOLUTION).astype(np.int64)
    first = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    return units[first], first


def _regrouped(parts: Iterator[_Part], size: int) -> Iterator[_Part]:
    """Yield the same patterns in chunks of ``size``."""
    buffer: list[_Part] = []
    count = 0
    for part in parts:
        buffer.append(part)
        count += len(part[0])
        if count >= size:
            bits, gates = (np.concatenate(arrays) for arrays in zip(*buffer, strict=True))
            complete = count - count % size
            for start in range(0, complete, size):
                yield bits[start : start + size], gates[start : start + size]
            buffer, count = [(bits[complete:], gates[complete:])], count - complete
    if count:
        bits, gates = (np.concatenate(arrays) for arrays in zip(*buffer, strict=True))
        yield bits, gates
