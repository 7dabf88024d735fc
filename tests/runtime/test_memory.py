"""Requests for more memory than is free are refused before allocation, with a remedy."""

import os

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.cones.polyhedron_projection import PolyhedronProjector
from cvxrelu.cones.projection import ConeProjector
from cvxrelu.patterns.packed_mask import PackedMask, count_active, packed_bits
from cvxrelu.runtime import memory
from cvxrelu.solvers.selection import first_able

MIB = 2**20


@pytest.fixture
def free(monkeypatch):
    """Return a function that sets the number of free bytes, and check even small arrays."""

    def set_free(count):
        monkeypatch.setattr(memory, "_SMALL", 0)
        monkeypatch.setattr(memory, "available_bytes", lambda: count)

    return set_free


def make(kind="relu", n=40, d=20, n_gates=30, loss="squared", penalty="group_l1", lam=0.01, c=1):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    Y = rng.standard_normal((n, c))
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    return cls(X, Y, cr.sample_patterns(X, n_gates, seed=0), lam, loss, penalty)


def test_error_has_both_types_and_names_the_remedy(free):
    free(3 * MIB)
    memory.require(3 * MIB, "it", "do less")
    with pytest.raises(
        cr.InsufficientMemoryError, match=r"^it would need 3\.5 GiB.*3 MiB are free: do less$"
    ) as caught:
        memory.require(3.5 * 2**30, "it", "do less")
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, cr.SolverError)


def test_small_arrays_are_never_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: pytest.fail("asked"))
    memory.require(MIB, "it", "do less")


