"""Data and solutions for the tests of the literal programs."""

import numpy as np

LOSSES = ("squared", "logistic", "softmax", "huber")
DELTA = 0.4  # of the Huber loss: both of its branches are in use
LAM = 0.02


def data(loss, c, repeated=False, n=12, d=2, P=3, seed=0):
    """X (n, d), Y (n, c) from noisy rectified features, D (n, P).

    Repeated: three points four times each, with labels that disagree, so that even lam = 0 has an optimum.
    """
    rng = np.random.default_rng(seed)
    X = np.tile(rng.standard_normal((3, d)), (4, 1)) if repeated else rng.standard_normal((n, d))
    D = X @ rng.standard_normal((d, P)) >= 0
    Y = 2 * np.maximum(X @ rng.standard_normal((d, c)), 0) - 1 + rng.standard_normal((n, c)) / 2
    if loss == "logistic":
        Y = np.where(Y > 0, 1.0, -1.0)
        if repeated:
            Y[:3], Y[3:6] = 1, -1
    if loss == "softmax":
        label = Y.argmax(axis=1)
        if repeated:
            label[:9] = np.repeat([0, 1, 2], 3)
        Y = np.eye(c)[label]
    return X, Y, D


def smooth_data(c=1, n=10, d=3, P=4, seed=1):
    """Gaussian X and Y in general position, and the patterns D of Gaussian gates."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, rng.standard_normal((n, c)), X @ rng.standard_normal((d, P)) >= 0


def solve(program, solver="CLARABEL", **options):
    program.problem.solve(solver=solver, **options)
    assert program.problem.status == "optimal"
    return program


def penalty_by_numpy(arrays, penalty):
    """Omega of arrays (c, P, d)."""
    if penalty == "group_l1":
        return sum(np.linalg.norm(A, axis=2).sum() for A in arrays)
    if penalty == "feature_group_l1":
        return np.sqrt(sum((A**2).sum(axis=(0, 1)) for A in arrays)).sum()
    if penalty == "l1":
        return sum(np.abs(A).sum() for A in arrays)
    if penalty == "squared_l2":
        return sum((A**2).sum() for A in arrays) / 2
    if penalty == "nuclear":
        return sum(np.linalg.norm(A[:, i], "nuc") for A in arrays for i in range(A.shape[1]))
    return 0.0
