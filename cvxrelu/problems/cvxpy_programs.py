"""C-GReLU, C-ReLU and their duals as vectorised CVXPY problems, with ``y`` and ``lam`` as Parameters."""

from __future__ import annotations

import warnings
from typing import ClassVar, Literal, Protocol

import numpy as np
import scipy.sparse as sp

from cvxrelu._validation import FloatArray, check_choice
from cvxrelu.exceptions import ProgramSizeWarning
from cvxrelu.losses.base import Loss
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.packed_mask import Mask
from cvxrelu.penalties.base import Penalty
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.runtime.lazy_imports import cp
from cvxrelu.runtime.memory import COMPILED_BYTES, require
from cvxrelu.runtime.threads import cvxpy_alone

# CVXPY's fastest backend for these programs: one large constant matrix, few atoms.
CANON_BACKEND = "SCIPY"
_BUILT_BYTES = 24  # for each non-zero of A and of the cones
_REMEDY = "take fewer patterns or rows, or a native solver"
_LARGE_PROGRAM = 2 * 10**8
_LARGEST_FEATURES = (1e8, 1e5, 1e3, 1e1)  # largest norms of features in the units of a solver, tried in this order
_SPREAD = 8.0  # ratio of units up to which features are of similar size
_SMALLEST_FEATURE = 1e-10  # relative to the largest; smaller ones may be rounding errors of zeros


class ProgramData(Protocol):
    """Protocol of the data of a program, implemented by `ConvexProblem`, which imports this module."""

    patterns: ActivationPatterns
    lam: float
    loss: Loss
    penalty: Penalty
    has_cones: ClassVar[bool]

    @property
    def Y(self) -> FloatArray:
        """Targets as a float64 array (n, c)."""

    @property
    def operator(self) -> GatedOperator:
        """A on (X, D) in float64."""

    def program_entries(self) -> int:
        """Return the number of non-zeros of the matrices of the program, for dense X."""


def build_program(problem: ProgramData, form: Literal["primal", "dual"] = "primal") -> cp.Problem:
    """Return the primal or dual program as a `cvxpy.Problem` with named parts.

    ``y`` (n, c) and ``lam`` are CVXPY Parameters: change their values and solve again without recompiling. Add
    constraints by ``cp.Problem(prog.objective, prog.constraints + [...])``.

    primal
        Variables ``U`` (c P, d), or ``V`` and ``W`` (c P, d), row k P + i being block (k, i), and the prediction
        ``f`` (n, c). Constraints labelled "prediction", and "cone_V" and "cone_W" for C-ReLU: arrays (n, c P).
    dual
        Variables ``t`` (n, c) and, for C-ReLU, the multipliers ``g`` and ``h`` (c P, n) of the cones of V and W. Its
        value is the optimal value of the primal.

    With CVXOPT use ``program.solve(solver="CVXOPT", kktsolver="qr")``, as `cvxrelu.solve` does: otherwise CVXPY looks
    for redundant rows by ARPACK, which may fail on badly scaled data (``ArpackNoConvergence``).

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    form : {"primal", "dual"}
        The program to build.

    Raises
    ------
    ValueError
        If ``form`` is neither.
    InsufficientMemoryError
        If the program would not fit in the free memory.

    Warns
    -----
    ProgramSizeWarning
        If the program's matrix would have more than 2e8 non-zeros.
    """
    check_choice("form", form, ("primal", "dual"))
    _warn_if_large(problem, form)
    with cvxpy_alone():
        y = cp.Parameter(problem.Y.shape, name="y", value=problem.Y)
        lam = cp.Parameter(nonneg=True, name="lam", value=problem.lam)
        if form == "dual":
            return _dual(problem, y, lam)
        ones = np.ones(problem.operator.X.shape[1])
        return _primal(problem, y, lam, ones, ones, 1.0)


@cvxpy_alone()
def dual_solver_program(problem: ProgramData) -> cp.Problem:
    """Return the dual program for solvers, with objective, dual variable and multipliers scaled by n.

    The solver's feasibility tolerance is then relative to n lam, as lam may be hardly larger than the tolerance.
    """
    n = len(problem.Y)
    return _dual(problem, cp.Constant(problem.Y), cp.Constant(n * problem.lam), n)


def solver_units(problem: ProgramData) -> list[FloatArray]:
    """Return choices of units (d,) of each feature's weights for the primal program of solvers.

    Units are powers of two. With the first choice the penalty has a factor of about 1, except for features that would
    be huge: solvers satisfy dual constraints to an absolute tolerance, which may exceed lam itself. If features differ
    by orders of magnitude, further choices bound the largest features, for solvers that fail with the first.
    """
    n, d = problem.operator.X.shape
    sizes = np.linalg.norm(problem.operator.X, axis=0)
    sizes[sizes == 0.0] = 1.0
    if not _regularised(problem):
        if n <= d:  # in the row space of X, small features may be rounding errors
            return [np.ones(d)]
        return [_powers_of_two(1.0 / np.maximum(sizes, _SMALLEST_FEATURE * sizes.max()))]
    if problem.penalty.degree is None:
        return [np.ones(d)]
    unit = np.ldexp(1.0, _exponent(problem))
    choices = [_powers_of_two(np.minimum(unit, largest / sizes)) for largest in _LARGEST_FEATURES]
    return choices[:1] + [units for units in choices[1:] if units.max() > _SPREAD * units.min()]


