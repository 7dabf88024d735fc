"""Paths in a folder: resumed, damaged and foreign files."""

import zipfile

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.optimize import path as paths
from cvxrelu.optimize.path import regularization_path
from tests.helpers.cases import make_problem
from tests.helpers.paths import LAMS, PROBLEM, SOLVER


def interrupt_after(k):
    count = iter(range(k - 1))

    def callback(solution):
        if next(count, None) is None:
            raise KeyboardInterrupt

    return callback


def rewrite(file, **changes):
    with np.load(file, allow_pickle=False) as old:
        arrays = {**old, **changes}
    np.savez(file, **arrays)


def files_of(folder):
    """Return the files of a folder, by descending lam."""
    return sorted(folder.iterdir(), key=lambda file: -float(np.load(file)["lam"]))


def test_ctrl_c_in_a_solver_keeps_the_points_before(monkeypatch, tmp_path):
    def solve(problem, *args, continuation, **keywords):
        callback = interrupt_after(1) if problem.lam == LAMS[3] else None
        return cr.solve(problem, *args, **keywords, callback=callback)

    monkeypatch.setattr(paths, "solve_next", solve)
    path = regularization_path(PROBLEM, LAMS, save_to=tmp_path)
    assert (len(path), path.complete, path.halted) == (3, False, "interrupted")
    assert path.status == ("optimal",) * 3
    assert len(files_of(tmp_path)) == 3  # not the unfinished one


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_interrupted_path_resumes_from_its_folder(kind, tmp_path, solved):
    problem = make_problem(kind, "logistic")
    lams = problem.lam_max() * np.geomspace(0.9, 0.05, 5)
    settings = {"solver": SOLVER[kind], "save_to": tmp_path / "new" / "folder"}
    first = regularization_path(problem, lams, **settings, callback=interrupt_after(3))
    assert (len(first), first.complete, first.halted) == (3, False, "interrupted")
    assert len(solved) == 3
    seen = []
    second = regularization_path(problem.with_lam(7.0), lams[::-1], **settings, callback=seen.append)
    assert [lam for lam, _ in solved[3:]] == list(lams[3:])
    assert [point.solver_status == "loaded" for point in seen] == [True] * 3 + [False] * 2
    assert second.complete
    np.testing.assert_allclose(second.objectives[:3], first.objectives, rtol=1e-12)
    complete = regularization_path(problem, lams, solver=SOLVER[kind])
    gaps = (complete.objectives - complete.lowers) + (second.objectives - second.lowers)
    assert (np.abs(complete.objectives - second.objectives) <= gaps + 1e-14).all()
    assert second.status == complete.status == ("optimal",) * 5
    assert second.gaps.max() <= 1e-4


def test_files_hold_no_objects_and_no_leftovers(tmp_path):
    path = regularization_path(PROBLEM, LAMS[:2], save_to=str(tmp_path))
    files = files_of(tmp_path)
    assert [file.suffix for file in files] == [".npz"] * 2
    with np.load(files[1], allow_pickle=False) as file:
        assert set(file) == {"lam", "weights", "t", "objective", "lower", "fingerprint"}
        assert float(file["lam"]) == LAMS[1]
        assert float(file["objective"]) == path.objectives[1]
        np.testing.assert_array_equal(file["weights"], path.weights[1])
        np.testing.assert_array_equal(file["t"], path.certificates[1].dual.t)
        assert not any(array.dtype.hasobject for array in file.values())


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    regularization_path(PROBLEM, LAMS[:1], save_to=tmp_path, tol=1e-2)
    (file,) = files_of(tmp_path)
    before = file.read_bytes()

    def savez(handle, **arrays):
        handle.write(b"half of")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(OSError, match="no space"):
        regularization_path(PROBLEM, LAMS[:1], save_to=tmp_path, tol=1e-8)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before


def test_bounds_in_a_file_are_not_trusted(tmp_path, solved):
    honest = regularization_path(PROBLEM, LAMS[:2], save_to=tmp_path)
    rewrite(files_of(tmp_path)[1], objective=0.125, lower=0.125)
    path = regularization_path(PROBLEM, LAMS[:2], save_to=tmp_path)
    assert len(solved) == 2
    np.testing.assert_allclose(path.objectives, honest.objectives, rtol=1e-12)
    np.testing.assert_allclose(path.lowers, honest.lowers, rtol=1e-12)


