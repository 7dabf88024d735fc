import dataclasses
from functools import cached_property

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cvxrelu as cr
from cvxrelu.problems import base
from cvxrelu.problems.normalization import normalize
from tests.helpers.cases import GATED_PENALTIES, LOSSES, RELU_PENALTIES, make_problem

CLASSES = (cr.ConvexGatedReLU, cr.ConvexReLU)


# Objective and shapes


@pytest.mark.parametrize("c", [1, 3])
def test_objective_matches_the_formula(c):
    rng = np.random.default_rng(0)
    for kind in ("gated", "relu"):
        problem = make_problem(kind, c=c)
        n, d, P = problem.n, problem.d, len(problem.patterns)
        blocks = rng.standard_normal(problem.blocks(problem.zero_weights()).shape)
        U = blocks if kind == "gated" else blocks[0] - blocks[1]
        prediction = np.zeros((n, c))
        for k in range(c):
            for i in range(P):
                prediction[:, k] += problem.patterns.D[:, i] * (problem.X @ U[k, i])
        norms = sum(np.linalg.norm(block) for block in blocks.reshape(-1, d))
        expected = np.sum((prediction - problem.Y) ** 2) / (2 * n) + problem.lam * norms
        weights = problem.weights(blocks)
        np.testing.assert_allclose(problem.predict(weights), prediction, atol=1e-12)
        assert problem.objective(weights) == pytest.approx(expected, rel=1e-12)


def test_float32_is_kept_and_bounds_are_float64(data):
    X, y, patterns = data
    problem = cr.ConvexGatedReLU(X.astype(np.float32), y, patterns)
    assert problem.X.dtype == np.float32
    same = cr.ConvexGatedReLU(X.astype(np.float32).astype(float), y, patterns)
    U = np.random.default_rng(0).standard_normal((1, len(patterns), 3))
    assert problem.objective(U) == same.objective(U)


