"""The ReLU program with cone constraints, C-ReLU."""

import math
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray, Weights, as_float64, is_finite
from cvxrelu.cones.multipliers import cone_multipliers, features_are_larger
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.row_space import RowSpace
from cvxrelu.numerics.rows import row_norms, unit_rows
from cvxrelu.patterns.activation_patterns import strictly_inside
from cvxrelu.patterns.packed_mask import count_active, take_patterns
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.penalties.registry import PENALTIES
from cvxrelu.problems.accuracy import cone_shortfall
from cvxrelu.problems.base import ConvexProblem, check_block_array
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.normalization import normalize

_ROUNDING = 1e-9
_PART_BYTES = 2**25
_DIRECTIONS = 10
_FIRST_PROJECTED = 16  # blocks, for lam_max


class ConvexReLU(ConvexProblem):
    """C-ReLU: training of a ReLU network whose neurons have the given patterns, as a convex program.

    minimise over V, W (c, P, d):  F(sum_i D_i X (V_i - W_i)) + lam * (Omega(V) + Omega(W))
    subject to                     (2 D_i - I) X V_{k,i} >= 0,  (2 D_i - I) X W_{k,i} >= 0.

    With all patterns of X, the default penalty and c = 1, its optimal value is that of NC-ReLU with weight decay
    (Pilanci & Ergen 2020; Mishkin, Sahiner & Pilanci 2022); with a subset of the patterns, an upper bound of it. The
    groups of feature_group_l1 contain entries of both V and W. The scaling is that of `ConvexGatedReLU`.

    Parameters
    ----------
    X : array of shape (n, d)
        Dense data; float32 and float64 are kept, integers become float64. Stored as a read-only copy.
    y : array of shape (n,) or (n, c)
        Targets: real for "squared" and "huber", -1/+1 for "logistic", one-hot rows for "softmax".
    patterns : ActivationPatterns
        Patterns of X, such as those of `sample_patterns` or `enumerate_patterns`.
    lam : float
        Regularization strength, >= 0.
    loss : str or Loss
        "squared", "logistic", "softmax", "huber".
    penalty : str or Penalty
        "group_l1", "feature_group_l1", "l1", "squared_l2", "none"; "nuclear" is not supported.

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
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> problem
    ConvexReLU(n=8, d=2, n_outputs=1, n_patterns=16, lam=0.01, loss=Squared(), penalty=GroupL1())
    >>> solution = cr.solve(problem)
    >>> print(solution.status, solution.network().n_neurons)
    optimal 2
    >>> problem.violation(solution.weights)  # the neurons are in the cones of their patterns
    0.0
    >>> cr.solve(problem.with_lam(problem.lam_max())).network().n_neurons
    0
    """

    has_cones = True

    def blocks(self, weights: Weights) -> FloatArray:
        """Return the pair (V, W) as a float64 array (2, c, P, d)."""
        if not isinstance(weights, tuple | list) or len(weights) != 2:
            raise TypeError(
                "weights of ConvexReLU must be a pair (V, W) of arrays of shape (c, P, d); "
                f"got {type(weights).__name__}"
            )
        shape = self._blocks_shape()
        blocks = np.empty(shape)
        V, W = weights
        if type(V) is type(W) is np.ndarray and V.dtype == W.dtype == np.float64 and V.shape == W.shape == shape[1:]:
            blocks[0], blocks[1] = V, W
            if is_finite(blocks):
                return blocks  # at once, as this is checked often
        for k, name in enumerate("VW"):
            blocks[k] = check_block_array(name, weights[k], shape[1:], copy=False)
        return blocks

    def weights(self, blocks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (V, W)."""
        return blocks[0], blocks[1]

    @cached_property
    def cones(self) -> PatternCones:
        """The cones K_i of the patterns."""
        return PatternCones(self.operator.X, self.patterns)

    def _share(self) -> None:
        """Compute attributes of X and the patterns now, to share them between all lam."""
        _ = self.cones

    @property
    def row_space(self) -> RowSpace | None:
        """Coordinates in the row space of X, shared with the cones; None if n >= d."""
        return self.cones.space

    def violation(self, weights: Weights) -> float:
        """Return the largest violation of a cone constraint, max (-(2 D - I) X w)_+, in units of activation."""
        return float(self.cones.violations(self.blocks(weights)).max())

    def repair(self, weights: Weights) -> tuple[FloatArray, FloatArray]:
        """Return feasible weights: infeasible blocks are projected, then moved along a witness."""
        if (ordinary := self._ordinary) is not None:
            moved = ordinary.weights(ordinary.problem.repair(ordinary.start(weights)))
            return self.weights(self.blocks(moved))
        blocks = np.ascontiguousarray(self.blocks(weights))  # so that flat is a view
        flat = blocks.reshape(-1, self.d)
        outside = (self.cones.violations(blocks).ravel() > 0.0).nonzero()[0]
        n_parts = max(1, math.ceil(8 * self.d * len(outside) / _PART_BYTES))  # repairs hold several copies
        for part in np.array_split(outside, n_parts):
            flat[part] = self.cones.repair(flat[part], part)
        return self.weights(blocks)

    def shortfall(self, weights: Weights, dual: DualPoint) -> float:
        """Return the cost of cone violations from rounding at the multipliers of a dual point."""
        flat = self.blocks(weights).reshape(-1, self.d)
        multipliers = self._no_multipliers() if dual.multipliers is None else dual.multipliers
        return cone_shortfall(self.cones, flat, multipliers, self._cancelling_size)

    def zero_is_optimal(self) -> bool:
        """Return whether lam is at least `lam_max`; a single direction of a cone may disprove it cheaply."""
        if (normal := normalize(self)).problem is not self:
            return normal.problem.zero_is_optimal()
        G = self.patterns.G
        if isinstance(self.penalty, PatternNorm) and self.penalty.scales_by_block and G is not None:
            gates = as_float64(G.T)
            units = gates / np.maximum(self.penalty.block_costs(gates), TINY)[:, None]
            products = np.abs(np.einsum("cpd,pd->cp", self.at_zero[1], units)).max(axis=0)
            largest = np.argsort(-products)[:_DIRECTIONS]
            violating = largest[products[largest] > (1.0 + _ROUNDING) * self.lam]
            D = take_patterns(self.patterns.D, violating)
            if len(violating) and strictly_inside(unit_rows(self.operator.X), D, G[:, violating]).any():
                return False
        if self.penalty.cone_multipliers_norm == "feature":
            products = self.at_zero[1].reshape(-1, self.d)
            if features_are_larger(np.concatenate([-products, products]), self.cones, self.lam):
                return False
        return super().zero_is_optimal()

    def _argument_at_zero(self) -> FloatArray:
        """Return the argument of the penalty's conjugate at `at_zero`, which attains its dual norm.

        Blocks are projected in decreasing order of their norms, until the largest norm of a projection exceeds those of
        the blocks that are left; these stay as they are.
        """
        if self.penalty.cone_multipliers_norm != "block":
            return super()._argument_at_zero()
        t, products = self.at_zero
        argument = np.concatenate([-products, products]).reshape(-1, self.d)
        sizes, largest = row_norms(argument), self._rounding(t)
        order, projector, start, stop = np.argsort(-sizes), self.cones.projector(len(argument)), 0, _FIRST_PROJECTED
        while start < len(order) and sizes[order[start]] > largest:
            part = order[start:stop]
            blocks = np.zeros_like(argument)
            blocks[part] = argument[part]
            blocks = self.cones.shift(blocks, self.cones.projection_multipliers(blocks, largest, projector))
            argument[part] = blocks[part]
            largest = max(largest, float(row_norms(blocks[part]).max()))
            start, stop = stop, 2 * stop
        return argument.reshape(self._blocks_shape())

    def conjugate_argument(
        self,
        t: FloatArray,
        multipliers: sp.csr_array | None,
        weights: Weights | None = None,
        *,
        workspace: DualWorkspace | None = None,
    ) -> tuple[FloatArray, sp.csr_array]:
        """Return -+A't + Xt'g (2, c, P, d) and the multipliers g."""
        Z = self._adjoint(t, workspace)
        argument = np.concatenate([-Z, Z]).reshape(-1, self.d)
        if multipliers is None:
            start = None
            if weights is not None and self.penalty.cone_multipliers_norm == "feature":
                start = self.blocks(weights).reshape(-1, self.d)
            threshold = self.lam if self.regularised else self._rounding(t)
            workspace = workspace or DualWorkspace()
            projector = workspace.projector(self.cones, len(argument))
            multipliers = cone_multipliers(
                argument, self.cones, self.penalty, threshold, start, projector, workspace.expired
            )
        argument = self.cones.shift(argument, multipliers)
        return argument.reshape(self._blocks_shape()), multipliers

    def _combined(self, blocks: FloatArray) -> FloatArray:
        difference: FloatArray = blocks[0] - blocks[1]
        return difference

    def _no_multipliers(self) -> sp.csr_array:
        return sp.csr_array((2 * self.n_outputs * len(self.patterns), self.n))

    def _blocks_shape(self) -> tuple[int, ...]:
        return (2, self.n_outputs, len(self.patterns), self.d)

    def program_entries(self) -> int:
        """Return the number of non-zeros of A and of the cones of V and W."""
        return self.n_outputs * self.d * (count_active(self.patterns.D) + 2 * self.n * len(self.patterns))

    def _check_penalty(self) -> None:
        if self.penalty.couples_outputs:
            accepted = ", ".join(repr(name) for name, kind in PENALTIES.items() if not kind.couples_outputs)
            raise ValueError(
                f"penalty {self.penalty.name!r} is for ConvexGatedReLU (exact weight decay of many outputs); "
                f"ConvexReLU accepts {accepted}"
            )

    def check_multipliers(self, multipliers: Any) -> sp.csr_array | None:
        """Return multipliers as a sparse array (2 c P, n); ValueError on shape, sign or non-finite entries."""
        if multipliers is None:
            return None
        gamma = multipliers
        if not isinstance(gamma, sp.csr_array) or gamma.dtype != np.float64:
            gamma = sp.csr_array(multipliers, dtype=np.float64)
        shape = (2 * self.n_outputs * len(self.patterns), self.n)
        if gamma.shape != shape:
            raise ValueError(f"multipliers must have shape (2 c P, n) = {shape}; got {gamma.shape}")
        if not np.isfinite(gamma.data).all() or (gamma.data < 0.0).any():
            raise ValueError(f"multipliers must be finite and >= 0; got {gamma.data.min()!r} as the smallest")
        return gamma
