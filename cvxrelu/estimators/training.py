"""Training of an estimator: patterns, convex program on merged rows, solve, and certificate on the given rows."""

import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from cvxrelu._validation import FloatArray, Weights, check_number
from cvxrelu.certificates.certificate import Certificate, certify_solved, over_all_networks
from cvxrelu.certificates.rounded_bounds import feasible_for_all
from cvxrelu.certificates.rounded_certificate import choose, rounded_certificate, rounded_network
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
from cvxrelu.pricing.rounded import transferred_above
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.interrupts import interrupts_noted
from cvxrelu.runtime.threads import silenced
from cvxrelu.solvers.interface import NativeSolver, Record
from cvxrelu.status import Status

_MIN_TIME = 1e-3


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Validated parameters of an estimator; see `cvxrelu.ConvexReLURegressor`."""

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
    """Return the seed of the gates for a ``random_state``."""
    return int(check_random_state(random_state).randint(2**31 - 1))


class Fit:
    """The convex program of an estimator's settings on rows of data.

    Parameters
    ----------
    settings : FitSettings
        Validated parameters.
    X : ndarray of shape (n, d)
        Raw features.
    Y : ndarray of shape (n,) or (n, c)
        Raw targets; classes encoded for the loss.
    weights : ndarray of shape (n,), optional
        Weights >= 0; rows of weight zero are left out.

    Raises
    ------
    ValueError
        If all weights are zero; if the patterns cannot be enumerated.

    Notes
    -----
    The time limit of the settings covers everything done here from construction on, except compilation.
    """

    def __init__(self, settings: FitSettings, X: FloatArray, Y: FloatArray, weights: FloatArray | None = None) -> None:
        self.settings = settings
        self._deadline = np.inf
        if settings.time_limit is not None:
            limit = check_number("time_limit", settings.time_limit, minimum=0.0, strict=True)
            if settings.relu:
                project_blocks.compile()
            if settings.patterns == "generate":
                compile_search(min(len(X), X.shape[1] + settings.bias))
            self._deadline = clock.perf_counter() + limit
        self._single, self._left_out = Y.ndim == 1, False
        if weights is not None:
            kept = weights > 0.0
            self._left_out = not kept.all()
            if not kept.any():
                raise ValueError("sample_weight must not be zero on all training rows")
            X, Y, weights = X[kept], Y[kept], weights[kept]
        self._given_weights = np.ones(len(X)) if weights is None else weights
        self._rows = MergedRows.of(X, Y.reshape(len(X), -1), self._given_weights)
        self.standardization = Standardization.fit(
            self._rows,
            bias=settings.bias,
            features=settings.standardize,
            targets=settings.standardize and settings.standardize_targets,
        )
        self.X = self.standardization.features(self._rows.X)
        self.Y = self.standardization.targets(self._rows.Y)
        self.patterns = self._make_patterns()

    def time_left(self) -> float | None:
        """Return the remaining seconds, at least a millisecond; None without a time limit."""
        if self.settings.time_limit is None:
            return None
        return max(self._deadline - clock.perf_counter(), _MIN_TIME)

    def problem(self, alpha: float) -> ConvexProblem:
        """Return the convex program on the merged rows."""
        return self._problem(self.X, self.Y, self._rows.weights, self.patterns, alpha)

    def solve(
        self,
        alpha: float,
        previous: Certificate | None = None,
        callback: Callable[[Record], object] | None = None,
    ) -> Solution:
        """Solve the program, starting from the weights, or for "generate" the patterns, of an earlier certificate."""
        settings = self.settings
        if settings.patterns == "generate":
            return self._generate(alpha, self._patterns_of(previous), callback)
        problem = self.problem(alpha)
        return silenced(solve, ConvergenceWarning)(
            problem,
            settings.solver,
            tol=settings.tol,
            max_iter=settings.max_iter,
            time_limit=self.time_left(),
            start=None if previous is None else _transferred(previous, problem),
            callback=callback,
            verbose=settings.verbose,
        )

    def path(self, alphas: FloatArray) -> list[Solution]:
        """Solve the program at descending alphas, each started from the previous solution, until the time limit.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, as an incomplete path has no score.
        """
        settings = self.settings
        if settings.patterns == "generate":
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
            solver=settings.solver,
            tol=settings.tol,
            max_iter=settings.max_iter,
            time_limit=self.time_left(),
            verbose=settings.verbose,
        )
        if path.halted is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return list(path.solutions)

    def network(self, solution: Solution) -> Network:
        """Return the network for raw data."""
        return self.standardization.network(solution.network())

    def certificate(self, solution: Solution) -> Certificate:
        """Return the certificate of a solution on the given rows: standardised, in their order, not merged.

        It is rounded where possible; see `choose`.
        """
        merged, index = solution.problem, self._rows.index
        patterns = ActivationPatterns(np.asarray(merged.patterns.D)[index], merged.patterns.G)
        problem = self._problem(self.X[index], self.Y[index], self._given_weights, patterns, merged.lam)
        # Row j of the dual point is w_j times the derivative of its loss, over sqrt(w_j) if rows are scaled by it.
        factor: FloatArray = self._given_weights / self._rows.weights[index]
        factor *= self._row_scale(self._rows.weights)[index] / self._row_scale(self._given_weights)
        dual = solution.dual
        t = factor[:, None] * dual.t[index]
        multipliers = None
        if dual.multipliers is not None:
            multipliers = sp.csr_array(sp.csc_array(dual.multipliers)[:, index] @ sp.diags_array(factor))
        workspace = DualWorkspace()
        workspace.expired = lambda: clock.perf_counter() >= self._deadline
        certificate = certify_solved(problem, solution.weights, DualPoint(t, multipliers, solution.lower), workspace)
        if solution.certificate.scope == "patterns":
            return choose(certificate, lambda: rounded_certificate(certificate), None, self.settings.tol)
        moved = problem.loss.project_domain(t, problem.Y)  # moves by rounding only
        point = DualPoint(moved, None, -problem.loss.conjugate(moved, problem.Y))
        proof = solution.certificate.proof
        estimate = over_all_networks(certificate, point, proof)
        if solution.certificate.rigor == "floating_point":
            return estimate

        def rounded() -> Certificate:
            columns = moved[:, 0], merged.operator.X, dual.t[:, 0]
            maximum = transferred_above(merged.lam, problem.operator.X, *columns, index)
            return rounded_network(estimate, feasible_for_all(problem, moved[:, 0], maximum), proof)

        return choose(estimate, rounded, None, self.settings.tol)

    @property
    def weighted(self) -> bool:
        """Whether rows of positive weight differ in weight, or rows were left out."""
        return self._left_out or not np.all(self._given_weights == self._given_weights[0])

    def _problem(
        self, X: FloatArray, Y: FloatArray, weights: FloatArray, patterns: ActivationPatterns, alpha: float
    ) -> ConvexProblem:
        kind = ConvexReLU if self.settings.relu else ConvexGatedReLU
        X, Y, loss = self._weighted(X, Y, weights)
        return kind(X, Y[:, 0] if self._single else Y, patterns, alpha, loss)

    def _weighted(self, X: FloatArray, Y: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray, Loss]:
        """Return rows and a loss whose unweighted objective is the weighted one."""
        if np.all(weights == weights[0]):
            return X, Y, self.settings.loss
        if isinstance(self.settings.loss, Squared):
            roots = self._row_scale(weights)[:, None]
            return roots * X, roots * Y, self.settings.loss
        return X, Y, Weighted(self.settings.loss, weights)

    def _row_scale(self, weights: FloatArray) -> FloatArray:
        """Return the factors by which weights scale the rows of X and Y."""
        if not isinstance(self.settings.loss, Squared) or np.all(weights == weights[0]):
            return np.ones(len(weights))
        roots: FloatArray = np.sqrt(weights / weights.mean())
        return roots

    def _make_patterns(self) -> ActivationPatterns:
        settings = self.settings
        if settings.patterns == "enumerate":
            try:
                return enumerate_patterns(self.X).unique()
            except ValueError as error:
                raise ValueError(
                    f"patterns='enumerate' is not feasible for these data: use 'sampled' or 'generate' ({error})"
                ) from error
        rng = np.random.default_rng(settings.seed)
        d = self.X.shape[1] - settings.bias
        G = sample_gates(d, settings.n_gates, settings.gate_kind, rng, **settings.gate_options)
        if settings.bias:
            G = np.vstack([G, rng.standard_normal(settings.n_gates)])
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
        settings = self.settings
        X, Y, loss = self._weighted(self.X, self.Y, self._rows.weights)
        return silenced(solve_global, ConvergenceWarning)(
            X,
            Y[:, 0],
            alpha,
            loss,
            tol=settings.tol,
            patterns=patterns,
            time_limit=self.time_left(),
            callback=callback,
            seed=settings.seed,
            verbose=settings.verbose,
        )


def _transferred(previous: Certificate, problem: ConvexProblem) -> Weights | None:
    """Return starting weights: the blocks with equal gates, zeros elsewhere; None if all are zero."""
    old, new = previous.problem, problem
    if type(old) is not type(new) or (old.d, old.n_outputs) != (new.d, new.n_outputs):
        return None
    if old.patterns.G is None or new.patterns.G is None:
        return None
    index = {gate.tobytes(): i for i, gate in enumerate(old.patterns.G.T)}
    source = np.array([index.get(gate.tobytes(), -1) for gate in new.patterns.G.T])
    known = np.flatnonzero(source >= 0)
    blocks = np.zeros_like(new.blocks(new.zero_weights()))
    blocks[..., known, :] = old.blocks(previous.weights)[..., source[known], :]
    return new.repair(new.weights(blocks)) if blocks.any() else None
