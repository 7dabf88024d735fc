"""Honest files over all programs, scales and degenerate data: each must be verified, exactly and with intervals."""

import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import cvxrelu as cr
from cvxrelu.certificates import checker
from reference.forgeries.bases import LOSSES, masks_of, penalties_of, targets
from reference.forgeries.files import Array

VERIFIED, WIDER, NONE, REJECTED, WRONG = "verified", "wider", "no file", "rejected", "wrong"
_LOSS = 1e-8  # relative gap that a file may lose
_SCALES = (1.0, 1.0, 1.0, 1e-8, 1e8, 1e-100, 1e100, 1e-150, 1e150)
_MODERATE = _SCALES[:5]  # the search over all neurons takes no others


@dataclass(frozen=True, eq=False)
class Honest:
    """A certificate of the package, with the kind of its problem."""

    kind: str
    certificate: cr.Certificate


def honest_data(rng: np.random.Generator, scales: tuple[float, ...]) -> Array:
    """Return rows with duplicates, opposite and zero rows, unequal columns, float32, or scales from 1e-150 to 1e150."""
    X = rng.standard_normal((int(rng.integers(3, 13)), int(rng.integers(1, 5))))
    X = X * 10.0 ** rng.choice([0, 0, 3, -3], X.shape[1]) if rng.random() < 0.3 else X
    if rng.random() < 0.3:
        X[:, -1] = 1.0
    for row in (X[0], -X[0], 0.0 * X[0], 2.0 * X[0]):
        if rng.random() < 0.25:
            X[rng.integers(1, len(X))] = row
    if rng.random() < 0.2:
        X = np.rint(X)
    X = X * rng.choice(scales)
    single = rng.random() < 0.2 and 1e-30 < np.abs(X).max() < 1e30
    return np.asarray(X, dtype=np.float32 if single else np.float64)


def honest_case(seed: int) -> Honest:
    """Return the certificate of a random problem."""
    rng = np.random.default_rng([21, seed])
    loss, kind = str(rng.choice(LOSSES)), str(rng.choice(["gated", "relu", "relu", "global"]))
    scales = _MODERATE if kind == "global" else _SCALES
    X = honest_data(rng, scales)
    if kind == "global":
        loss = str(rng.choice(LOSSES[:3]))
    c = 1 if kind == "global" else int(rng.integers(2, 4)) if loss == "softmax" else int(rng.choice([1, 1, 2]))
    Y = targets(rng, loss, len(X), c)
    if loss in ("squared", "huber"):
        Y = Y * rng.choice(scales)
    y, size = Y if c > 1 else Y[:, 0], float(np.linalg.norm(Y / len(X)) * np.linalg.norm(X))
    parameter: Any = cr.Huber(max(0.5 * float(np.abs(Y).max()), 1e-300)) if loss == "huber" else loss
    lam = float(np.clip(size, 1e-300, 1e300) * 10.0 ** rng.uniform(-5, 0))
    if kind == "global":
        lam = size * float(10.0 ** rng.uniform(-2.5, 0))
        certificate = cr.solve_global(X, y, lam, parameter, tol=1e-4, time_limit=2.0, n_gates=10).certificate
        return Honest(f"global {loss}", certificate)
    penalty = str(rng.choice(penalties_of(kind)))
    lam = 0.0 if rng.random() < 0.1 else lam
    program = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    masks = masks_of(rng, np.asarray(X, dtype=float) / float(np.abs(X).max() or 1.0), int(rng.integers(1, 7)))
    problem = program(X, y, cr.ActivationPatterns(masks.T), lam, parameter, penalty)
    solution = cr.solve(problem, tol=1e-6, time_limit=2.0)
    certificate = solution.certificate if rng.random() < 0.5 else cr.certify(problem, solution, rigor="rounded")
    return Honest(f"{kind} {loss} {penalty}{'' if lam else ' lam=0'}", certificate)


@dataclass
class Honesty:
    """Counts of outcomes by kind of problem, and what was not verified."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def write_and_check(cases: int, seed: int) -> Honesty:
    """Write certificates of random problems, and check each exactly and with intervals."""
    found = Honesty()
    with tempfile.TemporaryDirectory() as folder:
        for case in range(seed * 10**6, seed * 10**6 + cases):
            kind, outcome, reason = _one(case, Path(folder) / "certificate")
            found.counts.setdefault(kind, Counter())[outcome] += 1
            if outcome in (REJECTED, WRONG):
                found.failures.append(f"case {case}, {kind}: {outcome}: {reason}")
    return found


def _one(case: int, path: Path) -> tuple[str, str, str]:
    """Return the kind of a case, its outcome, and the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            honest = honest_case(case)
    except (ValueError, cr.SolverError, cr.CertificateError) as error:  # beyond the range of float64, say
        return "unsolved", NONE, str(error)
    certificate, problem = honest.certificate, honest.certificate.problem
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cr.ConvergenceWarning)
            certificate.save(path, overwrite=True)
        contents = checker.parse(path.read_bytes())
        verdicts = [checker.check(contents, problem.X, problem.y, interval=interval) for interval in (False, True)]
    except checker.RejectedCertificate as error:
        return honest.kind, REJECTED, str(error)
    except Exception as error:
        return honest.kind, WRONG, f"{type(error).__name__}: {error}"
    bounds = [[float(Fraction(verdict[name])) for name in ("lower", "upper")] for verdict in verdicts]
    if certificate.rigor == "rounded" and (bounds[0][0] > certificate.upper or certificate.lower > bounds[0][1]):
        return honest.kind, WRONG, f"{bounds[0]} contradicts [{certificate.lower!r}, {certificate.upper!r}]"
    wider = max(upper - lower for lower, upper in bounds) > 2 * certificate.gap + _LOSS * abs(certificate.upper)
    return honest.kind, WIDER if wider else VERIFIED, ""


def honest_table(found: Honesty) -> str:
    """Return counts and failures as text."""
    kinds, total = (VERIFIED, WIDER, NONE, REJECTED, WRONG), Counter[str]()
    lines = [f"{'files':<45}" + "".join(f"{kind:>10}" for kind in kinds)]
    for name, counts in sorted(found.counts.items()):
        total += counts
        lines.append(f"{name:<45}" + "".join(f"{counts[kind]:>10}" for kind in kinds))
    lines.append(f"{'all':<45}" + "".join(f"{total[kind]:>10}" for kind in kinds))
    return "\n".join([*lines, f"failures: {len(found.failures)}", *found.failures[:60]])
