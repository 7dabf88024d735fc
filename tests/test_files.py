"""Files are written atomically, and temporary files of killed processes are removed."""

import os
import subprocess
import sys

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu import _files as files


def gone():
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_temporary_files_of_killed_processes_are_removed(tmp_path):
    target = tmp_path / "net.npz"
    stale = tmp_path / f"net.npz.{gone()}-0123abcd.tmp"
    in_use = tmp_path / f"net.npz.{os.getppid()}-0123abcd.tmp"
    other_target = tmp_path / f"other.npz.{gone()}-0123abcd.tmp"
    foreign = tmp_path / "net.npz.old.tmp"
    for path in (stale, in_use, other_target, foreign):
        path.write_bytes(b"half")
    files.write(target, b"whole", overwrite=False)
    assert target.read_bytes() == b"whole"
    assert sorted(tmp_path.iterdir()) == sorted([target, in_use, other_target, foreign])


def test_an_interrupted_write_leaves_only_the_old_file(tmp_path):
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


def test_a_folder_that_cannot_be_written_is_reported_before_any_work(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    problem = cr.ConvexGatedReLU(X, y, cr.sample_patterns(X, 5, seed=0))
    cr.regularization_path(problem, n_lams=2, save_to=tmp_path)

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    cr.regularization_path(problem, n_lams=2, save_to=tmp_path)  # complete: nothing is written
    monkeypatch.setattr(
        "cvxrelu.optimize.path.solve_next", lambda *args, **kwargs: pytest.fail("work that would be lost")
    )
    with pytest.raises(PermissionError):
        cr.regularization_path(problem, n_lams=3, save_to=tmp_path)
