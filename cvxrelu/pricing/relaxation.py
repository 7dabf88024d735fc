"""A semidefinite relaxation of training over all neurons: a proven lower bound for data of any rank.

The dual problem is to maximise -F*(t) subject to |t'(Xu)_+| <= lam for all ||u|| <= 1. In the form of
`neuron_problem`, with (z)_+ = (z + |z|) / 2 and any split tau = p - m, p >= 0, m >= 0, for ||u|| <= 1 and unit e_k

    p |z| <= rho z^2 + p^2 / (4 rho)  for rho > 0,
    -m |z| <= gamma z - delta z^2     for |gamma| + delta <= m, delta >= 0,

so that f(u) <= b'u + u'Q u + (1/8) sum_k p_k^2 / rho_k with b = w0 + (1/2) sum_k (tau_k + gamma_k) e_k and
Q = (1/2) sum_k (rho_k - delta_k) e_k e_k'. Its maximum over the ball, without the constant, is at most nu + mu if

    [[nu, -b'/2], [-b/2, mu I - Q]] is positive semidefinite,  mu >= 0.

This is jointly convex in t and the multipliers: a semidefinite program with a block of order r + 1 for each sign.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy

from cvxrelu._validation import FloatArray
from cvxrelu.losses.base import Loss
from cvxrelu.numerics.rounding import EPS
from cvxrelu.pricing.neuron_problem import Multipliers, NeuronBound, NeuronObjective, RowLines
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.threads import cvxpy_alone

_LARGEST = 3_000_000  # entries of the products e_k e_k': the program takes minutes and several GB
_ACCURACY = {"tol_gap_rel": 1e-6, "tol_gap_abs": 1e-7, "tol_feas": 1e-7}
_SCALING_STEPS = 10


def within_reach(lines: RowLines) -> bool:
    """Return whether the program is small enough to be tried."""
    return lines.rank * (lines.rank + 1) // 2 * len(lines.E) <= _LARGEST


@cvxpy_alone()
def relaxed_point(
    lines: RowLines, Y: FloatArray, lam: float, loss: Loss, *, time_limit: float | None = None
) -> tuple[FloatArray, NeuronBound] | None:
    """Return t (n,) near the relaxation's optimum and a proven bound on max over ||u|| <= 1 of |t'(Xu)_+|, or None.

    The program is solved by CVXPY with Clarabel; the bound is recomputed from its t and multipliers
    (`relaxed_maximum`), so it holds whatever their accuracy. Returns None if the solver fails. Memory is some r^2 K
    numbers for r dimensions and K lines, time grows about as K^2: for r = 31, 569 lines take 7 s, 2,000 take 80 s and
    0.8 GB, and 6,000 exceed 200 s and take 1.6 GB (Clarabel on 2 cores).

    Parameters
    ----------
    lines : RowLines
        The lines of the rows of X, at least one.
    Y : ndarray of shape (n, 1)
        The targets.
    lam : float > 0
        Strength of the weight decay.
    loss : Loss
        The loss.
    time_limit : float, optional
        Limit of the solver in seconds, checked once per iteration; the last iterate is then used.
    """
    (K, r), n = lines.E.shape, len(Y)
    size = lam / float(max(lines.plus.max(), lines.minus.max()))
    t = cp.Variable(n)
    first, second = np.triu_indices(r)
    products = (lines.E[:, first] * lines.E[:, second]).T
    identity = (first == second).astype(np.float64)
    constraints, found = [], []
    scaled = size / lam * t
    for sign in (1.0, -1.0):
        tau, minus = sign * ((lines.plus + lines.minus) @ scaled), sign * (lines.minus @ scaled)
        # With one variable for rho - delta, the dense products enter the program's matrix once.
        p, curvature, gamma, delta, quotient = (cp.Variable(K) for _ in range(5))
        rho = curvature + delta
        mu, block = cp.Variable(nonneg=True), cp.Variable((r + 1, r + 1), PSD=True)
        b = lines.E.T @ (0.5 * (tau + gamma) - minus)
        constraints += [
            p >= 0.0,
            delta >= 0.0,
            cp.abs(gamma) + delta <= p - tau,
            cp.SOC(quotient + rho, cp.vstack([2.0 * p, quotient - rho]), axis=0),  # p^2 <= quotient rho
            block[0, 1:] == -0.5 * b,
            block[1:, 1:][first, second] == mu * identity - 0.5 * (products @ curvature),
            block[0, 0] + mu + 0.125 * cp.sum(quotient) <= 1.0,
        ]
        found.append((rho, gamma, delta))
    conjugate, domain = loss.conjugate_expression(cp.reshape(size * t, (n, 1), order="C"), Y)
    program = cp.Problem(cp.Maximize(-conjugate / _size_of_bound(lines, Y, lam, loss)), constraints + domain)
    limit = {} if time_limit is None else {"time_limit": time_limit}
    try:
        program.solve(solver=cp.CLARABEL, **_ACCURACY, **limit)
    except cp.error.SolverError:
        return None
    if t.value is None or not np.isfinite(t.value).all():
        return None
    point = loss.project_domain(size * t.value[:, None], Y)[:, 0]
    plus, minus = (
        Multipliers(np.maximum(rho, 0.0), gamma, np.maximum(delta, 0.0))
        for rho, gamma, delta in ((lam * np.nan_to_num(variable.value) for variable in part) for part in found)
    )
    upper = max(relaxed_maximum(lines.objective(point), plus), relaxed_maximum(lines.objective(-point), minus))
    return point, _bound(lines, upper, point, plus, minus)


def _size_of_bound(lines: RowLines, Y: FloatArray, lam: float, loss: Loss) -> float:
    """Return the best bound by multiples of grad F(0), to scale the program to the solver's absolute tolerances."""
    t = loss.gradient(np.zeros_like(Y), Y)
    upper = ascended_bound(lines, t[:, 0], steps=_SCALING_STEPS).upper
    scale = loss.best_scale(t, Y, lam / upper if upper > 0.0 else np.inf)
    return -loss.conjugate(scale * t, Y) or 1.0


