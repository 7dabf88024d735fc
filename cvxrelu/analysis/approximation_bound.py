"""Data-dependent bounds on the ReLU optimum from gated weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cvxrelu._validation import FloatArray
from cvxrelu.certificates.certificate import certify
from cvxrelu.decompositions.decompose import check_gated_weights, split, supporting_rows
from cvxrelu.numerics.rows import row_norms
from cvxrelu.penalties.group_norms import GroupL1
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU


@dataclass(frozen=True, eq=False)
class Bound:
    """Bounds on the optimal value p_R of C-ReLU from gated weights U: lower <= p_R <= each upper bound.

    Attributes
    ----------
    gated : float
        Objective of U in C-GReLU.
    lower : float
        Dual bound: no ReLU network with these patterns has a smaller objective. Close to p_G, the optimum of C-GReLU,
        if U is near-optimal.
    upper_apriori : float
        gated + 2 lam sum_i kappa_i ||u_i||.
    upper_witness : float
        gated + 2 lam sum_i ||w_i||, with w_i = t_i g_i along a witness g_i in the interior of each cone.
    upper_decomposed : float
        Objective of the decomposed weights (CD-SOCP), which are feasible.
    condition_numbers : ndarray of shape (c, P)
        kappa_i: that of X if X has full row rank; else that of the rows that support the shortest w_i, 0 if u_i is in
        its cone. 0 for zero blocks; inf if u_i has no decomposition, which needs a singular pattern.
    weights : tuple of ndarrays (c, P, d)
        V and W of ``upper_decomposed``; both zero in blocks without a decomposition.
    """

    gated: float
    lower: float
    upper_apriori: float
    upper_witness: float
    upper_decomposed: float
    condition_numbers: FloatArray
    weights: tuple[FloatArray, FloatArray]

    def __str__(self) -> str:
        rows = [
            ("gated objective", self.gated, "of the given weights"),
            ("lower bound", self.lower, "dual bound of C-ReLU"),
            ("upper, decomposed", self.upper_decomposed, "objective of a feasible point"),
            ("upper, witness", self.upper_witness, "decomposition along witnesses of the cones"),
            ("upper, a priori", self.upper_apriori, "from condition numbers"),
        ]
        return "\n".join(f"{name:<18} {value:<16.10g} {meaning}" for name, value, meaning in rows)


def approximation_bound(problem: ConvexProblem, U: Any) -> Bound:
    """Return bounds on the optimal value of C-ReLU from gated weights U.

    If w_i and u_i + w_i are in their cone, p_R <= objective(U) + 2 lam sum_i ||w_i||, for any U. The shortest w_i is
    pinv(Xt_J) (Xt_J u_i)_- with linearly independent rows J, so ||w_i|| <= kappa(Xt_J) ||u_i||; if X has full row rank,
    J may be all rows.

    Parameters
    ----------
    problem : ConvexReLU or ConvexGatedReLU
        Data, patterns, loss and lam, with penalty group_l1.
    U : ndarray of shape (c, P, d), or Solution
        Gated weights, preferably optimal for C-GReLU; the bounds hold for any. The dual point of a solution is another
        candidate for the lower bound.

    Returns
    -------
    Bound
        A lower and three upper bounds, and the decomposed weights.

    Raises
    ------
    TypeError, ValueError
        If U has the wrong shape, or the penalty is not group_l1.

    References
    ----------
    Mishkin, Sahiner & Pilanci, ICML 2022, arXiv 2202.01331: approximation bound
    p_G <= p_R <= p_G + 2 lam sum_i kappa_i ||u_i||.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    >>> problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, n_gates=5, seed=0), lam=0.01)
    >>> gated = cr.solve(cr.ConvexGatedReLU(X, y, problem.patterns, lam=0.01))
    >>> bound = cr.approximation_bound(problem, gated)
    >>> best = cr.solve(problem).objective
    >>> bound.lower <= best <= bound.upper_decomposed <= bound.upper_apriori
    True
    """
    blocks = check_gated_weights(problem, U)
    if not isinstance(problem.penalty, GroupL1):
        raise ValueError(f"penalty must be 'group_l1' for approximation bounds; got {problem.penalty.name!r}")
    gated_problem, relu_problem = ConvexGatedReLU.of(problem), ConvexReLU.of(problem)
    gated = gated_problem.objective(blocks)
    decomposed = split(relu_problem, blocks, "socp")
    certificate = certify(relu_problem, (decomposed.V, decomposed.W), dual=gated_problem.gradient_point(blocks))
    lower = certificate.lower
    offered = getattr(U, "dual", None)
    if offered is not None and offered.t.shape == relu_problem.Y.shape:  # not trusted: dual_point makes it feasible
        lower = min(max(lower, relu_problem.dual_point(offered.t).value), certificate.upper)
    witness = split(relu_problem, blocks, "witness")
    kappa = condition_numbers(relu_problem, blocks)
    apriori = kappa * row_norms(blocks.reshape(-1, problem.d)).reshape(kappa.shape)
    kappa[decomposed.failed] = apriori[decomposed.failed] = np.inf
    witness_norms = np.where(witness.failed, np.inf, np.linalg.norm(witness.W, axis=-1))
    return Bound(
        gated=gated,
        lower=lower,
        upper_apriori=_upper_bound(gated, relu_problem.lam, apriori),
        upper_witness=_upper_bound(gated, relu_problem.lam, witness_norms),
        upper_decomposed=certificate.upper,
        condition_numbers=kappa,
        weights=(decomposed.V, decomposed.W),
    )


def condition_numbers(problem: ConvexReLU, U: FloatArray) -> FloatArray:
    """Return kappa_i (c, P) of the rows that support a decomposition of each block of U (c, P, d), if it has one."""
    used = np.any(U, axis=-1)
    kappa = np.zeros(used.shape)
    singular_values = np.linalg.svd(problem.operator.X, compute_uv=False)
    rounding = singular_values[0] * max(problem.X.shape) * np.finfo(np.float64).eps
    if problem.n <= problem.d and singular_values[-1] > rounding:
        kappa[used] = singular_values[0] / singular_values[-1]
        return kappa
    for block, rows in supporting_rows(problem, U).items():
        kappa[block] = np.linalg.cond(problem.operator.X[rows]) if len(rows) else 0.0
    return kappa


def _upper_bound(gated: float, lam: float, lengths: FloatArray) -> float:
    return gated + 2.0 * lam * float(lengths.sum()) if lam > 0.0 else gated
