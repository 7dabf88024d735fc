"""Distance to the subdifferential of each penalty, from its definition."""

import numpy as np

from cvxrelu.penalties.group_norms import L1, FeatureGroupL1, GroupL1
from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.quadratic import NoPenalty, SquaredL2

# Singular values below this fraction of the largest in their block count as zero.
RANK_TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}


def subdifferential_distance(penalty, U, G, lam):
    """Return the Euclidean distance of G to lam * dOmega(U)."""
    if isinstance(penalty, NoPenalty):
        return float(np.linalg.norm(G))
    if isinstance(penalty, SquaredL2):
        return float(np.linalg.norm(G - lam * U))
    if isinstance(penalty, Nuclear):
        return _of_singular_values(U, G, lam)
    axes = {GroupL1: -1, L1: (), FeatureGroupL1: tuple(range(U.ndim - 1))}[type(penalty)]

    def norms(V):
        return np.sqrt(np.sum(V * V, axis=axes, keepdims=True))

    sizes = norms(U)
    zero = sizes == 0
    residual = norms(G - lam * U / np.where(zero, 1.0, sizes))
    return float(np.linalg.norm(np.where(zero, np.maximum(residual - lam, 0.0), residual)))


def _of_singular_values(U, G, lam):
    """Pattern by pattern from U_i = Q1 diag(s) R1', with N_i the part of G_i orthogonal to Q1 and to R1.

    The square is the sum of ||G_i - N_i - lam Q1 R1'||_F^2 and of the squared excesses over lam of the singular values
    of N_i.
    """
    tolerance = RANK_TOLERANCE[U.dtype]
    G = G.transpose(1, 0, 2).astype(np.float64)
    Q, s, Rt = np.linalg.svd(U.transpose(1, 0, 2).astype(np.float64), full_matrices=False)
    nonzero = s > tolerance * s[:, :1]
    Q, Rt = Q * nonzero[:, None, :], Rt * nonzero[:, :, None]
    N = G - Q @ (Q.transpose(0, 2, 1) @ G)
    N = N - (N @ Rt.transpose(0, 2, 1)) @ Rt
    excess = np.maximum(np.linalg.svd(N, compute_uv=False) - lam, 0.0)
    return float(np.hypot(np.linalg.norm(G - N - lam * (Q @ Rt)), np.linalg.norm(excess)))
