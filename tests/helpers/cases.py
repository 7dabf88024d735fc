"""Small problems that cover the corner cases: n < d and n > d, c = 1 and 3, duplicate, zero and collinear data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import cvxrelu as cr

GATED_PENALTIES = ("group_l1", "feature_group_l1", "l1", "squared_l2", "nuclear", "none")
RELU_PENALTIES = tuple(name for name in GATED_PENALTIES if name != "nuclear")
LOSSES = ("squared", "huber", "logistic", "softmax")


def make_data(shape: str, seed: int = 0) -> np.ndarray:
    """Return X of a named shape.

    "tall" and "collinear" have a duplicate, a zero, an opposite and a parallel row; in "doubled" and "tripled" each row
    occurs two or three times.
    """
    rng = np.random.default_rng(seed)
    if shape == "tripled":
        return np.repeat(rng.standard_normal((6, 3)), 3, axis=0)
    if shape == "doubled":
        return np.repeat(rng.standard_normal((6, 3)), 2, axis=0)
    if shape == "wide":
        return rng.standard_normal((6, 8))
    X = rng.standard_normal((12, 3))
    X[1] = X[0]
    X[2] = 0.0
    X[3] = -X[4]
    X[5] = 2.5 * X[6]
    if shape == "collinear":
        X = np.column_stack([X, X[:, 0] - 2 * X[:, 1], np.ones(12), np.zeros(12)])
    return X


def make_targets(loss: str, X: np.ndarray, c: int, seed: int = 0) -> np.ndarray:
    """Return targets; classes differ on neighbouring rows, and each of the "tripled" rows has up to three."""
    rng = np.random.default_rng(seed + 1)
    n = len(X)
    if loss in ("squared", "huber"):
        return 2.0 * rng.standard_normal((n, c))
    k = c if loss == "softmax" else 2
    classes = (rng.integers(k, size=(n // 3, c)).repeat(3, axis=0) + np.arange(n)[:, None] % 3) % k
    return np.eye(c)[classes[:, 0]] if loss == "softmax" else 2.0 * classes - 1.0


def make_problem(
    kind: str,
    loss: str = "squared",
    penalty: str = "group_l1",
    *,
    shape: str = "tall",
    c: int = 1,
    ratio: float = 0.1,
    n_gates: int = 6,
    seed: int = 0,
    columns: Sequence[float] = (1.0,),
    dtype: type = np.float64,
) -> cr.ConvexGatedReLU | cr.ConvexReLU:
    """Return a problem with lam = ratio * lam_max, or lam = ratio if lam_max is infinite.

    The columns of X are multiplied by ``columns``, cyclically; the patterns are those of the unscaled X.
    """
    X = make_data(shape, seed)
    Y = make_targets(loss, X, c, seed)
    scales = np.resize(np.array(columns), X.shape[1])
    patterns = cr.sample_patterns(X, n_gates, seed=seed)
    patterns = cr.ActivationPatterns(patterns.D, patterns.G / scales[:, None])
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    problem = cls((X * scales).astype(dtype), Y.astype(dtype), patterns, lam=1.0, loss=loss, penalty=penalty)
    lam_max = problem.lam_max()
    return problem.with_lam(ratio * (lam_max if np.isfinite(lam_max) else 1.0))


@dataclass(frozen=True)
class Case:
    """Arguments of `make_problem`, with a readable name."""

    kind: str
    loss: str
    penalty: str
    shape: str
    c: int
    ratio: float = 0.1

    def build(self) -> cr.ConvexGatedReLU | cr.ConvexReLU:
        return make_problem(self.kind, self.loss, self.penalty, shape=self.shape, c=self.c, ratio=self.ratio)

    def __str__(self) -> str:
        return f"{self.kind}-{self.loss}-{self.penalty}-{self.shape}-c{self.c}"


def all_cases() -> Iterator[Case]:
    """Yield every loss with every penalty, gated and ReLU; shapes and numbers of outputs alternate."""
    shapes = ("tall", "wide", "collinear")
    turn = 0
    for kind, penalties in (("gated", GATED_PENALTIES), ("relu", RELU_PENALTIES)):
        for loss in LOSSES:
            for penalty in penalties:
                c = 3 if loss == "softmax" or turn % 2 else 1
                # Without a penalty, exactly fitted data would have an optimum that is zero or not attained.
                shape = "tripled" if penalty == "none" else shapes[turn % 3]
                yield Case(kind, loss, penalty, shape, c)
                turn += 1


def random_weights(problem: cr.ConvexGatedReLU | cr.ConvexReLU, rng: np.random.Generator):
    """Return random weights, projected into the cones for C-ReLU."""
    blocks = rng.standard_normal(problem.blocks(problem.zero_weights()).shape)
    return problem.repair(problem.weights(blocks))


def random_network(kind: str, rng: np.random.Generator, m: int = 5, d: int = 3, c: int | None = None, dtype=np.float64):
    """Return a random network of m neurons and d inputs; c is None for w2 of shape (m,)."""
    W1, w2 = rng.standard_normal((m, d)).astype(dtype), rng.standard_normal((m,) if c is None else (m, c)).astype(dtype)
    return (
        cr.ReLUNetwork(W1, w2)
        if kind == "relu"
        else cr.GatedReLUNetwork(rng.standard_normal((d, m)).astype(dtype), W1, w2)
    )


def assert_same_network(found, expected):
    """Assert that two networks are equal in kind, dtypes and every bit."""
    assert type(found) is type(expected)
    for name, array in vars(expected).items():
        other = getattr(found, name)
        assert (other.dtype, other.shape) == (array.dtype, array.shape), name
        assert other.tobytes() == array.tobytes(), name


def assert_agrees(problem, solution, tol):
    """Assert that the solution is certified to tol and its interval meets Clarabel's."""
    assert solution.status == "optimal", solution
    assert_honest(problem, solution, tol)


def assert_honest(problem, solution, tol):
    """Assert that the status matches the gap, and that the interval of the feasible point meets Clarabel's."""
    assert (solution.status == "optimal") == (solution.certificate.rel_gap <= tol), solution
    assert problem.violation(solution.weights) <= 1e-12
    assert problem.objective(solution.weights) == solution.objective
    reference = cr.solve(problem, "CLARABEL", tol=1e-6)
    rounding = 1e-12 * max(1.0, abs(reference.objective))
    assert max(solution.lower, reference.lower) <= min(solution.objective, reference.objective) + rounding
    assert abs(solution.objective - reference.objective) <= solution.gap + reference.gap + rounding
