"""Exact bounds of the optimal values of small problems, independent of the checker of certificates.

A solver proposes weights and a dual point; neither is trusted. The objective of the weights, and the dual value of the
point, both made feasible exactly, are evaluated in rational arithmetic.
"""

import contextlib
import warnings
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cmp_to_key
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cvxrelu as cr
from reference.forgeries.exact import (
    Numbers,
    choose,
    entropy,
    larger,
    log_sum_exp,
    null_space,
    projection,
    root,
    smaller,
    zeros,
)
from reference.rationals import rational

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Statement:
    """What a certificate is about: X (n, d), Y (n, c), patterns (P, n) for scope "patterns", and the program."""

    X: Array
    Y: Array
    lam: float
    loss: str
    delta: float | None
    penalty: str
    kind: str
    scope: str
    masks: Array | None

    @property
    def sides(self) -> int:
        """Number of blocks per pattern and output: 2 for kind "relu"."""
        return 1 + (self.kind == "relu")


@dataclass
class Points:
    """Points that a solver proposes: blocks (sides, c, P, d) or neurons, and dual variables with multipliers."""

    weights: list[Array] = field(default_factory=list)
    networks: list[tuple[Array, Array]] = field(default_factory=list)
    duals: list[tuple[Array, Array | None]] = field(default_factory=list)
    certificate: cr.Certificate | None = None


def proposed(s: Statement, time_limit: float = 2.0) -> Points:
    """Return what the package's solvers find; nothing if they refuse the problem."""
    points, y = Points(), s.Y if s.Y.shape[1] > 1 else s.Y[:, 0]
    loss: Any = cr.Huber(s.delta) if s.loss == "huber" and s.delta else s.loss
    with contextlib.suppress(Exception), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if s.scope == "global":
            solution = cr.solve_global(s.X, y, s.lam, loss, tol=1e-7, time_limit=time_limit)
            V, W = (np.asarray(part).reshape(-1, s.X.shape[1]) for part in solution.weights)
            points.networks.append((np.vstack([V, W]), np.repeat([1.0, -1.0], [len(V), len(W)])[:, None]))
            points.duals.append((solution.dual.t, None))
            points.certificate = solution.certificate
        else:
            program = cr.ConvexReLU if s.kind == "relu" else cr.ConvexGatedReLU
            assert s.masks is not None
            problem = program(s.X, y, cr.ActivationPatterns(s.masks.T), s.lam, loss, s.penalty)
            solution = cr.solve(problem, tol=1e-9, time_limit=time_limit)
            for certificate in (solution.certificate, cr.certify(problem, solution, rigor="rounded")):
                blocks = np.asarray(problem.blocks(certificate.weights))
                points.weights.append(blocks.reshape(s.sides, s.Y.shape[1], len(s.masks), -1))
                multipliers = certificate.dual.multipliers
                dense = None if multipliers is None else np.asarray(multipliers.toarray())
                points.duals.append((certificate.dual.t, dense))
                points.certificate = certificate
    return points


def bounds(s: Statement, points: Points | None = None) -> tuple[Fraction, Fraction]:
    """Return a lower and an upper bound of the optimal value of the statement."""
    points = proposed(s) if points is None else points
    upper = loss_value(s, zeros(*s.Y.shape), above=True)
    for blocks in points.weights:
        upper = min(upper, objective_of_blocks(s, in_cones(s, rational(blocks)), above=True))
    for W, outputs in points.networks:
        upper = min(upper, objective_of_network(s, rational(W), rational(outputs), above=True))
    lower = Fraction(0)  # losses and penalties are nonnegative
    for t, multipliers in points.duals:
        lower = max(lower, dual_value(s, rational(t), None if multipliers is None else rational(multipliers)))
    if upper < lower:
        raise AssertionError(f"the oracle contradicts itself: {float(lower)} > {float(upper)}")
    return lower, upper


# Objectives


def loss_value(s: Statement, f: Numbers, above: bool) -> Fraction:
    """Return a bound of F(f)."""
    Y, n, total = rational(s.Y), len(s.Y), Fraction(0)
    if s.loss in ("squared", "huber"):
        size = abs(f - Y)
        inner = smaller(size, Fraction(s.delta)) if s.loss == "huber" and s.delta else size
        return Fraction(np.sum(inner * (2 * size - inner)) / (2 * n))
    if s.loss == "logistic":
        total = sum((log_sum_exp([Fraction(0), -margin], above) for margin in (Y * f).flat), total)
        return total / n
    for row, labels in zip(f, Y, strict=True):
        total += log_sum_exp(list(row), above) - labels @ row
    return total / n


def objective_of_blocks(s: Statement, blocks: Numbers, above: bool) -> Fraction:
    """Return a bound of the objective of blocks (sides, c, P, d), which must be in their cones."""
    assert s.masks is not None
    X, f = rational(s.X), zeros(*s.Y.shape)
    for side, k, i in np.ndindex(blocks.shape[:3]):
        if blocks[side, k, i].any():
            f[:, k] += (1 - 2 * side) * choose(s.masks[i], X @ blocks[side, k, i], 0)
    return loss_value(s, f, above) + Fraction(s.lam) * penalty_value(s.penalty, blocks, above)


