"""How an estimator trains: patterns, the convex program of its rows, the solve, and a certificate on the rows given."""

import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from cvxrelu._validation import FloatArray, Weights, check_number
from cvxrelu.certificates.certificate import Certificate, certify_solved, over_all_networks
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses.base import Loss
from cvxrelu.losses.squared import Squared
from cvxrelu.losses.weighted import Weighted
from cvxrelu.networks.network import Network
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.optimize.path import regularization_path
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve
from cvxrelu.optimize.solve_global import solve_global
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.enumeration import enumerate_patterns
from cvxrelu.patterns.sampling import sample_gates
from cvxrelu.preprocessing.rows import MergedRows, Standardization
from cvxrelu.pricing.bounds import compile_search
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.interrupts import interrupts_noted
from cvxrelu.runtime.threads import silenced
from cvxrelu.solvers.interface import NativeSolver, Record
from cvxrelu.status import Status

_LEAST_TIME = 1e-3


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """An estimator's parameters, checked, as training needs them; see `cvxrelu.ConvexReLURegressor`."""

    relu: bool
    loss: Loss
    patterns: str
    n_gates: int
    gate_kind: str
    gate_options: Mapping[str, Any]
    bias: bool
    standardize: bool
    standardize_targets: bool
    solver: str | NativeSolver
    tol: float
    max_iter: int | None
    time_limit: float | None
    seed: int
    verbose: bool


def gates_seed(random_state: Any) -> int:
    """Return the seed that the gates of a ``random_state`` are drawn with."""
    return int(check_random_state(random_state).randint(2**31 - 1))


