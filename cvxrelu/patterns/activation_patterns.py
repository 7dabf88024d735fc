"""Activation patterns 1[X g >= 0], the masks that index the convex programs.

Notation as in Mishkin, Sahiner & Pilanci, ICML 2022, arXiv 2202.01331.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from cvxrelu._validation import BoolArray, FloatArray, check_bool_matrix, check_matrix, read_only
from cvxrelu.numerics.row_space import RowSpace
from cvxrelu.numerics.rows import unit_rows
from cvxrelu.patterns.packed_mask import Mask, PackedMask, as_stored, packed_bits, take_patterns

BLOCK_BYTES = 2**25
_MARGIN_TOLERANCE = 1e-9
_SUFFICIENT_MARGIN = 1e-6  # margin at which a witness is accepted without further search


@dataclass(frozen=True, eq=False, repr=False, init=False)
class ActivationPatterns:
    """Activation patterns of a data matrix X (n, d) and, optionally, the gates that define them.

    Patterns and gates are kept exactly as given, duplicates and zero patterns included; see `unique`.
    Instances are immutable: both arrays are read-only copies. Masks of more than 2^29 entries are stored at one bit per
    entry: ``D`` is then a `cvxrelu.patterns.packed_mask.PackedMask`, unpacked in part by ``D[rows, patterns]`` and
    entirely by ``np.asarray(D)``. Products, `RFISTA` and `WorkingSet` for C-GReLU unpack parts; C-ReLU, the kernel of
    `LeastSquares` and CVXPY programs unpack the whole mask.

    Parameters
    ----------
    D : array_like or PackedMask of shape (n, P), bool or 0/1
        One pattern in each column.
    G : array_like of shape (d, P), optional
        Gates: column i is a vector g with ``D[:, i] == (X @ g >= 0)``. None if unknown.

    Raises
    ------
    ValueError
        If D or G is empty or not 2-D, if G holds NaN or infinite entries, or if their numbers of columns differ.
    TypeError
        If D holds anything but booleans or 0/1, or G anything but real numbers.

    References
    ----------
    Mishkin, Sahiner & Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks", ICML 2022,
    arXiv 2202.01331.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> patterns = cr.ActivationPatterns.from_gates(X, [[1.0, -1.0], [0.5, 0.5]])
    >>> patterns
    ActivationPatterns(2 patterns of 3 rows, gates in 2 features)
    >>> patterns.D.astype(int)
    array([[0, 1],
           [1, 1],
           [1, 0]])
    >>> patterns.is_singular(X)
    array([False, False])
    >>> cr.ActivationPatterns([[1, 0], [1, 0], [0, 1]])  # masks without gates
    ActivationPatterns(2 patterns of 3 rows, no gates)
    """

    D: Mask
    G: FloatArray | None

    def __init__(self, D: ArrayLike | PackedMask, G: ArrayLike | None = None) -> None:
        mask = _check_mask(D)
        gates = None if G is None else check_matrix("G", G, "(d, P)")
        if gates is not None and gates.shape[1] != mask.shape[1]:
            raise ValueError(
                f"G must have one column for each column of D; got G of shape {gates.shape} and D of shape {mask.shape}"
            )
        object.__setattr__(self, "D", as_stored(mask))
        object.__setattr__(self, "G", None if gates is None else read_only(gates))

    @classmethod
    def from_gates(cls, X: ArrayLike, G: ArrayLike) -> Self:
        """Return the distinct patterns 1[X G >= 0] of the gates G.

        The first gate of each pattern is kept, in the order of G. All-zero patterns are dropped, as their neurons are
        inactive on every row.

        Parameters
        ----------
        X : array_like of shape (n, d)
            The data.
        G : array_like of shape (d, m)
            One gate in each column.

        Returns
        -------
        ActivationPatterns
            P <= m patterns with their gates.

        Raises
        ------
        ValueError
            If X or G is empty, not 2-D or not finite, if their shapes do not match, or if every pattern is
            all-zero.
        TypeError
            If X or G does not hold real numbers.
        """
        data = check_matrix("X", X)
        gates = check_matrix("G", G, "(d, P)")
        if gates.shape[0] != data.shape[1]:
            raise ValueError(
                f"G must have one row for each feature of X; got G of shape {gates.shape} for X of shape {data.shape}"
            )
        n, n_gates = len(data), gates.shape[1]
        bits = np.empty((n_gates, -(-n // 8)), dtype=np.uint8)
        for rows in row_blocks(n, n_gates):
            bits[:, rows.start // 8 : rows.stop // 8] = packed_bits(data[rows] @ gates >= 0.0)
        mask = PackedMask(bits, n)
        kept = _first_nonzero(mask)
        return cls(take_patterns(mask, kept), gates[:, kept])

    @property
    def n(self) -> int:
        """Number n of rows, one for each example."""
        return int(self.D.shape[0])

    @property
    def n_patterns(self) -> int:
        """Number P of patterns."""
        return int(self.D.shape[1])

    def __len__(self) -> int:
        """Return the number P of patterns."""
        return self.n_patterns

    def __repr__(self) -> str:
        """Return a summary."""
        gates = "no gates" if self.G is None else f"gates in {self.G.shape[0]} features"
        return f"ActivationPatterns({self.n_patterns} patterns of {self.n} rows, {gates})"

    def unique(self) -> "ActivationPatterns":
        """Return the distinct non-zero patterns, each with its first gate, in order of first occurrence.

        Raises
        ------
        ValueError
            If every pattern is all-zero.
        """
        kept = _first_nonzero(self.D)
        return ActivationPatterns(take_patterns(self.D, kept), None if self.G is None else self.G[:, kept])

    def witnesses(self, X: ArrayLike) -> tuple[FloatArray, BoolArray]:
        """Return a strictly interior point of each cone K_i = {w : (2 D_ji - 1) x_j'w >= 0 for all rows j}.

        The gate g is the witness if its products with the non-zero rows have the signs of the pattern and exceed 1e-6
        |x_j|'|g|, a test independent of the scales of rows and columns. Gates on the boundary of their cones, such as
        neurons of a solved program, fail it; they are moved away from the rows with small products. If that fails, a
        linear program maximises the margin m subject to (2 D_ji - 1) x_j'w >= m ||x_j|| and |w|_inf <= 1 (if n < d, in
        an orthonormal basis of the row space of X), and its w is a witness if the margin, recomputed from w, exceeds
        1e-9. For thinner cones, the gate is accepted if the signs of its products exceed rounding. Zero rows impose no
        constraint.

        Parameters
        ----------
        X : array_like of shape (n, d)
            The data of the patterns.

        Returns
        -------
        W : ndarray of shape (d, P), float64
            Witnesses: (2 D_ji - 1) x_j'w_i > 0 in float64 for all x_j != 0; zero if none was found.
        found : ndarray of shape (P,), bool
            Mask of the patterns for which a witness was found.

        Raises
        ------
        ValueError
            If X is empty, not 2-D or not finite, or does not match the shape of the patterns or gates.
        TypeError
            If X does not hold real numbers.
        """
        units = unit_rows(self._checked(X))
        zero = np.logical_not(units.any(axis=1))
        W = np.zeros((units.shape[1], self.n_patterns))
        found = np.zeros(self.n_patterns, dtype=np.bool_)
        if self.G is not None:
            found = strictly_inside(units, self.D, self.G, margin=_SUFFICIENT_MARGIN)
            W[:, found] = self.G[:, found]
        missing = (~found).nonzero()[0].tolist()
        space = RowSpace.of(units) if missing else None
        for i in missing:
            signed = np.where(self.D[:, i : i + 1], units, -units)[~zero]
            gate = None if self.G is None else self.G[:, i]
            if space is None:
                w = _interior_direction(signed, gate)
            else:  # components orthogonal to the row space have no effect
                rows = np.where(self.D[:, i : i + 1], space.rows, -space.rows)[~zero]
                w = space.vectors(_interior_direction(rows, None if gate is None else space.coordinates(gate)))
            # Recomputed from w, as the program's m is only accurate to its feasibility tolerance.
            found[i] = (signed @ w).min(initial=np.inf) > max(_MARGIN_TOLERANCE, rounding(len(w)) * np.linalg.norm(w))
            W[:, i] = found[i] * w
        if self.G is not None and not found.all():
            remaining = np.flatnonzero(~found)
            remaining = remaining[strictly_inside(units, take_patterns(self.D, remaining), self.G[:, remaining])]
            W[:, remaining], found[remaining] = self.G[:, remaining], True
        return W, found

    def is_singular(self, X: ArrayLike) -> BoolArray:
        """Return a mask of the patterns that are singular for X: no interior point of their cone was found.

        A pattern is non-singular iff K_i has an interior point; then K_i - K_i = R^d, so every u equals v - w with v, w
        in K_i. Gated and ReLU networks are equivalent for non-singular patterns only (arXiv 2202.01331, v4). Example of
        a singular pattern: x_1 = -x_2 != 0, both active. False is proven by a witness; True includes cones too thin for
        the margin tolerance of `witnesses`.

        Parameters
        ----------
        X : array_like of shape (n, d)
            The data of the patterns.

        Returns
        -------
        ndarray of shape (P,), bool

        Raises
        ------
        ValueError, TypeError
            As for `witnesses`.
        """
        return ~self.witnesses(X)[1]

    def check_matches(self, X: ArrayLike) -> None:
        """Raise ValueError if the patterns do not belong to X.

        Compares the numbers of rows and, if gates are known, the numbers of features and D with 1[X G >= 0]. Products
        within rounding of zero, 8 d eps ||x_j|| ||g|| with eps of the precision of X, may have either sign.

        Parameters
        ----------
        X : array_like of shape (n, d)
            The data.

        Raises
        ------
        ValueError
            If X is empty, not 2-D or not finite, or does not match the patterns.
        TypeError
            If X does not hold real numbers.
        """
        data = self._checked(X)
        if self.G is None:
            return
        units, gates = unit_rows(data), unit_rows(self.G.T).T
        limit = 8 * data.shape[1] * np.finfo(data.dtype).eps
        differing = 0
        for rows in row_blocks(*self.D.shape):
            cosines = units[rows] @ gates
            wrong = (self.D[rows, :] != (cosines >= 0.0)) & (np.abs(cosines) > limit)
            differing += int(np.count_nonzero(wrong))
        if differing:
            raise ValueError(
                f"X does not match the patterns: D differs from 1[X G >= 0] at {differing} of {self.D.size} "
                "entries, so the patterns were made for another X; recompute them with "
                "ActivationPatterns.from_gates(X, patterns.G)"
            )

    def _checked(self, X: ArrayLike) -> FloatArray:
        data = check_matrix("X", X)
        if data.shape[0] != self.n:
            raise ValueError(
                f"X must have one row for each row of the patterns, {self.n}; got X of shape {data.shape}: "
                "the patterns were made for another X"
            )
        if self.G is not None and data.shape[1] != self.G.shape[0]:
            raise ValueError(
                f"X must have one feature for each row of the gates, {self.G.shape[0]}; "
                f"got X of shape {data.shape}: the patterns were made for another X"
            )
        return data


def unique_columns(D: ArrayLike | PackedMask) -> NDArray[np.intp]:
    """Return the index of the first occurrence of each distinct non-zero column of D, ascending.

    Parameters
    ----------
    D : array_like or PackedMask of shape (n, P), bool or 0/1
        The columns.

    Returns
    -------
    ndarray of shape (k,), int
        k <= P indices; none if every column is zero.

    Raises
    ------
    ValueError
        If D is empty or not 2-D.
    TypeError
        If D holds anything but booleans or 0/1.
    """
    bits = packed_bits(_check_mask(D))
    first: dict[bytes, int] = {}
    for i in np.flatnonzero(bits.any(axis=1)).tolist():
        first.setdefault(hashlib.blake2b(bits[i]).digest(), i)  # hashes need less memory than the bits
    return np.fromiter(first.values(), dtype=np.intp, count=len(first))


def _check_mask(D: ArrayLike | PackedMask) -> Mask:
    return D if isinstance(D, PackedMask) else check_bool_matrix("D", D)


def _first_nonzero(D: Mask) -> NDArray[np.intp]:
    kept = unique_columns(D)
    if kept.size == 0:
        raise ValueError(f"no non-zero pattern: all {D.shape[1]} gates are inactive on every row of X")
    return kept


def row_blocks(n: int, n_patterns: int) -> Iterator[slice]:
    """Yield slices of n rows such that the masks of ``n_patterns`` patterns, as floats, fit in BLOCK_BYTES."""
    step = 8 * max(1, BLOCK_BYTES // (64 * n_patterns))  # whole bytes of packed masks
    for start in range(0, n, step):
        yield slice(start, start + step)


def strictly_inside(units: FloatArray, D: Mask, G: FloatArray, margin: float = 0.0) -> BoolArray:
    """Return a mask of the gates whose products with non-zero rows have the signs of their patterns beyond rounding.

    The error of a product x'g is at most `rounding` times |x|'|g| <= ||x|| ||g||. The first bound is independent of the
    scales of the columns; the second takes half the time and suffices for most gates.

    Parameters
    ----------
    units : ndarray of shape (n, d)
        `unit_rows` of the data.
    D : ndarray or PackedMask of shape (n, P), bool
        Patterns.
    G : ndarray of shape (d, P)
        Their gates.
    margin : float
        Fraction of |x|'|g| that products must also exceed.

    Returns
    -------
    ndarray of shape (P,), bool
    """
    d = units.shape[1]
    threshold = max(rounding(d), margin)
    gates = unit_rows(G.T).T
    zero: BoolArray = np.logical_not(units.any(axis=1))

    def all_above(columns: NDArray[np.intp], *, by_component: bool) -> BoolArray:
        inside = np.ones(len(columns), dtype=np.bool_)
        selected = gates[:, columns]
        for rows in row_blocks(len(units), max(1, len(columns))):
            cosines = units[rows] @ selected
            errors = np.full((1, 1), threshold)
            if by_component:
                sizes = np.abs(units[rows]) @ np.abs(selected)
                errors = threshold * sizes + 4 * d * np.finfo(np.float64).smallest_subnormal
            above = np.where(D[rows, columns], cosines, -cosines) > errors
            above[zero[rows]] = True
            inside &= above.all(axis=0)
        return inside

    inside = all_above(np.arange(G.shape[1]), by_component=False)
    undecided = (~inside).nonzero()[0]
    if len(undecided):
        inside[undecided] = all_above(undecided, by_component=True)
    return inside


def rounding(d: int) -> float:
    """Return a bound of the error of a product of computed unit vectors, including their own rounding."""
    return float(2 * (d + 4) * np.finfo(np.float64).eps)


def _interior_direction(signed: FloatArray, gate: FloatArray | None) -> FloatArray:
    """Return w with positive products with the unit rows ``signed``: near the gate, or else the widest direction."""
    if gate is not None and gate.any():
        w = away_from_tight_rows(signed, unit_rows(gate[None])[0])
        if (signed @ w).min() > _SUFFICIENT_MARGIN * np.linalg.norm(w):
            return w
    return _widest_direction(signed)


def away_from_tight_rows(signed: FloatArray, g: FloatArray) -> FloatArray:
    """Return g moved along the widest direction of its tight rows, as far as the other rows allow.

    Returns zeros if there is no such direction: the tight rows alone then make the pattern singular.
    """
    products = signed @ g
    tight = products <= _SUFFICIENT_MARGIN
    away = _widest_direction(signed[tight])
    gains = signed @ away
    threshold = gains[tight].min(initial=np.inf)
    if not threshold > _MARGIN_TOLERANCE:
        return np.zeros_like(g)
    slower = ~tight & (gains < threshold)
    step = (products[slower] / (threshold - gains[slower])).min(initial=1.0)
    moved: FloatArray = g + step * away
    return moved


def _widest_direction(signed: FloatArray) -> FloatArray:
    """Return w in the unit box that maximises the minimum product with the unit rows ``signed``."""
    d = signed.shape[1]
    rows = np.unique(signed, axis=0)
    result = scipy.optimize.linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.column_stack([-rows, np.ones(len(rows))]),
        b_ub=np.zeros(len(rows)),
        # No lower bound of the margin: with 0, HiGHS fails on cones thinner than 1e-7.
        bounds=[(-1.0, 1.0)] * d + [(None, np.sqrt(d))],
        # The smallest that HiGHS allows: its default, 1e-7, exceeds the margins to be resolved.
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return np.zeros(d) if result.x is None else np.asarray(result.x[:d])
