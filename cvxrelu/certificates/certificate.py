"""Certificates of optimality: both bounds are recomputed from weights and data, without trusting a solver."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from cvxrelu._validation import FloatArray, Weights, check_choice
from cvxrelu.certificates.rounded_bounds import (
    check_known,
    feasible_dual,
    into_cones,
    is_exact,
    objective_above,
    value_below,
)
from cvxrelu.certificates.writer import write_certificate
from cvxrelu.numerics.gaps import ROUNDING, check_bounds, relative_gap
from cvxrelu.numerics.rounding import EPS, TINY, check_arithmetic
from cvxrelu.penalties.base import PatternNorm
from cvxrelu.pricing.neuron_problem import NeuronBound
from cvxrelu.problems.base import ConvexProblem, as_weights
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.normalization import Normalized, normalize
from cvxrelu.problems.relu import ConvexReLU

_PART_BYTES = 2**25
_LARGEST = 1e152  # largest norm of a gradient: sums of squares of this size are finite
RIGORS = {
    "floating_point": "an estimate, computed in float64 without bounds of its rounding errors",
    "rounded": "both bounds hold in spite of all rounding errors, for the data as stored in float64",
}
_SCOPES = {
    "patterns": "optimal among networks whose neurons have the given patterns",
    "global": "optimal among two-layer ReLU networks of any width",
}
Rigor = Literal["floating_point", "rounded"]


@dataclass(frozen=True, eq=False)
class Certificate:
    """Bounds on the optimal value of a convex program, with the primal and dual points that attain them.

    Attributes
    ----------
    lower : float
        Dual objective at the feasible dual point ``dual``: no weights in ``scope`` have a smaller objective.
    upper : float
        Objective of the feasible point ``weights``. For weights so large that they are in their cones to rounding only,
        it includes the charge of the dual point's multipliers for that rounding. For scope "global" and rigor
        "rounded", the objective of the network whose neurons are the blocks of the weights.
    max_violation : float
        Largest violation of a cone by the given weights before their repair, in units of activation.
    kkt_residual : float
        The larger of two residuals at ``weights``, on normalised data (`cvxrelu.problems.normalization`): the natural
        residual ||u - prox_R(u + s)||, where s is the negative gradient plus the term of the cone multipliers, and the
        complementarity of these multipliers. Zero if and only if optimal.
    scope : str
        Set of networks for which the lower bound holds. "patterns": all whose neurons have the problem's patterns.
        "global" (from `cvxrelu.solve_global` and `cvxrelu.certify_network`): all two-layer ReLU networks, of any width.
    rigor : str
        "floating_point": ``lower`` and ``upper`` are estimates, computed in float64 without bounds of its rounding
        errors. "rounded": they account for all rounding errors, and weights and dual point are feasible in exact
        arithmetic: proven bounds for the data as stored in float64.
    weights : ndarray or pair of ndarrays
        The feasible (repaired) weights.
    dual : DualPoint
        The dual point whose objective is ``lower``.
    problem : ConvexGatedReLU or ConvexReLU
        The certified problem.
    proof : NeuronBound or None
        For scope "global": the proof that no neuron violates the dual constraint at ``dual``.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> certificate = cr.solve(problem).certificate
    >>> round(certificate.lower, 5), round(certificate.upper, 5), certificate.n_active
    (0.01818, 0.01818, 2)
    >>> print(str(certificate).splitlines()[-2])
    scope           patterns: optimal among networks whose neurons have the given patterns
    """

    lower: float
    upper: float
    max_violation: float
    kkt_residual: float
    weights: Weights
    dual: DualPoint
    problem: ConvexProblem
    scope: Literal["patterns", "global"] = "patterns"
    rigor: Rigor = "floating_point"
    proof: NeuronBound | None = None

    @property
    def gap(self) -> float:
        """``upper`` minus ``lower``: the largest possible suboptimality of the weights."""
        return self.upper - self.lower

    @property
    def rel_gap(self) -> float:
        """``gap`` over the absolute value of ``upper``; 0 if the gap is 0."""
        return relative_gap(self.lower, self.upper)

    def within(self, tol: float) -> bool:
        """Return whether the relative gap is at most tol, or the gap is indistinguishable from zero in float64.

        If the data are fitted exactly, the optimal value is 0 and no computed objective is relatively close to it. So a
        gap counts as zero below that of predictions whose relative error is 2^-32 each: for squared loss, 5e-20 of the
        objective at zero.
        """
        return self.rel_gap <= tol or self.gap <= self.problem.resolution

    @property
    def n_active(self) -> int:
        """Number of non-zero blocks, the neurons of the network."""
        return count_active(self.problem, self.weights)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the certificate to a file that `load_certificate` and the stand-alone checker read.

        The file holds weights, dual point and proof, no bounds and only a hash of the data; see certificate_format.md.
        Weights are moved into their cones and the dual point is shrunk until both are feasible exactly, so that the
        bounds that the checker derives from the file are those of exact arithmetic: about 1e-13 wider, relatively, than
        those of the certificate, for scope "global" about 1e-10. The file is written only if the checker verifies it,
        in exact arithmetic, or with float64 sums in intervals where exact arithmetic would take more than a minute.

        For scope "global" the file has the proof that no neuron violates the dual constraint: the cones or multipliers
        that `solve_global` or `certify_network` kept, or for rank at most 2 the exact maximum.

        Parameters
        ----------
        path : str or path
            The file; no extension is added.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        RejectedCertificate
            If the checker does not verify the file.
        ValueError
            If loss or penalty are user-defined, which the checker does not know; for scope "global", if the search
            kept no proof.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import cvxrelu as cr
        >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
        >>> y = np.abs(X[:, 0])
        >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
        >>> certificate = cr.solve(problem).certificate
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     certificate.save(Path(folder) / "network.cert")
        ...     verdict = cr.load_certificate(Path(folder) / "network.cert").verify(X, y, lam=0.01)

        >>> abs(verdict.upper - certificate.upper) < 1e-12
        True
        """
        write_certificate(path, self, overwrite=overwrite)

    def __str__(self) -> str:
        lines = [
            ("problem", repr(self.problem)),
            ("upper bound", f"{self.upper:.10g}  (objective of the feasible weights)"),
            ("lower bound", f"{self.lower:.10g}  (dual objective of a feasible dual point)"),
            ("gap", f"{self.gap:.3e}  (relative {self.rel_gap:.3e})"),
            ("cone violation", f"{self.max_violation:.3e}  (repaired)"),
            ("KKT residual", f"{self.kkt_residual:.3e}"),
            ("active blocks", f"{self.n_active}"),
            ("scope", f"{self.scope}: {_SCOPES[self.scope]}"),
            *([("proof", self.proof.method)] if self.proof is not None else []),
            ("rigor", f"{self.rigor}: {RIGORS[self.rigor]}"),
        ]
        return "\n".join(f"{name:<15} {value}" for name, value in lines)


