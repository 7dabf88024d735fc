"""Write certificates to files of version 3; see certificate_format.md. The checker decides what is written."""

import json
import math
import os
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._files import check_free, write
from cvxrelu._validation import FloatArray, Weights
from cvxrelu.certificates import checker
from cvxrelu.certificates.rounded_bounds import argument_radius, signed_products
from cvxrelu.cones.interior import NUDGE, steps_along
from cvxrelu.cones.pattern_cones import PatternCones
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.losses.registry import LOSSES
from cvxrelu.numerics.rounding import dot_radius
from cvxrelu.patterns.packed_mask import packed_bits
from cvxrelu.penalties.base import NormPenalty
from cvxrelu.penalties.registry import PENALTIES
from cvxrelu.pricing.neuron_problem import NeuronBound
from cvxrelu.pricing.proofs import global_proof
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.normalization import normalize
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.threads import warn

# Room of the dual point below lam, in bounds of rounding errors: the first is enough for the checker's intervals, the
# others are tried for its exact arithmetic where that loses more than _LOSS of the objective.
_ROOMS = (8.0, 0.5, 0.03)
_LOSS = 1e-8
_ATTEMPTS = 5
_EXACT_SECONDS = 60.0  # longest exact check before a file is written; longer ones take intervals
_SHRUNK = "weights in their cones only to rounding were left out, or lam is near the rounding of the dual point"
_UNBOUNDED = "without a penalty, no dual point but zero is feasible exactly"
_BLOCK_BYTES = 2**25

Parts = tuple[dict[str, int], dict[str, NDArray[Any]]]  # sizes and arrays of a file


class Saved(Protocol):
    """Protocol of certificates, as far as their files need them."""

    @property
    def problem(self) -> ConvexProblem:
        """The convex program."""

    @property
    def weights(self) -> Weights:
        """The weights."""

    @property
    def dual(self) -> DualPoint:
        """The dual point."""

    @property
    def scope(self) -> str:
        """The set of networks: "patterns" or "global"."""

    @property
    def proof(self) -> NeuronBound | None:
        """For scope "global": the bound of the search."""

    @property
    def gap(self) -> float:
        """Upper minus lower bound."""


def write_certificate(
    path: str | os.PathLike[str],
    certificate: Saved,
    *,
    overwrite: bool,
    rows: dict[str, Any] | None = None,
    data: tuple[Any, Any] | None = None,
) -> None:
    """Write a certificate to a file, if the checker verifies it; see `Certificate.save`.

    With ``rows``, the map from ``data`` to the data of the problem, the file is about the former.
    """
    check_free(path, overwrite)
    problem, gap = certificate.problem, certificate.gap
    X, y = (problem.X, problem.y) if data is None else data
    best, loss = (math.inf, b""), 0.0
    for room in _ROOMS:
        raw = encode_certificate(certificate, rows=rows, room=room)
        try:
            contents = checker.parse(raw)
            interval = checker.estimate(contents, False)[0] > _EXACT_SECONDS
            verdict = checker.check(contents, X, y, interval=interval, max_memory=math.inf)
        except checker.RejectedCertificate:
            if not best[1]:
                raise
            break
        best = min((float(verdict["upper"]) - float(verdict["lower"]), raw), best)
        loss = best[0] - 2.0 * gap - _LOSS * abs(float(verdict["upper"]))
        if certificate.scope == "global" or not problem.regularised or loss <= 0.0:
            break
    write(path, best[1], overwrite)
    if loss > 0.0:
        warn(
            f"the file proves a gap of {best[0]:.1e}, larger than that of the certificate, {gap:.1e}: "
            + (_SHRUNK if problem.regularised else _UNBOUNDED),
            ConvergenceWarning,
            stacklevel=3,
        )


