"""Proofs of max over ||u|| <= 1 of |t'(Xu)_+| <= lam, as arrays of a certificate file."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS
from cvxrelu.numerics.rows import row_norms
from cvxrelu.pricing.bounds import maximum_over_lines
from cvxrelu.pricing.neuron_problem import Multipliers, NeuronBound, RowLines, Tree
from cvxrelu.pricing.relaxation import quadratic_bound

Arrays = dict[str, NDArray[Any]]

_SMALLEST = 1.0 - 1e-6  # factor of t; a smaller one means that lam is not proven
_NO_PROOF = "no proof was kept of the bound over networks of any width"


class GlobalProof(NamedTuple):
    """A proof that the maximum is at most lam, in exact arithmetic.

    Attributes
    ----------
    kind : str
        "cones", "maximum" or "relaxation".
    t : ndarray of shape (n,)
        The dual variable of the proof: the given one times a factor of at most 1.
    sizes : dict of str to int
        The sizes that certificate_format.md lists: rank, lines and those of the kind.
    arrays : dict of str to ndarray
        The arrays that it lists: basis, lines, row_lines, row_sizes and those of the kind.
    """

    kind: str
    t: FloatArray
    sizes: dict[str, int]
    arrays: Arrays


def global_proof(X: FloatArray, t: FloatArray, lam: float, bound: NeuronBound | None) -> GlobalProof:
    """Return a proof that the maximum of |s t'(Xu)_+| is at most lam, for some s <= 1 near 1.

    Nothing is searched: 1 - s covers the errors of rounding and of joining nearly parallel rows.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    t : ndarray of shape (n,)
        The dual variable.
    lam : float > 0
        The bound.
    bound : NeuronBound or None
        A bound with its proof, for a multiple of t and for the same rows, or rows whose copies are merged. None if t
        vanishes.

    Raises
    ------
    ValueError
        If there is no proof, or if it is of a larger bound or for other rows.
    """
    if not t[X.any(axis=1)].any():  # the function vanishes: one line with no row on it
        zeros = np.zeros(len(X))
        line = {"basis": np.eye(1, X.shape[1]), "lines": np.ones((1, 1)), "row_lines": zeros, "row_sizes": zeros}
        return _proof("maximum", t, line)
    if bound is None or bound.t is None or bound.lines is None:
        raise ValueError(f"{_NO_PROOF}: save the certificate that the search returned")
    lines = bound.lines.of(X)
    if bound.method == "exact":
        objective = lines.objective(t)
        rounding = (len(objective.E) + objective.n_terms + 50.0) * EPS * objective.size
        s = _factor(lam, maximum_over_lines(lines, t)[0] + rounding)
        return _proof("maximum", s * t, _line_arrays(lines))
    if bound.multipliers is not None:
        return _relaxation(lines, t, lam, _ratio(lines, t, bound), *bound.multipliers)
    if bound.cones is not None:
        return _cones(lines, t, lam, _ratio(lines, t, bound), *bound.cones)
    raise ValueError(f"{_NO_PROOF}: it has too many cones")


def _ratio(lines: RowLines, t: FloatArray, bound: NeuronBound) -> float:
    """Return the t of the file over the t of the bound, whose sums over the rows of each line must agree."""
    assert bound.lines is not None
    assert bound.t is not None
    given, kept = ([part.plus @ u, part.minus @ u] for part, u in ((lines, t), (bound.lines, bound.t)))
    ratio = float(np.abs(given).sum() / np.abs(kept).sum())
    objective = lines.objective(t)
    if np.abs(given - ratio * np.array(kept)).sum() > (0.5 * objective.n_terms + 40.0) * EPS * objective.size:
        raise ValueError("the proof of the bound over networks of any width is for other rows or another dual point")
    return ratio


def _cones(lines: RowLines, t: FloatArray, lam: float, ratio: float, plus: Tree, minus: Tree) -> GlobalProof:
    """Return the proof by the cones of a search."""
    points = np.concatenate([plus.points, minus.points])
    largest = float(row_norms(points).max()) * (1.0 + 2.0 * points.shape[1] * EPS)
    s = _factor(lam, lines.objective(t).upper(ratio * largest))
    multipliers = sp.vstack([plus.multipliers, minus.multipliers], format="coo")
    arrays = {
        "cuts": np.concatenate([plus.cuts, minus.cuts]),
        "points": s * ratio * points,
        "multipliers": multipliers.data,
        "places": np.column_stack([multipliers.row, multipliers.col]),
    }
    return _proof("cones", s * t, _line_arrays(lines) | arrays)


def _relaxation(
    lines: RowLines, t: FloatArray, lam: float, ratio: float, plus: Multipliers, minus: Multipliers
) -> GlobalProof:
    """Return the proof by multipliers of a relaxation."""

    def bounds(s: float) -> list[Any]:
        scaled = (Multipliers(*(s * ratio * part for part in (m.rho, m.gamma, m.delta))) for m in (plus, minus))
        return [(m, quadratic_bound(lines.objective(sign * t), m)) for sign, m in zip((s, -s), scaled, strict=True)]

    s = _factor(lam, max(bound.upper for _, bound in bounds(1.0)) * (1.0 + 1e-13))
    final = bounds(s)
    arrays = {
        "multipliers": np.array([[bound.rho, m.gamma, m.delta, bound.kappa] for m, bound in final]),
        "corners": np.array([[bound.nu, bound.mu] for _, bound in final]),
    }
    return _proof("relaxation", s * t, _line_arrays(lines) | arrays)


def _factor(lam: float, upper: float) -> float:
    """Return the factor of t that makes the bound lam."""
    s = min(1.0, lam / upper * (1.0 - 16.0 * EPS))
    if s < _SMALLEST:
        raise ValueError(f"the bound of |t'(Xu)_+| over all u is {upper}, above lam = {lam}")
    return s


def _line_arrays(lines: RowLines) -> Arrays:
    return {"basis": lines.basis.T, "lines": lines.E, "row_lines": lines.numbers, "row_sizes": lines.sizes}


def _proof(kind: str, t: FloatArray, arrays: Arrays) -> GlobalProof:
    """Return a proof with arrays of the types of the file."""
    types = {"cuts": "<u2", "row_lines": "<i8", "places": "<i8"}
    arrays = {name: np.ascontiguousarray(array, dtype=types.get(name, "<f8")) for name, array in arrays.items()}
    sizes = {"lines": len(arrays["lines"]), "rank": len(arrays["basis"])}
    if kind == "cones":
        sizes |= {"cones": len(arrays["cuts"]), "leaves": len(arrays["points"]), "entries": len(arrays["places"])}
    return GlobalProof(kind, t, sizes, arrays)
