"""Newton steps at random points, and the explicit matrices of their systems."""

import numpy as np

from cvxrelu.losses.base import dual_term
from cvxrelu.losses.registry import get_loss
from cvxrelu.penalties.registry import get_penalty
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.solvers.working_set.data_products import DataProducts
from cvxrelu.solvers.working_set.newton_step import NewtonStep
from cvxrelu.solvers.working_set.newton_systems import NewtonSystems
from tests.helpers.cases import make_targets

N, D, P = 24, 4, 9
RESIDUAL_TOL = 0.11  # the solver's tolerance is a tenth
METHODS = {"rows": (0.0, 1.0, 2.0), "dense": (2.0, 0.0, 1.0), "coarse": (2.0, 1.0, 0.0)}
ALL_PATTERNS = np.arange(P)


def force(monkeypatch, method):
    monkeypatch.setattr(NewtonSystems, "_costs", lambda self, step: METHODS[method])


def make_operator(seed=0, n=N, d=D, patterns=P):
    rng = np.random.default_rng(seed)
    return GatedOperator(rng.standard_normal((n, d)), rng.random((n, patterns)) < 0.5)


def make_step(loss, penalty, operator, c, *, seed=0, sigma=10.0, empty_output=False):
    """Return a step at a random point with about half of the patterns active."""
    rng = np.random.default_rng(seed)
    n = len(operator.X)
    term = dual_term(get_loss(loss), make_targets(loss, operator.X, c, seed))
    rows = term.rows(term.start(2.0 * rng.standard_normal((n, c))), sigma)
    w = rng.standard_normal((c, operator.n_patterns, operator.n_features))
    w[:, ::2] *= 0.1
    if empty_output:
        w[0] *= 1e-3
    v = get_penalty(penalty).prox(w, 0.7)
    active = np.flatnonzero(np.any(v, axis=(0, 2)))
    gradient = rng.standard_normal((n, c))
    if rows.coupling is not None:
        gradient -= gradient.mean(axis=1, keepdims=True)
    return NewtonStep(active, get_penalty(penalty).prox_jacobian(w[:, active], 0.7), rows, sigma, gradient)


def matrices(operator, step):
    """Return Q and A M A' as explicit matrices on stacked arrays (n c)."""
    n, c = step.gradient.shape
    d, k = operator.n_features, len(step.active)
    Q = np.array([step.rows.respond(e.reshape(n, c)).ravel() for e in np.eye(n * c)]).T
    A = np.zeros((n, c, c, k, d))
    for i, pattern in enumerate(step.active):
        for output in range(c):
            A[:, output, output, i] = operator.D[:, [pattern]] * operator.X
    A = A.reshape(n * c, c * k * d)
    M = np.zeros((c * k * d, 0))
    if k:
        columns = [step.jacobian.half(step.jacobian.half(e.reshape(c, k, d))).ravel() for e in np.eye(c * k * d)]
        M = np.array(columns).T
        return Q, A @ M @ A.T
    return Q, np.zeros((n * c, n * c))


def solve(operator, step):
    """Return the exact dt from the system multiplied by Q, which is singular for softmax."""
    Q, AMA = matrices(operator, step)
    return np.linalg.solve(np.eye(len(Q)) + step.sigma * Q @ AMA, -Q @ step.gradient.ravel()).reshape(
        step.gradient.shape
    )


def residual(operator, step, dt):
    """Return the relative residual in the rows; for softmax, orthogonal to constants in each row."""
    Q, AMA = matrices(operator, step)
    r = np.linalg.pinv(Q, rcond=1e-13) @ dt.ravel() + step.sigma * AMA @ dt.ravel()
    r = r.reshape(dt.shape) + step.gradient
    if step.rows.coupling is not None:
        r -= r.mean(axis=1, keepdims=True)
        assert np.abs(dt.sum(axis=1)).max() <= 1e-6 * np.abs(dt).max()
    return np.linalg.norm(r) / np.linalg.norm(step.gradient)


def systems_for(loss, operator, index=ALL_PATTERNS):
    constant_curvature = dual_term(get_loss(loss), make_targets(loss, operator.X, 3)).constant_curvature
    systems = NewtonSystems(constant_curvature, DataProducts(operator.X))
    systems.enter(operator, index)
    return systems
