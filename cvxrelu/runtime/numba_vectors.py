"""The vectors of `vectors` in numba, as LLVM's vector types."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model
from numba.np.arrayobj import make_array

from cvxrelu.runtime.vectors import BYTES

_INDEX = ir.IntType(32)
_FUSED = ("contract",)  # into one operation of a product and a sum, where there is one


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
        return builder.fmul(_repeated(builder, factor, value.type), value)

    return vector(vector.dtype, vector), code


def _repeated(builder: Any, number: Any, kind: Any) -> Any:
    """Return a vector of equal entries."""
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, nothing, _positions([0] * kind.count))


@intrinsic  # type: ignore[untyped-decorator]
def _add_product(typingctx: Any, to: Any, a: Any, b: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, first, second = arguments
        return builder.fadd(value, builder.fmul(first, second, flags=_FUSED), flags=_FUSED)

    return to(to, a, b), code


@intrinsic  # type: ignore[untyped-decorator]
def _add_scaled(typingctx: Any, to: Any, number: Any, vector: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, factor, other = arguments
        product = builder.fmul(_repeated(builder, factor, value.type), other, flags=_FUSED)
        return builder.fadd(value, product, flags=_FUSED)

    return to(to, to.dtype, vector), code


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


@intrinsic  # type: ignore[untyped-decorator]
def _transpose_bits(typingctx: Any, matrix: Any, i: Any, words: Any, j: Any) -> Any:
    byte, word = ir.VectorType(ir.IntType(8), 32), ir.VectorType(ir.IntType(32), 8)
    # In each half of a vector of 8 words, their bytes of the same place, last word first.
    by_place = [16 * half + 4 * k + place for half in range(2) for place in range(4) for k in reversed(range(4))]

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, position, target, first = arguments

        def shuffled(a: Any, b: Any, positions: list[int]) -> Any:
            return builder.shuffle_vector(a, b, _positions(positions))

        vectors = []
        for k in range(4):
            at = builder.add(position, ir.Constant(position.type, 8 * k))
            entry = builder.gep(make_array(matrix)(context, builder, source).data, [at])
            vector = builder.load(builder.bitcast(entry, byte.as_pointer()))
            vector.align = 4
            vectors.append(builder.bitcast(shuffled(vector, vector, by_place), word))
        row = builder.gep(make_array(words)(context, builder, target).data, [first])
        for place in range(4):
            low, high = (shuffled(vectors[k], vectors[k + 1], [each + place for each in (4, 0, 12, 8)]) for k in (0, 2))
            bits = builder.bitcast(shuffled(low, high, list(range(8))), byte)
            for k in range(8):  # the highest bit of each byte is its sign
                negative = builder.icmp_signed("<", bits, ir.Constant(byte, None))
                to = builder.gep(row, [ir.Constant(position.type, 8 * place + k)])
                builder.store(builder.bitcast(negative, _INDEX), to)
                bits = builder.add(bits, bits)
        return context.get_dummy_value()

    return types.void(matrix, types.intp, words, types.intp), code


_WORD, _NUMBER = ir.IntType(64), ir.DoubleType()
_FRACTION, _BIAS, _INTEGERS = 52, 1023, 1.5 * 2**52  # of float64; where its neighbours are 1 apart


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(typingctx: Any, x: Any, shift: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, further = arguments
        rounded = builder.fadd(number, ir.Constant(_NUMBER, _INTEGERS))  # its last bits are an integer
        biased = builder.fadd(rounded, builder.fadd(further, ir.Constant(_NUMBER, float(_BIAS))))
        bits = builder.shl(builder.bitcast(biased, _WORD), ir.Constant(_WORD, _FRACTION))
        return builder.bitcast(bits, _NUMBER)

    return types.float64(types.float64, types.float64), code


@intrinsic  # type: ignore[untyped-decorator]
def _exponent(typingctx: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        biased = builder.lshr(builder.bitcast(arguments[0], _WORD), ir.Constant(_WORD, _FRACTION))
        power = float(2**_FRACTION)  # whose last bits are zero
        bits = builder.or_(biased, builder.bitcast(ir.Constant(_NUMBER, power), _WORD))
        return builder.fsub(builder.bitcast(bits, _NUMBER), ir.Constant(_NUMBER, power + _BIAS))

    return types.float64(types.float64), code


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
    "add_product": _add_product,
    "add_scaled": _add_scaled,
    "total": _total,
    "transpose_bits": _transpose_bits,
    "power_of_two": _power_of_two,
    "exponent": _exponent,
}
