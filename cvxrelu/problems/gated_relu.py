"""The gated-ReLU program, C-GReLU."""

from typing import Any

import scipy.sparse as sp

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.patterns.packed_mask import count_active
from cvxrelu.problems.base import ConvexProblem, check_block_array
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace


class ConvexGatedReLU(ConvexProblem):
    """C-GReLU: training of a gated-ReLU network with fixed gates, as a convex program.

    minimise over U (c, P, d):  F(sum_i D_i X U_i) + lam * Omega(U),   F(f) = (1/n) sum_j loss(f_j, y_j).

    With the default penalty, Omega(U) = sum ||U_{k,i}||_2, it has the optimal value of NC-GReLU with weight decay
    (Mishkin, Sahiner & Pilanci 2022). Squared loss is 1/2 ||f_j - y_j||^2; the paper has no factor 1/n, and the
    authors' package divides by 2 n c.

    Parameters
    ----------
    X : array of shape (n, d)
        Dense data; float32 and float64 are kept, integers become float64. Stored as a read-only copy.
    y : array of shape (n,) or (n, c)
        Targets: real for "squared" and "huber", -1/+1 for "logistic", one-hot rows for "softmax".
    patterns : ActivationPatterns
        Patterns of X, such as those of `sample_patterns`.
    lam : float
        Regularization strength, >= 0.
    loss : str or Loss
        "squared", "logistic", "softmax", "huber".
    penalty : str or Penalty
        "group_l1", "feature_group_l1", "l1", "squared_l2", "nuclear" (the exact weight decay of c > 1), "none".

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it, the accepted values and the value given.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> patterns = cr.sample_patterns(X, n_gates=10, seed=0)
    >>> problem = cr.ConvexGatedReLU(X, y, patterns, lam=0.01)
    >>> solution = cr.solve(problem)
    >>> print(solution.status)
    optimal
    >>> solution.weights.shape  # (c, P, d)
    (1, 4, 2)
    >>> round(problem.objective(problem.zero_weights()), 4)  # half the mean of y^2
    0.2143
    >>> round(solution.objective, 4)
    0.0169
    """

    has_cones = False

    def blocks(self, weights: Weights) -> FloatArray:
        """Return the weights U as a float64 array (c, P, d)."""
        return check_block_array("U", weights, self._blocks_shape())

    def weights(self, blocks: FloatArray) -> FloatArray:
        """Return U."""
        return blocks

    def violation(self, weights: Weights) -> float:
        """Return 0: a gated problem has no cones."""
        check_block_array("U", weights, self._blocks_shape(), copy=False)
        return 0.0

    def repair(self, weights: Weights) -> FloatArray:
        """Return the weights unchanged."""
        return self.blocks(weights)

    def shortfall(self, weights: Weights, dual: DualPoint) -> float:
        """Return 0: a gated problem has no cones."""
        return 0.0

    def conjugate_argument(
        self,
        t: FloatArray,
        multipliers: sp.csr_array | None,
        weights: Weights | None = None,
        *,
        workspace: DualWorkspace | None = None,
    ) -> tuple[FloatArray, None]:
        """Return -A't (c, P, d)."""
        return -self._adjoint(t, workspace), None

    def _argument_at_zero(self) -> FloatArray:
        return self.at_zero[1]  # up to the sign, as the dual norm is that of its negative

    def _combined(self, blocks: FloatArray) -> FloatArray:
        return blocks

    def _no_multipliers(self) -> None:
        return None

    def _blocks_shape(self) -> tuple[int, ...]:
        return (self.n_outputs, len(self.patterns), self.d)

    def program_entries(self) -> int:
        """Return the number of non-zeros of A."""
        return self.n_outputs * self.d * count_active(self.patterns.D)

    def _check_penalty(self) -> None:
        pass

    def check_multipliers(self, multipliers: Any) -> None:
        """Raise ValueError if multipliers are given: a gated problem has no cones."""
        if multipliers is not None:
            raise ValueError("multipliers must be None for ConvexGatedReLU, which has no cones")
