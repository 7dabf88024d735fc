"""Kernels: compiled once, at their first call, in any environment."""

import importlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import event
from numba.core.registry import cpu_target

import cvxrelu as cr
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.pricing import cone_stack
from cvxrelu.runtime import machine_code, numba_kernels

TINY = """
from cvxrelu.runtime.compilation import kernel

@kernel()
def half(x):
    return 0.5 * x

@kernel("(float64[::1],)")
def halve(x):
    for i in range(len(x)):
        x[i] = half(x[i])
"""
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


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a loader of a module of uncompiled kernels, and its cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    monkeypatch.setattr(machine_code, "_warned", False)
    file = tmp_path / "tiny.py"
    file.write_text(TINY)

    def load():
        spec = spec_from_file_location("tiny", file)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load, folder


def halved(module):
    x = np.array([1.0, 3.0])
    module.halve(x)
    return x.tolist()


def cached(folder):
    (file,) = folder.iterdir()
    return file


@pytest.fixture
def no_compiler(monkeypatch):
    """Return a function that disables the compiler."""

    def refuse(*_):
        raise AssertionError("compiled though it is cached")

    return lambda: monkeypatch.setattr(numba_kernels, "machine_code", refuse)


def test_kernels_are_loaded_from_the_cache(tiny, no_compiler):
    load, folder = tiny
    assert halved(load()) == [0.5, 1.5]
    before = cached(folder).stat()
    no_compiler()
    assert halved(load()) == [0.5, 1.5]
    assert cached(folder).stat().st_mtime_ns == before.st_mtime_ns


def test_numba_is_not_imported_if_kernels_are_cached(tmp_path):
    code = SOLVES.replace("import sys\n", "import sys\nsys.argv = []\n") + "print('numba' in sys.modules)"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    assert [run(["-c", code], environment)[-1] for _ in range(2)] == ["True", "False"]


def test_changes_of_called_kernels_invalidate_the_cache(tiny, tmp_path, monkeypatch):
    load, _ = tiny
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    header = "from cvxrelu.runtime.compilation import kernel\n"
    part = header + "\nFACTOR = {}\n\n@kernel()\ndef half(x):\n    return FACTOR * x\n"
    own = TINY[TINY.index('@kernel("') :]
    (tmp_path / "tiny.py").write_text(
        f"from cvxrelu.runtime.compilation import kernel\nfrom tiny_part import half\n\n{own}"
    )
    for factor, expected in [(0.5, [0.5, 1.5]), (0.25, [0.25, 0.75])]:
        (tmp_path / "tiny_part.py").write_text(part.format(factor))
        monkeypatch.delitem(sys.modules, "tiny_part", raising=False)
        importlib.invalidate_caches()
        assert halved(load()) == expected


def test_other_types_are_refused(tiny):
    module = tiny[0]()
    for x in (np.ones(2, dtype=np.float32), np.ones((2, 2)), np.ones(4)[::2]):
        with pytest.raises(TypeError):
            module.halve(x)


@pytest.mark.parametrize("content", [b"", b"something else", None])
def test_damaged_cache_files_are_replaced(tiny, no_compiler, content):
    load, folder = tiny
    halved(load())
    file = cached(folder)
    file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    assert halved(load()) == [0.5, 1.5]
    no_compiler()
    assert halved(load()) == [0.5, 1.5]


def test_other_processors_recompile(tiny, monkeypatch):
    load, folder = tiny
    halved(load())
    monkeypatch.setattr(machine_code.llvm, "get_host_cpu_name", lambda: "another")
    halved(load())
    assert len(list(folder.iterdir())) == 2


def test_one_warning_if_no_folder_is_writable(tiny, tmp_path, monkeypatch):
    load, _ = tiny
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.devnull)
    (tmp_path / "__pycache__").write_text("a file where a folder would be")
    with pytest.warns(cr.CompilationCacheWarning, match="set the environment variable NUMBA_CACHE_DIR") as caught:
        results = [halved(load()) for _ in range(2)]
    assert results == [[0.5, 1.5]] * 2
    assert len(caught) == 1


def test_full_cache_folder_warns(tiny, monkeypatch):
    load, folder = tiny

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine_code, "replacing", full)
    with pytest.warns(cr.CompilationCacheWarning, match="No space left on device") as caught:
        results = [halved(load()) for _ in range(2)]
    assert results == [[0.5, 1.5]] * 2
    assert len(caught) == 1
    assert list(folder.iterdir()) == []


def test_first_calls_from_threads(tiny):
    module = tiny[0]()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: halved(module), range(32)))
    assert results == [[0.5, 1.5]] * 32
    assert len(module.halve.dispatcher.signatures) == len(module.half.dispatcher.signatures) == 1


def test_callees_are_not_compiled_separately(tiny):
    """Callees of a kernel are linked into its code, not compiled separately or by numba."""
    module = tiny[0]()
    names = set()

    class Listen(event.Listener):
        def on_start(self, started):
            names.add(started.data["dispatcher"].py_func.__name__)

        def on_end(self, ended):
            pass

    codegen = cpu_target.target_context.codegen()
    kept = codegen._library_class
    with event.install_listener("numba:compile", Listen()):
        assert halved(module) == [0.5, 1.5]
    assert names == {"half", "halve"}
    (half,), (halve,) = (each.dispatcher.overloads.values() for each in (module.half, module.halve))
    assert type(half.library) is type(halve.library) is numba_kernels._UnoptimizedLibrary
    assert codegen._library_class is kept


def test_numba_is_restored_after_a_failed_compilation(tiny, tmp_path):
    (tmp_path / "tiny.py").write_text(TINY.replace("0.5 * x", "no_such_name * x"))
    codegen = cpu_target.target_context.codegen()
    kept = codegen._library_class
    module = tiny[0]()
    with pytest.raises(numba.TypingError, match="no_such_name"):
        module.halve.compile()
    assert codegen._library_class is kept


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
