"""A small problem, and the lams and solvers of its paths."""

import numpy as np

from tests.helpers.cases import make_problem

PROBLEM = make_problem("gated", shape="collinear")
LAMS = PROBLEM.lam_max() * np.geomspace(0.9, 0.01, 6)
SOLVER = {"gated": "RFISTA", "relu": "AugmentedLagrangian"}
