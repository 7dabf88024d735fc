"""What is asked of a solver, in its own words: the one place where accuracies become tolerances.

Every solver is asked for the same relative accuracies of the objective.

- cvxrelu's tol is the certified relative gap, an upper bound of the accuracy: it is given what is asked. So are SGD and
  Adam, which stop by the accuracy itself, and users' functions.
- CVXPY's solvers have absolute and relative gaps and residuals, before the repair into the cones: they are given a
  hundredth. Of 15 small instances with all losses, CLARABEL, ECOS and SCS miss some at a tenth; at a hundredth only
  ECOS and SCS do, on the one with lam at 1e-6 of its maximum. For SCS that can take several times as long.
- adelie's tol is of the change of the objective in a pass over the blocks, pyscnn's of the squared norm of a
  subgradient, and neither says much of the accuracy: adelie's 1e-10 brought 9e-11 on a small instance and 8e-3 on one
  of medium size. They are run at each decade in turn, and an accuracy is theirs by the first answer that is judged to
  have it: the time is that of this run alone, as if its tolerance had been known.
"""

from __future__ import annotations

from collections.abc import Sequence

_DECADES = {
    ("adelie", "gated"): range(4, 16),
    ("adelie", "relu"): range(4, 19),
    ("pyscnn", "gated"): range(3, 15),
    ("pyscnn", "relu"): range(3, 15),
}


def as_asked(kind: str, asked: Sequence[float]) -> list[float]:
    """Return what is asked."""
    return list(asked)


def hundredth(kind: str, asked: Sequence[float]) -> list[float]:
    """Return a hundredth of what is asked."""
    return [0.01 * each for each in asked]


def decades(name: str, kind: str, asked: Sequence[float]) -> list[float]:
    """Return the tolerances of adelie or pyscnn for problems of a kind ("gated" or "relu"), whatever is asked."""
    return [float(f"1e-{k}") for k in _DECADES[name, kind]]
