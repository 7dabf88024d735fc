r"""The programs of arXiv 2202.01331, written literally in CVXPY: slow, obvious and independent.

This package is the oracle of the tests. It imports only NumPy and CVXPY, and nothing of the package that it checks.
Each program is the formula of its docstring, with one dense diagonal matrix and one iteration of a Python loop for
each activation pattern. Use it for tens of rows, not thousands.

Source: Mishkin, Sahiner and Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks: Equivalent Model
Classes and Cone Decompositions" (ICML 2022), with the correction of its v4 (2025): the equivalence of gated
ReLU and ReLU holds for *non-singular* gates. Problems have the paper's names: NC-ReLU, NC-GReLU, C-ReLU, C-GReLU,
CD-SOCP, CD-A. CD-L2, CD-L1 and CD-F are our names for CD-SOCP with the other objectives that the authors' package
offers. Equation and theorem numbers are omitted.

Notation
--------
- X (n, d) data; Y (n, c) targets, or y (n,) for c = 1; D (n, P) bool, column i the activation pattern i.
- D_i = diag(D[:, i]) (n, n), and Xt_i = (2 D_i - I) X, the rows of X with the signs of pattern i.
- K_i = {w : Xt_i w >= 0}, the cone of the neurons with pattern i; K_i^o = {-Xt_i' g : g >= 0}, its polar.
- U_i (d, c), one matrix for each pattern; its column k is the block u_{k,i} that feeds output k.
- Every primal problem is F(prediction) + lam Omega(weights), and its dual is a problem in t (n, c).

Scaling
-------
F(f) = (1/n) sum_j loss(f_j, y_j), with 1/2 ||f_j - y_j||^2 for the squared loss. The paper has no 1/n:
with the same loss, its lambda is our n lam and its optimal value n times ours.
"""

from reference.programs.base import Program, signed_rows
from reference.programs.decompositions import Decomposition, cd_approximate, cd_feasible, cd_l1, cd_l2, cd_socp
from reference.programs.enumeration import all_patterns
from reference.programs.gated import (
    GatedDual,
    GatedPrimal,
    c_gated_relu,
    c_gated_relu_dual,
    gated_lam_max,
    gated_network,
    nc_gated_relu_objective,
)
from reference.programs.losses import F_at, loss_conjugate, loss_gradient_at_zero
from reference.programs.relu import (
    ReLUDual,
    ReLUPrimal,
    c_relu,
    c_relu_dual,
    nc_relu_objective,
    relu_lam_max,
    relu_network,
)

__all__ = [
    "Decomposition",
    "F_at",
    "GatedDual",
    "GatedPrimal",
    "Program",
    "ReLUDual",
    "ReLUPrimal",
    "all_patterns",
    "c_gated_relu",
    "c_gated_relu_dual",
    "c_relu",
    "c_relu_dual",
    "cd_approximate",
    "cd_feasible",
    "cd_l1",
    "cd_l2",
    "cd_socp",
    "gated_lam_max",
    "gated_network",
    "loss_conjugate",
    "loss_gradient_at_zero",
    "nc_gated_relu_objective",
    "nc_relu_objective",
    "relu_lam_max",
    "relu_network",
    "signed_rows",
]
