"""Translation of requested accuracies into the tolerances of each solver.

Every solver is asked for the same relative accuracies of the objective.

- cvxrelu's tol is the certified relative gap, an upper bound on the accuracy, and is set to the requested accuracy. So
  are the tolerances of SGD and Adam, which stop by the accuracy itself, and of users' functions.
- The tolerances of CVXPY's solvers are on gaps and residuals before the repair into the cones, and are set to a
  hundredth. On 15 small instances with all losses, CLARABEL, ECOS and SCS miss some accuracies at a tenth; at a
  hundredth only ECOS and SCS do, on the instance with lam at 1e-6 of its maximum. SCS can take several times as long.
- adelie's tol bounds the change of the objective in a pass over the blocks, pyscnn's the squared norm of a
  subgradient. Neither predicts the accuracy: adelie's 1e-10 gave 9e-11 on a small instance and 8e-3 on one of medium
  size. Both are run at each decade in turn. An accuracy is credited to the first answer that attains it, with the
  time of that run alone, as if its tolerance had been known.
"""

from __future__ import annotations

from collections.abc import Sequence

_DECADES = {
    ("adelie", "gated"): range(4, 16),
    ("adelie", "relu"): range(4, 19),
    ("pyscnn", "gated"): range(3, 15),
    ("pyscnn", "relu"): range(3, 15),
}


def as_requested(kind: str, asked: Sequence[float]) -> list[float]:
    """Return the requested accuracies."""
    return list(asked)


def hundredth(kind: str, asked: Sequence[float]) -> list[float]:
    """Return a hundredth of each requested accuracy."""
    return [0.01 * each for each in asked]


def decades(name: str, kind: str, asked: Sequence[float]) -> list[float]:
    """Return the tolerances to try for adelie or pyscnn on a kind of problem ("gated" or "relu")."""
    return [float(f"1e-{k}") for k in _DECADES[name, kind]]
