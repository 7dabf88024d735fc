"""Small problems with honest certificates, which a forger changes, and exact bounds of their optimal values."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from cvxrelu.certificates.writer import encode_certificate
from reference.forgeries.files import Array, File, data_hash, decode, encode
from reference.forgeries.oracle import Points, Statement, bounds, largest_neuron, proposed
from reference.rationals import rational

LOSSES = ("squared", "huber", "logistic", "softmax")
PENALTIES = ("group_l1", "l1", "feature_group_l1", "squared_l2", "none", "nuclear")


@dataclass(frozen=True, eq=False)
class Base:
    """An honest file, its statement with exact bounds of the optimal value, and the data that a verifier has."""

    name: str
    statement: Statement
    file: File
    bounds: tuple[Fraction, Fraction]
    X: Array
    y: Array

    @property
    def raw(self) -> bytes:
        """The bytes of the file."""
        return encode(self.file)

    @property
    def given(self) -> dict[str, Any]:
        """The whole statement but the data."""
        return as_given(self.statement)

    @property
    def liar(self) -> Array:
        """The dual point (n, c) with the best dual value of all, which satisfies no constraint."""
        s = self.statement
        if s.loss in ("squared", "huber"):
            u = -s.Y if s.loss == "squared" else np.clip(-s.Y, -float(s.delta or 0.0), float(s.delta or 0.0))
        else:
            u = -s.Y / 2 if s.loss == "logistic" else 1.0 / s.Y.shape[1] - s.Y
        return np.asarray(u / len(s.Y))


def as_given(s: Statement) -> dict[str, Any]:
    """Return a statement as arguments of the checker."""
    given = {key: getattr(s, key) for key in ("kind", "scope", "loss", "delta", "penalty", "lam")}
    return given | {"patterns": None if s.masks is None else s.masks.T}


@cache
def all_bases() -> tuple[Base, ...]:
    """Return all bases, in a fixed order."""
    return (*patterns_bases(), *special_bases(), *global_bases(), mapped_base())


def base_of(name: str, s: Statement, hint: Array | None = None) -> Base:
    """Return the base of a statement; its certificate is that of the package, and the hint a good first block."""
    points = proposed(s)
    if hint is not None and s.masks is not None:
        blocks = np.zeros((s.sides, s.Y.shape[1], len(s.masks), s.X.shape[1]))
        blocks[0, 0, 0] = hint
        points.weights.append(blocks)
    return Base(name, s, file_of(points, s), bounds(s, points), s.X, s.Y)


def file_of(points: Points, s: Statement) -> File:
    """Return the honest file of a statement."""
    certificate = points.certificate
    if certificate is None:
        raise ValueError(f"no certificate of {s}")
    return decode(encode_certificate(certificate))


def data(rng: np.random.Generator, shape: int, d: int) -> Array:
    """Return rows of one of several shapes: a bias, opposite, double and zero rows, integers, unequal columns."""
    X = rng.standard_normal((int(rng.integers(4, 7)), d))
    if shape == 0:
        X[:, -1] = 1.0
    elif shape == 1:
        X = np.vstack([X[:3], -X[:2], X[:1], np.zeros((1, d))])
    elif shape == 2:
        X = rng.integers(-2, 3, size=X.shape).astype(float)
    else:
        X = X * 10.0 ** rng.uniform(-3, 3, d)
    return X


def targets(rng: np.random.Generator, loss: str, n: int, c: int) -> Array:
    """Return targets (n, c) of a loss."""
    if loss == "logistic":
        return np.where(rng.random((n, c)) < 0.5, -1.0, 1.0)
    return np.eye(c)[rng.integers(0, c, n)] if loss == "softmax" else rng.standard_normal((n, c))


def masks_of(rng: np.random.Generator, X: Array, count: int = 4) -> Array:
    """Return different patterns (P, n) of rows."""
    return np.unique(X @ rng.standard_normal((X.shape[1], count)) >= 0, axis=1).T


def penalties_of(kind: str) -> tuple[str, ...]:
    """Return the penalties of a kind of program."""
    return PENALTIES if kind == "gated" else PENALTIES[:5]


def patterns_bases() -> Iterator[Base]:
    """Yield bases of scope patterns: all losses and penalties."""
    programs = [
        (kind, loss, penalty) for kind in ("gated", "relu") for loss in LOSSES for penalty in penalties_of(kind)
    ]
    for index, (kind, loss, penalty) in enumerate(programs):
        rng = np.random.default_rng([19, index])
        X = data(rng, index % 4, 1 + index % 3)
        c = 2 if loss == "softmax" or (penalty in ("nuclear", "l1") and loss != "logistic") else 1
        Y, masks = targets(rng, loss, len(X), c), masks_of(rng, X)
        lam = 0.0 if penalty == "none" else 0.05 * float(np.linalg.norm(X) / len(X))
        delta = 0.5 if loss == "huber" else None
        yield base_of(f"{kind} {loss} {penalty}", Statement(X, Y, lam, loss, delta, penalty, kind, "patterns", masks))


def special_bases() -> Iterator[Base]:
    """Yield bases whose data tempt a checker with a tolerance."""
    one, three = np.ones((1, 3), dtype=bool), np.full((3, 1), 3.0)
    squared: tuple[str, None, str] = ("squared", None, "group_l1")
    cone = np.array([[1.0, 0.0], [-1.0, -1e-15], [0.0, 1.0]])  # the cone of the pattern is {0}
    yield base_of("cone", Statement(cone, np.array([[0.0], [0.0], [3.0]]), 0.01, *squared, "relu", "patterns", one))
    opposite = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    Y = np.array([[0.0], [0.0], [3.0]])
    yield base_of("opposite", Statement(opposite, Y, 0.01, *squared, "relu", "patterns", one), np.array([1.49, -1.49]))
    absorbing = np.array([[1e16, 1e16], [1.0, 0.0], [-1e16, -1e16]])
    for lam in (0.01, 0.0):
        yield base_of(
            "absorbing", Statement(absorbing, three, lam, *squared, "gated", "patterns", one), np.array([3.0, -3.0])
        )
    domain = np.array([[1.0], [1e15]])
    logistic: tuple[str, None, str] = ("logistic", None, "group_l1")
    s = Statement(domain, np.ones((2, 1)), 0.01, *logistic, "gated", "patterns", one[:, :2])
    yield base_of("domain", s, np.array([4.0]))
    rng = np.random.default_rng(5)
    for size in (1e150, 1e-150):
        X, Y = size * data(rng, 0, 2), rng.standard_normal((6, 1))
        Y = np.resize(Y, (len(X), 1))
        for kind in ("gated", "relu"):
            s = Statement(X, Y, 0.1 * size, *squared, kind, "patterns", masks_of(rng, X))
            yield base_of(f"scale {size:g}", s)


def global_bases() -> Iterator[Base]:
    """Yield bases of scope global: all losses, data of one to three columns, all proofs, plain and searched."""
    for index, (d, loss) in enumerate((d, loss) for d in (1, 2, 2, 3, 3) for loss in LOSSES[:3]):
        rng = np.random.default_rng([20, index])
        X = data(rng, index % 3, d)
        if index >= 12:  # of rank 2
            X[:, 2] = X[:, 0] - 2.0 * X[:, 1]
        delta = 0.5 if loss == "huber" else None
        s = Statement(X, targets(rng, loss, len(X), 1), 0.05, loss, delta, "group_l1", "relu", "global", None)
        points = proposed(s)
        limits = bounds(s, points)
        yield Base(f"global {loss} {d} searched", s, file_of(points, s), limits, s.X, s.Y)
        for proof in ("cones", "relaxation", "maximum")[: 2 + (d < 3)]:
            yield Base(f"global {loss} {d} {proof}", s, plain_file(s, points, proof), limits, s.X, s.Y)


def plain_file(s: Statement, points: Points, proof: str) -> File:
    """Return a file of scope global whose lines are the rows, with the simplest proof: no cuts, no slopes."""
    X, t, (W, outputs) = s.X, points.duals[0][0][:, 0], points.networks[0]
    more: dict[str, Array] = {}
    if proof == "maximum":
        size = float(largest_neuron(rational(X), rational(t)))
    elif proof == "cones":
        size, more = _cones(X, t)
    else:
        size, more = _relaxation(X, t)
    factor = min(1.0, (1.0 - 1e-12) * s.lam / size)
    kept = W.any(axis=1)
    arrays = {
        "weights": np.stack([W[kept], 0 * W[kept]]),
        "blocks": outputs[kept, 0] < 0,
        "t": factor * t[:, None],
        "basis": np.eye(X.shape[1]),
        "lines": X,
        "row_lines": np.arange(1, len(X) + 1),
        "row_sizes": np.ones(len(X)),
    }
    for name, array in more.items():
        arrays[name] = factor * array if name in ("points", "corners") else array
    if proof == "relaxation":
        arrays["multipliers"] = factor * arrays["multipliers"]
    header: dict[str, Any] = {"rows": None, "data_sha256": data_hash(X, s.Y), "proof": proof, "sizes": {}}
    header |= {key: getattr(s, key) for key in ("kind", "scope", "loss", "delta", "penalty", "lam")}
    return File(header, {}).with_arrays(**arrays)


def _cones(X: Array, t: Array) -> tuple[float, dict[str, Array]]:
    """Return a bound of |t'(X u)_+|, and the orthants with their points."""
    r = X.shape[1]
    signs = np.array([[2 * (i >> j & 1) - 1 for j in range(r)] for i in reversed(range(1 << r))])
    point = np.abs(t) @ np.abs(X) * (1.0 + 1e-14)
    arrays = {"cuts": np.zeros((2 << r, 4)), "points": np.vstack([signs, signs]) * point}
    return float(np.linalg.norm(point)), {**arrays, "multipliers": np.zeros(0), "places": np.zeros((0, 2))}


