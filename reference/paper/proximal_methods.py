"""Traces of proximal gradient methods on C-GReLU, with and without acceleration and restarts, and four step rules."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from unittest import mock

import numpy as np

import cvxrelu as cr
from cvxrelu._validation import FloatArray
from cvxrelu.solvers.first_order import accelerated_gradient as proximal
from cvxrelu.solvers.first_order.accelerated_gradient import AcceleratedIterate, ProximalOptions, iterate
from cvxrelu.solvers.first_order.rfista import GatedModel
from reference.paper.published import KKT_TOLERANCE, LAMS, PROFILES
from reference.paper.traces import CHECK_GROWTH, TAUS, Trace, paper_problem, proven_lower
from reference.runs import SMALL, Record, Scale

DEFAULT = Scale(data=SMALL, lams=LAMS, gates=500, limit=2000)
FULL = Scale(data=tuple(PROFILES), lams=LAMS, gates=5000, limit=2000)
_DIVERGED = 1e3


@dataclass(frozen=True)
class Method:
    """A proximal gradient method.

    ``step`` is the initial step, or the fixed one without line search, in the paper's scale; None: 1 / L. ``margin`` is
    the threshold of the rule "lassplore".
    """

    name: str
    options: ProximalOptions = field(default_factory=ProximalOptions)
    step: float | None = 1.0
    margin: float = 5.0


class CountedModel(GatedModel):
    """C-GReLU with a count of the products with the data, and a given step instead of 1 / L."""

    def __init__(self, problem: cr.ConvexGatedReLU, step: float | None) -> None:
        super().__init__(problem)
        self.passes = 0
        self._step = step

    def image(self, u: FloatArray) -> FloatArray:
        """Return A u and count the product."""
        self.passes += 1
        return super().image(u)

    def lipschitz(self) -> float:
        """Return the reciprocal of the step."""
        return super().lipschitz() if self._step is None else 1.0 / self._step


def run_methods(methods: Sequence[Method], data: str, lam: float, n_gates: int, limit: int) -> list[Record]:
    """Return the traces of the methods on one problem, or an empty list if zero is optimal, as in the paper."""
    problem = paper_problem(cr.ConvexGatedReLU, data, lam, n_gates)
    if problem.zero_is_optimal():
        return []
    lower, width = proven_lower(problem)
    traces = []
    for method in methods:
        trace = Trace(data, lam, method.name, width)
        trace_method(problem, method, lower, limit, trace)
        traces.append(asdict(trace))
    return traces


def trace_method(problem: cr.ConvexGatedReLU, method: Method, lower: float, limit: int, trace: Trace) -> None:
    """Run a method for at most ``limit`` passes, until all tolerances are reached or the method has diverged."""
    step = None if method.step is None else method.step / problem.n_outputs
    model = CountedModel(problem, step)
    start = problem.blocks(problem.zero_weights())
    largest = _DIVERGED * problem.objective(problem.zero_weights())
    seconds, best, count, next_check = 0.0, np.inf, 0, 1
    with mock.patch.object(proximal, "_MARGIN", method.margin), np.errstate(over="ignore", invalid="ignore"):
        points = iterate(model, start, step, method.options)
        while model.passes < limit:
            started = time.perf_counter()
            point = next(points)
            seconds += time.perf_counter() - started
            count += 1
            if count < next_check and model.passes < limit:
                continue
            next_check = int(max(count + 1, CHECK_GROWTH * count))
            objective, residual = _check(problem, point)
            if not objective <= largest:
                return
            best = min(best, objective)
            trace.effort.append(model.passes)
            trace.seconds.append(seconds)
            trace.accuracy.append((best - lower) / lower)
            trace.kkt.append(residual)
            if trace.accuracy[-1] <= TAUS[-1] and residual <= KKT_TOLERANCE:
                return


def _check(problem: cr.ConvexGatedReLU, point: AcceleratedIterate) -> tuple[float, float]:
    """Return the objective and the squared norm of the minimum-norm subgradient in the paper's scale."""
    weights = problem.weights(point.u)
    gradient = problem.operator.adjoint(problem.gradient_point(weights))
    return problem.objective(weights), squared_subgradient(point.u, gradient, problem.lam) / problem.n_outputs**2


def squared_subgradient(u: FloatArray, gradient: FloatArray, lam: float) -> float:
    """Return the squared norm of the objective's minimum-norm subgradient, for blocks (..., d) and group_l1."""
    norms, slopes = (np.linalg.norm(array, axis=-1, keepdims=True) for array in (u, gradient))
    active = gradient + lam * np.divide(u, norms, out=np.zeros_like(u), where=norms > 0.0)
    shrunk = np.maximum(1.0 - np.divide(lam, slopes, out=np.ones_like(slopes), where=slopes > 0.0), 0.0) * gradient
    return float(np.sum(np.where(norms > 0.0, active, shrunk) ** 2))
