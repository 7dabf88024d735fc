"""Data and dual points whose bounds hold for all networks."""

import numpy as np

import cvxrelu as cr
from cvxrelu.certificates.certificate import over_all_networks
from cvxrelu.pricing.bounds import bound_neurons, feasible_multiple
from cvxrelu.pricing.neuron_problem import Multipliers, NeuronBound, RowLines
from cvxrelu.pricing.relaxation import relaxed_maximum

LOSSES = {"squared": cr.Squared(), "huber": cr.Huber(0.3), "logistic": cr.Logistic()}


def targets(X, loss):
    y = np.random.default_rng(0).standard_normal(len(X))
    return np.where(y > 0.0, 1.0, -1.0) if loss == "logistic" else y


def of_dual(X, y, lam, loss, t, bound=None):
    """Return the certificate of the zero network with the best multiple of t that is proven feasible."""
    problem = cr.ConvexReLU(X, y, cr.ActivationPatterns(np.ones((len(X), 1), dtype=bool)), lam, loss)
    certificate = cr.certify(problem, problem.zero_weights())
    size = float(np.abs(t) @ np.linalg.norm(X, axis=1))
    if bound is None and size == 0.0:
        bound = NeuronBound(0.0, "exact", np.empty((0, X.shape[1])))
    elif bound is None:
        bound = bound_neurons(X, RowLines(X), t, 1e-3 * size)
    point = feasible_multiple(problem.loss, problem.Y, lam, t, bound.upper)
    return over_all_networks(certificate, point, bound)


def relaxed(X, t, rng, size=1.0):
    """Return the bound that some multipliers prove, however good."""
    lines = RowLines(X)
    K = len(lines.E)
    sizes = size * (np.abs(t) @ np.linalg.norm(X, axis=1)) / K * 10.0 ** rng.uniform(-2.0, 2.0, size=K)
    plus, minus = (
        Multipliers(sizes * rng.exponential(size=K), sizes * rng.standard_normal(K), sizes * rng.integers(0, 2, size=K))
        for _ in range(2)
    )
    upper = max(relaxed_maximum(lines.objective(t), plus), relaxed_maximum(lines.objective(-t), minus))
    return NeuronBound(upper, "relaxation", np.empty((0, X.shape[1])), t=t, lines=lines, multipliers=(plus, minus))