def certify(
    problem: ConvexProblem, solution_or_weights: Any, dual: Any = None, rigor: Rigor = "floating_point"
) -> Certificate:
    """Return a lower and an upper bound on the optimal value, from weights and data alone.

    The weights are first repaired into their cones; the upper bound is the objective of the repaired point. The lower
    bound is the best over the feasible dual points made from the gradient at the weights and from the given dual
    variables. Dual variables are made feasible first, so none is trusted.

    With rigor "floating_point" both bounds are estimates, computed in float64 without bounds of its rounding errors.
    With rigor "rounded" they are proven for the data as stored in float64. All rounding errors are bounded a priori
    (Jeannerod & Rump 2013; Rump 2012; `cvxrelu.numerics.rounding` has assumptions and sources), including those of
    exponentials and logarithms (`cvxrelu.numerics.enclosures`). Blocks whose cone constraints cannot be proven are
    moved along a witness of their cone, or else replaced by zero; the dual point is shrunk to absorb the
    errors. On ordinary data this costs less than 1e-9 of the value. If lam = 0 or the penalty is "none", only the zero
    dual point is proven feasible, and ``lower`` is 0.

    Parameters
    ----------
    problem : ConvexGatedReLU or ConvexReLU
        The problem.
    solution_or_weights : Solution, or weights
        Weights U (c, P, d), or the pair (V, W), each (c, P, d); or a solution that holds them.
    dual : DualPoint, or array of shape (n, c), optional
        A further dual variable to try, feasible or not, besides that of a solution.
    rigor : str
        "floating_point" or "rounded".

    Returns
    -------
    Certificate
        Both bounds, with the weights and the dual point that attain them.

    Raises
    ------
    TypeError, ValueError
        If weights or dual variable do not fit the problem or are not finite, if ``rigor`` is unknown, or if the
        objective of the weights overflows; for "rounded", if loss or penalty do not bound their rounding errors; for
        "floating_point", if the objective of zero is outside the range of float64.
    CertificateError
        If the bounds contradict each other (for "floating_point", by more than rounding), which would be a bug; for
        "rounded", if the processor does not round to nearest or flushes subnormal numbers to zero.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
    >>> y = np.abs(X[:, 0])
    >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
    >>> solution = cr.solve(problem)
    >>> certificate = cr.certify(problem, solution, rigor="rounded")
    >>> certificate.scope, certificate.rigor
    ('patterns', 'rounded')
    >>> certificate.lower <= certificate.upper, certificate.rel_gap <= 1e-5
    (True, True)

    Any weights have a certificate, and bad ones a large gap:

    >>> cr.certify(problem, problem.zero_weights()).rel_gap > 0.5
    True
    """
    rounded = check_choice("rigor", rigor, RIGORS) == "rounded"
    if rounded:
        check_known(problem)
        check_arithmetic()
    else:
        problem.require_range()
    problem.require_memory()
    weights = as_weights(solution_or_weights)
    offered = [each for each in (dual, getattr(solution_or_weights, "dual", None)) if each is not None]
    return _certify_normalized(problem, weights, offered, rounded, DualWorkspace())