def relaxed_maximum(objective: NeuronObjective, multipliers: Multipliers) -> float:
    """Return the upper bound on max over ||u|| <= 1 of f(u) that the multipliers prove, minimised over nu and mu.

    Parameters
    ----------
    objective : NeuronObjective
        The function, with unit vectors e_k; its slack is added.
    multipliers : Multipliers
        Any with delta >= 0. m is the smallest that they allow, p = tau + m, and rho is raised to at least p / 2.
    """
    return quadratic_bound(objective, multipliers).upper


def ascended_bound(lines: RowLines, t: FloatArray, *, steps: int = 60) -> NeuronBound:
    """Return a bound on max over ||u|| <= 1 of |t'(Xu)_+|, nearly the relaxation's at t (n,), at a cost r^2 K per step.

    The method takes Frank-Wolfe steps on the relaxation's primal, with variables u and a moment matrix U of trace at
    most 1. At U the multipliers are rho_k = p_k / (2 sqrt(e_k'U e_k)) and delta = m, with the smallest p and m, and the
    step is towards the point that attains their bound.
    """
    (upper, plus), (lower, minus) = (_ascend(lines.objective(sign * t), steps) for sign in (1.0, -1.0))
    return _bound(lines, max(upper, lower), t, plus, minus)


def _bound(lines: RowLines, upper: float, t: FloatArray, plus: Multipliers, minus: Multipliers) -> NeuronBound:
    return NeuronBound(
        upper, "relaxation", np.empty((0, len(lines.basis))), t=t, lines=lines, multipliers=(plus, minus)
    )