def _relaxation(X: Array, t: Array) -> tuple[float, dict[str, Array]]:
    """Return a bound of |t'(X u)_+|, and rho, kappa and corners that prove it."""
    largest, multipliers, corners = 0.0, np.zeros((2, 4, len(X))), np.zeros((2, 2))
    heights = np.linalg.norm(X, axis=1)
    heights[heights == 0.0] = 1.0
    for side, sign in enumerate((1, -1)):
        p = np.maximum(sign * t, 0.0)
        rho, kappa = p / (8**0.5 * heights), p * heights / 8**0.5 * (1.0 + 1e-13)
        half = np.linalg.norm(t @ X) / 4 * (1.0 + 1e-13)
        curvature = float(np.linalg.eigvalsh((X.T * rho) @ X)[-1]) / 2 * (1.0 + 1e-13)
        multipliers[side, 0], multipliers[side, 3] = rho, kappa
        corners[side] = half, half + curvature
        largest = max(largest, corners[side].sum() + kappa.sum())
    return largest, {"multipliers": multipliers, "corners": corners}


def mapped_base() -> Base:
    """Return a base whose file maps the verifier's data to those of the statement."""
    rng = np.random.default_rng(7)
    raw, labels = rng.standard_normal((6, 2)) * [3.0, 0.5] + [1.0, -2.0], rng.integers(0, 2, 6)
    labels[:2] = 0, 1
    rows: dict[str, Any] = {"x_shift": [1.0, -2.0], "x_scale": [3.0, 0.5], "y_shift": [0.0], "y_scale": [1.0]}
    rows |= {"bias": True, "classes": [0, 1]}
    X = np.column_stack([(raw - rows["x_shift"]) / rows["x_scale"], np.ones(6)])
    Y = 2.0 * labels[:, None] - 1.0
    s = Statement(X, Y, 0.05, "logistic", None, "group_l1", "gated", "patterns", masks_of(rng, X))
    base = base_of("mapped", s)
    file = base.file.with_header(rows=rows, data_sha256=data_hash(X, Y))
    return Base("mapped", s, file, base.bounds, raw, labels.astype(float))
