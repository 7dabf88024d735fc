"""Cone decompositions: split gated weights u into v - w with v and w in the cones of their patterns."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvxrelu._validation import BoolArray, FloatArray, check_choice, check_numeric, check_solver
from cvxrelu.cones.interior import NUDGE, rounding, steps_along
from cvxrelu.cones.polyhedron_projection import PolyhedronProjector
from cvxrelu.decompositions.cvxpy_blocks import OBJECTIVES, BlockProgram
from cvxrelu.decompositions.native import (
    ApproximateDecomposition,
    least_norm_split,
    least_squares_split,
    shortest_split,
)
from cvxrelu.exceptions import UnsupportedOptionWarning
from cvxrelu.numerics.active_set import IndexArray
from cvxrelu.numerics.rows import row_norms
from cvxrelu.problems.base import ConvexProblem, as_weights, check_problem
from cvxrelu.problems.cvxpy_backends import require_available, solver_names

METHODS = ("socp", "l2", "l1", "feasible", "pinv", "witness", "approximate")
_NATIVE = {"socp": least_norm_split, "l2": least_squares_split}
_CHUNK_BYTES = 2**23


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Cone decomposition of gated weights.

    Attributes
    ----------
    V, W : ndarray of shape (c, P, d)
        Weights in their cones with V - W = U; both zero in blocks without a decomposition.
    failed : ndarray of shape (c, P), bool
        Blocks for which no decomposition was found: their pattern is singular.
    """

    V: FloatArray
    W: FloatArray
    failed: BoolArray