def encode_certificate(certificate: Saved, *, rows: dict[str, Any] | None = None, room: float = 8.0) -> bytes:
    """Return the bytes of the file of a certificate.

    Weights are moved into their cones exactly, or replaced by zero where that fails. The dual point is shrunk until its
    norm, as float64 computes it, is below lam by ``room`` times a bound of the rounding errors.

    Raises
    ------
    ValueError
        If loss or penalty are user-defined; for scope "global", if the search kept no proof.
    """
    problem = certificate.problem
    if not _is_known(problem):
        raise ValueError(
            "loss and penalty of a saved certificate must be the package's own, the only ones the checker knows; "
            f"got {problem.loss!r} and {problem.penalty!r}"
        )
    kind = None
    if certificate.scope == "global":
        kind, (sizes, arrays) = _of_all_networks(certificate)
    else:
        sizes, arrays = _of_patterns(certificate, room)
    X, Y = checker.real("X", problem.X), checker.real("y", problem.Y)
    header = {
        "kind": "relu" if problem.has_cones else "gated",
        "scope": certificate.scope,
        "loss": problem.loss.name,
        "delta": getattr(problem.loss, "delta", None),
        "penalty": problem.penalty.name,
        "lam": float(problem.lam),
        "proof": kind,
        "rows": rows,
        "data_sha256": checker.digest(X, Y),
        "sizes": {**sizes, "n": problem.n, "d": problem.d, "c": problem.n_outputs, "blocks": len(arrays["blocks"])},
    }
    members = [(arrays[name], dtype) for name, dtype, *_ in checker.layout(header)]
    body = b"".join(np.ascontiguousarray(array, dtype=dtype).tobytes() for array, dtype in members)
    return checker.MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n" + body


def _is_known(problem: ConvexProblem) -> bool:
    """Return whether the checker knows loss and penalty by their names."""
    loss, penalty = problem.loss, problem.penalty
    own = type(loss) is LOSSES.get(loss.name) and type(penalty) is PENALTIES.get(penalty.name)
    return own and loss.name in checker.CHOICES["loss"] and penalty.name in checker.CHOICES["penalty"]