def penalty_value(penalty: str, blocks: Numbers, above: bool) -> Fraction:
    """Return a bound of the penalty of blocks (sides, c, P, d)."""
    squares = blocks * blocks
    if penalty == "none":
        return Fraction(0)
    if penalty == "squared_l2":
        return Fraction(squares.sum()) / 2
    if penalty == "nuclear":
        return sum((nuclear_norm(blocks[0, :, i], above) for i in range(blocks.shape[2])), Fraction(0))
    groups = {"group_l1": squares.sum(axis=-1), "l1": squares, "feature_group_l1": squares.sum(axis=(0, 1, 2))}
    return sum((root(square, above) for square in groups[penalty].flat), Fraction(0))


def nuclear_norm(M: Numbers, above: bool) -> Fraction:
    """Return a bound of the nuclear norm of M (c, d), to 250 bits for c at most 2."""
    G = M @ M.T
    if len(M) == 1:
        return root(G[0, 0], above)
    if len(M) == 2:  # the sum of two singular values, squared
        minor = max(Fraction(G[0, 0] * G[1, 1] - G[0, 1] ** 2), Fraction(0))
        return root(G[0, 0] + G[1, 1] + 2 * root(minor, above), above)
    if above:
        return sum((root(row @ row, above) for row in M), Fraction(0))
    return root(Fraction(np.trace(G)), above)  # Frobenius


def objective_of_network(s: Statement, W: Numbers, outputs: Numbers, above: bool) -> Fraction:
    """Return a bound of F of the network with input weights (m, d), outputs (m, c), plus lam times its path norm."""
    f = larger(rational(s.X) @ W.T, 0) @ outputs if len(W) else zeros(*s.Y.shape)
    sizes = [root(w @ w, above) * np.sum(abs(a)) for w, a in zip(W, outputs, strict=True)]
    return loss_value(s, f, above) + Fraction(s.lam) * sum(sizes, Fraction(0))


def in_cones(s: Statement, blocks: Numbers) -> Numbers:
    """Return the blocks, those outside their cones replaced by zero."""
    if s.kind == "gated":
        return blocks
    assert s.masks is not None
    X, result = rational(s.X), blocks.copy()
    for side, k, i in np.ndindex(blocks.shape[:3]):
        if blocks[side, k, i].any():
            products = X @ blocks[side, k, i]
            if (choose(s.masks[i], products, -products) < 0).any():
                result[side, k, i] = Fraction(0)
    return result


# Dual values


def into_domain(s: Statement, t: Numbers) -> Numbers:
    """Return t moved into the domain of the conjugate loss."""
    Y, n = rational(s.Y), len(s.Y)
    u = n * t
    if s.loss == "huber" and s.delta:
        u = larger(smaller(u, Fraction(s.delta)), -Fraction(s.delta))
    if s.loss == "logistic":
        u = -Y * larger(smaller(-Y * u, Fraction(1)), Fraction(0))
    if s.loss == "softmax":
        for row, labels in zip(u, s.Y, strict=True):
            label = int(labels.argmax())
            row[label] = Fraction(0)
            row[:] = larger(row, Fraction(0))
            row /= max(row.sum(), Fraction(1))
            row[label] = -row.sum()
    return u / n


def conjugate_value(s: Statement, t: Numbers) -> Fraction:
    """Return a lower bound of -F*(t), t in the domain."""
    Y, n = rational(s.Y), len(s.Y)
    u = n * t
    if s.loss in ("squared", "huber"):
        return Fraction(-np.sum(u * (u / 2 + Y)) / n)
    p = np.hstack([-Y * u, 1 + Y * u]) if s.loss == "logistic" else u + Y
    return sum((entropy(Fraction(each)) for each in p.flat), Fraction(0)) / n


def dual_value(s: Statement, t: Numbers, multipliers: Numbers | None) -> Fraction:
    """Return a lower bound of the optimal value from a dual point, which is made feasible."""
    t = into_domain(s, t)
    if s.scope == "global":
        largest = largest_neuron(rational(s.X), t[:, 0])
        return conjugate_value(s, t * min(Fraction(1), Fraction(s.lam) / largest) if largest else t)
    if s.penalty == "none" or s.lam == 0.0:
        return without_penalty(s, t)
    z = dual_argument(s, t, multipliers)
    if s.penalty == "squared_l2":  # its conjugate is quadratic: any t will do
        return conjugate_value(s, t) - Fraction(np.sum(z * z)) / (2 * Fraction(s.lam))
    norm = dual_norm(s.penalty, z)
    return conjugate_value(s, t * min(Fraction(1), Fraction(s.lam) / norm) if norm else t)


