"""A loss and a penalty of the user's own, by subclassing: solved and certified; the rest is refused by name."""

from dataclasses import dataclass
from typing import ClassVar

import cvxpy as cp
import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.losses.registry import LOSSES
from cvxrelu.penalties.base import NormPenalty
from cvxrelu.solvers.working_set import compiled_rounds
from tests.helpers.cases import make_problem
from tests.helpers.command import invoke_json, refused


@dataclass(frozen=True)
class LogCosh(cr.Loss):
    """F(f) = (1/n) sum log cosh(f - y); F*(t) = (1/2n) sum (1+a) log(1+a) + (1-a) log(1-a) + <t, Y>, a = n t."""

    name: ClassVar[str] = "log_cosh"
    sums_over_entries: ClassVar[bool] = True

    def check_targets(self, Y):
        pass

    def value(self, f, Y):
        r = f - Y
        return float(np.sum(np.logaddexp(r, -r) - np.log(2.0))) / len(Y)

    def gradient(self, f, Y):
        return np.tanh(f - Y) / len(Y)

    def bregman(self, step, f, Y):
        return max(0.0, self.value(f + step, Y) - self.value(f, Y) - float(np.vdot(self.gradient(f, Y), step)))

    def conjugate(self, t, Y):
        a = len(Y) * np.asarray(t, dtype=float)
        if (np.abs(a) > 1.0 + 1e-15).any():
            return np.inf
        a = np.clip(a, -1.0, 1.0)
        logs = (1 + a) * np.log1p(np.where(a > -1, a, 0.0)) + (1 - a) * np.log1p(np.where(a < 1, -a, 0.0))
        return float(np.sum(logs) / (2 * len(Y)) + np.sum(t * Y))

    def smoothness(self, n):
        return 1.0 / n

    def project_domain(self, t, Y):
        return np.clip(np.asarray(t, dtype=float), -1.0 / len(Y), 1.0 / len(Y))

    def expression(self, f, Y):
        return cp.sum(cp.logistic(2 * (f - Y)) - (f - Y) - np.log(2.0)) / f.shape[0]

    def conjugate_expression(self, t, Y):
        n = t.shape[0]
        entropies = cp.entr(1 + n * t) + cp.entr(1 - n * t)
        return -cp.sum(entropies) / (2 * n) + cp.sum(cp.multiply(Y, t)), [(n * cp.abs(t) <= 1).set_label("domain")]


@dataclass(frozen=True)
class Doubled(NormPenalty):
    """Omega(U) = 2 sum ||u||_2."""

    name: ClassVar[str] = "doubled"

    def value(self, U):
        return 2.0 * float(np.linalg.norm(U, axis=-1).sum())

    def prox(self, U, step):
        norms = np.linalg.norm(U, axis=-1, keepdims=True)
        return np.maximum(0.0, 1.0 - 2.0 * step / np.where(norms > 0.0, norms, 1.0)) * U

    def dual_norm(self, Z):
        return float(np.linalg.norm(Z, axis=-1).max()) / 2.0

    def expression(self, U, n_outputs):
        return 2 * cp.sum(cp.norm(U, 2, axis=1))

    def conjugate_constraints(self, Z, lam, n_outputs):
        return cp.Constant(0.0), [(cp.norm(Z, 2, axis=1) <= 2 * lam).set_label("dual_ball")]


def own_problem(loss, penalty="group_l1", kind="gated"):
    base = make_problem(kind, "squared", ratio=0.05)
    return type(base)(base.X, base.y, base.patterns, base.lam, loss, penalty)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_a_loss_of_one_s_own_is_solved_to_its_certified_optimum(kind):
    problem = own_problem(LogCosh(), kind=kind)
    native = cr.solve(problem, "RFISTA" if kind == "gated" else "AugmentedLagrangian", tol=1e-6, max_iter=20_000)
    other = cr.solve(problem, "CLARABEL", tol=1e-6)
    assert native.certificate.rel_gap <= 1e-6
    assert native.certificate.lower <= other.objective * (1 + 1e-9)
    assert other.certificate.lower <= native.objective * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_a_penalty_of_one_s_own_is_that_of_another_lam(kind):
    problem = own_problem("squared", Doubled(), kind)
    own = cr.solve(problem, "CLARABEL", tol=1e-7)
    same = cr.solve(own_problem("squared", kind=kind).with_lam(2.0 * problem.lam), tol=1e-7)
    assert own.certificate.rel_gap <= 1e-6
    assert own.objective == pytest.approx(same.objective, rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "penalty", "whose"), [(LogCosh(), "group_l1", "loss"), ("squared", Doubled(), "penalty")]
)
def test_what_is_not_offered_is_refused_by_name(loss, penalty, whose, tmp_path):
    problem = own_problem(loss, penalty)
    own = repr(loss if whose == "loss" else penalty).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"needs a {whose} that bounds its rounding errors \(.*\); got {own}"):
        cr.certify(problem, problem.zero_weights(), rigor="rounded")
    with pytest.raises(cr.SolverError, match=rf"WorkingSet solves .*{own}"):
        cr.solve(problem, "WorkingSet")
    with pytest.raises(ValueError, match=f"must be the package's own, the only ones the checker knows; got .*{own}"):
        cr.certify(problem, problem.zero_weights()).save(tmp_path / "own.cert")
    assert not (tmp_path / "own.cert").exists()