def _of_patterns(certificate: Saved, room: float) -> Parts:
    """Return the parts of a file of scope patterns."""
    problem = certificate.problem
    blocks = problem.blocks(certificate.weights).reshape(-1, problem.d)
    used = np.flatnonzero(blocks.any(axis=1))
    arrays: dict[str, NDArray[Any]] = {"blocks": used, "weights": np.stack([blocks[used], 0.0 * blocks[used]])}
    if problem.penalty.name == "nuclear":
        arrays = _rank_one_terms(blocks.reshape(problem.n_outputs, -1, problem.d))
    elif isinstance(problem, ConvexReLU):
        arrays["weights"][1], kept = _into_cones(problem.cones, blocks[used], used)
        arrays = {"blocks": used[kept], "weights": arrays["weights"][:, kept]}
    t, multipliers = _shrunk(problem, certificate.dual, room)
    multipliers.sum_duplicates()
    multipliers.eliminate_zeros()
    places = np.column_stack([multipliers.row, multipliers.col])
    order = np.lexsort(places.T[::-1])
    arrays |= {"t": t, "patterns": packed_bits(problem.patterns.D)}
    arrays |= {"multipliers": multipliers.data[order], "places": places[order]}
    sizes = {"patterns": len(problem.patterns), "bytes": -(-problem.n // 8), "entries": multipliers.nnz}
    return sizes, arrays


def _shrunk(problem: ConvexProblem, dual: DualPoint, room: float) -> tuple[FloatArray, sp.coo_array]:
    """Return dual point and multipliers, in the domain of F* exactly, with a norm below lam by the given room."""
    if not problem.regularised:
        return 0.0 * dual.t, sp.coo_array((0, problem.n))
    normal = normalize(problem)  # by powers of two, so that squares are in range
    inner, scale = normal.problem, 1.0
    start, gamma = normal.start_dual(dual.t, dual.multipliers)
    t = inner.loss.into_domain(start, inner.Y)
    if isinstance(inner.penalty, NormPenalty):
        radius = argument_radius(inner, t, gamma)
        excess = inner.penalty.dual_norm_above(np.zeros_like(radius), radius)
        for _ in range(_ATTEMPTS):
            argument, _ = inner.conjugate_argument(t, None if gamma is None else scale * gamma)
            above = inner.penalty.dual_norm(argument) + room * scale * excess
            if above <= inner.lam:
                break
            scale *= (1.0 - 2.0**-50) * inner.lam / above
            t = inner.loss.into_domain(scale * start, inner.Y)
    t, gamma = normal.dual(t, None if gamma is None else scale * gamma)
    return t, sp.coo_array((0, problem.n)) if gamma is None else sp.coo_array(gamma)


def _rank_one_terms(matrices: FloatArray) -> dict[str, NDArray[Any]]:
    """Return blocks, weights and outputs of neurons whose outer products sum to the matrix (c, d) of each pattern."""
    patterns = np.flatnonzero(matrices.any(axis=(0, 2)))
    left, sizes, right = np.linalg.svd(matrices[:, patterns].transpose(1, 0, 2), full_matrices=False)
    i, k = np.nonzero(sizes)
    weights = sizes[i, k, None] * right[i, k]
    return {"blocks": patterns[i], "weights": np.stack([weights, 0.0 * weights]), "outputs": left[i, :, k]}


def _into_cones(cones: PatternCones, W: FloatArray, blocks: NDArray[np.intp]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return what to add to each row w of W (m, d) so that the exact sum is in its cone, and for which rows it is."""
    added, inside = np.zeros_like(W), np.ones(len(W), dtype=np.bool_)
    step = max(1, _BLOCK_BYTES // (8 * len(cones.X)))
    for start in range(0, len(W), step):
        products, radius = signed_products(cones, W[start : start + step], blocks[start : start + step])
        for j in np.flatnonzero((products < radius).any(axis=0)):
            rows, pattern = np.flatnonzero(products[:, j] < 2.0 * radius[:, j]), blocks[start + j] % len(cones.patterns)
            signed = np.where(cones.D[rows, pattern], 1.0, -1.0)[:, None] * cones.X[rows]
            added[start + j], inside[start + j] = _into_cone(signed, W[start + j], cones.witnesses[0][:, pattern])
    return added, inside


def _into_cone(signed: FloatArray, w: FloatArray, witness: FloatArray) -> tuple[FloatArray, bool]:
    """Return a multiple of the witness that moves w to where its products with the signed rows are >= 0, if it does."""
    products, _, unit = checker.product(signed, w[:, None])
    missing = np.maximum(-(products[:, 0] * unit).astype(np.float64), 0.0)
    gains = signed @ witness - dot_radius(np.abs(signed) @ np.abs(witness), len(w))
    added: FloatArray = NUDGE * steps_along(missing[:, None], gains[:, None])[0] * witness
    more, _, other = checker.product(signed, added[:, None])
    return added, bool((products * unit + more * other >= 0).all())


def _of_all_networks(certificate: Saved) -> tuple[str, Parts]:
    """Return the kind of proof and the parts of a file of scope global."""
    problem = certificate.problem
    V, W = problem.blocks(certificate.weights).reshape(2, -1, problem.d)
    positive, negative = V[V.any(axis=1)], W[W.any(axis=1)]
    neurons = np.concatenate([positive, negative])
    blocks = np.repeat([0, 1], [len(positive), len(negative)])
    t = problem.loss.into_domain(certificate.dual.t, problem.Y)[:, 0]
    found = global_proof(problem.X, t, problem.lam, certificate.proof)
    primal = {"blocks": blocks, "weights": np.stack([neurons, 0.0 * neurons]), "t": found.t[:, None]}
    return found.kind, (found.sizes, {**primal, **found.arrays})