def dual_argument(s: Statement, t: Numbers, multipliers: Numbers | None) -> Numbers:
    """Return the blocks z (sides, c, P, d) of the dual constraint."""
    assert s.masks is not None
    X, (n, c), P = rational(s.X), s.Y.shape, len(s.masks)
    z = zeros(s.sides, c, P, X.shape[1])
    for side, k, i in np.ndindex(z.shape[:3]):
        sign = 2 * side - 1
        combined = choose(s.masks[i], sign * t[:, k], Fraction(0))
        if s.kind == "relu" and multipliers is not None:
            g = larger(multipliers.reshape(2, c, P, n)[side, k, i], Fraction(0))
            combined = combined + choose(s.masks[i], g, -g)
        z[side, k, i] = combined @ X
    return z


def dual_norm(penalty: str, z: Numbers) -> Fraction:
    """Return an upper bound of the dual norm."""
    if penalty == "l1":
        return Fraction(np.max(abs(z)))
    if penalty == "group_l1":
        return root(Fraction(np.max(np.sum(z * z, axis=-1))), above=True)
    if penalty == "feature_group_l1":
        return root(Fraction(np.max(np.sum(z * z, axis=(0, 1, 2)))), above=True)
    return max(spectral_norm(z[0, :, i]) for i in range(z.shape[2]))


def spectral_norm(M: Numbers) -> Fraction:
    """Return an upper bound of the spectral norm of M (c, d), to 250 bits for c at most 2."""
    G = M @ M.T
    if len(M) != 2:
        return root(Fraction(np.trace(G)), above=True)
    spread = root((G[0, 0] - G[1, 1]) ** 2 + 4 * G[0, 1] ** 2, above=True)
    return root((G[0, 0] + G[1, 1] + spread) / 2, above=True)


def without_penalty(s: Statement, t: Numbers) -> Fraction:
    """Return a lower bound of the gated program without penalty, and so of the ReLU program."""
    assert s.masks is not None
    rows = np.vstack([rational(s.X).T * mask.astype(int) for mask in s.masks])
    basis = null_space(rows)
    moved = into_domain(s, np.column_stack([projection(column, basis) for column in t.T]))
    # After a projection into the domain t may have left the null space; then only t = 0 is known.
    return conjugate_value(s, moved) if not (rows @ moved).any() else Fraction(0)


# All networks: the dual constraint |t'(X u)_+| <= lam ||u||


def largest_neuron(X: Numbers, t: Numbers) -> Fraction:
    """Return an upper bound of |t'(X u)_+| / ||u|| over all u, to 250 bits for two columns."""
    if X.shape[1] == 1:
        X = np.column_stack([X, 0 * t])
    if X.shape[1] > 2:
        return sum((abs(size) * root(row @ row, above=True) for size, row in zip(t, X, strict=True)), Fraction(0))
    kinks = [sign * np.array([-y, x], dtype=object) for x, y in X if x or y for sign in (1, -1)]
    if not kinks:
        return Fraction(0)
    kinks.sort(key=cmp_to_key(_turn))
    square = Fraction(0)
    for a, b in zip(kinks, [*kinks[1:], kinks[0]], strict=True):
        turns = _cross(a, b)
        if not turns and a @ b > 0:  # the same line twice
            continue
        middle = a + b if turns else np.array([-a[1], a[0]], dtype=object)
        gradient = (t * (X @ middle > 0)) @ X
        for h in (gradient, -gradient):
            # On the arc h'u / ||u|| is largest along h if h is within, and else at an end.
            inside = _cross(a, h) >= 0 and _cross(h, b) >= 0
            ends = [(h @ end) ** 2 / (end @ end) for end in (a, b) if h @ end > 0]
            square = max([square, *ends, *([h @ h] if inside else [])])
    return root(square, above=True)


def _cross(a: Numbers, b: Numbers) -> Any:
    return a[0] * b[1] - a[1] * b[0]


def _turn(a: Numbers, b: Numbers) -> int:
    """Compare vectors by their angle in [0, 2 pi)."""
    halves = [(y, x) < (0, 0) if not y else y < 0 for x, y in (a, b)]
    if halves[0] != halves[1]:
        return int(halves[0]) - int(halves[1])
    cross = _cross(a, b)
    return -1 if cross > 0 else int(cross < 0)


def sampled_maximum(X: Array, t: Array, count: int = 2000) -> float:
    """Return the largest |t'(X u)_+| over random unit vectors u, rows, and normals of rows."""
    rng = np.random.default_rng(0)
    U = [*rng.standard_normal((count, X.shape[1])), *X, *-X]
    if X.shape[1] == 2:
        U += [sign * np.array([-row[1], row[0]]) for row in X for sign in (1, -1)]
    if X.shape[1] == 3:
        U += [sign * np.cross(a, b) for a, b in combinations(X, 2) for sign in (1, -1)]
    V = np.array([u / np.linalg.norm(u) for u in U if np.linalg.norm(u) > 0])
    return float(np.abs(t @ np.maximum(X @ V.T, 0.0)).max())
