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
from tests.helpers.cases import make_problem


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
