import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
from cvxrelu.pricing import proofs as neuron_proof
from cvxrelu.pricing.bounds import bound_neurons
from cvxrelu.pricing.neuron_problem import RowLines
from tests.helpers.forgery import as_contents, forged
from tests.helpers.global_proofs import LOSSES, of_dual, relaxed, targets
from tests.helpers.neurons import KINDS, SEEDS, make_rows

rng = np.random.default_rng(3)
GENERIC = rng.standard_normal((8, 3))
ROWS = {
    "rank_1": rng.standard_normal((9, 1)),
    "rank_2": np.column_stack([rng.standard_normal(12), np.ones(12)]),
    "rank_3": rng.standard_normal((12, 3)),
    "rank_4": np.column_stack([rng.standard_normal((12, 3)), np.ones(12)]),
    "rank_5": rng.standard_normal((9, 5)),
    "duplicates": np.repeat(rng.standard_normal((5, 3)), [1, 2, 3, 1, 2], axis=0),
    "opposite_parallel_zero": np.vstack([GENERIC[:5], -2.0 * GENERIC[:5], 3.0 * GENERIC[:2], np.zeros((2, 3))]),
    "collinear": np.column_stack([GENERIC[:, :2], GENERIC[:, :2] @ [1.0, -2.0], np.zeros(8), np.ones(8)]),
    "grid": np.array([[i, j, 1.0] for i in range(-1, 2) for j in range(-1, 2)]),
    "wide": rng.standard_normal((4, 7)),
    "scaled": rng.standard_normal((9, 3)) * [1e-3, 1.0, 1e3],
    "zero": np.zeros((3, 2)),
}


# Valid ones are never rejected


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(
    ("loss", "ratio"), [("squared", 0.99), ("squared", 1e-3), ("huber", 0.05), ("logistic", 0.1), ("squared", 1.5)]
)
def test_save_load_and_verify(name, loss, ratio, tmp_path):
    X = ROWS[name]
    y = targets(X, loss)
    t = LOSSES[loss].gradient(np.zeros((len(X), 1)), y[:, None])
    lam = ratio * max(cr.find_neuron(X, t[:, 0]).value, 1e-3)
    certificate = cr.solve_global(X, y, lam, LOSSES[loss]).certificate
    certificate.save(tmp_path / "a.cert")
    loaded = cr.load_certificate(tmp_path / "a.cert")
    assert (loaded.scope, loaded.proof, loaded.kind) == ("global", "cones", "relu")
    assert loaded.dual.multipliers is None
    assert loaded.upper == certificate.upper
    room = 1e-9 * max(1e-3, certificate.upper)
    assert certificate.lower - room <= loaded.lower <= certificate.lower
    np.testing.assert_allclose(loaded.dual.t, certificate.dual.t, rtol=1e-8)
    verdict = loaded.verify(X, y)
    assert (verdict.scope, verdict.proof) == ("global", "cones")
    assert verdict.lower == pytest.approx(loaded.lower, abs=room)
    assert verdict.lower_rounding < room
    assert verdict.upper == pytest.approx(certificate.upper, rel=1e-12)
    for words in ("optimal among two-layer ReLU networks of any width", "cones that cover"):
        assert words in str(verdict)


@settings(max_examples=100)
@given(
    SEEDS,
    st.sampled_from(KINDS),
    st.integers(1, 12),
    st.integers(1, 4),
    st.sampled_from(list(LOSSES)),
    st.sampled_from([1.0, 0.3, 1e-2, 1e-5]),
    st.sampled_from([1.0, 1.0, 1e-90, 1e50]),
)
@example(940, "opposite", 9, 4, "huber", 1.0, 1.0)  # most lines have no weight
def test_valid_certificates_are_verified(seed, kind, n, d, loss, ratio, scale):
    """The zero network with any dual point in any units, not only optimal ones."""
    rng = np.random.default_rng(seed)
    X = scale * make_rows(kind, n, d, rng)
    y = rng.choice([-1.0, 1.0], size=n) if loss == "logistic" else rng.standard_normal(n)
    loss = LOSSES[loss]
    t = rng.choice([1.0, 1.0, 0.0]) * loss.gradient(rng.standard_normal((n, 1)), y[:, None])[:, 0]
    lam = ratio * float(np.linalg.norm(X, axis=1).sum() / n) or 1.0
    certificate = of_dual(X, y, lam, loss, t)
    verdict = checker.check(as_contents(certificate), X, y)
    assert verdict.lower == pytest.approx(certificate.lower, abs=1e-8 * max(certificate.upper, abs(certificate.lower)))


@settings(max_examples=150)
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 12), st.integers(1, 15), st.sampled_from([1.0, 1e-4, 1e-90, 1e50]))
def test_valid_relaxations_are_verified(seed, kind, n, d, scale):
    rng = np.random.default_rng(seed)
    X = scale * make_rows(kind, n, d, rng)
    y, t = rng.standard_normal(n), rng.standard_normal(n)
    if not X.any():
        return
    lam = 10.0 ** rng.uniform(-4.0, 0.0) * float(np.linalg.norm(X, axis=1).sum())
    certificate = of_dual(X, y, lam, "squared", t, relaxed(X, t, rng, size=rng.choice([1.0, 0.0, 1e-6])))
    verdict = checker.check(as_contents(certificate), X, y)
    assert verdict.proof == "relaxation"
    assert verdict.lower == pytest.approx(certificate.lower, abs=1e-8 * max(certificate.upper, abs(certificate.lower)))


