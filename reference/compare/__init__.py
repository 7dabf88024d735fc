"""Comparison of solvers: every run is judged by the same proven bounds, and the results are one tidy file.

    python -m reference compare --instances small medium --solvers cvxrelu CLARABEL ECOS --out build/compare/results.csv
    python -m reference report build/compare/results.csv

To add a solver of your own, write one function and name it with its file (``--solvers my_solver.py:solve``)::

    def solve(problem, tol, time_limit):
        ...
        return weights

Its arguments are a `cvxrelu.ConvexGatedReLU` or `cvxrelu.ConvexReLU` (``problem.X`` (n, d), ``problem.y``,
``problem.patterns.D`` (n, P), ``problem.lam``, ``problem.loss.name``), the requested relative accuracy and the time
limit in seconds. It returns the weights U (c, P, d), or the pair (V, W) for a ReLU problem. It runs in a separate
process, and its weights are repaired into the cones and judged.
"""