def test_problems_are_frozen_and_hold_copies(data):
    X, y, patterns = data
    problem = cr.ConvexReLU(X, y, patterns)
    before = problem.X.copy()
    X[:] = 7.0
    np.testing.assert_array_equal(problem.X, before)
    with pytest.raises(ValueError, match="read-only"):
        problem.X[0, 0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.lam = 2.0


def test_with_lam_shares_the_data(data):
    problem = cr.ConvexGatedReLU(*data, lam=0.1)
    other = problem.with_lam(0.2)
    assert (problem.lam, other.lam) == (0.1, 0.2)
    assert other.X is problem.X
    with pytest.raises(ValueError, match="lam"):
        problem.with_lam(-1.0)


def test_accepts_frames_integers_and_columns(data):
    X, y, patterns = data
    frame = cr.ConvexGatedReLU(pd.DataFrame(X), pd.Series(y), patterns)
    column = cr.ConvexGatedReLU(X, y[:, None], patterns)
    assert frame.Y.shape == column.Y.shape == (12, 1)
    integers = np.arange(12).reshape(6, 2) - 5
    problem = cr.ConvexGatedReLU(integers, np.arange(6), cr.sample_patterns(integers, 3))
    assert problem.X.dtype == np.float64


# lam_max


NORM_CASES = [
    (kind, loss, penalty)
    for kind, penalties in (("gated", GATED_PENALTIES), ("relu", RELU_PENALTIES))
    for loss in LOSSES
    for penalty in penalties
    if penalty not in ("squared_l2", "none")
]


@pytest.mark.parametrize(("kind", "loss", "penalty"), NORM_CASES)
def test_zero_is_optimal_at_lam_max_and_not_below(kind, loss, penalty):
    problem = make_problem(kind, loss, penalty, c=3 if loss == "softmax" else 1)
    lam_max = problem.lam_max()
    zero = problem.zero_weights()
    assert cr.certify(problem.with_lam(lam_max * 1.00001), zero).rel_gap <= 1e-9
    below = cr.solve(problem.with_lam(lam_max * 0.99), tol=1e-5)
    assert below.objective < problem.objective(zero)


def test_lam_max_of_penalties_that_are_not_norms(data):
    X, y, patterns = data
    assert cr.ConvexGatedReLU(X, y, patterns, penalty="squared_l2").lam_max() == np.inf
    assert cr.ConvexReLU(X, y, patterns, penalty="none").lam_max() == np.inf
    assert cr.ConvexReLU(X, 0 * y, patterns, penalty="none").lam_max() == 0.0
    assert cr.ConvexReLU(X, 0 * y, patterns).lam_max() == 0.0


@pytest.mark.parametrize("penalty", [name for name in GATED_PENALTIES if name not in ("squared_l2", "none")])
def test_lam_max_and_bounds_follow_the_scale_of_the_data(penalty):
    problem = make_problem("gated", penalty=penalty, c=3)
    for scale in (1e-170, 1e170):
        scaled = cr.ConvexGatedReLU(problem.X * scale, problem.Y, cr.ActivationPatterns(problem.patterns.D), 0.0)
        scaled = type(problem)(scaled.X, scaled.Y, scaled.patterns, problem.lam * scale, penalty=penalty)
        assert scaled.lam_max() == pytest.approx(problem.lam_max() * scale, rel=1e-12)
        t = problem.gradient_point(problem.zero_weights())
        assert scaled.dual_point(t).value == pytest.approx(problem.dual_point(t).value, rel=1e-12)


# Bad input: nothing is solved, the message says what is accepted


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros(12), ValueError, r"X must be a 2-D array of shape \(n, d\); got shape \(12,\)"),
        (np.zeros((0, 3)), ValueError, r"X must not be empty; got shape \(0, 3\)"),
        (np.full((12, 3), np.nan), ValueError, "X must be finite; got nan at index"),
        (np.full((12, 3), np.inf), ValueError, "X must be finite; got inf at index"),
        (np.full((12, 3), 1j), TypeError, "X must hold real numbers; got an array of dtype complex128"),
        (np.full((12, 3), "a"), TypeError, "X must hold real numbers"),
        (np.full((12, 3), None), TypeError, "X must hold real numbers; got an array of dtype object"),
        (sp.csr_array(np.eye(12, 3)), TypeError, r"X must be a dense array; got a scipy.sparse csr_array"),
        ([[1.0], [2.0, 3.0]], ValueError, "X must be a rectangular array"),
        (np.ma.masked_array(np.ones((12, 3))), TypeError, "X must be a plain array; got a masked array"),
    ],
)
def test_bad_X(cls, X, error, message, data):
    with pytest.raises(error, match=message):
        cls(X, data[1], data[2])


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (np.zeros(11), ValueError, "y must have one entry for each row of X; got 11 entries for 12 rows"),
        (np.full(12, np.nan), ValueError, "y must be finite"),
        (np.zeros((12, 2, 2)), ValueError, r"y must have shape \(n,\) or \(n, c\)"),
        (np.full(12, "a"), TypeError, "y must hold real numbers"),
        (5.0, ValueError, r"y must have shape \(n,\) or \(n, c\); got shape \(\)"),
    ],
)
def test_bad_y(cls, y, error, message, data):
    with pytest.raises(error, match=message):
        cls(data[0], y, data[2])


@pytest.mark.parametrize("cls", CLASSES)
def test_labels_must_fit_the_loss(cls, data):
    X, _, patterns = data
    with pytest.raises(ValueError, match=r"y .*-1"):
        cls(X, np.arange(12) % 2, patterns, loss="logistic")
    with pytest.raises(ValueError, match="y .*one-hot"):
        cls(X, np.ones((12, 3)), patterns, loss="softmax")
    with pytest.raises(ValueError, match="y "):
        cls(X, np.ones(12), patterns, loss="softmax")


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("lam", "error"), [(-1e-3, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("1", TypeError)]
)
def test_bad_lam(cls, lam, error, data):
    with pytest.raises(error, match="lam must be a finite number >= 0; got"):
        cls(*data, lam=lam)


@pytest.mark.parametrize("cls", CLASSES)
def test_patterns_of_another_X(cls, data):
    X, y, patterns = data
    with pytest.raises(ValueError, match="patterns"):
        cls(X[:-1], y[:-1], patterns)
    with pytest.raises(ValueError, match="another X"):
        cls(X[::-1], y, patterns)
    with pytest.raises(ValueError, match="patterns"):
        cls(X[:, :-1], y, patterns)
    with pytest.raises(TypeError, match="patterns must be an ActivationPatterns"):
        cls(X, y, patterns.D)


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_names_list_the_choices(cls, data):
    with pytest.raises(ValueError, match="loss must be one of .*'huber', 'logistic', 'softmax', 'squared'"):
        cls(*data, loss="hinge")
    with pytest.raises(ValueError, match="penalty must be one of .*'group_l1'.*'squared_l2'"):
        cls(*data, penalty="elastic")
    with pytest.raises(ValueError, match="form must be one of 'dual', 'primal'; got 'bidual'"):
        cls(*data).to_cvxpy("bidual")


