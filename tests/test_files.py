"""Files are written whole or not at all, and what a killed process has left goes."""

import os
import subprocess
import sys

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu import _files as files


def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_has_left_is_removed(tmp_path):
    target = tmp_path / "net.npz"
    left = tmp_path / f"net.npz.{gone()}-0123abcd.tmp"
    at_work = tmp_path / f"net.npz.{os.getppid()}-0123abcd.tmp"
    of_another = tmp_path / f"other.npz.{gone()}-0123abcd.tmp"
    of_people = tmp_path / "net.npz.old.tmp"
    for path in (left, at_work, of_another, of_people):
        path.write_bytes(b"half")
    files.write(target, b"whole", overwrite=False)
    assert target.read_bytes() == b"whole"
    assert sorted(tmp_path.iterdir()) == sorted([target, at_work, of_another, of_people])


def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "net.npz"
    target.write_bytes(b"old")

    def half():
        with files.replacing(target) as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 5, seed=0))
    cr.regularization_path(problem, n_lams=2, save_to=tmp_path)

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    cr.regularization_path(problem, n_lams=2, save_to=tmp_path)  # all of it is there: nothing is written
    monkeypatch.setattr("cvxrelu.optimize.path.solve", lambda *args, **kwargs: pytest.fail("work that would be lost"))
    with pytest.raises(PermissionError):
        cr.regularization_path(problem, n_lams=3, save_to=tmp_path)