def test_high_rank_is_proven_by_relaxation(tmp_path):
    X = np.random.default_rng(1).standard_normal((25, 14))
    y = targets(X, "squared")
    with pytest.warns(cr.ConvergenceWarning):
        solution = cr.solve_global(X, y, 0.1, callback=lambda record: True)  # one round
    assert solution.certificate.proof.method == "relaxation"
    solution.certificate.save(tmp_path / "a.cert")
    loaded = cr.load_certificate(tmp_path / "a.cert")
    assert loaded.proof == "relaxation"
    assert "proof           relaxation" in str(loaded)
    assert loaded.verify(X, y).lower == pytest.approx(solution.lower, rel=1e-8)
    bare = dataclasses.replace(solution.certificate.proof, multipliers=None)
    with pytest.raises(ValueError, match="without its multipliers"):
        dataclasses.replace(solution.certificate, proof=bare).save(tmp_path / "b.cert")


def test_nearly_parallel_rows():
    """Rows joined to one line have an error that is computed, and the dual point is shrunk by it."""
    X = np.random.default_rng(0).standard_normal((6, 2))
    X = np.vstack([X, 2.0 * X + 1e-10 * np.random.default_rng(1).standard_normal(X.shape)])
    y = targets(X, "squared")
    certificate = of_dual(X, y, 0.01, "squared", -y)
    contents = as_contents(certificate)
    assert len(contents.arrays["lines"]) < 12
    verdict = checker.check(contents, X, y)
    assert certificate.lower - 1e-7 < verdict.lower < certificate.lower


def test_many_rows_of_rank_two():
    X = np.column_stack([np.random.default_rng(0).uniform(-1.0, 1.0, 20_000), np.ones(20_000)])
    y = np.sin(5.0 * X[:, 0])
    certificate = of_dual(X, y, 1e-3, "squared", -y)
    assert checker.check(as_contents(certificate), X, y).lower == pytest.approx(certificate.lower, rel=1e-8)


def test_zero_dual_point_of_high_rank():
    """If the time limit came before any proof, the bound is that of the zero dual point."""
    X = np.random.default_rng(0).standard_normal((20, 15))
    certificate = of_dual(X, X[:, 0], 0.1, "squared", np.zeros(20))
    assert checker.check(as_contents(certificate), X, X[:, 0]).lower == 0.0


def test_bounds_carried_over_are_not_saved(tmp_path):
    X = ROWS["rank_3"]
    y = targets(X, "squared")
    certificate = cr.solve_global(X, y, 0.05).certificate
    dual = certificate.dual
    for change in (
        {"lower": certificate.lower + 1e-8},
        {"dual": dataclasses.replace(dual, t=0.9 * dual.t)},
        {"problem": cr.ConvexReLU(X, y[::-1], certificate.problem.patterns, 0.05)},
    ):
        with pytest.raises((RejectedCertificate, ValueError)):
            dataclasses.replace(certificate, **change).save(tmp_path / "a")
    with pytest.raises(RejectedCertificate, match="the dual point is infeasible"):  # at the kept cones
        dataclasses.replace(certificate, dual=dataclasses.replace(dual, t=1.001 * dual.t)).save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_recorded_cones_are_those_of_the_bound():
    """Check the bound of every leaf at random points of it, from the definition."""
    X = np.random.default_rng(5).standard_normal((12, 3))
    t = np.random.default_rng(6).standard_normal(12)
    lam = bound_neurons(X, RowLines(X), t, 1e-3).upper
    factor, arrays = neuron_proof.cone_proof(X, t, lam)
    assert 1.0 - 1e-9 < factor < 1.0
    z = np.random.default_rng(7).standard_normal((200, 3))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    lines, signed = arrays["lines"], arrays["row_lines"]
    rows = np.sign(signed)[:, None] * np.linalg.norm(X, axis=1)[:, None] * lines[np.abs(signed) - 1]
    np.testing.assert_allclose(rows @ arrays["basis"].T, X, atol=1e-12)
    values = np.abs(factor * t @ np.maximum(rows @ z.T, 0.0))
    assert values.max() <= lam
    points = np.linalg.norm(arrays["leaf_points"], axis=1)
    assert points.max() <= lam * (1 + 1e-12)
    assert points.max() >= values.max()


def test_slack_in_the_inequalities_of_a_leaf_does_not_tighten_its_bound():
    """Points moved far along the sum of the rays satisfy all inequalities with slack, which must not shorten them."""
    X, y = np.eye(2), np.array([1.0, -0.6])
    contents = as_contents(cr.solve_global(X, y, 0.1).certificate)
    assert not contents.arrays["shares"].size  # the cones are the orthants, in the order of a stack
    signs = np.where(np.arange(4)[:, None] >> np.arange(2) & 1, 1.0, -1.0)[::-1]
    moved = contents.arrays["leaf_points"] + 100.0 * np.tile(signs @ contents.arrays["axes"], (2, 1))
    with pytest.raises(RejectedCertificate, match="the dual point is infeasible"):
        checker.check(forged(contents, {"t": 1.05 * contents.arrays["t"], "leaf_points": moved}), X, y)
