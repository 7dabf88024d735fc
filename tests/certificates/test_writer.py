"""Files of certificates: written only if the checker accepts them, with a warning if they prove less."""

import dataclasses
import json
from contextlib import nullcontext

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu import _files
from cvxrelu.certificates import checker
from reference.rationals import rational
from tests.helpers.cases import make_problem
from tests.helpers.forgery import as_contents, encoded


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


def test_bounds_carried_over_are_not_in_the_file(certificates, tmp_path):
    """A file has no bounds: those of a certificate whose weights or bounds were replaced are derived anew."""
    certificate = certificates[0]
    problem, path = certificate.problem, tmp_path / "a.cert"
    weights = 1.5 * certificate.weights
    others = {
        "weights": (weights, problem.objective(weights)),
        "upper": (0.0, certificate.upper),
        "lower": (certificate.upper, certificate.upper),
    }
    for name, (value, upper) in others.items():
        carried = dataclasses.replace(certificate, **{name: value})
        with nullcontext() if name == "lower" else pytest.warns(cr.ConvergenceWarning, match="proves a gap of"):
            carried.save(path, overwrite=True)
        verdict = cr.load_certificate(path).verify(problem.X, problem.y)
        assert verdict.upper == pytest.approx(upper, rel=1e-12)
        assert verdict.lower == pytest.approx(certificate.lower, rel=1e-9)
    carried = dataclasses.replace(certificate, problem=problem.with_lam(2 * problem.lam))
    with pytest.warns(cr.ConvergenceWarning, match="proves a gap of"):
        carried.save(path, overwrite=True)
    assert cr.load_certificate(path).lam == 2 * problem.lam


def test_single_precision_weights_are_those_of_the_file(certificates, tmp_path):
    certificate = certificates[0]
    problem, single = certificate.problem, certificate.weights.astype(np.float32)
    cr.certify(problem, single, certificate.dual).save(tmp_path / "a.cert")
    verdict = cr.load_certificate(tmp_path / "a.cert").verify(problem.X, problem.y)
    assert verdict.upper == pytest.approx(problem.objective(single), rel=1e-13)


@pytest.mark.parametrize("which", ["loss", "penalty"])
def test_user_defined_losses_and_penalties_cannot_be_saved(which, tmp_path):
    class Mine(cr.Squared if which == "loss" else cr.GroupL1):
        """The package's formulas, which a subclass may change."""

    problem = make_problem("gated")
    mine = cr.ConvexGatedReLU(problem.X, problem.y, problem.patterns, problem.lam, **{which: Mine()})
    with pytest.raises(ValueError, match="package's own"):
        cr.certify(mine, mine.zero_weights()).save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_written(certificates, tmp_path):
    with pytest.raises(FileNotFoundError):
        certificates[0].save(tmp_path / "missing" / "a.cert")


def test_what_the_checker_rejects_is_not_written(certificates, tmp_path, monkeypatch):
    def reject(*arguments, **options):
        raise cr.RejectedCertificate("not proved")

    monkeypatch.setattr(checker, "check", reject)
    with pytest.raises(cr.RejectedCertificate, match="not proved"):
        certificates[0].save(tmp_path / "a.cert")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_lam_of_zero_has_no_lower_bound_and_a_warning(kind, tmp_path):
    problem = make_problem(kind, shape="tripled").with_lam(0.0)
    certificate = cr.solve(problem, "CLARABEL").certificate
    with pytest.warns(cr.ConvergenceWarning, match="the file proves a gap of .*no dual point but zero"):
        certificate.save(tmp_path / "a.cert")
    verdict = cr.load_certificate(tmp_path / "a.cert").verify(problem.X, problem.y, lam=0.0)
    assert verdict.lower == 0.0
    assert verdict.upper == pytest.approx(certificate.upper, rel=1e-9)


def test_weights_in_a_cone_without_interior_are_left_out_with_a_warning(tmp_path):
    """Opposite rows that are both active leave a hyperplane, in which rounded weights hardly ever are."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 3))
    X = np.concatenate([x, -x, rng.standard_normal((6, 3))])
    y = 3.0 * np.maximum(X @ (rng.standard_normal(3) @ (np.eye(3) - x.T @ x / (x @ x.T))), 0)
    D = np.concatenate([np.ones((2, 1)), y[2:, None] > 0]).astype(bool)
    problem = cr.ConvexReLU(X, y, cr.ActivationPatterns(D), lam=1e-3)
    certificate = cr.solve(problem).certificate
    assert np.any(certificate.weights)
    with pytest.warns(cr.ConvergenceWarning, match="larger than that of the certificate.*cones only to rounding"):
        certificate.save(tmp_path / "a.cert")
    loaded = cr.load_certificate(tmp_path / "a.cert")
    assert not np.any(loaded.weights)
    assert loaded.verify(X, y).upper == pytest.approx(problem.objective(problem.zero_weights()), rel=1e-12)


def test_weights_at_the_edge_of_a_cone_are_moved_inside_exactly(tmp_path):
    """They are moved by about their rounding, so the bound stays."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 3))
    y, moved = X[:, 0], 0
    for k in range(1, 9):
        v = np.cross(X[0], X[1]) / k
        masks = cr.ActivationPatterns((X @ v > -1e-12)[:, None])
        problem = cr.ConvexReLU(X, y, masks, lam=0.01)
        certificate = cr.certify(problem, (v[None, None], np.zeros((1, 1, 3))))
        certificate.save(tmp_path / "a.cert", overwrite=True)
        contents = cr.load_certificate(tmp_path / "a.cert").contents
        w = rational(contents.arrays["weights"]).sum(axis=(0, 1))
        assert (np.where(masks.D[:, 0], 1, -1) * (rational(X) @ w)).min() >= 0
        assert np.abs(contents.arrays["weights"][1]).max() <= 1e-13
        moved += contents.arrays["weights"][1].any()
        verdict = cr.load_certificate(tmp_path / "a.cert").verify(X, y)
        assert verdict.upper == pytest.approx(certificate.upper, rel=1e-13)
    assert moved


def test_the_file_is_its_description_and_nothing_else(certificates, tmp_path):
    """It names no path, host, user or time, and equal certificates are equal files."""
    path = tmp_path / "secret-name.cert"
    certificates[0].save(path)
    raw = path.read_bytes()
    certificates[0].save(tmp_path / "again.cert")
    assert (tmp_path / "again.cert").read_bytes() == raw
    first, text, _ = raw.split(b"\n", 2)
    assert first == b"cvxrelu certificate 3"
    header = json.loads(text)
    assert set(header) == checker.KEYS
    assert header["rows"] is None
    assert b"secret-name" not in raw
    assert encoded(checker.parse(raw)) == raw == encoded(as_contents(certificates[0]))