@dataclass(frozen=True)
class Shifted(cr.Squared):
    """A loss that changes what its parent's formulas are about."""

    name: ClassVar[str] = "shifted"

    def value(self, f, Y):
        return 2.0 * super().value(f, Y)


@dataclass(frozen=True)
class Heavier(cr.GroupL1):
    """A penalty that does."""

    name: ClassVar[str] = "heavier"

    def value(self, U):
        return 2.0 * super().value(U)


def test_formulas_that_are_only_inherited_are_not_used():
    with pytest.raises(ValueError, match=r"needs a loss .*got Shifted\(\)"):
        cr.certify(own_problem(Shifted()), own_problem(Shifted()).zero_weights(), rigor="rounded")
    with pytest.raises(ValueError, match=r"needs a penalty .*got Heavier\(\)"):
        cr.certify(own_problem("squared", Heavier()), own_problem("squared").zero_weights(), rigor="rounded")
    with pytest.raises(cr.SolverError, match=r"WorkingSet solves .* loss squared, huber, logistic, softmax; got"):
        cr.solve(own_problem(Shifted()), "WorkingSet")
    for kind in ("gated", "relu"):
        with pytest.raises(cr.SolverError, match=r"WorkingSet solves .* penalty group_l1.* got .*Heavier\(\)"):
            cr.solve(own_problem("squared", Heavier(), kind), "WorkingSet")
    with pytest.raises(cr.SolverError, match="loss must be one of squared, huber, logistic; got"):
        cr.solve_global(np.eye(2), np.ones(2), 0.1, Shifted())


@dataclass(frozen=True)
class Restated(cr.Huber):
    """A Huber loss that states its bounds and its dual term."""

    name: ClassVar[str] = "restated"

    def value_above(self, f, radius, Y):
        return cr.Huber(self.delta).value_above(f, radius, Y)

    def into_domain(self, t, Y):
        return cr.Huber(self.delta).into_domain(t, Y)

    def conjugate_above(self, t, Y):
        return cr.Huber(self.delta).conjugate_above(t, Y)

    def dual_term(self, Y):
        return cr.Huber(self.delta).dual_term(Y)


def test_a_loss_of_one_s_own_may_offer_them(monkeypatch):
    monkeypatch.setattr(compiled_rounds, "_MOST_OF_MODELS", 0.0)  # whose kernel knows the losses of the package alone
    own, huber = own_problem(Restated(0.3)), own_problem(cr.Huber(0.3))
    one, two = cr.solve(own, "WorkingSet"), cr.solve(huber, "WorkingSet")
    np.testing.assert_array_equal(one.weights, two.weights)
    bounds = [cr.certify(p, s, rigor="rounded") for p, s in ((own, one), (huber, two))]
    assert (bounds[0].lower, bounds[0].upper) == (bounds[1].lower, bounds[1].upper)
    weights = np.arange(1.0, len(own.y) + 1.0)
    one = cr.solve(own_problem(cr.Weighted(Restated(0.3), weights)), "WorkingSet")
    two = cr.solve(own_problem(cr.Weighted(cr.Huber(0.3), weights)), "WorkingSet")
    np.testing.assert_array_equal(one.weights, two.weights)


@dataclass(frozen=True)
class OwnLabels(cr.Logistic):
    """A loss of labels under a name of its own."""

    name: ClassVar[str] = "own_labels"


@pytest.fixture
def registered(monkeypatch):
    """LogCosh and OwnLabels as losses of the package."""
    for kind in (LogCosh, OwnLabels):
        monkeypatch.setitem(LOSSES, kind.name, kind)


def test_estimators_take_their_losses_from_the_registry(registered):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    y = np.abs(X[:, 0])
    own = cr.GatedReLURegressor(loss="log_cosh", n_gates=10, random_state=0).fit(X, y)
    assert own.certificate_.problem.loss == LogCosh()
    assert own.certificate_.rel_gap <= own.tol
    labels = cr.GatedReLUClassifier(loss="own_labels", n_gates=10, random_state=0).fit(X, y > 0.5)
    logistic = cr.GatedReLUClassifier(n_gates=10, random_state=0).fit(X, y > 0.5)
    assert (labels.predict(X) == logistic.predict(X)).mean() > 0.95
    assert hasattr(logistic, "predict_proba")
    assert not hasattr(labels, "predict_proba")
    for model, name in ((cr.GatedReLURegressor(), "own_labels"), (cr.GatedReLUClassifier(), "log_cosh")):
        with pytest.raises(ValueError, match=f"loss must be one of .*; got '{name}'"):
            model.set_params(loss=name).fit(X, y > 0.5)


def test_the_command_line_takes_its_losses_from_the_registry(registered, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 2))
    path = tmp_path / "table.npz"
    np.savez(path, X=X, y=np.abs(X[:, 0]))
    found = invoke_json("solve", path, "--gates", 8, "--loss", "log_cosh")
    assert (found["loss"], found["status"]) == ("log_cosh", "optimal")
    words = ["loss 'own_labels' is for classification; for this regression use 'squared' or 'huber' or 'log_cosh'"]
    refused("solve", path, "--loss", "own_labels", words=words)
