"""Judge of rounded certificates: both bounds recomputed exactly from weights and dual point."""

from decimal import localcontext
from fractions import Fraction

import numpy as np

import cvxrelu as cr
from reference.rationals import rational
from reference.rounded import exact


def faults(certificate: cr.Certificate) -> list[str]:
    """Return what is false of a rounded certificate, in exact arithmetic."""
    with localcontext(exact.DIGITS):
        if certificate.rigor != "rounded":
            return [f"rigor is {certificate.rigor}"]
        return _upper(certificate) + _lower(certificate)


def _upper(certificate: cr.Certificate) -> list[str]:
    problem, found = certificate.problem, []
    X, Y = rational(problem.X), rational(problem.Y)
    blocks = rational(problem.blocks(certificate.weights))
    sides = blocks if blocks.ndim == 4 else blocks[None]
    D = np.asarray(problem.patterns.D)
    prediction = rational(np.zeros(Y.shape))
    for side, sign in zip(sides, (1, -1), strict=False):
        for k, i in np.ndindex(*side.shape[:2]):
            if not any(side[k, i]):
                continue
            products = X @ side[k, i]
            if certificate.scope == "global":
                prediction[:, k] += sign * np.maximum(products, 0)
                continue
            prediction[:, k] += sign * np.where(D[:, i], products, 0)
            if len(sides) == 2 and not all(np.where(D[:, i], products, -products) >= 0):
                found.append("weights outside their cones")
    delta = getattr(problem.loss, "delta", None)
    value = exact.loss_value(problem.loss.name, delta, prediction, Y)
    if problem.lam > 0.0 and problem.penalty.name != "none":
        value += exact.decimal(Fraction(problem.lam)) * exact.norm_value(problem.penalty.name, blocks)
    if not np.isfinite(certificate.upper) or exact.decimal(Fraction(certificate.upper)) < value:
        found.append(f"upper bound {certificate.upper!r} is below the objective {value:.20g}")
    return found


def _lower(certificate: cr.Certificate) -> list[str]:
    problem, dual = certificate.problem, certificate.dual
    X, Y, t = rational(problem.X), rational(problem.Y), rational(dual.t)
    lam = Fraction(problem.lam)
    value = exact.conjugate(problem.loss.name, getattr(problem.loss, "delta", None), t, Y)
    if value is None:
        return ["t outside the domain"]
    if certificate.scope == "global":
        if problem.d > 2:
            masks = np.asarray(cr.enumerate_patterns(problem.X).D)
            largest = exact.large_squared(X, t[:, 0], masks)
        else:
            largest = exact.largest_squared(np.column_stack([X, 0 * X[:, : 2 - problem.d]]), t[:, 0])
        if largest > lam * lam:
            return [f"largest |t'(Xu)_+| is {float(largest) ** 0.5!r}, above lam = {problem.lam!r}"]
    else:
        masked = np.where(np.asarray(problem.patterns.D).T[None], t.T[:, None, :], 0)
        z = masked @ X
        if problem.has_cones:
            if dual.multipliers is None:
                return ["no multipliers"]
            g = rational(dual.multipliers.toarray()).reshape(2, *masked.shape)
            if not (g >= 0).all():
                return ["negative multipliers"]
            z = np.stack([-z, z]) + np.where(np.asarray(problem.patterns.D).T, g, -g) @ X
        cost = exact.dual_cost(problem.penalty.name, z, lam)
        if cost is None:
            return ["dual point infeasible"]
        value += cost
    if exact.decimal(Fraction(certificate.lower)) > -value:
        return [f"lower bound {certificate.lower!r} is above the dual objective {-value:.20g}"]
    return []
