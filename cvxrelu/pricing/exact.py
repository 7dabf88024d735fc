"""The dual constraint of ReLU networks of any width, max over ||u|| <= 1 of |t'(Xu)_+|, exactly for rank at most 2."""

import numpy as np

from cvxrelu._validation import FloatArray, check_matrix, check_numeric
from cvxrelu.numerics.rounding import EPS


def exact_maximum(X: FloatArray, t: FloatArray) -> tuple[float, FloatArray]:
    """Return max over ||u|| <= 1 of |t'(Xu)_+| and local maximisers, for X of rank at most 2, in O(n log n).

    On the circle of the row space each row switches at two angles, and t'(Xu)_+ = g'u between two switches: the sorted
    switches and cumulative sums of t_i x_i give g on every arc, and the maximum of |g'u| on an arc lies at an end or
    along +-g.

    Parameters
    ----------
    X : array of shape (n, d)
        Data of rank at most 2: further singular values are at most max(n, d) eps times the first. A bound on their
        contribution is added to the value.
    t : array of shape (n,)
        The dual variable.

    Returns
    -------
    value : float
        The maximum, exact to rounding.
    U : ndarray of shape (k, d)
        Unit vectors, local maximisers in descending order of value: the first attains the maximum, to rounding. Of
        those in one arc between switches, or in two adjacent arcs, only the best is returned.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not match, or the rank is above 2.
    """
    data, dual = check_matrix("X", X).astype(np.float64), check_numeric("t", t).astype(np.float64)
    if dual.shape != (len(data),):
        raise ValueError(f"t must have shape (n,) = ({len(data)},); got {dual.shape}")
    x_size, t_size = float(np.abs(data).max()), float(np.abs(dual).max())
    if x_size == 0.0 or t_size == 0.0:
        return 0.0, np.eye(1, data.shape[1])
    data, dual = data / x_size, dual / t_size
    _, sizes, right = np.linalg.svd(data, full_matrices=False)
    rank = int(np.count_nonzero(sizes > max(data.shape) * EPS * sizes[0]))
    if rank > 2:
        raise ValueError(
            f"X must have rank at most 2 for a bound over all neurons, scope 'global'; got rank {rank} "
            "(scope 'patterns' takes any rank)"
        )
    basis = right[:2]
    plane = data @ basis.T
    if plane.shape[1] == 1:
        plane = np.column_stack([plane, np.zeros(len(plane))])
    remainder = float(np.abs(dual) @ np.linalg.norm(data - plane[:, : len(basis)] @ basis, axis=1))
    angles = _best_angles(plane, dual)
    U = np.column_stack([np.cos(angles), np.sin(angles)])
    value = abs(float(dual @ np.maximum(plane @ U[0], 0.0)))
    U = U[:, : len(basis)] @ basis
    return (value + remainder) * x_size * t_size, U / np.linalg.norm(U, axis=1, keepdims=True)


def _best_angles(plane: FloatArray, t: FloatArray) -> FloatArray:
    """Return the angles of local maximisers of |t'(Zu)_+| on the unit circle, in descending order, for Z (n, 2)."""
    pulls = t[:, None] * plane
    middle = np.arctan2(plane[:, 1], plane[:, 0])
    switches = np.concatenate([middle - 0.5 * np.pi, middle + 0.5 * np.pi]) % (2.0 * np.pi)
    order = np.argsort(switches)
    switches, jumps = switches[order], np.concatenate([pulls, -pulls])[order]
    # The circle starts after its widest arc, inside which no row is within rounding of its switch. Arcs come in
    # opposite pairs, so one of the widest ends at or before the last switch.
    widths = np.diff(switches)
    first = int(np.argmax(widths)) + 1
    starts = np.concatenate([switches[first:], switches[:first] + 2.0 * np.pi])
    before = starts[0] - 0.5 * widths[first - 1]
    active = plane @ [np.cos(before), np.sin(before)] > 0.0
    g = active @ pulls + np.cumsum(np.roll(jumps, -first, axis=0), axis=0)

    ends = np.append(starts[1:], starts[0] + 2.0 * np.pi)
    along = np.arctan2(g[:, 1], g[:, 0])
    # Between two switches |g'u| is largest along g or -g if that lies inside, else at an end.
    inside = [starts + (along + turn - starts) % (2.0 * np.pi) for turn in (0.0, np.pi)]
    candidates = np.stack([starts, *(np.minimum(angle, ends) for angle in inside)])
    values = np.abs(g[:, 0] * np.cos(candidates) + g[:, 1] * np.sin(candidates))
    best = np.argmax(values, axis=0)
    heights, angles = (np.take_along_axis(array, best[None], axis=0)[0] for array in (values, candidates))
    peaks = np.flatnonzero((heights >= np.roll(heights, 1)) & (heights >= np.roll(heights, -1)))
    by_value: FloatArray = angles[peaks[np.argsort(-heights[peaks], kind="stable")]]
    return by_value
