import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu import _files
from cvxrelu._files import pack
from cvxrelu.certificates import checker
from tests.helpers.cases import GATED_PENALTIES, make_problem, random_weights


@pytest.fixture(scope="module")
def certificates():
    """Return nearly optimal certificates of a gated problem with three outputs and a ReLU problem."""
    problems = [make_problem("gated", c=3, shape="collinear"), make_problem("relu", "huber", ratio=0.05)]
    return [cr.solve(problem, "CLARABEL", tol=1e-7).certificate for problem in problems]


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


def test_no_file_is_overwritten_by_default(certificates, tmp_path):
    path = tmp_path / "a.cert"
    certificates[0].save(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        certificates[1].save(path)
    assert path.read_bytes() == before
    certificates[1].save(str(path), overwrite=True)
    assert cr.load_certificate(path).kind == "relu"
    assert [file.name for file in tmp_path.iterdir()] == ["a.cert"]


def test_a_failed_save_leaves_the_old_file(certificates, tmp_path, monkeypatch):
    path = tmp_path / "a.cert"
    certificates[0].save(path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(_files.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        certificates[1].save(path, overwrite=True)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.cert"]


def test_bounds_carried_over_are_not_saved(certificates, tmp_path):
    """A certificate whose weights or problem were replaced is not saved with the old bounds."""
    certificate = certificates[0]
    problem = certificate.problem
    others = {
        "weights": 1.01 * certificate.weights,
        "problem": problem.with_lam(2 * problem.lam),
        "upper": certificate.upper - 1e-9 * certificate.upper,
        "lower": certificate.upper,
        "dual": dataclasses.replace(certificate.dual, t=0.9 * certificate.dual.t),
    }
    for name, value in others.items():
        carried = dataclasses.replace(certificate, **{name: value})
        with pytest.raises(cr.RejectedCertificate):
            carried.save(tmp_path / "a.cert")
    assert list(tmp_path.iterdir()) == []
    single = certificate.weights.astype(np.float32)
    cr.certify(problem, single, certificate.dual).save(tmp_path / "a.cert")
    loaded = cr.load_certificate(tmp_path / "a.cert")
    assert loaded.upper == problem.objective(single)


def test_user_defined_losses_cannot_be_saved(certificates, tmp_path):
    certificate = certificates[0]

    class Mine(cr.Squared):
        pass

    problem = make_problem("gated")
    mine = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam, loss=Mine())
    with pytest.raises(ValueError, match="package's own"):
        cr.certify(mine, mine.zero_weights()).save(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        certificate.save(tmp_path / "missing" / "a.cert")
    with pytest.raises(FileNotFoundError):
        cr.load_certificate(tmp_path / "a.cert")


def test_the_file_reveals_nothing_about_the_machine(certificates, tmp_path):
    """It names no path, host or user, and equal certificates saved at the same time are equal files."""
    path = tmp_path / "secret-name.cert"
    certificates[0].save(path)
    with zipfile.ZipFile(path) as archive:
        header = json.loads(np.load(io.BytesIO(archive.read("header.npy"))).tobytes())
        dates = {info.date_time for info in archive.infolist()}
    assert set(header["info"]) == {"cvxrelu", "numpy", "created", "max_violation", "kkt_residual"}
    assert dates == {(1980, 1, 1, 0, 0, 0)}
    assert b"secret-name" not in path.read_bytes()
    contents = checker.read_certificate(path)
    assert pack(contents.header, contents.arrays) == path.read_bytes()


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
