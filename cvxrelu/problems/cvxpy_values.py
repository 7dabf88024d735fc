"""Weights and dual variables of solved CVXPY programs."""

from __future__ import annotations

import numpy as np

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.lazy_imports import cp


def read_weights(problem: ConvexProblem, program: cp.Problem) -> Weights:
    """Return the weights of a solved primal program, in the shapes of ``problem``.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem of the program.
    program : cvxpy.Problem
        Solved ``problem.to_cvxpy()``, or another solved program with its variables.

    Returns
    -------
    ndarray (c, P, d), or pair of ndarrays (c, P, d)
        U, or (V, W), as found by the solver, not repaired into the cones.

    Raises
    ------
    ValueError
        If the program does not have these variables, or was not solved.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, n_gates=5, seed=0), lam=0.01)
    >>> program = problem.to_cvxpy()
    >>> value = program.solve(solver="CLARABEL")
    >>> U = cr.read_weights(problem, program)
    >>> U.shape, bool(abs(problem.objective(U) - value) < 1e-6)
    ((1, 1, 2), True)
    """
    names = ("V", "W") if isinstance(problem, ConvexReLU) else ("U",)
    shape = (problem.n_outputs, len(problem.patterns), problem.d)
    parts = []
    for name in names:
        variable = program.var_dict.get(name)
        if variable is None or variable.value is None:
            raise ValueError(f"program must be a solved primal program with variable {name!r}; it has no value")
        parts.append(np.asarray(variable.value).reshape(shape))
    return problem.weights(np.stack(parts) if len(parts) == 2 else parts[0])


def read_dual(problem: ConvexProblem, program: cp.Problem) -> tuple[FloatArray, FloatArray | None]:
    """Return the dual variable t (n, c) and the multipliers (2 c P, n) or None of a solved program.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem of the program.
    program : cvxpy.Problem
        Solved ``problem.to_cvxpy()`` or ``problem.to_cvxpy("dual")``.

    Returns
    -------
    t : ndarray of shape (n, c)
        The dual variable, in the scale of grad F, as found by the solver: not necessarily feasible.
    multipliers : ndarray of shape (2 c P, n), or None
        Multipliers >= 0 of the cones, in the order of `DualPoint`; None for gated problems.

    Raises
    ------
    ValueError
        If there are no dual values, or they are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, n_gates=5, seed=0), lam=0.01)
    >>> program = problem.to_cvxpy("dual")
    >>> value = program.solve(solver="CLARABEL")
    >>> t, multipliers = cr.read_dual(problem, program)
    >>> t.shape, multipliers is None
    ((8, 1), True)
    >>> lower = problem.dual_point(t).value  # made feasible: a valid bound for any t
    >>> lower <= cr.solve(problem).objective, bool(abs(lower - value) < 1e-6)
    (True, True)
    """
    if "t" in program.var_dict:
        values = [program.var_dict[name].value for name in "tgh" if name in program.var_dict]
    else:
        duals = {constraint.label: constraint.dual_value for constraint in program.constraints}
        values = [duals[name] for name in ("prediction", "cone_V", "cone_W") if name in duals]
    if any(value is None or not np.isfinite(value).all() for value in values):
        raise ValueError("program must be solved first; it has no finite dual values")
    t, *multipliers = (np.asarray(value) for value in values)
    if "t" not in program.var_dict:
        t, multipliers = -t, [gamma.T for gamma in multipliers]
    return t.reshape(problem.Y.shape), np.maximum(np.vstack(multipliers), 0.0) if multipliers else None