class Fit:
    """The convex program of a plan on rows of data.

    Parameters
    ----------
    plan : Plan
        What is to be trained.
    X : ndarray of shape (n, d)
        Raw features.
    Y : ndarray of shape (n,) or (n, c)
        Raw targets, of classes as the loss codes them.
    weights : ndarray of shape (n,), optional
        Weights >= 0; rows of weight zero are left out.

    Raises
    ------
    ValueError
        If all weights are zero; if the patterns cannot be made.

    Notes
    -----
    The plan's limit of time is of all that is done here together, from the first line on, without compilation.
    """

    def __init__(self, plan: FitSettings, X: FloatArray, Y: FloatArray, weights: FloatArray | None = None) -> None:
        self.plan = plan
        self._deadline = np.inf
        if plan.time_limit is not None:
            limit = check_number("time_limit", plan.time_limit, minimum=0.0, strict=True)
            if plan.relu:
                project_blocks.compile()
            if plan.patterns == "generate":
                compile_search(min(len(X), X.shape[1] + plan.bias))
            self._deadline = clock.perf_counter() + limit
        self._single = Y.ndim == 1
        if weights is not None:
            kept = weights > 0.0
            if not kept.any():
                raise ValueError("sample_weight must not be zero on all rows that are trained on")
            X, Y, weights = X[kept], Y[kept], weights[kept]
        self._given = np.ones(len(X)) if weights is None else weights
        self._rows = MergedRows.of(X, Y.reshape(len(X), -1), self._given)
        self.standardization = Standardization.fit(
            self._rows, bias=plan.bias, features=plan.standardize, targets=plan.standardize and plan.standardize_targets
        )
        self.X = self.standardization.features(self._rows.X)
        self.Y = self.standardization.targets(self._rows.Y)
        self.patterns = self._make_patterns()

    def time_left(self) -> float | None:
        """Return the seconds that are left of the limit, or a thousandth; None without one."""
        if self.plan.time_limit is None:
            return None
        return max(self._deadline - clock.perf_counter(), _LEAST_TIME)

    def problem(self, alpha: float) -> ConvexProblem:
        """Return the convex program on the merged rows."""
        return self._problem(self.X, self.Y, self._rows.weights, self.patterns, alpha)

    def solve(
        self,
        alpha: float,
        previous: Certificate | None = None,
        callback: Callable[[Record], object] | None = None,
    ) -> Solution:
        """Solve the program; start from the weights, or for "generate" the patterns, of an earlier certificate."""
        plan = self.plan
        if plan.patterns == "generate":
            return self._generate(alpha, self._patterns_of(previous), callback)
        problem = self.problem(alpha)
        return silenced(solve, ConvergenceWarning)(
            problem,
            plan.solver,
            tol=plan.tol,
            max_iter=plan.max_iter,
            time_limit=self.time_left(),
            start=None if previous is None else _transferred(previous, problem),
            callback=callback,
            verbose=plan.verbose,
        )

    def path(self, alphas: FloatArray) -> list[Solution]:
        """Solve the program at descending alphas, each started from the one before, until the time is up.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C: a path that ends early has no score.
        """
        plan = self.plan
        if plan.patterns == "generate":
            solutions: list[Solution] = []
            before = interrupts_noted()
            for alpha in alphas:
                patterns = solutions[-1].problem.patterns if solutions else self.patterns
                solutions.append(self._generate(float(alpha), patterns))
                if interrupts_noted() > before:
                    raise KeyboardInterrupt
                if clock.perf_counter() >= self._deadline:
                    break
            return solutions
        path = silenced(regularization_path, ConvergenceWarning)(
            self.problem(float(alphas[0])),
            alphas,
            solver=plan.solver,
            tol=plan.tol,
            max_iter=plan.max_iter,
            time_limit=self.time_left(),
            verbose=plan.verbose,
        )
        if path.halted is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return list(path.solutions)

    def network(self, solution: Solution) -> Network:
        """Return the network for raw data."""
        return self.standardization.network(solution.network())

    def certificate(self, solution: Solution) -> Certificate:
        """Return the certificate of a solution on the rows given: standardised, in their order, none merged."""
        merged, place = solution.problem, self._rows.place
        patterns = ActivationPatterns(np.asarray(merged.patterns.D)[place], merged.patterns.G)
        problem = self._problem(self.X[place], self.Y[place], self._given, patterns, merged.lam)
        # Row j of the dual point is w_j times the slope of its loss, over the root of w_j where rows are scaled by it.
        share: FloatArray = self._given / self._rows.weights[place]
        share *= self._row_scale(self._rows.weights)[place] / self._row_scale(self._given)
        dual = solution.dual
        t = share[:, None] * dual.t[place]
        multipliers = None
        if dual.multipliers is not None:
            multipliers = sp.csr_array(sp.csc_array(dual.multipliers)[:, place] @ sp.diags_array(share))
        workspace = DualWorkspace()
        workspace.expired = lambda: clock.perf_counter() >= self._deadline
        certificate = certify_solved(problem, solution.weights, DualPoint(t, multipliers, solution.lower), workspace)
        if solution.certificate.scope == "patterns":
            return certificate
        moved = problem.loss.project_domain(t, problem.Y)  # by no more than rounding
        point = DualPoint(moved, None, -problem.loss.conjugate(moved, problem.Y))
        return over_all_networks(certificate, point, solution.certificate.proof)

    def _problem(
        self, X: FloatArray, Y: FloatArray, weights: FloatArray, patterns: ActivationPatterns, alpha: float
    ) -> ConvexProblem:
        kind = ConvexReLU if self.plan.relu else ConvexGatedReLU
        X, Y, loss = self._weighted(X, Y, weights)
        return kind(X, Y[:, 0] if self._single else Y, patterns, alpha, loss)

    def _weighted(self, X: FloatArray, Y: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray, Loss]:
        """Return rows and loss whose objective is the weighted one."""
        if np.all(weights == weights[0]):
            return X, Y, self.plan.loss
        if isinstance(self.plan.loss, Squared):
            roots = self._row_scale(weights)[:, None]
            return roots * X, roots * Y, self.plan.loss
        return X, Y, Weighted(self.plan.loss, weights)

    def _row_scale(self, weights: FloatArray) -> FloatArray:
        """Return what the rows of X and Y are multiplied by for their weights."""
        if not isinstance(self.plan.loss, Squared) or np.all(weights == weights[0]):
            return np.ones(len(weights))
        roots: FloatArray = np.sqrt(weights / weights.mean())
        return roots

    def _make_patterns(self) -> ActivationPatterns:
        plan = self.plan
        if plan.patterns == "enumerate":
            try:
                return enumerate_patterns(self.X).unique()
            except ValueError as error:
                raise ValueError(
                    f"patterns='enumerate' is out of reach here, take 'sampled' or 'generate' ({error})"
                ) from error
        rng = np.random.default_rng(plan.seed)
        d = self.X.shape[1] - plan.bias
        G = sample_gates(d, plan.n_gates, plan.gate_kind, rng, **plan.gate_options)
        if plan.bias:
            G = np.vstack([G, rng.standard_normal(plan.n_gates)])
        return ActivationPatterns.from_gates(self.X, G)

    def _patterns_of(self, previous: Certificate | None) -> ActivationPatterns:
        gates = None if previous is None else previous.problem.patterns.G
        if gates is None or len(gates) != self.X.shape[1]:
            return self.patterns
        sampled = np.empty((len(gates), 0)) if self.patterns.G is None else self.patterns.G
        return ActivationPatterns.from_gates(self.X, np.column_stack([gates, sampled]))

    def _generate(
        self, alpha: float, patterns: ActivationPatterns, callback: Callable[[Record], object] | None = None
    ) -> Solution:
        plan = self.plan
        X, Y, loss = self._weighted(self.X, self.Y, self._rows.weights)
        return silenced(solve_global, ConvergenceWarning)(
            X,
            Y[:, 0],
            alpha,
            loss,
            tol=plan.tol,
            patterns=patterns,
            time_limit=self.time_left(),
            callback=callback,
            seed=plan.seed,
            verbose=plan.verbose,
        )


def _transferred(previous: Certificate, problem: ConvexProblem) -> Weights | None:
    """Return weights to start from: those of the blocks whose gates are the same; None if there are none."""
    old, new = previous.problem, problem
    if type(old) is not type(new) or (old.d, old.n_outputs) != (new.d, new.n_outputs):
        return None
    if old.patterns.G is None or new.patterns.G is None:
        return None
    place = {gate.tobytes(): i for i, gate in enumerate(old.patterns.G.T)}
    source = np.array([place.get(gate.tobytes(), -1) for gate in new.patterns.G.T])
    known = np.flatnonzero(source >= 0)
    blocks = np.zeros_like(new.blocks(new.zero_weights()))
    blocks[..., known, :] = old.blocks(previous.weights)[..., source[known], :]
    return new.repair(new.weights(blocks)) if blocks.any() else None
