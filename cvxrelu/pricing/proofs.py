"""Proofs of max over ||u|| <= 1 of |t'(Xu)_+| <= lam as arrays of a certificate's file."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.numerics.rounding import EPS
from cvxrelu.pricing.branch_and_bound import record, rounding_of
from cvxrelu.pricing.neuron_problem import Cones, Multipliers, NeuronObjective, RowLines, Tree

_ROOM = 1e-10  # by which t is shrunk, relatively, so that a proof need not be of the maximum itself
_ROUNDING = 1e-14  # by which a multiple of t may be off


def cone_proof(
    X: FloatArray, t: FloatArray, lam: float, kept: Cones | None = None
) -> tuple[float, dict[str, NDArray[Any]]]:
    """Return s < 1 and the arrays of a proof that the maximum of |s t'(Xu)_+| is at most lam, by cones.

    They are those that a search has kept of a multiple of t, or else those of a search here. 1 - s is 1e-10 and what
    rounding, and rows that were taken for parallel, can be worth.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    t : ndarray of shape (n,)
        The dual variable; its maximum is known to be at most lam.
    lam : float > 0
        The bound.
    kept : Cones, optional
        Of a search that has proven it.

    Raises
    ------
    ValueError
        If the maximum is larger.
    """
    scale = 1.0
    if t[X.any(axis=1)].any():
        lines = RowLines(X)
        basis, row_lines, forms = lines.basis, lines.row_lines(), [lines.form(sign * t) for sign in (1.0, -1.0)]
    else:  # nothing to be proven, of whatever rank: no line, and any axis
        basis, row_lines = np.eye(X.shape[1], 1), np.zeros(len(X), dtype=np.int64)
        forms = 2 * [NeuronObjective(E=np.empty((0, 1)), tau=np.empty(0), w0=np.zeros(1), slack=0.0)]
    share = _share(max(form.slack + rounding_of(form) for form in forms), lam)
    plus: Tree | None
    minus: Tree | None
    if kept is not None and _is_of(kept, t, basis, forms[0].E):
        plus, minus, scale = kept.plus, kept.minus, float(np.linalg.norm(t) / np.linalg.norm(kept.t))
    else:
        plus, minus = (record(form, lam / share - form.slack) for form in forms)
    if plus is None or minus is None:
        raise ValueError("the maximum of |t'(Xu)_+| is above lam: there is nothing to be proven")
    multipliers = sp.vstack([plus.multipliers, minus.multipliers], format="csr")
    return share, {
        **_of_lines(basis, forms[0], row_lines),
        "axes": plus.axes.astype("<f8"),
        "cuts": np.concatenate([plus.cuts, minus.cuts]),
        "shares": np.concatenate([plus.shares, minus.shares]).astype("<f8"),
        "leaf_points": (share * scale * np.concatenate([plus.points, minus.points])).astype("<f8"),
        "leaf_values": multipliers.data.astype("<f8"),
        "leaf_lines": multipliers.indices.astype("<i8"),
        "leaf_starts": multipliers.indptr.astype("<i8"),
    }


def relaxation_proof(
    X: FloatArray, t: FloatArray, lam: float, proven: tuple[FloatArray, Multipliers, Multipliers]
) -> tuple[float, dict[str, NDArray[Any]]]:
    """Return s < 1 and the arrays of a proof that the maximum of |s t'(Xu)_+| is at most lam, by a relaxation.

    Parameters
    ----------
    X, t, lam : ndarray of shape (n, d), ndarray of shape (n,), float > 0
        The data, the dual variable and the bound that the multipliers prove.
    proven : tuple of ndarray (n,), Multipliers, Multipliers
        A multiple of t, and its multipliers, as `NeuronBound` has them.
    """
    scale = float(np.linalg.norm(t) / np.linalg.norm(proven[0]))
    lines = RowLines(X)
    form, r = lines.form(t), lines.rank
    parts = {name: scale * np.array([getattr(part, name) for part in proven[1:]]) for name in ("rho", "gamma", "delta")}
    sizes = parts["rho"] + np.abs(parts["gamma"]) + parts["delta"] + np.abs(form.tau)
    off = form.slack + 16.0 * (len(X) + len(form.E) + X.shape[1] + r * r) * EPS * float(sizes.sum(axis=1).max())
    share = _share(off, lam)
    return share, {
        **_of_lines(lines.basis, form, lines.row_lines()),
        **{name: (share * part).astype("<f8") for name, part in parts.items()},
    }


def _is_of(kept: Cones, t: FloatArray, basis: FloatArray, E: FloatArray) -> bool:
    """Return whether cones are of a multiple of t, on the same lines in the same order."""
    if kept.t.shape != t.shape or not (np.array_equal(kept.lines.basis, basis) and np.array_equal(kept.lines.E, E)):
        return False
    units = t / np.linalg.norm(t), kept.t / np.linalg.norm(kept.t)
    return bool(np.abs(units[0] - units[1]).max() <= _ROUNDING * np.abs(units[0]).max())


def _share(off: float, lam: float) -> float:
    return 1.0 / (1.0 + _ROOM + 2.0 * off / lam)


def _of_lines(basis: FloatArray, form: NeuronObjective, row_lines: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {"basis": basis.astype("<f8"), "lines": form.E.astype("<f8"), "row_lines": row_lines.astype("<i8")}
