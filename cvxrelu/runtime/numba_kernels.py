"""Compilation of kernels by numba, if their machine code is not cached. Only this and `numba_vectors` import numba."""

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

from cvxrelu.runtime import numba_vectors
from cvxrelu.runtime.blas import symbol

_INTEGER, _NUMBER = ir.IntType(32), ir.DoubleType()  # Fortran INTEGER and DOUBLE PRECISION


def dispatcher(function: Callable[..., Any], *, inner: bool) -> Any:
    """Return the numba dispatcher of a function.

    Kernels allocate nothing and raise nothing, so their machine code needs no reference counting, no error handling and
    none of numba's run time.

    Parameters
    ----------
    function : callable
        The function.
    inner : bool
        Whether only compiled functions call it, never Python.
    """
    compiled_function = numba.njit(
        no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", _nrt=False, pipeline_class=_Compiler
    )(function)
    if inner:
        find = compiled_function.get_call_template

        def get_call_template(types_: Any, names: Any) -> Any:
            # Numba would compile separate versions for literal arguments.
            types_ = [numba.types.unliteral(each) for each in types_]
            with _linking_only():
                return find(types_, names)

        compiled_function.get_call_template = get_call_template
    return compiled_function


def machine_code(dispatcher: Any, signature: str) -> tuple[str, bytes]:
    """Return the symbol of a function that calls a compiled one with packed arguments, and their object file."""
    with _linking_only():
        dispatcher.compile(signature)
    (compiled,) = dispatcher.overloads.values()
    module, symbol = compiled.library._final_module, f"{compiled.fndesc.mangled_name}.packed"
    module.link_in(llvm.parse_assembly(str(_packed_call(compiled.fndesc, symbol))))
    return symbol, _optimized(module)


def _packed_call(fndesc: Any, symbol: str) -> ir.Module:
    """Return the code of a function that takes the address of the arguments of a compiled one, 8 bytes each."""
    module, word, byte = ir.Module(), ir.IntType(64), ir.IntType(8)
    kind = cpu_target.target_context.call_conv.get_function_type(fndesc.restype, fndesc.argtypes)
    target = ir.Function(module, kind, fndesc.mangled_name)
    function = ir.Function(module, ir.FunctionType(_INTEGER, [byte.as_pointer()]), symbol)
    builder = ir.IRBuilder(function.append_basic_block())
    value, error, *types_ = kind.args
    packed = builder.bitcast(function.args[0], word.as_pointer())
    arguments = [builder.alloca(each.pointee) for each in (value, error)]
    for k, each in enumerate(types_):
        argument = builder.load(builder.gep(packed, [word(k)]))
        argument.align = 1
        pointer = isinstance(each, ir.PointerType)
        arguments.append(builder.inttoptr(argument, each) if pointer else builder.bitcast(argument, each))
    builder.ret(builder.call(target, arguments))
    return module


def _optimized(module: Any) -> bytes:
    """Return the machine code of a module as an object file.

    Loop unrolling is disabled: kernels are as fast without it, and half the code compiles in half the time.
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
    """Numba's compiler without passes that kernels do not need: closures, array expressions, branches on types.

    It also omits static single assignment: each variable of a kernel has one type.
    """

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("kernels")
        for each in _PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class _UnoptimizedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code of a function that LLVM optimises and compiles only once it is linked into a kernel."""

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
def _linking_only() -> Iterator[None]:
    """Make numba emit no machine code for the functions that it compiles."""
    codegen = cpu_target.target_context.codegen()
    with global_compiler_lock:  # excludes compilation in other threads
        original = codegen._library_class, codegen.set_env
        codegen._library_class, codegen.set_env = _UnoptimizedLibrary, lambda *_: None
        try:
            yield
        finally:
            codegen._library_class, codegen.set_env = original


def routine_type(name: str) -> Any:
    """Return the numba type of a routine of `blas` or `vectors`."""
    return cpu_target.typing_context.resolve_value_type(_ROUTINES[name])


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Emit a call of a BLAS routine, which takes pointers."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol(name)), arguments)


def _slot(builder: Any, value: Any) -> Any:
    return cgutils.alloca_once_value(builder, value)


def _lengths(context: Any, builder: Any, kind: Any, value: Any) -> tuple[Any, list[Any]]:
    """Return pointers to the data of an array and to its lengths."""
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
    """Return the intrinsic for the product of a matrix or its transpose with a vector; BLAS is column-major."""

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


@intrinsic  # type: ignore[untyped-decorator]
def _products_with_rows(typingctx: Any, points: Any, rows: Any, products: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        transposed, plain = (_slot(builder, ir.Constant(ir.IntType(8), ord(letter))) for letter in "tn")
        number, name = (_NUMBER, "dgemm") if rows.dtype is types.float64 else (ir.FloatType(), "sgemm")
        unit, zero = (_slot(builder, ir.Constant(number, value)) for value in (1.0, 0.0))
        (P, (n_points, d)), (R, (n_rows, _)), (product, _) = (
            _lengths(context, builder, *each) for each in zip(signature.args, arguments, strict=True)
        )
        _call(
            builder,
            name,
            ir.VoidType(),
            [transposed, plain, n_rows, n_points, d, unit, R, d, P, d, zero, product, n_rows],
        )
        return context.get_dummy_value()

    return signature(types.void, points, rows, products), code


def _gram(transposed: bool) -> Any:
    """Return the intrinsic for the lower triangle of R R', or of R'R; to BLAS, the upper triangle of its transpose."""

    def gram(typingctx: Any, rows: Any, products: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            upper, letter = (_slot(builder, ir.Constant(ir.IntType(8), ord(each))) for each in ("u", "nt"[transposed]))
            unit, zero = (_slot(builder, ir.Constant(_NUMBER, value)) for value in (1.0, 0.0))
            (R, (m, n)), (product, _) = (
                _lengths(context, builder, *each) for each in zip(signature.args, arguments, strict=True)
            )
            order, depth = (m, n) if transposed else (n, m)
            _call(
                builder,
                "dsyrk",
                ir.VoidType(),
                [upper, letter, order, depth, unit, R, n, zero, product, order],
            )
            return context.get_dummy_value()

        return signature(types.void, rows, products), code

    return intrinsic(gram)


@intrinsic  # type: ignore[untyped-decorator]
def _solve_positive(typingctx: Any, matrix: Any, right: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        upper = _slot(builder, ir.Constant(ir.IntType(8), ord("u")))
        one, info = (_slot(builder, ir.Constant(_INTEGER, value)) for value in (1, 0))
        (M, _), (x, (order,)) = (
            _lengths(context, builder, *each) for each in zip(signature.args, arguments, strict=True)
        )
        _call(builder, "dposv", ir.VoidType(), [upper, order, one, M, order, x, order, info])
        return builder.sext(builder.load(info), ir.IntType(64))

    return signature(types.int64, matrix, right), code


_ROUTINES = {
    "row_gram": _gram(True),
    "column_gram": _gram(False),
    "solve_positive": _solve_positive,
    "inner": _inner,
    "times": _product(False),
    "transposed_times": _product(True),
    "products_with_rows": _products_with_rows,
    **numba_vectors.ROUTINES,
}
