"""Penalties Omega of a list of matrices (d, c), and the conjugates of lam Omega."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cvxpy as cp

from reference.programs.base import Conjugate, total


def group_l1(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum_{k,i} ||u_{k,i}||_2, the convex form of weight decay."""
    return total(cp.norm(U_i[:, k], 2) for U_i in blocks for k in range(U_i.shape[1]))


def feature_group_l1(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum_j ||(row j of every U_i)||_2, without the factor sqrt(d) of the authors' package."""
    return total(cp.norm(row, 2) for row in feature_rows(blocks))


def l1(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum of all |entries|."""
    return total(cp.sum(cp.abs(U_i)) for U_i in blocks)


def squared_l2(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = 1/2 sum of all squared entries."""
    return total(cp.sum_squares(U_i) for U_i in blocks) / 2


def nuclear(blocks: Sequence[cp.Expression]) -> cp.Expression:
    """Omega(U) = sum_i ||U_i||_*, the convex form of weight decay for gated networks with any c."""
    return total(cp.normNuc(U_i) for U_i in blocks)


def feature_rows(blocks: Sequence[cp.Expression]) -> list[cp.Expression]:
    """Return for each feature j the vector of row j of every matrix."""
    d = blocks[0].shape[0]
    return [cp.hstack([U_i[j, :] for U_i in blocks]) for j in range(d)]


PENALTIES: dict[str, Callable[[Sequence[cp.Expression]], cp.Expression]] = {
    "group_l1": group_l1,
    "feature_group_l1": feature_group_l1,
    "l1": l1,
    "squared_l2": squared_l2,
    "nuclear": nuclear,
    "none": lambda blocks: cp.Constant(0),
}


def penalty_value(blocks: Sequence[cp.Expression], penalty: str) -> cp.Expression:
    """Return Omega for the named penalty."""
    if penalty not in PENALTIES:
        raise ValueError(f"penalty {penalty!r} is not one of {', '.join(PENALTIES)}")
    return PENALTIES[penalty](blocks)


def penalty_conjugate(blocks: Sequence[cp.Expression], lam: float | cp.Variable, penalty: str) -> Conjugate:
    r"""(lam Omega)*(Z) for Z = (Z_1, ..., Z_P), matrices (d, c).

    For a norm Omega it is 0 where the dual norm of Z is at most lam, and infinite elsewhere:

    - group_l1:          ||z_{k,i}||_2 <= lam for all k, i
    - feature_group_l1:  ||(row j of every Z_i)||_2 <= lam for all j
    - l1:                all |entries| <= lam
    - nuclear:           the spectral norm of every Z_i <= lam
    - squared_l2:        finite everywhere, 1/(2 lam) sum_i ||Z_i||_F^2
    - none, or lam = 0:  Z = 0
    """
    if penalty not in PENALTIES:
        raise ValueError(f"penalty {penalty!r} is not one of {', '.join(PENALTIES)}")
    zero = cp.Constant(0)
    if penalty == "none" or (not isinstance(lam, cp.Variable) and lam == 0):
        return zero, [Z_i == 0 for Z_i in blocks]
    if penalty == "group_l1":
        return zero, [cp.norm(Z_i[:, k], 2) <= lam for Z_i in blocks for k in range(Z_i.shape[1])]
    if penalty == "feature_group_l1":
        return zero, [cp.norm(row, 2) <= lam for row in feature_rows(blocks)]
    if penalty == "l1":
        return zero, [cp.abs(Z_i) <= lam for Z_i in blocks]
    if penalty == "nuclear":
        return zero, [cp.sigma_max(Z_i) <= lam for Z_i in blocks]
    return total(cp.sum_squares(Z_i) for Z_i in blocks) / (2 * lam), []