def test_weights_are_checked(data):
    gated, relu = cr.ConvexGatedReLU(*data), cr.ConvexReLU(*data)
    U = np.zeros((1, len(data[2]), 3))
    with pytest.raises(ValueError, match=r"U must have shape \(c, P, d\) = \(1, \d, 3\); got \(\d, 3\)"):
        gated.objective(U[0])
    with pytest.raises(ValueError, match="U must be finite"):
        gated.objective(np.full_like(U, np.nan))
    with pytest.raises(TypeError, match=r"pair \(V, W\)"):
        relu.objective(U)
    with pytest.raises(ValueError, match="W must have shape"):
        relu.objective((U, U[0]))


@pytest.mark.parametrize("fraction", [1e-6, 0.5, 0.999, 1.001, 2.0])
@pytest.mark.parametrize("penalty", ["group_l1", "feature_group_l1", "l1"])
@pytest.mark.parametrize("size", [1.0, 1e150])
def test_zero_is_optimal_from_lam_max_on(penalty, fraction, size):
    problem = make_problem("relu", penalty=penalty)
    problem = cr.ConvexReLU(problem.X, size * problem.y, problem.patterns, 1.0, penalty=problem.penalty)
    uncached = problem.with_lam(fraction * problem.lam_max()).replace(penalty=problem.penalty)  # nothing cached
    assert uncached.zero_is_optimal() == (fraction > 1.0)
    if fraction <= 0.5:
        assert "_lam_max" not in vars(normalize(uncached).problem)  # not needed


def test_zero_is_optimal_at_lam_max_itself():
    """X'D y / n is (1, 2) and (0, 2) for the two patterns, exactly in float64: lam_max is 2."""
    X, y = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([2.0, 2.0])
    D = np.array([[True, False], [False, True]])
    problem = cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(D), 2.0)
    assert problem.lam_max() == 2.0
    assert problem.zero_is_optimal()
    assert problem.with_lam(3.0).zero_is_optimal()
    assert not problem.with_lam(1.75).zero_is_optimal()
    for name in ("group_l1", "l1"):  # without gates there are no directions to try first
        bare = cr.ConvexReLU(X, y, cr.ActivationPatterns(D), 2.0, penalty=name)
        assert bare.zero_is_optimal()
        assert not bare.with_lam(0.5).zero_is_optimal()


@pytest.mark.parametrize("c", [1, 3])
def test_program_entries_are_those_of_the_matrices(c):
    """Non-zeros of D_i X for each pattern and output, and of (2 D_i - 1) X for the cones of V and W."""
    for kind in ("gated", "relu"):
        problem = make_problem(kind, shape="tripled", c=c)
        X, D = problem.X, np.asarray(problem.patterns.D)
        prediction = sum(np.count_nonzero(D[:, [i]] * X) for i in range(D.shape[1]))
        cones = sum(np.count_nonzero((2.0 * D[:, [i]] - 1.0) * X) for i in range(D.shape[1]))
        assert problem.program_entries() == c * (prediction + (2 * cones if kind == "relu" else 0))


def test_how_large_the_data_are_is_looked_at_once(data):
    """The problem at another lam has the same data; on other data nothing is taken over."""
    problem = cr.ConvexGatedReLU(*data)
    assert not problem._far
    assert vars(problem.replace(lam=2.0))["_far"] is False
    assert "_far" not in vars(problem.replace(X=1e200 * problem.X))
    assert problem.replace(X=1e200 * problem.X)._far


def test_restricted_problem_has_the_given_patterns(data):
    X, y, patterns = data
    problem = cr.ConvexReLU(X, y, patterns, 0.3, "huber", "l1")
    few = problem.restrict(np.array([3, 1]))
    np.testing.assert_array_equal(few.patterns.D, np.asarray(patterns.D)[:, [3, 1]])
    np.testing.assert_array_equal(few.patterns.G, patterns.G[:, [3, 1]])
    assert (few.lam, few.loss, few.penalty) == (problem.lam, problem.loss, problem.penalty)
    bare = cr.ConvexReLU(X, y, cr.ActivationPatterns(patterns.D)).restrict(np.array([2]))
    assert bare.patterns.G is None
    np.testing.assert_array_equal(bare.patterns.D, np.asarray(patterns.D)[:, [2]])


