"""Kernels: compiled once, at their first call, in any environment."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.pricing import cone_stack
from cvxrelu.runtime import machine_code
from tests.helpers.kernels import halved

PACKAGE = Path(cr.__file__).parent
SOLVES = """
import sys
import warnings

import numpy as np
import cvxrelu as cr

X = np.column_stack([np.linspace(-1.0, 1.0, 8), np.ones(8)])
y = np.abs(X[:, 0])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    patterns = cr.enumerate_patterns(X)
    print(f"{cr.solve(cr.ConvexGatedReLU(X, y, patterns, lam=0.01), tol=1e-8).objective:.6f}", len(caught))
    print(f"{cr.solve(cr.ConvexReLU(X, y, patterns, lam=0.01), tol=1e-8).objective:.6f}")
    if "global" in sys.argv:
        print(f"{cr.solve_global(X, y, lam=0.01, tol=1e-6).objective:.6f}")
print(*[warning.category.__name__ for warning in caught])
"""
HOMES = {"HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"}


def test_numba_is_not_imported_if_kernels_are_cached(tmp_path):
    code = SOLVES.replace("import sys\n", "import sys\nsys.argv = []\n") + "print('numba' in sys.modules)"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    assert [run(["-c", code], environment)[-1] for _ in range(2)] == ["True", "False"]


def test_other_types_are_refused(tiny):
    module = tiny[0]()
    for x in (np.ones(2, dtype=np.float32), np.ones((2, 2)), np.ones(4)[::2]):
        with pytest.raises(TypeError):
            module.halve(x)


def test_first_calls_from_threads(tiny):
    module = tiny[0]()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: halved(module), range(32)))
    assert results == [[0.5, 1.5]] * 32
    assert len(module.halve.dispatcher.signatures) == len(module.half.dispatcher.signatures) == 1


def test_numba_can_be_disabled(tiny, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert halved(tiny[0]()) == [0.5, 1.5]


@pytest.fixture
def slow_compilation(monkeypatch):
    """Make compilation take an hour of clock time."""
    project_blocks.compile()
    cone_stack.ConeStack.compile()
    hours = []
    now = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: now() + 3600.0 * len(hours))

    load = machine_code.load

    def slow(kernel, signature):
        hours.append(kernel.function.__name__)
        return load(kernel, signature)

    monkeypatch.setattr(machine_code, "load", slow)
    for kernel in (project_blocks, cone_stack._search):
        monkeypatch.setattr(kernel, "_compiled", None)
    return hours


def test_time_limits_exclude_compilation(slow_compilation):
    X = np.random.default_rng(0).standard_normal((12, 3))
    y = np.abs(X[:, 0])
    problem = cr.ConvexReLU(X, y, cr.sample_patterns(X, 4, seed=0), lam=0.01)
    assert cr.solve(problem, time_limit=1800.0).status == "optimal"
    assert slow_compilation == ["project_blocks"]
    best = cr.solve_global(X, y, lam=0.1, tol=1e-3, time_limit=1800.0)
    assert (best.status, best.certificate.proof.method) == ("optimal", "branch_and_bound")
    assert slow_compilation == ["project_blocks", "_search"]


def test_gated_solves_need_no_compilation(slow_compilation):
    X = np.random.default_rng(0).standard_normal((12, 3))
    problem = cr.ConvexGatedReLU(X, X[:, 0], cr.sample_patterns(X, 4, seed=0), lam=0.01)
    assert cr.solve(problem, time_limit=1800.0).status == "optimal"
    assert slow_compilation == []


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
# Root's test dependencies may be unreadable for others; here the user "nobody" can read everything and write nothing.
READING = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def run(arguments, environment, *, prefix=()):
    """Run Python without a home; return the lines that it prints."""
    environment = {name: value for name, value in os.environ.items() if name not in HOMES} | environment
    done = subprocess.run(
        [*prefix, sys.executable, *arguments], env=environment, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def uncached(tmp_path):
    """Return the environment of a copy of the package beside which no user can write a cache."""
    copy = tmp_path / "site" / "cvxrelu"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        (folder / "__pycache__").write_text("a file where a folder would be")
    return {"PYTHONPATH": str(copy.parent), "NUMBA_CACHE_DIR": os.devnull, "XDG_CACHE_HOME": os.devnull}


def check_solves(lines):
    gated, relu, *rest = lines
    assert gated == "0.013116 0"
    assert set(rest[:-1]) <= {relu} == {"0.018179"}
    assert rest[-1] == "CompilationCacheWarning"


@pytest.mark.parametrize("more", [(), pytest.param(("global",), marks=pytest.mark.slow)])
def test_solves_without_a_writable_cache(tmp_path, more):
    check_solves(run(["-c", SOLVES, *more], uncached(tmp_path)))


def test_info_without_a_writable_cache(tmp_path):
    assert any("numba" in line for line in run(["-m", "cvxrelu", "info"], uncached(tmp_path)))


@pytest.mark.slow
def test_nobody_in_a_container(tmp_path):
    prefix = [*NOBODY, *READING]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("only root becomes nobody, with setpriv of util-linux")
    copy = tmp_path / "site" / "cvxrelu"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"PYTHONPATH": str(copy.parent), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    check_solves(run(["-c", SOLVES, "global"], environment, prefix=prefix))
    assert any("numba" in line for line in run(["-m", "cvxrelu", "info"], environment, prefix=prefix))
