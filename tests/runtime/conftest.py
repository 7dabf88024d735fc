"""Uncompiled kernels with a cache folder of their own."""

import os
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from cvxrelu.runtime import machine_code, numba_kernels
from tests.helpers.kernels import TINY


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


@pytest.fixture
def no_compiler(monkeypatch):
    """Return a function that disables the compiler."""

    def refuse(*_):
        raise AssertionError("compiled though it is cached")

    return lambda: monkeypatch.setattr(numba_kernels, "machine_code", refuse)
