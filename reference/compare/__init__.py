"""The comparison of solvers: every run judged by the same proven bounds, one tidy file, reports.

    python -m reference compare --instances small medium --solvers cvxrelu CLARABEL ECOS --out build/compare/results.csv
    python -m reference report build/compare/results.csv

A solver of your own joins by one function, named with the file that it is in (``--solvers my_solver.py:solve``)::

    def solve(problem, tol, time_limit):
        ...
        return weights

It gets a `cvxrelu.ConvexGatedReLU` or `cvxrelu.ConvexReLU` (``problem.X`` (n, d), ``problem.y``, ``problem.patterns.D``
(n, P), ``problem.lam``, ``problem.loss.name``), the relative accuracy that is asked and the seconds allowed, and
returns the weights U (c, P, d), or the pair (V, W) for a ReLU problem. It runs in a process of its own; what it returns
is repaired into the cones and judged, and what it says of itself counts for nothing.
"""