def _ascend(objective: NeuronObjective, steps: int) -> tuple[float, Multipliers]:
    """Return the best bound on f over the steps, and its multipliers."""
    r = objective.E.shape[1]
    p, m = np.maximum(objective.tau, 0.0), np.maximum(-objective.tau, 0.0)
    U, best, kept = np.eye(r) / r, np.inf, Multipliers(0.5 * p, np.zeros_like(p), m)
    for step in range(steps):
        sizes = np.sqrt(np.maximum(np.sum((objective.E @ U) * objective.E, axis=1), EPS))
        multipliers = Multipliers(0.5 * p / sizes, np.zeros_like(p), m)
        bound = quadratic_bound(objective, multipliers)
        if bound.upper < best:
            best, kept = bound.upper, multipliers
        step_size = 2.0 / (step + 3.0)
        U = (1.0 - step_size) * U + step_size * np.outer(bound.u, bound.u)
    return best, kept


class QuadraticBound(NamedTuple):
    """A quadratic function above f, and its maximum in the unit ball; in exact arithmetic with these very numbers.

    Attributes
    ----------
    upper : float
        The bound on t'(Xu)_+, with the objective's slack.
    u : ndarray of shape (r,)
        The maximiser of the quadratic function.
    rho, kappa : ndarrays of shape (K,)
        Multipliers with p_k^2 <= 8 rho_k kappa_k.
    nu, mu : float
        The semidefinite matrix of the bound.
    """

    upper: float
    u: FloatArray
    rho: FloatArray
    kappa: FloatArray
    nu: float
    mu: float


def quadratic_bound(objective: NeuronObjective, multipliers: Multipliers) -> QuadraticBound:
    """Return the bound that the multipliers prove."""
    K, r = objective.E.shape
    tau, gamma, delta = objective.tau, multipliers.gamma, multipliers.delta
    m = np.maximum(np.abs(gamma) + delta, np.maximum(-tau, 0.0))
    p = tau + m + (0.5 * objective.n_terms + 8.0) * EPS * (objective.sizes + m)
    size = float(np.linalg.norm(objective.w0) + m.sum() + p.sum())
    if size == 0.0:
        return QuadraticBound(objective.slack, np.zeros(r), np.zeros(K), np.zeros(K), 0.0, 0.0)
    rho = np.maximum(multipliers.rho, 0.5 * p)  # smaller values worsen the bound for all |z| <= 1
    kappa = 0.125 * (1.0 + 8.0 * EPS) * np.divide(p * p, rho, out=np.zeros(K), where=p > 0.0)
    b = objective.w0 + 0.5 * (tau + gamma) @ objective.E
    values, vectors = np.linalg.eigh(0.5 * (objective.E.T * (rho - delta)) @ objective.E)
    # The margin covers the rounding of Q, of its eigenvalues and of the norms of the e_k.
    margin = 8.0 * (K + r * r) * EPS * float(rho.sum() + delta.sum())
    values = values + margin
    along = b @ vectors
    parts = 0.25 * along**2
    mu = best_shift(values, parts, float(np.linalg.norm(b)), margin)
    nu, constant = float(np.sum(parts / (mu - values))), math.fsum(kappa)
    nu += 8.0 * (K + r) * EPS * (nu + mu + constant + size)
    u = 0.5 * along / (mu - values)
    rest = 1.0 - float(u @ u)
    if rest > 0.0 and values[-1] > 0.0:
        u[-1] += np.copysign(np.sqrt(u[-1] ** 2 + rest) - abs(u[-1]), u[-1])
    return QuadraticBound(objective.upper(nu + mu + constant), vectors @ u, rho, kappa, nu, mu)


def best_shift(values: FloatArray, parts: FloatArray, size: float, margin: float) -> float:
    """Return the mu >= 0 above ascending values that minimises mu + sum_i parts_i / (mu - values_i), nearly.

    ``size`` is 2 ||parts^(1/2)||; mu is at least ``margin`` from the largest value, or from 0 if that is larger.
    """
    low = max(float(values[-1]), 0.0) + margin
    high = low + size + margin

    def slope(mu: float) -> float:
        return 1.0 - float(np.sum(parts / (mu - values) ** 2))

    return float(scipy.optimize.brentq(slope, low, high, xtol=EPS * high)) if slope(low) < 0.0 < slope(high) else low
