"""The vectors of `vectors` in numba, as LLVM's vector types."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model
from numba.np.arrayobj import make_array

from cvxrelu.runtime.vectors import BYTES

_INDEX = ir.IntType(32)


class _Vector(types.Type):
    """Numba type of a vector of floats."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: _Vector) -> None:
        number = ir.DoubleType() if fe_type.dtype is types.float64 else ir.FloatType()
        super().__init__(dmm, fe_type, ir.VectorType(number, _count(fe_type.dtype)))


def _count(dtype: Any) -> int:
    return 8 * BYTES // int(dtype.bitwidth)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    """Return a pointer to the vector at a position of an array."""
    entry = builder.gep(make_array(kind)(context, builder, array).data, [i])
    return builder.bitcast(entry, context.get_value_type(_Vector(kind.dtype)).as_pointer())


def _aligned(access: Any, kind: Any) -> Any:
    """Return a load or store with the alignment of the entries, not of the vector."""
    access.align = int(kind.dtype.bitwidth) // 8
    return access


@intrinsic  # type: ignore[untyped-decorator]
def _lanes(typingctx: Any, array: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, _count(array.dtype))

    return types.intp(array), code


@intrinsic  # type: ignore[untyped-decorator]
def _zeros(typingctx: Any, array: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return _Vector(array.dtype)(array), code


@intrinsic  # type: ignore[untyped-decorator]
def _load(typingctx: Any, array: Any, i: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _aligned(builder.load(_pointer(context, builder, array, *arguments)), array)

    return _Vector(array.dtype)(array, types.intp), code


@intrinsic  # type: ignore[untyped-decorator]
def _store(typingctx: Any, array: Any, i: Any, vector: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, position, value = arguments
        _aligned(builder.store(value, _pointer(context, builder, array, target, position)), array)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic  # type: ignore[untyped-decorator]
def _add(typingctx: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda context, builder, signature, arguments: builder.fadd(*arguments)


@intrinsic  # type: ignore[untyped-decorator]
def _multiply(typingctx: Any, a: Any, b: Any) -> Any:
    return a(a, b), lambda context, builder, signature, arguments: builder.fmul(*arguments)


@intrinsic  # type: ignore[untyped-decorator]
def _scale(typingctx: Any, number: Any, vector: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factor, value = arguments
        nothing = ir.Constant(value.type, ir.Undefined)
        first = builder.insert_element(nothing, factor, ir.Constant(_INDEX, 0))
        return builder.fmul(builder.shuffle_vector(first, nothing, _positions([0] * value.type.count)), value)

    return vector(vector.dtype, vector), code


@intrinsic  # type: ignore[untyped-decorator]
def _total(typingctx: Any, vector: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        size = value.type.count
        while size > 1:
            low, high = (
                builder.shuffle_vector(value, value, _positions(list(part)))
                for part in (range(size // 2), range(size // 2, size))
            )
            value, size = builder.fadd(low, high), size // 2
        return builder.extract_element(value, ir.Constant(_INDEX, 0))

    return vector.dtype(vector), code


def _positions(values: list[int]) -> Any:
    return ir.Constant(ir.VectorType(_INDEX, len(values)), values)


ROUTINES = {
    "lanes": _lanes,
    "zeros": _zeros,
    "load": _load,
    "store": _store,
    "add": _add,
    "multiply": _multiply,
    "scale": _scale,
    "total": _total,
}
