import importlib
import os
import sys

import pytest

import cvxrelu as cr
from cvxrelu.runtime import machine_code
from tests.helpers.kernels import TINY, cached, halved


def test_kernels_are_loaded_from_the_cache(tiny, no_compiler):
    load, folder = tiny
    assert halved(load()) == [0.5, 1.5]
    before = cached(folder).stat()
    no_compiler()
    assert halved(load()) == [0.5, 1.5]
    assert cached(folder).stat().st_mtime_ns == before.st_mtime_ns


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
