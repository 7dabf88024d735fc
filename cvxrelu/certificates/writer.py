"""Write certificates to files."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._files import pack, write
from cvxrelu._validation import Weights
from cvxrelu._version import __version__
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import SCOPES, canonical_data, check, parse, problem_hash
from cvxrelu.losses.registry import LOSSES
from cvxrelu.patterns.packed_mask import packed_bits
from cvxrelu.penalties.registry import PENALTIES
from cvxrelu.pricing.neuron_problem import NeuronBound
from cvxrelu.pricing.proofs import cone_proof, relaxation_proof
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint


def write_certificate(path: str | os.PathLike[str], raw: bytes, problem: ConvexProblem, overwrite: bool) -> None:
    """Write the bytes of a certificate of the problem to a file, if the checker verifies them."""
    check(parse(raw), problem.X, problem.y)
    write(path, raw, overwrite)


def encode_certificate(
    *,
    problem: ConvexProblem,
    weights: Weights,
    dual: DualPoint,
    lower: float,
    upper: float,
    scope: str,
    rigor: str,
    proof: NeuronBound | None,
    residuals: dict[str, float],
) -> bytes:
    """Return the bytes of the file of a certificate; see certificate_format.md.

    Raises
    ------
    ValueError
        If loss or penalty are user-defined; for scope "global", if no proof is found.
    """
    if not _is_known(problem):
        raise ValueError(
            "loss and penalty of a saved certificate must be the package's own, the only ones the checker knows; "
            f"got {problem.loss!r} and {problem.penalty!r}"
        )
    header: dict[str, Any] = {"scope": scope}
    arrays = _primal_arrays(problem, weights)
    if scope == "global":
        header["proof"], factor, members = _proof(problem, dual, proof)
        arrays |= members
        conjugate = problem.loss.conjugate
        lower -= max(0.0, conjugate(factor * dual.t, problem.Y) - conjugate(dual.t, problem.Y))
        dual = replace(dual, t=factor * dual.t)
    arrays |= _dual_arrays(dual)
    header |= {"rigor": rigor, **_description(problem), "lower": float(lower), "upper": float(upper)}
    return pack(_header(problem, header, residuals), arrays)


def _is_known(problem: ConvexProblem) -> bool:
    """Return whether the checker knows loss and penalty by their names."""
    loss, penalty = problem.loss, problem.penalty
    own = type(loss) is LOSSES.get(loss.name) and type(penalty) is PENALTIES.get(penalty.name)
    return own and loss.name in checker.LOSSES and penalty.name in checker.PENALTIES


def _primal_arrays(problem: ConvexProblem, weights: Weights) -> dict[str, NDArray[Any]]:
    """Return the arrays of patterns, gates and non-zero blocks."""
    blocks = problem.blocks(weights).reshape(-1, problem.d)
    used = np.flatnonzero(blocks.any(axis=1))
    arrays = {
        "patterns": packed_bits(problem.patterns.D),
        "blocks": used.astype("<i8"),
        "weights": blocks[used].astype("<f8"),
    }
    return arrays if problem.patterns.G is None else arrays | {"gates": problem.patterns.G.astype("<f8")}


def _dual_arrays(dual: DualPoint) -> dict[str, NDArray[Any]]:
    """Return the arrays of the dual variable and the cone multipliers."""
    arrays = {"t": np.asarray(dual.t, dtype="<f8")}
    if dual.multipliers is not None:
        multipliers = sp.csr_array(dual.multipliers, copy=True)
        multipliers.sum_duplicates()
        multipliers.eliminate_zeros()
        arrays["multiplier_values"] = multipliers.data.astype("<f8")
        arrays["multiplier_rows"] = multipliers.indices.astype("<i8")
        arrays["multiplier_starts"] = multipliers.indptr.astype("<i8")
    return arrays


def _description(problem: ConvexProblem) -> dict[str, Any]:
    """Return the header's description of the problem."""
    return {
        "n": problem.n,
        "d": problem.d,
        "c": problem.n_outputs,
        "n_patterns": len(problem.patterns),
        "lam": problem.lam,
        "loss": {"name": problem.loss.name, **vars(problem.loss)},
        "penalty": problem.penalty.name,
        "x_dtype": str(problem.X.dtype),
    }


def _header(problem: ConvexProblem, claims: dict[str, Any], residuals: dict[str, float]) -> dict[str, Any]:
    """Return the header of the file; its order is that of the file."""
    X, Y = canonical_data(problem.X, problem.y)
    return {
        "format": "cvxrelu certificate",
        "version": {scope: version for version, scope in SCOPES.items()}[claims["scope"]],
        "kind": "relu" if problem.has_cones else "gated",
        **claims,
        "problem_sha256": problem_hash(X, Y, problem.lam, claims["loss"], problem.penalty.name),
        "info": {
            "cvxrelu": __version__,
            "numpy": np.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **{name: _finite(value) for name, value in residuals.items()},
        },
    }


def _proof(
    problem: ConvexProblem, dual: DualPoint, bound: NeuronBound | None
) -> tuple[str, float, dict[str, NDArray[Any]]]:
    """Return the kind of proof, the factor by which it scales the dual point, and its arrays."""
    X, t, lam = problem.X, dual.t[:, 0], problem.lam
    if bound is None or bound.method != "relaxation":
        return "cones", *cone_proof(X, t, lam, None if bound is None else bound.cones)
    if bound.multipliers is None:
        raise ValueError("the bound of a relaxation cannot be saved without its multipliers")
    return "relaxation", *relaxation_proof(X, t, lam, bound.multipliers)


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