def certify_solved(
    problem: ConvexProblem,
    weights: Weights,
    dual: DualPoint | None,
    workspace: DualWorkspace | None,
    tol: float = 0.0,
) -> Certificate:
    """Return the certificate of `certify`, with projections warm-started from the faces in the solver's workspace.

    The solver's dual point is tried if the gradient at the weights does not prove the relative gap ``tol``.
    """
    offered = [] if dual is None else [dual]
    return _certify_normalized(problem, weights, offered, False, workspace or DualWorkspace(), tol)


def _certify_normalized(
    problem: ConvexProblem,
    weights: Weights,
    offered: list[Any],
    rounded: bool,
    workspace: DualWorkspace,
    tol: float = 0.0,
) -> Certificate:
    """Certify the normalised problem, and return the certificate in the units of the original one.

    Squares of normalised data neither overflow nor underflow, and they are the original ones times powers of two, to
    the last bit.
    """
    normal = normalize(problem)
    if rounded and not is_exact(normal, problem, weights):
        normal = Normalized(problem)
    duals = []
    for each in offered:
        known = problem.check_multipliers(getattr(each, "multipliers", None))
        t, known = normal.start_dual(problem.check_dual(getattr(each, "t", each)), known)
        duals.append(DualPoint(t, known, float("nan")))
    with np.errstate(over="ignore", invalid="ignore"):  # overflow is rejected, or proves nothing
        made = _certify(normal.problem, normal.start(weights), duals, rounded, workspace, tol)
        t, multipliers = normal.dual(made.dual.t, made.dual.multipliers)
        lower, upper = normal.value(made.lower), normal.value(made.upper)
        if rounded:  # the conversion to original units may round
            lower, upper = value_below(normal, made.lower), -value_below(normal, -made.upper)
    if not math.isfinite(upper):
        raise ValueError("the objective of the weights overflows float64")
    return replace(
        made,
        lower=lower,
        upper=upper,
        max_violation=normal.activation(made.max_violation),
        weights=normal.weights(made.weights),
        dual=DualPoint(t, multipliers, min(normal.value(made.dual.value), upper)),
        problem=problem,
    )


