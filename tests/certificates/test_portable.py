import numpy as np
import pytest

import cvxrelu as cr
from tests.helpers.cases import GATED_PENALTIES, make_problem, random_weights


def test_round_trip(certificates, tmp_path):
    for certificate in certificates:
        problem, path = certificate.problem, tmp_path / f"{type(certificate.problem).__name__}.cert"
        certificate.save(path)
        loaded = cr.load_certificate(path)
        np.testing.assert_array_equal(problem.blocks(loaded.weights), problem.blocks(certificate.weights))
        np.testing.assert_array_equal(loaded.patterns.D, problem.patterns.D)
        np.testing.assert_array_equal(loaded.patterns.G, problem.patterns.G)
        np.testing.assert_array_equal(loaded.dual.t, certificate.dual.t)
        if certificate.dual.multipliers is not None:
            assert loaded.dual.multipliers.nnz > 0
            difference = loaded.dual.multipliers - certificate.dual.multipliers
            assert abs(difference).max() == 0.0
        for name in ("lower", "upper", "gap", "scope", "rigor"):
            assert getattr(loaded, name) == getattr(certificate, name)
        assert (loaded.lam, loaded.loss, loaded.penalty) == (problem.lam, problem.loss, problem.penalty)
        assert loaded.info["max_violation"] == certificate.max_violation
        assert loaded.info["cvxrelu"] == cr.__version__
        again = type(problem)(problem.X, problem.y, loaded.patterns, loaded.lam, loaded.loss, loaded.penalty)
        assert cr.certify(again, loaded.weights, loaded.dual).lower == pytest.approx(certificate.lower, rel=1e-9)
        verdict = loaded.verify(problem.X, problem.y)
        assert verdict.upper == pytest.approx(certificate.upper, rel=1e-13)
        assert verdict.lower == pytest.approx(certificate.lower, rel=1e-9)
        assert verdict.arithmetic == "floating_point"
        assert "not verified" in str(loaded)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_data_are_compared_by_value_not_dtype(dtype, tmp_path):
    X = np.arange(-12, 12).reshape(8, 3).astype(dtype)
    X[3, 1] *= -1
    y = np.arange(8.0)
    patterns = cr.sample_patterns(X, 4)
    certificate = cr.certify(problem := cr.ConvexReLU(X, y, patterns, 0.1), problem.zero_weights())
    certificate.save(tmp_path / "a.cert")
    loaded = cr.load_certificate(tmp_path / "a.cert")
    for data, targets in ((X, y), (X.astype(np.float64), y[:, None]), (np.asfortranarray(X), y.astype(np.float32))):
        assert loaded.verify(data, targets).claimed_upper == certificate.upper
    with pytest.raises(cr.RejectedCertificate, match="not those of the certificate"):
        loaded.verify(X, y[::-1])
    with pytest.raises(ValueError, match="X must be finite"):
        loaded.verify(np.full((8, 3), np.nan), y)


@pytest.mark.parametrize("penalty", GATED_PENALTIES)
def test_masks_without_gates_and_empty_networks(penalty, tmp_path):
    problem = make_problem("gated", penalty=penalty)
    masks = cr.ActivationPatterns(problem.patterns.D)
    problem = cr.ConvexGatedReLU(problem.X, problem.y, masks, problem.lam, penalty=penalty)
    for name, weights in (
        ("zero", problem.zero_weights()),
        ("some", random_weights(problem, np.random.default_rng(0))),
    ):
        cr.certify(problem, weights).save(tmp_path / name)
        loaded = cr.load_certificate(tmp_path / name)
        assert loaded.patterns.G is None
        assert loaded.verify(problem.X, problem.y).n_blocks == np.any(weights, axis=-1).sum()