@cvxpy_alone()
def solver_program(problem: ProgramData, units: FloatArray) -> cp.Problem:
    """Return the primal program for solvers, with n times the objective and the weights divided by ``units`` (d,)."""
    exponent = _exponent(problem)
    strength = cp.Constant(float(np.ldexp(len(problem.Y) * problem.lam, exponent * (problem.penalty.degree or 0))))
    return _primal(problem, cp.Constant(problem.Y), strength, units, np.ldexp(units, -exponent), len(problem.Y))


def _regularised(problem: ProgramData) -> bool:
    return problem.lam > 0.0 and problem.penalty.curvature != 0.0


def _exponent(problem: ProgramData) -> int:
    """Return the exponent of two of the unit of weights in which n lam is about 1."""
    degree = problem.penalty.degree
    return 0 if degree is None or not _regularised(problem) else round(-np.log2(len(problem.Y) * problem.lam) / degree)


def _powers_of_two(units: FloatArray) -> FloatArray:
    rounded: FloatArray = np.ldexp(1.0, np.round(np.log2(units)).astype(int))
    return rounded


def _primal(
    problem: ProgramData,
    y: cp.Expression,
    lam: cp.Expression,
    units: FloatArray,
    penalty_units: FloatArray,
    factor: float,
) -> cp.Problem:
    """Return factor * F(A w) + lam * Omega(z) in variables v, with w = units * v and z = penalty_units * v."""
    c, n_patterns = problem.Y.shape[1], len(problem.patterns)
    names = ("V", "W") if problem.has_cones else ("U",)
    variables = [cp.Variable((c * n_patterns, len(units)), name=name) for name in names]
    combined = variables[0] - variables[1] if len(variables) == 2 else variables[0]
    f = cp.Variable(problem.Y.shape, name="f")
    X = problem.operator.X * units
    A = _expanded_matrix(X, problem.patterns.D)
    outputs = [A @ cp.vec(combined[k * n_patterns : (k + 1) * n_patterns], order="F") for k in range(c)]
    constraints = [(f == cp.reshape(cp.hstack(outputs), f.shape, order="F")).set_label("prediction")]
    if problem.has_cones:
        signs = np.tile(np.where(problem.patterns.D, 1.0, -1.0), (1, c))
        for variable in variables:
            inside = cp.multiply(signs, X @ variable.T) >= 0
            constraints.append(inside.set_label(f"cone_{variable.name()}"))
    stacked = cp.vstack(variables) if len(variables) == 2 else variables[0]
    if not (penalty_units == 1.0).all():
        stacked = cp.multiply(np.tile(penalty_units, (stacked.shape[0], 1)), stacked)
    fit = problem.loss.expression(f, y)
    objective = (fit if factor == 1.0 else factor * fit) + lam * problem.penalty.expression(stacked, c)
    return cp.Problem(cp.Minimize(objective), constraints)


def _dual(problem: ProgramData, y: cp.Expression, lam: cp.Expression, factor: float = 1.0) -> cp.Problem:
    """Return the dual program with objective, t, multipliers and lam scaled by ``factor``."""
    (n, c), n_patterns, X = problem.Y.shape, len(problem.patterns), problem.operator.X
    t = cp.Variable(problem.Y.shape, name="t")
    At = _expanded_matrix(X, problem.patterns.D).T
    products = cp.vstack([cp.reshape(At @ t[:, k], (n_patterns, X.shape[1]), order="F") for k in range(c)])
    constraints = []
    if problem.has_cones:
        signs = np.tile(np.where(problem.patterns.D, 1.0, -1.0).T, (c, 1))
        g, h = (cp.Variable((c * n_patterns, n), name=name) for name in "gh")
        constraints += [(g >= 0).set_label("multipliers_V"), (h >= 0).set_label("multipliers_W")]
        argument = cp.vstack([-products + cp.multiply(signs, g) @ X, products + cp.multiply(signs, h) @ X])
    else:
        argument = -products
    conjugate, domain = problem.loss.conjugate_expression(t if factor == 1.0 else t / factor, y)
    term, ball = problem.penalty.conjugate_constraints(argument, lam, c)
    if factor != 1.0:
        conjugate = factor * conjugate
    return cp.Problem(cp.Maximize(-conjugate - term), constraints + domain + ball)


def _expanded_matrix(X: FloatArray, D: Mask) -> sp.csc_array:
    """Return the sparse matrix A (n, P d) with column j P + i = D_i x_{.j}, for a column-major vec of U_k."""
    masks = np.asarray(D)
    return sp.hstack([sp.csc_array(masks * X[:, [j]]) for j in range(X.shape[1])], format="csc")


def check_memory(problem: ProgramData, solver: str) -> None:
    """Raise InsufficientMemoryError if the compiled program would not fit in the free memory."""
    nonzeros = problem.program_entries()
    require(COMPILED_BYTES * nonzeros, f"{solver}'s program, of about {nonzeros:.1e} non-zeros,", _REMEDY)


def _warn_if_large(problem: ProgramData, form: str) -> None:
    nonzeros = problem.program_entries()
    require(_BUILT_BYTES * nonzeros, f"the {form} program, of about {nonzeros:.1e} non-zeros,", _REMEDY)
    if nonzeros > _LARGE_PROGRAM:
        warnings.warn(
            f"the {form} program will have about {nonzeros:.1e} non-zeros: {12e-9 * nonzeros:.0f} GB for its matrix "
            "and several times that during compilation and factorization; use fewer patterns or rows",
            ProgramSizeWarning,
            stacklevel=4,
        )
