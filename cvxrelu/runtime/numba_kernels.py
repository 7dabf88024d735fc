"""What `compilation` does with numba, where machine code is not cached: only this module imports it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
)
from numba.core.typing import signature
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from cvxrelu.runtime.blas import symbol

_INTEGER, _NUMBER = ir.IntType(32), ir.DoubleType()  # of Fortran


def dispatcher(function: Callable[..., Any], *, inner: bool) -> Any:
    """Return what numba makes of a function.

    Kernels allocate nothing and raise nothing: then numba has no references to count and no errors to pass on, and
    their machine code needs nothing of numba's.

    Parameters
    ----------
    function : callable
        The function.
    inner : bool
        Whether it is only called by compiled functions, and never from Python.
    """
    made = numba.njit(
        no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, pipeline_class=_Compiler
    )(function)
    if inner:
        find = made.get_call_template

        def get_call_template(types_: Any, names: Any) -> Any:
            # For a number that the code names, 0 say, numba would compile another version than for a variable.
            types_ = [numba.types.unliteral(each) for each in types_]
            with _only_to_link():
                return find(types_, names)

        made.get_call_template = get_call_template
    return made


def machine_code(dispatcher: Any, signature: str) -> tuple[str, bytes]:
    """Return the name of a function in machine code, and the code: an object file."""
    with _only_to_link():
        dispatcher.compile(signature)
    (compiled,) = dispatcher.overloads.values()
    return compiled.fndesc.mangled_name, _optimized(compiled.library._final_module)


def _optimized(module: Any) -> bytes:
    """Return the machine code of a module: an object file.

    LLVM unrolls no loops: kernels are as fast without, and half as much code takes half as long to compile.
    """
    machine = cpu_target.target_context.codegen()._tm
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


_PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    NopythonTypeInference,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
)


class _Compiler(CompilerBase):  # type: ignore[misc]
    """numba's compiler without its passes for what kernels do not have: closures, array expressions, branches on types.

    Without its single assignments, too: a variable of a kernel has one type.
    """

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("kernels")
        for each in _PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of a function that other functions call: LLVM optimises and compiles it with them, not by itself."""

    def _optimize_functions(self, ll_module: Any) -> None:
        pass

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


@contextlib.contextmanager
def _only_to_link() -> Iterator[None]:
    """Let numba make no machine code of what it compiles."""
    codegen = cpu_target.target_context.codegen()
    with global_compiler_lock:  # other threads compile before or after
        kept = codegen._library_class, codegen.set_env
        codegen._library_class, codegen.set_env = _Part, lambda *_: None
        try:
            yield
        finally:
            codegen._library_class, codegen.set_env = kept


def routine_type(name: str) -> Any:
    """Return numba's type of a routine of `blas`."""
    return cpu_target.typing_context.resolve_value_type(_ROUTINES[name])


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call a routine of BLAS, which takes pointers."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol(name)), arguments)


def _slot(builder: Any, value: Any) -> Any:
    return cgutils.alloca_once_value(builder, value)


def _lengths(context: Any, builder: Any, kind: Any, value: Any) -> tuple[Any, list[Any]]:
    """Return where the data of an array are, and where its lengths are."""
    array = make_array(kind)(context, builder, value)
    lengths = cgutils.unpack_tuple(builder, array.shape)
    return array.data, [_slot(builder, builder.trunc(length, _INTEGER)) for length in lengths]


@intrinsic  # type: ignore[untyped-decorator]
def _inner(typingctx: Any, a: Any, b: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = _slot(builder, ir.Constant(_INTEGER, 1))
        (first, (n,)), (second, _) = (
            _lengths(context, builder, *each) for each in zip(signature.args, arguments, strict=True)
        )
        return _call(builder, "ddot", _NUMBER, [n, first, one, second, one])

    return signature(types.float64, a, b), code


def _product(transposed: bool) -> Any:
    """Return the product of a matrix, or its transpose, and a vector; for BLAS its rows are columns."""

    def product(typingctx: Any, matrix: Any, vector: Any, product: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            letter = _slot(builder, ir.Constant(ir.IntType(8), ord("n" if transposed else "t")))
            one, unit, zero = (
                _slot(builder, ir.Constant(*each)) for each in ((_INTEGER, 1), (_NUMBER, 1.0), (_NUMBER, 0.0))
            )
            (M, (rows, columns)), (x, _), (y, _) = (
                _lengths(context, builder, *each) for each in zip(signature.args, arguments, strict=True)
            )
            _call(
                builder,
                "dgemv",
                ir.VoidType(),
                [letter, columns, rows, unit, M, columns, x, one, zero, y, one],
            )
            return context.get_dummy_value()

        return signature(types.void, matrix, vector, product), code

    return intrinsic(product)


_ROUTINES = {"inner": _inner, "times": _product(False), "transposed_times": _product(True)}