@pytest.mark.parametrize(
    ("shape", "penalty", "lam", "columns"),
    [("wide", "group_l1", 0.1, 6), ("wide", "l1", 0.1, 8), ("wide", "l1", 0.0, 6), ("tall", "group_l1", 0.1, 3)],
)
def test_solved_columns(shape, penalty, lam, columns):
    """The columns of the row space if the penalty is rotation invariant."""
    assert make_problem("gated", penalty=penalty, shape=shape).with_lam(lam).solved_columns == columns


@pytest.mark.parametrize("kind", [cr.ConvexGatedReLU, cr.ConvexReLU])
def test_program_of_the_other_class_shares_data_and_operator(kind):
    X, y = np.random.default_rng(0).standard_normal((2, 9, 3)).astype(np.float32)
    problem = kind(X, y[:, 0], cr.sample_patterns(X, 5, seed=0), 0.01, "huber", "l1")
    other = {cr.ConvexGatedReLU: cr.ConvexReLU, cr.ConvexReLU: cr.ConvexGatedReLU}[kind]
    problem.lam_max()  # attributes of one class are not shared
    made, uncached = other.of(problem), other(problem.X, problem.y, problem.patterns, 0.01, "huber", "l1")
    assert type(made) is other
    assert made.X is problem.X
    assert made.operator is problem.operator
    assert repr(made) == repr(uncached)
    assert made.lam_max() == uncached.lam_max() != problem.lam_max()
    assert kind.of(problem) is problem


def test_program_of_the_other_class_refuses_unsupported_penalties():
    X = np.random.default_rng(0).standard_normal((9, 3))
    problem = cr.ConvexGatedReLU(X, X, cr.sample_patterns(X, 5, seed=0), 0.01, penalty="nuclear")
    with pytest.raises(ValueError, match="nuclear"):
        cr.ConvexReLU.of(problem)


@pytest.mark.parametrize("kind", [cr.ConvexGatedReLU, cr.ConvexReLU])
def test_replacing_parts_invalidates_what_depends_on_them(kind):
    rng = np.random.default_rng(0)
    X, Z = rng.standard_normal((2, 5, 8))
    y, z = rng.standard_normal((2, 5))
    problem = kind(X, y, cr.sample_patterns(X, 6, seed=0), 0.01)
    names = ("Y", "operator", "at_zero", "value_at_zero", "resolution", "row_space")
    changes = {
        "X": Z,
        "y": z,
        "lam": 0.5,
        "loss": cr.Huber(0.1),
        "penalty": cr.L1(),
        "patterns": cr.sample_patterns(X, 4, seed=1),
    }
    for name in names:
        getattr(problem, name)
    problem.lam_max()
    for name, value in changes.items():
        if name == "X":
            value = {"X": Z, "patterns": cr.ActivationPatterns(problem.patterns.D)}
        parts = {**{part: getattr(problem, part) for part in changes}, **(value if name == "X" else {name: value})}
        made, uncached = problem.replace(**(value if name == "X" else {name: value})), kind(**parts)
        assert made.lam_max() == uncached.lam_max()
        assert made.value_at_zero == uncached.value_at_zero
        assert made.resolution == uncached.resolution
        assert np.array_equal(made.at_zero[1], uncached.at_zero[1])
        assert np.array_equal(made.row_space.rows, uncached.row_space.rows)
        assert np.array_equal(made.Y, uncached.Y)
        assert not made.X.flags.writeable
        assert not made.y.flags.writeable
    assert problem.replace(lam=0.5).operator is problem.operator
    assert problem.replace(y=z).operator is problem.operator
    assert problem.replace(patterns=changes["patterns"]).operator is not problem.operator


@pytest.mark.parametrize("kind", [cr.ConvexGatedReLU, cr.ConvexReLU])
def test_cached_attributes_declare_their_dependencies(kind):
    """Attributes unknown to `replace` would be recomputed for each lam."""
    cached = {name for cls in kind.__mro__ for name, value in vars(cls).items() if isinstance(value, cached_property)}
    assert cached <= set(base._SOURCES)


def test_repair_of_weights_in_fortran_order():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 3))
    problem = cr.ConvexReLU(X, rng.standard_normal(12), cr.sample_patterns(X, 8, seed=0), 0.1)
    V, W = rng.standard_normal((2, 1, len(problem.patterns), 3))
    repaired = problem.repair((np.asfortranarray(V), np.asfortranarray(W)))
    assert problem.violation((V, W)) > 0.1
    assert problem.violation(repaired) <= 1e-12
    np.testing.assert_array_equal(repaired, problem.repair((V, W)))
