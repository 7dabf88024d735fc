"""Certificates for networks of any width: valid ones are never rejected, changed ones prove nothing false."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cvxrelu as cr
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
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


def verdict_of(certificate, X, y):
    found = checker.check(as_contents(certificate), X, y, scope="global")
    return float(found["lower"]), float(found["upper"])


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
    rank = np.linalg.matrix_rank(X)
    assert (loaded.scope, loaded.kind) == ("global", "relu")
    assert loaded.proof == ("maximum" if rank <= 2 else "cones")
    verdict = loaded.verify(X, y, lam=lam, loss=loss, penalty="group_l1", kind="relu", scope="global")
    room = 1e-9 * max(1e-3, certificate.upper)
    assert certificate.lower - room <= verdict.lower <= certificate.lower + room
    assert verdict.upper == pytest.approx(certificate.upper, rel=1e-12)
    assert verdict.arithmetic == "exact"
    assert "ReLU network" in str(verdict)
    assert "any width" in str(verdict)
    interval = loaded.verify(X, y, interval=True)
    assert interval.lower <= verdict.upper
    assert interval.upper >= verdict.lower


@settings(max_examples=60)
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
    lower, upper = verdict_of(certificate, X, y)
    assert lower == pytest.approx(certificate.lower, abs=1e-8 * max(certificate.upper, abs(certificate.lower)))
    assert upper == pytest.approx(certificate.upper, rel=1e-12)


@settings(max_examples=80)
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 12), st.integers(1, 15), st.sampled_from([1.0, 1e-4, 1e-90, 1e50]))
def test_valid_relaxations_are_verified(seed, kind, n, d, scale):
    rng = np.random.default_rng(seed)
    X = scale * make_rows(kind, n, d, rng)
    y, t = rng.standard_normal(n), rng.standard_normal(n)
    if not X.any():
        return
    lam = 10.0 ** rng.uniform(-4.0, 0.0) * float(np.linalg.norm(X, axis=1).sum())
    certificate = of_dual(X, y, lam, "squared", t, relaxed(X, t, rng, size=rng.choice([1.0, 0.0, 1e-6])))
    if np.linalg.matrix_rank(X) > 2 and certificate.dual.t.any():
        assert as_contents(certificate).header["proof"] == "relaxation"
    lower, _ = verdict_of(certificate, X, y)
    assert lower == pytest.approx(certificate.lower, abs=1e-8 * max(certificate.upper, abs(certificate.lower)))


def test_high_rank_is_proven_by_relaxation(tmp_path):
    X = np.random.default_rng(1).standard_normal((25, 14))
    y = targets(X, "squared")
    with pytest.warns(cr.ConvergenceWarning):
        solution = cr.solve_global(X, y, 0.1, callback=lambda record: True)  # one round
    assert solution.certificate.proof.method == "relaxation"
    solution.certificate.save(tmp_path / "a.cert")
    loaded = cr.load_certificate(tmp_path / "a.cert")
    assert loaded.proof == "relaxation"
    assert loaded.verify(X, y).lower == pytest.approx(solution.lower, rel=1e-8)


def test_nearly_parallel_rows():
    """Rows joined to one line have an error that is computed, and the dual point is shrunk by it."""
    X = np.random.default_rng(0).standard_normal((6, 2))
    X = np.vstack([X, 2.0 * X + 1e-10 * np.random.default_rng(1).standard_normal(X.shape)])
    y = targets(X, "squared")
    certificate = of_dual(X, y, 0.01, "squared", -y)
    assert len(as_contents(certificate).arrays["lines"]) < 12
    assert certificate.lower - 1e-7 < verdict_of(certificate, X, y)[0] <= certificate.lower + 1e-12


def test_many_rows_of_rank_two():
    X = np.column_stack([np.random.default_rng(0).uniform(-1.0, 1.0, 2_000), np.ones(2_000)])
    y = np.sin(5.0 * X[:, 0])
    certificate = of_dual(X, y, 1e-3, "squared", -y)
    assert verdict_of(certificate, X, y)[0] == pytest.approx(certificate.lower, rel=1e-8)


def test_zero_dual_point_of_high_rank():
    """If the time limit came before any proof, the bound is that of the zero dual point."""
    X = np.random.default_rng(0).standard_normal((20, 15))
    certificate = of_dual(X, X[:, 0], 0.1, "squared", np.zeros(20))
    assert verdict_of(certificate, X, X[:, 0])[0] == 0.0


def test_bounds_carried_over_are_not_saved(tmp_path):
    X = ROWS["rank_3"]
    y = targets(X, "squared")
    certificate = cr.solve_global(X, y, 0.05).certificate
    dual = certificate.dual
    with pytest.raises(ValueError, match="above lam"):  # at the kept cones
        dataclasses.replace(certificate, dual=dataclasses.replace(dual, t=1.001 * dual.t)).save(tmp_path / "a")
    other = dual.t * np.linspace(0.9, 1.1, len(X))[:, None]
    with pytest.raises(ValueError, match="other rows or another dual point"):
        dataclasses.replace(certificate, dual=dataclasses.replace(dual, t=other)).save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


# Changed ones prove nothing false


@pytest.fixture(scope="module")
def solved():
    """Return data of rank 3 and the contents of a certificate with cuts and leaves with multipliers."""
    X = np.random.default_rng(1).standard_normal((40, 3))
    y = targets(X, "squared")
    contents = as_contents(cr.solve_global(X, y, 0.02, tol=1e-7).certificate)
    assert contents.header["sizes"]["cones"] > contents.header["sizes"]["leaves"] + 20
    assert contents.header["sizes"]["entries"] > 20
    return X, y, contents


def changed(contents, **arrays):
    """Return the contents with other arrays, and sizes that fit them."""
    arrays = {**contents.arrays, **arrays}
    sizes = {"cones": len(arrays["cuts"]), "leaves": len(arrays["points"]), "entries": len(arrays["places"])}
    return forged(contents, arrays, sizes={**contents.header["sizes"], **sizes})


def test_tampering(solved):
    X, y, contents = solved
    arrays = contents.arrays
    checker.check(changed(contents), X, y)
    largest = int(np.argmax(np.linalg.norm(arrays["points"], axis=1)))
    row = int(np.argmax(np.abs(arrays["t"][:, 0])))

    def at(name, index, value):
        array = arrays[name].copy()
        array[index] = value
        return {name: array}

    cut = int(np.flatnonzero(arrays["cuts"][:, 2])[0])
    a, b, alpha, beta = arrays["cuts"][cut].tolist()
    for change in (
        {"t": (1.0 + 1e-6) * arrays["t"]},
        {"t": -arrays["t"]},
        at("points", largest, 0.99 * arrays["points"][largest]),
        at("points", largest, 1.1 * arrays["points"][largest]),
        at("row_lines", row, -arrays["row_lines"][row]),
        at("row_lines", row, 0),
        at("row_sizes", row, 1.001 * arrays["row_sizes"][row]),
        {"basis": 2.0 * arrays["basis"]},
        {"basis": 0.5 * arrays["basis"]},
        {"lines": 0.5 * arrays["lines"]},
        {"row_sizes": 0.5 * arrays["row_sizes"]},
        at("cuts", cut, (b, a, alpha, beta)),
        at("cuts", cut, (a, a, alpha, beta)),
        at("cuts", cut, (a, b, 0, beta)),
        at("cuts", cut, (a, 3, alpha, beta)),
        at("cuts", cut, (0, 0, 0, 0)),
        {"multipliers": 1.0 - arrays["multipliers"]},
    ):
        with pytest.raises(RejectedCertificate):
            checker.check(changed(contents, **change), X, y)


def test_every_leaf_is_needed(solved):
    X, y, contents = solved
    cuts, points, places = (contents.arrays[name] for name in ("cuts", "points", "places"))
    leaves = np.flatnonzero(cuts[:, 2] == 0)
    for leaf in (*range(0, len(leaves), 7), len(leaves) - 1):
        kept = places[:, 0] != leaf
        moved = places[kept] - np.column_stack([places[kept, 0] > leaf, np.zeros(kept.sum(), dtype=np.int64)])
        rest = changed(
            contents,
            cuts=np.delete(cuts, leaves[leaf], axis=0),
            points=np.delete(points, leaf, axis=0),
            places=moved,
            multipliers=contents.arrays["multipliers"][kept],
        )
        with pytest.raises(RejectedCertificate):
            checker.check(rest, X, y)
    with pytest.raises(RejectedCertificate, match="more cones than cover"):
        checker.check(
            changed(contents, cuts=np.vstack([cuts, cuts[-1:]]), points=np.vstack([points, points[-1:]])), X, y
        )


def test_a_proof_for_patterns_is_none_for_all_networks():
    X, y = ROWS["rank_3"], targets(ROWS["rank_3"], "squared")
    certificate = cr.solve(cr.ConvexReLU(X, y, cr.enumerate_patterns(X), 0.05)).certificate
    with pytest.raises(RejectedCertificate, match="scope"):
        checker.check(as_contents(certificate), X, y, scope="global")
