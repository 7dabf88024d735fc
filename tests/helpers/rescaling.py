"""Equivalent problems in other units."""

import cvxrelu as cr

DEGREE = {"squared_l2": 2, "none": 0}


def rescaled(problem, x=1.0, y=1.0):
    """Return the problem on x X and y Y, with the lam and the loss that make it equivalent."""
    loss, k = problem.loss, DEGREE.get(problem.penalty.name, 1)
    if loss.name in ("logistic", "softmax"):
        y = 1.0
    if loss.name == "huber":
        loss = cr.Huber(loss.delta * y)
    lam = problem.lam * y * y * (x / y) ** k
    return type(problem)(x * problem.X, y * problem.y, problem.patterns, lam, loss, problem.penalty)
