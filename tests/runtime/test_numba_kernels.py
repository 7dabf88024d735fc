import numba
import pytest
from numba.core import event
from numba.core.registry import cpu_target

from cvxrelu.runtime import numba_kernels
from tests.helpers.kernels import TINY, halved


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