def decompose(
    problem: ConvexProblem,
    U: Any,
    method: str | ApproximateDecomposition = "socp",
    *,
    solver: str = "auto",
    start: Any = None,
    verbose: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Split gated weights U into V - W with all blocks of V and W in the cones of their patterns.

    The ReLU network of (V, W) has the predictions of the gated network of U. The result of every method is feasible:
    blocks that miss their cone by a solver's tolerance are projected, then moved along an interior witness of the cone
    by more than rounding.

    Parameters
    ----------
    problem : ConvexReLU or ConvexGatedReLU
        Its X and patterns are used; loss, penalty and lam are not.
    U : ndarray of shape (c, P, d), or Solution
        Gated weights. Zero blocks are skipped.
    method : str or ApproximateDecomposition
        For each block, with v = u + w:

        - "socp": least ||v|| + ||w|| (CD-SOCP, "min-l2"). Native and exact.
        - "l2": least ||v||^2 + ||w||^2 (CD-L2). Native and exact.
        - "l1": least ||v||_1 + ||w||_1 (CD-L1), by CVXPY.
        - "feasible": any decomposition (CD-F), by CVXPY.
        - "pinv": w = pinv(Xt) (Xt u)_-; needs X of full row rank.
        - "witness": w = t g with the least t, for a g in the interior of the cone: the gate if it is. No program is
          solved.
        - "approximate": CD-A, penalised violations by accelerated gradient steps for all blocks at once; pass an
          `ApproximateDecomposition` for settings other than the paper's.
    solver : str
        "auto": the native method if there is one, else CLARABEL. Or the name of a CVXPY solver, for "socp", "l2", "l1",
        "feasible": one program, compiled once and solved block by block.
    start : pair of ndarrays (V, W), optional
        Initial point of "approximate", which uses W. Other methods ignore it with a warning.
    verbose : bool
        Whether to show progress.

    Returns
    -------
    V : ndarray of shape (c, P, d)
        Blocks v = u + w: violation exactly 0 in cones with interior, within rounding in others.
    W : ndarray of shape (c, P, d)
        Blocks w, feasible likewise; V - W = U to rounding.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; if method is "pinv" and X does not have full row rank; if a block has no
        decomposition, as its pattern is singular: K - K is not R^d. The message lists such patterns.
    SolverNotAvailableError
        If the solver is not installed or has no licence.

    References
    ----------
    Mishkin, Sahiner & Pilanci, ICML 2022, arXiv 2202.01331: cone decompositions; v4 on singular gates.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    >>> patterns = cr.sample_patterns(X, n_gates=5, seed=0)
    >>> gated = cr.solve(cr.ConvexGatedReLU(X, y, patterns, lam=0.01))
    >>> problem = cr.ConvexReLU(X, y, patterns, lam=0.01)
    >>> V, W = cr.decompose(problem, gated)
    >>> np.allclose(V - W, gated.weights), problem.violation((V, W))
    (True, 0.0)
    >>> bool(np.linalg.norm(V) + np.linalg.norm(W) > np.linalg.norm(gated.weights))  # the price of the cones
    True
    """
    result = split(problem, U, method, solver=solver, start=start, verbose=verbose)
    if result.failed.any():
        patterns = np.flatnonzero(result.failed.any(axis=0))
        listed = ", ".join(map(str, patterns[:10])) + (", ..." if len(patterns) > 10 else "")
        raise ValueError(
            f"U has {int(result.failed.sum())} block(s) that are not a difference of two points of their cones: "
            f"patterns {listed} are singular; leave them out (patterns.is_singular(X) finds them)"
        )
    return result.V, result.W


def split(
    problem: ConvexProblem,
    U: Any,
    method: str | ApproximateDecomposition = "socp",
    *,
    solver: str = "auto",
    start: Any = None,
    verbose: bool = False,
) -> Decomposition:
    """Return the decomposition of all blocks that have one; the parameters are those of `decompose`."""
    name, settings = check_method(method)
    program = _check_solver(name, solver)
    blocks = check_gated_weights(problem, U)
    c, P, d = blocks.shape
    flat = blocks.reshape(-1, d)
    used = np.flatnonzero(np.any(flat, axis=1))
    first = _check_start(problem, start, name)
    sizes = np.ones(len(flat))
    largest = np.abs(flat[used]).max(axis=1, initial=0.0)
    sizes[used] = row_norms(flat[used] / largest[:, None]) * largest  # squares of such entries may overflow
    V, W, failed = np.zeros_like(flat), np.zeros_like(flat), np.zeros(len(flat), dtype=np.bool_)
    splitter = _Splitter(problem, np.unique(used % P), name, settings, program)
    chunks = list(chunks_of(used, problem.n, splitter.inner.shape[1]))
    for chunk in _with_progress(chunks) if verbose else chunks:
        scale = sizes[chunk, None]
        start_here = np.zeros((len(chunk), d)) if first is None else first.reshape(-1, d)[chunk] / scale
        v, w, missed = splitter.split(flat[chunk] / scale, chunk % P, start_here)
        W[chunk], V[chunk], failed[chunk] = scale * w, scale * v, missed
    shape = (c, P, d)
    return Decomposition(V.reshape(shape), W.reshape(shape), failed.reshape(c, P))


def supporting_rows(problem: ConvexProblem, U: FloatArray) -> dict[tuple[int, int], IndexArray]:
    """Return for each non-zero block (k, i) of U (c, P, d) the rows J of X that support its shortest w.

    The shortest w with w and w + u in K_i is pinv(Xt_J) max(0, -Xt_J u), where J are linearly independent tight rows,
    none if u is in K_i. J is meaningless for a block without a decomposition.
    """
    _, P, d = U.shape
    X, space = problem.operator.X, problem.row_space
    flat = U.reshape(-1, d)
    if space is not None:
        X, flat = space.rows, space.coordinates(flat)
    used = np.flatnonzero(np.any(flat, axis=1))
    found: dict[tuple[int, int], IndexArray] = {}
    for chunk in chunks_of(used, problem.n, X.shape[1]):
        active = problem.patterns.D[:, chunk % P]
        units = flat[chunk] / np.abs(flat[chunk]).max(axis=1, keepdims=True)
        products = np.where(active, 1.0, -1.0) * (X @ units.T)
        projector = PolyhedronProjector(X, active, np.maximum(-products, 0.0))
        shortest_split(projector, units)
        for index, block in enumerate(chunk.tolist()):
            found[divmod(block, P)] = projector.tight_rows(index)
    return found


def check_gated_weights(problem: ConvexProblem, U: Any) -> FloatArray:
    """Return U, or the weights of a gated Solution, as a float64 array (c, P, d)."""
    check_problem(problem)
    weights = as_weights(U)
    if isinstance(weights, tuple):
        raise TypeError("U must be gated weights of shape (c, P, d); got a pair (V, W), which is already decomposed")
    blocks = check_numeric("U", weights).astype(np.float64)
    shape = (problem.n_outputs, len(problem.patterns), problem.d)
    if blocks.shape != shape:
        raise ValueError(f"U must have shape (c, P, d) = {shape}; got {blocks.shape}")
    return blocks


class _Splitter:
    """One decomposition method for the blocks of some patterns of a problem.

    If n < d, all methods but "l1" work on ``inner``: X in coordinates of its row space, and a zero column for the
    block's component orthogonal to it. Solutions lie in the span of both.
    """

    def __init__(
        self,
        problem: ConvexProblem,
        patterns: IndexArray,
        method: str,
        settings: ApproximateDecomposition,
        solver: str | None,
    ) -> None:
        self.X = problem.operator.X
        self.D = problem.patterns.D
        self.method = method
        self.settings = settings
        self.row_norms = row_norms(self.X)
        self.space = None if method == "l1" else problem.row_space
        self.inner = self.X if self.space is None else np.pad(self.space.rows, ((0, 0), (0, 1)))
        self.program = None if solver is None else BlockProgram(self.inner, method, solver)
        self.inverse = _pseudo_inverse(self.inner) if method == "pinv" else None
        self.index = np.zeros(len(problem.patterns), dtype=np.intp)
        self.index[patterns] = np.arange(len(patterns))
        if len(patterns):
            self.witnesses, self.found = problem.restrict(patterns).patterns.witnesses(self.X)

    def split(self, U: FloatArray, patterns: IndexArray, start: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Return v, w (B, d) and a mask of failed blocks, for blocks U (B, d) of norm one."""
        active = self.D[:, patterns]
        signs = np.where(active, 1.0, -1.0)
        index = self.index[patterns]
        witnesses, found = self.witnesses[:, index].T, self.found[index]
        products, gains = signs * (self.X @ U.T), signs * (self.X @ witnesses.T)
        if self.space is None:
            w = self._split(U, start, witnesses, active, signs, gains)
        else:
            coordinates = self.space.coordinates(U)
            beyond = U - self.space.vectors(coordinates)
            lengths = row_norms(beyond)
            beyond /= np.where(lengths > 0.0, lengths, 1.0)[:, None]
            along = np.einsum("ij,ij->i", start, beyond)
            w = self._split(
                np.column_stack([coordinates, lengths]),
                np.column_stack([self.space.coordinates(start), along]),
                np.pad(self.space.coordinates(witnesses), ((0, 0), (0, 1))),
                active,
                signs,
                gains,
            )
            w = self.space.vectors(w[:, :-1]) + w[:, -1:] * beyond
        if self.method in ("socp", "l1"):  # if u or -u is in K, the optimal decomposition is trivial
            inside = (products >= 0.0).all(axis=0)
            opposite = (products <= 0.0).all(axis=0) & ~inside
            w[inside], w[opposite] = 0.0, -U[opposite]
        return self._make_feasible(U, w, signs, witnesses, gains, found)

    def _split(
        self,
        U: FloatArray,
        start: FloatArray,
        witnesses: FloatArray,
        active: BoolArray,
        signs: FloatArray,
        gains: FloatArray,
    ) -> FloatArray:
        """Return w for the blocks U in the coordinates of ``inner``, feasible to rounding."""
        offsets = np.maximum(-signs * (self.inner @ U.T), 0.0)
        if self.program is not None:
            w = np.stack([self.program.solve(u, s, o) for u, s, o in zip(U, signs.T, offsets.T, strict=True)])
        elif self.inverse is not None:
            w = (self.inverse @ (signs * offsets)).T
        elif self.method == "witness":
            w = steps_along(offsets, gains)[:, None] * witnesses
        elif self.method == "approximate":
            w = self.settings.split(self.inner, active, U, start)
        else:
            w = _NATIVE[self.method](PolyhedronProjector(self.inner, active, offsets), U)
        return self._project_onto(w, active, signs, offsets)

    def _project_onto(self, w: FloatArray, active: BoolArray, signs: FloatArray, offsets: FloatArray) -> FloatArray:
        """Project those blocks of w that violate their constraints by more than rounding."""
        margins = signs * (self.inner @ w.T) - offsets
        guard = self._guard(w, w)
        outside = np.flatnonzero((margins < -guard).any(axis=0) & np.isfinite(w).all(axis=1))
        if len(outside):
            projector = PolyhedronProjector(self.inner, active[:, outside], offsets[:, outside])
            w = w.copy()
            w[outside] = projector.project(np.arange(len(outside)), w[outside])
        return w

    def _make_feasible(
        self,
        U: FloatArray,
        w: FloatArray,
        signs: FloatArray,
        witnesses: FloatArray,
        gains: FloatArray,
        found: BoolArray,
    ) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Return v and w moved along the witness until their margins exceed rounding, and a mask of failures."""
        v = w + U
        guard = self._guard(w, v)
        need = np.zeros(len(U))
        for part in (v, w):
            missing = guard - signs * (self.X @ part.T)
            missing[:, ~np.any(part, axis=1)] = 0.0  # zero is in every cone
            np.maximum(need, steps_along(missing, gains), out=need)
        w = w + NUDGE * need[:, None] * witnesses
        v = w + U
        worst = np.minimum(signs * (self.X @ w.T), signs * (self.X @ v.T))
        # In a cone without interior, the products of feasible points round to either side of zero.
        good: BoolArray = np.all(worst >= np.where(found, 0.0, -guard), axis=0)
        v[~good], w[~good] = 0.0, 0.0
        return v, w, ~good

    def _guard(self, w: FloatArray, v: FloatArray) -> FloatArray:
        """Return bounds (n, B) on the rounding of the products of w and v with the rows of X."""
        size = np.maximum(row_norms(w), row_norms(v))
        guard: FloatArray = rounding(w.shape[1]) * self.row_norms[:, None] * size
        return guard


def check_method(method: Any) -> tuple[str, ApproximateDecomposition]:
    """Return the name of a method and the settings of "approximate"."""
    if isinstance(method, ApproximateDecomposition):
        return "approximate", method
    return check_choice("method", method, METHODS), ApproximateDecomposition()


def _check_solver(method: str, solver: Any) -> str | None:
    """Return the name of the CVXPY solver for the blocks, or None for a native method."""
    is_auto = isinstance(solver, str) and solver.lower() == "auto"
    name = check_solver(solver, ["auto"] if is_auto else ["auto", *solver_names()])  # importing CVXPY is slow
    if method not in OBJECTIVES:
        if name != "auto":
            raise ValueError(
                f"solver must be 'auto' for method {method!r}, which solves no CVXPY program; got {solver!r}. "
                f"Methods with programs: {', '.join(OBJECTIVES)}"
            )
        return None
    if name == "auto":
        return None if method in _NATIVE else "CLARABEL"
    require_available(name)
    return name


def _check_start(problem: ConvexProblem, start: Any, method: str) -> FloatArray | None:
    if start is None:
        return None
    if method != "approximate":
        warnings.warn(f"method {method!r} cannot start from given weights", UnsupportedOptionWarning, stacklevel=4)
        return None
    if not isinstance(start, tuple | list) or len(start) != 2:
        raise TypeError(f"start must be a pair (V, W); got {type(start).__name__}")
    return check_gated_weights(problem, start[1])


def _pseudo_inverse(X: FloatArray) -> FloatArray:
    rank = np.linalg.matrix_rank(X)
    if rank < len(X):
        raise ValueError(
            f"method 'pinv' needs X of full row rank; got rank {rank} for {len(X)} rows. "
            "'socp' and 'witness' work for any rank"
        )
    inverse: FloatArray = np.linalg.pinv(X)
    return inverse


def _with_progress(chunks: list[IndexArray]) -> Iterable[IndexArray]:
    """Return the chunks with a progress bar."""
    from rich.progress import track

    return track(chunks, "decomposing")


def chunks_of(used: IndexArray, n: int, d: int) -> Iterator[IndexArray]:
    """Yield chunks of the block indices whose arrays stay within _CHUNK_BYTES."""
    step = max(1, _CHUNK_BYTES // (16 * (n + d**2)))
    for start in range(0, len(used), step):
        yield used[start : start + step]
