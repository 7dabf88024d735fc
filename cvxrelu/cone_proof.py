"""The proof of max over ||u|| <= 1 of |t'(Xu)_+| <= lam as arrays of a certificate's file, by cones."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray
from cvxrelu.cone_search import record, rounding_of
from cvxrelu.neuron_form import Form, Lines

_ROOM = 1e-10  # by which t is shrunk, relatively, so that the bounds of the cones need not be the maximum itself


def cone_proof(X: FloatArray, t: FloatArray, lam: float) -> tuple[float, dict[str, NDArray[Any]]]:
    """Return s < 1 and the arrays of a proof that the maximum of |s t'(Xu)_+| is at most lam.

    A search that records its cones. 1 - s is 1e-10 and what rounding, and rows that were taken for parallel, can be
    worth; where that is more than there is room for, the checker will say so.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        The data.
    t : ndarray of shape (n,)
        The dual variable; its maximum is known to be at most lam.
    lam : float > 0
        The bound.

    Raises
    ------
    ValueError
        If the maximum is larger.
    """
    if t[X.any(axis=1)].any():
        lines = Lines(X)
        basis, row_lines, forms = lines.basis, lines.row_lines(), [lines.form(sign * t) for sign in (1.0, -1.0)]
    else:  # nothing to be proven, of whatever rank: no line, and any axis
        basis, row_lines = np.eye(X.shape[1], 1), np.zeros(len(X), dtype=np.int64)
        forms = 2 * [Form(E=np.empty((0, 1)), tau=np.empty(0), w0=np.zeros(1), slack=0.0)]
    off = max(form.slack + rounding_of(form) for form in forms)
    share = 1.0 / (1.0 + _ROOM + 2.0 * off / lam)
    plus, minus = (record(form, lam / share - form.slack) for form in forms)
    if plus is None or minus is None:
        raise ValueError("the maximum of |t'(Xu)_+| is above lam: there is nothing to be proven")
    both = sp.vstack([plus.multipliers, minus.multipliers], format="csr")
    return share, {
        "basis": basis.astype("<f8"),
        "lines": forms[0].E.astype("<f8"),
        "row_lines": row_lines.astype("<i8"),
        "axes": plus.axes.astype("<f8"),
        "cuts": np.concatenate([plus.cuts, minus.cuts]),
        "shares": np.concatenate([plus.shares, minus.shares]).astype("<f8"),
        "leaf_points": (share * np.concatenate([plus.points, minus.points])).astype("<f8"),
        "leaf_values": both.data.astype("<f8"),
        "leaf_lines": both.indices.astype("<i8"),
        "leaf_starts": both.indptr.astype("<i8"),
    }
