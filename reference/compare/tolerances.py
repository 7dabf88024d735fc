"""What is asked of a solver, in its own words: the one place where an accuracy becomes a tolerance.

Every solver is asked for the same relative accuracies of the objective. How far a tolerance of its own brings it was
measured on small instances of the catalogue, and the loosest tolerances were taken that reached what was asked, so
that no time is spent on more:

- cvxrelu's tol is the certified relative gap, an upper bound of the accuracy: it is given what is asked. So are SGD and
  Adam, which stop by the accuracy itself, and users' functions.
- CVXPY's solvers have absolute and relative gaps and residuals, before the repair into the cones. Of 15 instances with
  all losses, CLARABEL, ECOS and SCS miss some at a tenth of what is asked; at a hundredth only ECOS and SCS do, on the
  one with lam at 1e-6 of its maximum. For SCS that can take several times as long.
- adelie's tol is of the change of the objective in a pass over the blocks, pyscnn's of the squared norm of a
  subgradient. The table was chosen on 11 instances; of 6 others adelie missed 1e-6 on one of C-ReLU (4.5e-6), pyscnn
  on one of C-GReLU (3.1e-6). On C-ReLU pyscnn seldom comes to 1e-4 in 20 s, so that its last two tolerances there are
  hardly tried. Between the accuracies of the table lines are drawn in logarithms, beyond its ends they go on.
"""

from __future__ import annotations

import numpy as np

_ASKED = (1e-1, 1e-2, 1e-4, 1e-6)
_MEASURED = {
    ("adelie", "gated"): (1e-4, 1e-6, 1e-8, 1e-10),
    ("adelie", "relu"): (1e-4, 1e-6, 1e-11, 1e-16),
    ("pyscnn", "gated"): (1e-4, 1e-7, 1e-9, 1e-11),
    ("pyscnn", "relu"): (1e-5, 1e-6, 1e-9, 1e-12),
}


def as_asked(kind: str, asked: float) -> float:
    """Return what is asked."""
    return asked


def hundredth(kind: str, asked: float) -> float:
    """Return a hundredth of what is asked."""
    return 0.01 * asked


def measured(name: str, kind: str, asked: float) -> float:
    """Return the tolerance of adelie or pyscnn for problems of a kind ("gated" or "relu") by what was measured."""
    x, y = np.log10(_ASKED), np.log10(_MEASURED[name, kind])
    at = np.log10(asked)
    k = int(np.clip(np.searchsorted(-x, -at, side="right") - 1, 0, len(x) - 2))
    return float(10.0 ** (y[k] + (at - x[k]) * (y[k + 1] - y[k]) / (x[k + 1] - x[k])))
