"""Proofs of max over ||u|| <= 1 of |t'(Xu)_+| <= lam, as arrays of a certificate file."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS
from cvxrelu.pricing.branch_and_bound import record, rounding_of
from cvxrelu.pricing.neuron_problem import Cones, Multipliers, NeuronObjective, RowLines, Tree

_MARGIN = 1e-10  # relative shrinkage of t, so that the proof need not attain the maximum itself
_ROUNDING = 1e-14  # relative tolerance for multiples of t


def cone_proof(
    X: FloatArray, t: FloatArray, lam: float, kept: Cones | None = None
) -> tuple[float, dict[str, NDArray[Any]]]:
    """Return s < 1 and the arrays of a proof by cones that the maximum of |s t'(Xu)_+| is at most lam.

    The cones are those kept by a search for a multiple of t, or else those of a new search. 1 - s is 1e-10 plus a bound
    on the errors of rounding and of joining nearly parallel rows.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    t : ndarray of shape (n,)
        The dual variable; its maximum is known to be at most lam.
    lam : float > 0
        The bound.
    kept : Cones, optional
        Cones of a search that proved the bound.

    Raises
    ------
    ValueError
        If the maximum is larger.
    """
    scale = 1.0
    if t[X.any(axis=1)].any():
        lines = RowLines(X)
        basis, row_lines = lines.basis, lines.row_lines()
        objectives = [lines.objective(sign * t) for sign in (1.0, -1.0)]
    else:  # the function vanishes: no line, and any axis
        basis, row_lines = np.eye(X.shape[1], 1), np.zeros(len(X), dtype=np.int64)
        objectives = 2 * [NeuronObjective(E=np.empty((0, 1)), tau=np.empty(0), w0=np.zeros(1), slack=0.0)]
    factor = _shrinkage(max(objective.slack + rounding_of(objective) for objective in objectives), lam)
    plus: Tree | None
    minus: Tree | None
    if kept is not None and _matches(kept, t, basis, objectives[0].E):
        plus, minus, scale = kept.plus, kept.minus, float(np.linalg.norm(t) / np.linalg.norm(kept.t))
    else:
        plus, minus = (record(objective, lam / factor - objective.slack) for objective in objectives)
    if plus is None or minus is None:
        raise ValueError("the maximum of |t'(Xu)_+| is above lam, so there is no proof to save")
    multipliers = sp.vstack([plus.multipliers, minus.multipliers], format="csr")
    return factor, {
        **_line_arrays(basis, objectives[0], row_lines),
        "axes": plus.axes.astype("<f8"),
        "cuts": np.concatenate([plus.cuts, minus.cuts]),
        "shares": np.concatenate([plus.fractions, minus.fractions]).astype("<f8"),
        "leaf_points": (factor * scale * np.concatenate([plus.points, minus.points])).astype("<f8"),
        "leaf_values": multipliers.data.astype("<f8"),
        "leaf_lines": multipliers.indices.astype("<i8"),
        "leaf_starts": multipliers.indptr.astype("<i8"),
    }


def relaxation_proof(
    X: FloatArray, t: FloatArray, lam: float, proven: tuple[FloatArray, Multipliers, Multipliers]
) -> tuple[float, dict[str, NDArray[Any]]]:
    """Return s < 1 and the arrays of a proof by relaxation that the maximum of |s t'(Xu)_+| is at most lam.

    Parameters
    ----------
    X, t, lam : ndarray of shape (n, d), ndarray of shape (n,), float > 0
        The data, the dual variable and the bound that the multipliers prove.
    proven : tuple of ndarray (n,), Multipliers, Multipliers
        A multiple of t, and its multipliers, as `NeuronBound` has them.
    """
    scale = float(np.linalg.norm(t) / np.linalg.norm(proven[0]))
    lines = RowLines(X)
    objective, r = lines.objective(t), lines.rank
    parts = {name: scale * np.array([getattr(part, name) for part in proven[1:]]) for name in ("rho", "gamma", "delta")}
    sizes = parts["rho"] + np.abs(parts["gamma"]) + parts["delta"] + np.abs(objective.tau)
    n_terms = len(X) + len(objective.E) + X.shape[1] + r * r
    error = objective.slack + 16.0 * n_terms * EPS * float(sizes.sum(axis=1).max())
    factor = _shrinkage(error, lam)
    return factor, {
        **_line_arrays(lines.basis, objective, lines.row_lines()),
        **{name: (factor * part).astype("<f8") for name, part in parts.items()},
    }


def _matches(kept: Cones, t: FloatArray, basis: FloatArray, E: FloatArray) -> bool:
    """Return whether the cones prove a bound for a multiple of t, on the same lines in the same order."""
    if kept.t.shape != t.shape or not (np.array_equal(kept.lines.basis, basis) and np.array_equal(kept.lines.E, E)):
        return False
    units = t / np.linalg.norm(t), kept.t / np.linalg.norm(kept.t)
    return bool(np.abs(units[0] - units[1]).max() <= _ROUNDING * np.abs(units[0]).max())


def _shrinkage(error: float, lam: float) -> float:
    return 1.0 / (1.0 + _MARGIN + 2.0 * error / lam)


def _line_arrays(
    basis: FloatArray, objective: NeuronObjective, row_lines: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    return {"basis": basis.astype("<f8"), "lines": objective.E.astype("<f8"), "row_lines": row_lines.astype("<i8")}


def global_proof(
    X: FloatArray, t: FloatArray, lam: float, bound: Any
) -> tuple[str, FloatArray, dict[str, int], dict[str, NDArray[Any]]]:
    """Return the kind of proof, the final t, sizes and arrays of a file of scope global."""
    raise NotImplementedError("the integer proofs of scope global come with the new search")
