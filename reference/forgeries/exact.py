"""Rational numbers, bounds of roots and logarithms, independent of the checker of certificates."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from reference.rationals import rational

Numbers = Any  # an array of fractions
# On arrays of fractions, which NumPy's annotations do not know.
larger: Any = np.maximum
smaller: Any = np.minimum
choose: Any = np.where
_DIGITS = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)
_ERROR = Fraction(1, 10**50)  # of logarithms of 60 digits, relative to 1 + their size
_NEGLIGIBLE = 1000  # exp(-1000) is below 1e-400
_TINY = Fraction(1, 10**400)


def zeros(*shape: int) -> Numbers:
    """Return an array of fractions 0."""
    return rational(np.zeros(shape))


def root(square: Fraction, above: bool) -> Fraction:
    """Return a bound of the square root, to 250 bits."""
    if not square:
        return Fraction(0)
    bits = 256 + max(0, square.denominator.bit_length() - square.numerator.bit_length())
    return Fraction(isqrt((square.numerator << 2 * bits) // square.denominator) + above, 1 << bits)


def log(x: Fraction, above: bool) -> Fraction:
    """Return a bound of ln x, x > 0."""
    value = Fraction(_DIGITS.ln(_DIGITS.divide(Decimal(x.numerator), Decimal(x.denominator))))
    return value + (1 if above else -1) * _ERROR * (1 + abs(value))


def log_sum_exp(terms: list[Fraction], above: bool) -> Fraction:
    """Return a bound of ln(sum exp(terms))."""
    top, total = max(terms), Fraction(0)
    for term in terms:
        less = top - term
        if less > _NEGLIGIBLE:
            total += _TINY if above else 0
        else:
            power = Fraction(_DIGITS.exp(_DIGITS.divide(Decimal(-less.numerator), Decimal(less.denominator))))
            total += power * (1 + (_ERROR if above else -_ERROR))
    return top + log(total, above)


def entropy(p: Fraction) -> Fraction:
    """Return a lower bound of -p ln p, p in [0, 1]."""
    return max(-p * log(p, above=True), Fraction(0)) if 0 < p < 1 else Fraction(0)


def null_space(rows: Numbers) -> list[Numbers]:
    """Return vectors that span {t: rows @ t = 0}, by Gaussian elimination."""
    rows, size = [row.copy() for row in rows], rows.shape[1]
    pivots: list[int] = []
    for column in range(size):
        free = [i for i in range(len(pivots), len(rows)) if rows[i][column]]
        if not free:
            continue
        here = len(pivots)
        rows[here], rows[free[0]] = rows[free[0]], rows[here]
        rows[here] = rows[here] / rows[here][column]
        rows = [row - row[column] * rows[here] if i != here and row[column] else row for i, row in enumerate(rows)]
        pivots.append(column)
    basis = []
    for column in sorted(set(range(size)) - set(pivots)):
        vector = zeros(size)
        vector[column] = Fraction(1)
        for i, pivot in enumerate(pivots):
            vector[pivot] = -rows[i][column]
        basis.append(vector)
    return basis


def projection(t: Numbers, basis: list[Numbers]) -> Numbers:
    """Return the projection of t to the span of the vectors (Gram and Schmidt)."""
    result = 0 * t
    orthogonal: list[Numbers] = []
    for vector in basis:
        for other in orthogonal:
            vector = vector - (vector @ other) / (other @ other) * other
        orthogonal.append(vector)
        result = result + (t @ vector) / (vector @ vector) * vector
    return result