@pytest.mark.parametrize("kind", ["gated", "relu"])
def test_changed_weights_get_an_honest_certificate(kind, tmp_path, solved):
    problem = make_problem(kind)
    lam = [0.1 * problem.lam_max()]
    honest = regularization_path(problem, lam, solver=SOLVER[kind], save_to=tmp_path)
    changed = 1.1 * problem.blocks(honest.weights[0])
    rewrite(files_of(tmp_path)[0], weights=changed)
    lenient = regularization_path(problem, lam, solver=SOLVER[kind], save_to=tmp_path, tol=0.5)
    assert len(solved) == 1
    assert lenient.objectives[0] == pytest.approx(problem.with_lam(lam[0]).objective(problem.weights(changed)))
    assert 0.5 > lenient.gaps[0] > 1e-3
    strict = regularization_path(problem, lam, solver=SOLVER[kind], save_to=tmp_path)
    assert len(solved) == 2
    assert strict.gaps[0] <= 1e-4
    assert strict.objectives[0] == pytest.approx(honest.objectives[0], rel=2e-4)
    regularization_path(problem, lam, solver=SOLVER[kind], save_to=tmp_path)
    assert len(solved) == 2  # the new solution replaced the file


def test_stored_weights_above_a_smaller_tol_are_the_start(tmp_path, solved):
    rough = regularization_path(PROBLEM, LAMS, solver="RFISTA", tol=1e-2, save_to=tmp_path)
    fine = regularization_path(PROBLEM, LAMS, solver="RFISTA", tol=1e-6, save_to=tmp_path)
    assert fine.gaps.max() <= 1e-6
    missed = rough.gaps > 1e-6
    assert missed.sum() > 3
    again = dict(solved[6:])
    for i in np.flatnonzero(missed):
        np.testing.assert_array_equal(again[LAMS[i]], rough.weights[i])


def truncate(file):
    file.write_bytes(file.read_bytes()[:-40])


def empty(file):
    file.write_bytes(b"")


def flip(file):
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        where = archive.getinfo("weights.npy").header_offset
    data[where + 250] ^= 0xFF
    file.write_bytes(bytes(data))


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was opened')",)


def pickled(file):
    rewrite(file, weights=np.array([Trap()], dtype=object))


def other_shape(file):
    rewrite(file, weights=np.zeros((1, 2)))


def not_finite(file):
    rewrite(file, t=np.full(PROBLEM.Y.shape, np.nan))


@pytest.mark.parametrize("damage", [truncate, empty, flip, pickled, other_shape, not_finite])
def test_damaged_files_are_solved_again_with_one_warning(damage, tmp_path, solved):
    honest = regularization_path(PROBLEM, LAMS[:3], save_to=tmp_path)
    files = files_of(tmp_path)
    for file in files[1:]:
        damage(file)
    with pytest.warns(UserWarning, match="damaged") as caught:
        path = regularization_path(PROBLEM, LAMS[:3], save_to=tmp_path)
    assert len(caught) == 1
    assert all(file.name in str(caught[0].message) for file in files[1:])
    assert files[0].name not in str(caught[0].message)
    assert [lam for lam, _ in solved[3:]] == list(LAMS[1:3])
    np.testing.assert_allclose(path.objectives, honest.objectives, rtol=1e-4)
    regularization_path(PROBLEM, LAMS[:3], save_to=tmp_path)  # repaired: no warning, nothing solved
    assert len(solved) == 5


@pytest.mark.parametrize("length", [1, 3])
def test_pairs_of_another_length_count_as_damaged(length, tmp_path, solved):
    problem = make_problem("relu")
    lam = [0.1 * problem.lam_max()]
    honest = regularization_path(problem, lam, save_to=tmp_path)
    blocks = problem.blocks(honest.weights[0])
    rewrite(files_of(tmp_path)[0], weights=np.concatenate([blocks, blocks])[:length])
    with pytest.warns(UserWarning, match="damaged"):
        regularization_path(problem, lam, save_to=tmp_path)
    assert len(solved) == 2


def test_close_lams_have_separate_files(tmp_path):
    regularization_path(PROBLEM, LAMS[0] * (1.0 + np.array([0.0, 1e-9])), save_to=tmp_path)
    assert len(files_of(tmp_path)) == 2


def other_problems():
    X, y, patterns = PROBLEM.X, PROBLEM.y, PROBLEM.patterns
    moved = np.array(X)
    moved[3, 1] += 1e-9
    D = np.array(patterns.D)
    D[0, 0] = not D[0, 0]
    yield "X", cr.ConvexGatedReLU(moved, y, cr.ActivationPatterns(patterns.D))
    yield "y", cr.ConvexGatedReLU(X, np.nextafter(y, 9.0), patterns)
    yield "D", cr.ConvexGatedReLU(X, y, cr.ActivationPatterns(D))
    yield "loss", cr.ConvexGatedReLU(X, y, patterns, loss="huber")
    yield "penalty", cr.ConvexGatedReLU(X, y, patterns, penalty="l1")
    yield "kind", cr.ConvexReLU(X, y, patterns)


@pytest.mark.parametrize("problem", [pytest.param(other, id=name) for name, other in other_problems()])
def test_a_folder_of_another_problem_is_refused(problem, tmp_path, solved):
    regularization_path(PROBLEM, LAMS[:1], save_to=tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="belongs to another problem"):
        regularization_path(problem, LAMS[1:3], save_to=tmp_path)  # at other lams too
    assert len(solved) == 1
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