def _certify(
    problem: ConvexProblem,
    weights: Weights,
    duals: list[DualPoint],
    rounded: bool,
    workspace: DualWorkspace,
    tol: float,
) -> Certificate:
    violation = problem.violation(weights)
    feasible = problem.repair(weights)
    del weights  # of one more array of their size, where nothing else refers to them
    if rounded:
        feasible = into_cones(problem, feasible)
        upper, t = objective_above(problem, feasible), problem.gradient_point(feasible)
        if not (np.isfinite(upper) and np.linalg.norm(workspace.adjoint(problem.operator, t)) <= _LARGEST):
            raise ValueError("weights are too large: their objective, or the square of its gradient, overflows float64")
    else:
        upper, t = problem.objective_and_gradient(feasible)
    argument, multipliers = problem.conjugate_argument(t, None, feasible, workspace=workspace)
    best = problem.dual_point(t, multipliers, workspace=workspace, argument=argument)
    kkt_residual = _kkt_residual(problem, feasible, argument, multipliers)
    del argument  # as large as the weights
    charge = 0.0 if rounded else problem.shortfall(feasible, best)
    if not relative_gap(best.value, upper + charge) <= tol:
        best = max([best, *_offered(problem, duals, best, feasible, workspace)], key=lambda point: point.value)
        charge = 0.0 if rounded else problem.shortfall(feasible, best)
    upper += charge
    if rounded:
        best = feasible_dual(problem, best)
    rounding = 0.0 if rounded else ROUNDING
    lower = check_bounds(best.value, upper, problem.value_at_zero, problem, rounding)
    return Certificate(
        lower=lower,
        upper=upper,
        max_violation=violation,
        kkt_residual=kkt_residual,
        weights=feasible,
        dual=best,
        problem=problem,
        rigor="rounded" if rounded else "floating_point",
    )


def _offered(
    problem: ConvexProblem, duals: list[DualPoint], best: DualPoint, weights: Weights, workspace: DualWorkspace
) -> Iterator[DualPoint]:
    """Yield the feasible dual points made from given ones, unless one is ``best``: the gradient at the weights."""
    for dual in duals:
        if dual.multipliers is None and _are_equal(dual.t, best.t):
            continue  # the solver's dual variable is the gradient, scaled in the same way
        yield problem.dual_point(dual.t, weights=weights, workspace=workspace)
        if dual.multipliers is not None:
            yield problem.dual_point(dual.t, dual.multipliers, workspace=workspace)


def with_dual_point(certificate: Certificate, dual: DualPoint, **changes: Any) -> Certificate:
    """Return the certificate of the same weights with another feasible dual point and other changes.

    Raises
    ------
    CertificateError
        If the bounds contradict each other by more than rounding, which would be a bug.
    """
    problem = certificate.problem
    lower = check_bounds(dual.value, certificate.upper, problem.value_at_zero, problem)
    return replace(certificate, lower=lower, dual=dual, **changes)


def over_all_networks(of_patterns: Certificate, dual: DualPoint, proof: NeuronBound | None) -> Certificate:
    """Return the certificate of the same weights for scope "global", with a dual point feasible for all neurons."""
    return with_dual_point(of_patterns, dual, scope="global", proof=proof)


def count_active(problem: ConvexProblem, weights: Weights) -> int:
    """Return the number of non-zero blocks."""
    return int(np.any(problem.blocks(weights), axis=-1).sum())


def _are_equal(t: FloatArray, other: FloatArray) -> bool:
    """Return whether dual variables differ by rounding at most."""
    difference, allowed = t - other, EPS**2 * float(np.vdot(other, other))
    if not TINY < allowed < math.inf:  # squares under- or overflow
        return np.array_equal(t, other)
    return bool(np.vdot(difference, difference) <= allowed)


def _kkt_residual(problem: ConvexProblem, weights: Weights, argument: FloatArray, multipliers: Any) -> float:
    """Return the larger of the distance to a prox step, continuous in the weights, and the complementarity.

    The argument is overwritten.
    """
    blocks = problem.blocks(weights)  # a copy
    complementarity = 0.0
    if isinstance(problem, ConvexReLU):
        products = problem.cones.activations(blocks.reshape(-1, problem.d), multipliers)
        complementarity = float(np.abs(products).max())
    argument += blocks  # in place and in parts, as each of these arrays is as large as the weights
    n_patterns = len(problem.patterns)
    n_parts = math.ceil(blocks.nbytes / _PART_BYTES) if isinstance(problem.penalty, PatternNorm) else 1
    step = math.ceil(n_patterns / n_parts)
    distances = []
    for start in range(0, n_patterns, step):
        part = (..., slice(start, start + step), slice(None))
        residual = blocks[part] - problem.penalty.prox(argument[part], problem.lam)
        distances.append(math.sqrt(np.vdot(residual, residual)))
    return max(math.hypot(*distances), complementarity)