def test_free_memory_is_at_most_that_of_the_machine():
    free_bytes = memory.available_bytes()
    assert free_bytes > 0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        assert free_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Simulate a machine with 1000 MiB available, and folders for its control groups."""
    (tmp_path / "meminfo").write_text("MemTotal: 9999999 kB\nMemFree: 1 kB\nMemAvailable: 1024000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_MOUNT", tmp_path / "mount")
    return tmp_path


def test_a_machine_without_control_groups(machine):
    assert memory.available_bytes() == 1000 * MIB


def test_limits_of_control_groups_of_version_2(machine):
    (machine / "cgroup").write_text("0::/outer/inner\n")
    outer, inner = machine / "mount" / "outer", machine / "mount" / "outer" / "inner"
    write(outer, max=f"{500 * MIB}\n", current=f"{200 * MIB}\n", stat=f"anon 1\ninactive_file {50 * MIB}\n")
    write(inner, max="max\n", current=f"{100 * MIB}\n")
    assert memory.available_bytes() == 350 * MIB  # the file cache counts as free
    write(inner, max=f"{110 * MIB}\n")
    assert memory.available_bytes() == 10 * MIB
    write(inner, max=f"{50 * MIB}\n")
    assert memory.available_bytes() == 0


def test_limits_of_control_groups_of_version_1_with_a_hidden_name(machine):
    (machine / "cgroup").write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/elsewhere\n")
    root = machine / "mount" / "memory"
    write(
        root,
        limit_in_bytes=f"{300 * MIB}",
        usage_in_bytes=f"{100 * MIB}",
        stat=f"inactive_file {MIB}\ntotal_inactive_file {2 * MIB}\n",
    )
    assert memory.available_bytes() == 202 * MIB


def test_other_systems(machine, monkeypatch):
    (machine / "meminfo").unlink()
    pages = {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}

    def sysconf(name):
        if name not in pages:
            raise ValueError(name)
        return pages[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert memory.available_bytes() == 409_600
    pages.clear()
    assert memory.available_bytes() > 2**60  # no information


def test_auto_chooses_a_solver_that_fits(free):
    problem = make()
    blocks, n = 2 * len(problem.patterns), problem.n
    bases, multipliers = 8 * blocks * problem.d**2, 2 * 8 * n * blocks
    program = memory.COMPILED_BYTES * problem.program_entries()
    assert multipliers < bases < program
    free(bases)
    assert type(first_able(problem)).__name__ == "WorkingSet"
    free(bases - 1)
    assert type(first_able(problem)).__name__ == "AugmentedLagrangian"
    free(multipliers - 1)
    assert first_able(problem) is None
    free(10 * program)
    assert type(first_able(problem)).__name__ == "WorkingSet"


def test_named_solvers_refuse_problems_that_do_not_fit(free):
    problem = make()
    free(8 * 2 * len(problem.patterns) * problem.d**2 - 1)
    with pytest.raises(cr.InsufficientMemoryError, match="WorkingSet, with a basis of 20 x 20 for each of"):
        cr.solve(problem, "WorkingSet")
    free(memory.COMPILED_BYTES * problem.program_entries() - 1)
    with pytest.raises(cr.InsufficientMemoryError, match=r"CLARABEL's program.*take fewer patterns"):
        cr.solve(problem, "CLARABEL")
    assert cr.solve(problem, "AugmentedLagrangian", tol=0.1).solver == "AugmentedLagrangian"
    tall = make(n=400, n_gates=10)
    free(2 * 8 * tall.n * 2 * len(tall.patterns) - 1)
    with pytest.raises(cr.InsufficientMemoryError, match="AugmentedLagrangian, with 10 arrays of 400 rows"):
        cr.solve(tall, "AugmentedLagrangian")
    free(MIB // 8)
    with pytest.raises(cr.InsufficientMemoryError, match="the primal program"):
        problem.to_cvxpy()


def test_wide_data_need_the_memory_of_their_row_space(free):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 300))
    problem = cr.ConvexReLU(X, X[:, 0], cr.sample_patterns(X, 20, seed=0), lam=0.1)
    free(6 * 8 * 2 * len(problem.patterns) * 300)  # less than a basis of 300 x 300 for each of 3 cones
    assert cr.solve(problem).status == "optimal"


def test_weights_that_do_not_fit(free):
    problem = make()
    free(6 * 8 * 2 * len(problem.patterns) * problem.d - 1)
    with pytest.raises(cr.InsufficientMemoryError, match=r"Weights of shape \(2, 1, .*take fewer gates"):
        cr.solve(problem)
    with pytest.raises(cr.InsufficientMemoryError, match="Weights of shape"):
        cr.certify(problem, problem.zero_weights())


def test_projectors_refuse_bases_that_do_not_fit(free):
    problem = make()
    projector = ConeProjector(problem.X, problem.patterns.D, 60)
    W = np.random.default_rng(0).standard_normal((3, problem.d))
    free(8 * 2 * problem.d**2)
    projector.project(np.arange(2), W[:2])
    with pytest.raises(cr.InsufficientMemoryError, match="A basis of 20 x 20 for each of 3 cones"):
        projector.project(np.arange(3), W)
    assert np.isfinite(projector.project(np.arange(2), W[:2])).all()  # unchanged
    with pytest.raises(cr.InsufficientMemoryError, match="3 polyhedra"):
        PolyhedronProjector(problem.X, problem.patterns.D[:, :3], np.zeros((problem.n, 3)))


def test_least_squares_without_memory_for_the_kernel(free):
    problem = make("gated", penalty="squared_l2")
    by_kernel = cr.solve(problem, "LeastSquares")
    assert by_kernel.solver_status.endswith("kernel")
    free(6 * 8 * len(problem.patterns) * problem.d)
    problem = make("gated", n=200, n_gates=5, penalty="squared_l2")
    solution = cr.solve(problem, "LeastSquares", tol=1e-6)
    assert solution.solver_status.endswith("LSMR")
    assert solution.status == "optimal"


def test_enumeration_that_does_not_fit(free):
    X = np.random.default_rng(0).standard_normal((30, 3))
    count = cr.count_patterns(30, 3)
    free(2 * count * (30 / 8 + 8 * 3))
    assert len(cr.enumerate_patterns(X)) == count
    free(2 * count * (30 / 8 + 8 * 3) - 1)
    with pytest.raises(cr.InsufficientMemoryError, match=r"As many as 872 patterns.*iter_patterns"):
        cr.enumerate_patterns(X)
    assert sum(len(part) for part in cr.iter_patterns(X)) == count


def test_enumeration_of_very_wide_data_solves_no_system_of_all_columns():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 20_000)) * 2.0 ** rng.integers(-30, 30, 20_000)
    patterns = cr.enumerate_patterns(X)
    assert len(patterns) == 2**5
    assert not patterns.is_singular(X).any()


def test_counts_of_packed_masks():
    D = np.random.default_rng(0).random((13, 5)) < 0.4
    assert count_active(D) == count_active(PackedMask(packed_bits(D), 13)) == D.sum()
