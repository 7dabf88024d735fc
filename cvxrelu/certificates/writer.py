"""Certificates written to files."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cvxrelu._files import check_free, pack, write
from cvxrelu._version import __version__
from cvxrelu.certificates.checker import PENALTIES, SCOPES, canonical_data, check, parse, problem_hash
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from cvxrelu.losses.squared import Squared
from cvxrelu.patterns.packed_mask import packed_bits
from cvxrelu.pricing.proofs import cone_proof, relaxation_proof
from cvxrelu.problems.relu import ConvexReLU

if TYPE_CHECKING:
    from cvxrelu.certificates.certificate import Certificate

_LOSSES = (Squared, Huber, Logistic, SoftmaxCrossEntropy)


def save_certificate(certificate: Certificate, path: str | os.PathLike[str], overwrite: bool) -> None:
    """Write a certificate that the checker verifies to a file; see `Certificate.save`."""
    check_free(path, overwrite)
    problem = certificate.problem
    raw = _encode(certificate)
    check(parse(raw), problem.X, problem.y)
    write(path, raw, overwrite)


def _encode(certificate: Certificate) -> bytes:
    """Return the bytes of the file."""
    problem, dual, lower = certificate.problem, certificate.dual, certificate.lower
    if type(problem.loss) not in _LOSSES or problem.penalty.name not in PENALTIES:
        raise ValueError(
            "loss and penalty must be the package's own to be saved: the checker knows no others; "
            f"got {problem.loss!r} and {problem.penalty!r}"
        )
    blocks = problem.blocks(certificate.weights).reshape(-1, problem.d)
    used = np.flatnonzero(blocks.any(axis=1))
    arrays = {
        "patterns": packed_bits(problem.patterns.D),
        "blocks": used.astype("<i8"),
        "weights": blocks[used].astype("<f8"),
    }
    if problem.patterns.G is not None:
        arrays["gates"] = problem.patterns.G.astype("<f8")
    is_relu = isinstance(problem, ConvexReLU)
    proof = {}
    if certificate.scope == "global":
        proof["proof"], share, members = _proof(certificate)
        arrays |= members
        conjugate = problem.loss.conjugate
        lower -= max(0.0, conjugate(share * dual.t, problem.Y) - conjugate(dual.t, problem.Y))
        dual = replace(dual, t=share * dual.t)
    arrays["t"] = np.asarray(dual.t, dtype="<f8")
    if dual.multipliers is not None:
        multipliers = sp.csr_array(dual.multipliers, copy=True)
        multipliers.sum_duplicates()
        multipliers.eliminate_zeros()
        arrays["multiplier_values"] = multipliers.data.astype("<f8")
        arrays["multiplier_rows"] = multipliers.indices.astype("<i8")
        arrays["multiplier_starts"] = multipliers.indptr.astype("<i8")
    X, Y = canonical_data(problem.X, problem.y)
    loss = {"name": problem.loss.name, **vars(problem.loss)}
    header: dict[str, Any] = {
        "format": "cvxrelu certificate",
        "version": {scope: version for version, scope in SCOPES.items()}[certificate.scope],
        "kind": "relu" if is_relu else "gated",
        "scope": certificate.scope,
        **proof,
        "rigor": certificate.rigor,
        "n": problem.n,
        "d": problem.d,
        "c": problem.n_outputs,
        "n_patterns": len(problem.patterns),
        "lam": problem.lam,
        "loss": loss,
        "penalty": problem.penalty.name,
        "x_dtype": str(problem.X.dtype),
        "lower": float(lower),
        "upper": float(certificate.upper),
        "problem_sha256": problem_hash(X, Y, problem.lam, loss, problem.penalty.name),
        "info": {
            "cvxrelu": __version__,
            "numpy": np.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "max_violation": _finite(certificate.max_violation),
            "kkt_residual": _finite(certificate.kkt_residual),
        },
    }
    return pack(header, arrays)


def _proof(certificate: Certificate) -> tuple[str, float, dict[str, NDArray[Any]]]:
    """Return the kind of proof, what the dual point is to be multiplied by for it, and its members."""
    X, t, lam, bound = certificate.problem.X, certificate.dual.t[:, 0], certificate.problem.lam, certificate.proof
    if bound is None or bound.method != "relaxation":
        return "cones", *cone_proof(X, t, lam)
    if bound.multipliers is None:
        raise ValueError("the bound of a relaxation cannot be saved without its multipliers")
    return "relaxation", *relaxation_proof(X, t, lam, bound.multipliers)


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
