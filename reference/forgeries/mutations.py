"""Blind changes of files: bits, bytes, headers, arrays, statements, data."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reference.forgeries.bases import LOSSES, PENALTIES, Base, all_bases
from reference.forgeries.files import MAGIC, Array, File, encode, header_bytes, layout, resized

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Attempt:
    """A forged file, and the data and the statement that a verifier gives for it."""

    raw: bytes
    X: Array
    y: Array
    given: dict[str, Any]


Forger = Callable[[Rng, Base], Attempt | None]  # None if it has nothing to change in this base
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.0, -0.0, 1.0, -1.0, 1e-320, 5e-324, 1e308, -1e308, 1e-9, float("nan"),
    float("inf"), -float("inf"), 2**31, 2**31 - 1, 2**32, 2**40, 2**40 - 1, 2**53, 2**62, 2**63, 2**63 - 1, 2**64,
    -(2**63), 10**30, 10**4000, "", "gated", "relu", "global", "patterns", "squared", "none", "nan", "\x00", "\ud800",
    "é" * 50, "x" * 5000, [], {}, [[]], [0], [1.0], [None], {"n": 1}, {"": {}}, "cones", "maximum", "relaxation",
)  # fmt: skip


def attempt(base: Base, file: File | bytes, **changes: Any) -> Attempt:
    """Return an attempt with the data and the statement of the base, or others."""
    raw = file if isinstance(file, bytes) else encode(file)
    return replace(Attempt(raw, base.X, base.y, base.given), **changes)


# Bytes


def flipped_bits(rng: Rng, base: Base) -> Attempt:
    """Flip a few bits anywhere."""
    raw = bytearray(base.raw)
    for place in rng.integers(0, 8 * len(raw), int(rng.integers(1, 9))):
        raw[place // 8] ^= 1 << int(place % 8)
    return attempt(base, bytes(raw))


def flipped_array_bits(rng: Rng, base: Base) -> Attempt:
    """Flip a few bits of the arrays."""
    raw, start = bytearray(base.raw), base.raw.index(b"\n", len(MAGIC)) + 1
    for place in rng.integers(8 * start, 8 * len(raw), int(rng.integers(1, 4))):
        raw[place // 8] ^= 1 << int(place % 8)
    return attempt(base, bytes(raw))


def spliced_bytes(rng: Rng, base: Base) -> Attempt:
    """Insert, delete, overwrite, repeat or cut off bytes."""
    raw, (a, b) = base.raw, sorted(int(place) for place in rng.integers(0, len(base.raw) + 1, 2))
    filling = rng.bytes(int(rng.choice([1, 7, 8, 16, b - a])))
    choices = (
        raw[:a],
        raw[a:],
        raw[:a] + raw[b:],
        raw[:a] + filling + raw[a:],
        raw[:a] + filling + raw[a + len(filling) :],
        raw[:b] + raw[a:b] + raw[b:],
        raw + filling,
        raw[:a] + bytes(b - a) + raw[b:],
        raw[:a] + b"\xff" * (b - a) + raw[b:],
    )
    return attempt(base, choices[rng.integers(len(choices))])


# Headers


def odd_value(rng: Rng, base: Base) -> Attempt:
    """Replace a value of the header, or within it, by one of another type or range."""
    header = json.loads(json.dumps(base.file.header))
    inner = rng.choice(["", "sizes", "rows"], p=[0.5, 0.4, 0.1])
    target = header[inner] if inner and header[inner] else header
    target[str(rng.choice(sorted(target)))] = ODD[rng.integers(len(ODD))]
    return _with_odd_header(rng, base, header)


def odd_keys(rng: Rng, base: Base) -> Attempt:
    """Leave out keys, add others, or give names to other values."""
    header = json.loads(json.dumps(base.file.header))
    target = header["sizes"] if rng.random() < 0.4 else header
    key, other = (str(key) for key in rng.choice(sorted(target), 2))
    choice = rng.integers(4)
    if choice == 0:
        del target[key]
    elif choice == 1:
        target[str(rng.choice(["", "lower", "n", "lam", "lines", "rank", key + " ", "\u0131"]))] = 1
    elif choice == 2:
        target[key], target[other] = target[other], target[key]
    else:
        target[str(rng.choice(["leaves", "cones", "bytes", "entries", "__class__"]))] = target.pop(key)
    return _with_odd_header(rng, base, header)


def _with_odd_header(rng: Rng, base: Base, header: Any) -> Attempt:
    try:
        text = header_bytes(header)
    except UnicodeEncodeError:
        text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    given = base.given if rng.random() < 0.5 else {}
    return attempt(base, encode(base.file, text), given=given)


def not_canonical(rng: Rng, base: Base) -> Attempt:
    """Write the same header in another form: spaces, keys twice, escapes, numbers, nesting."""
    header = base.file.header
    text = header_bytes(header)
    doubled = text[:-1] + b', "lam": 1000.0, "loss": "squared"}'
    choices = (
        json.dumps(header).encode(),
        json.dumps(header, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps(header, sort_keys=True, indent=1).encode(),
        doubled,
        b'{"lam": 0.0, ' + text[1:],
        text.replace(b"kind", b"\\u006bind"),
        text.replace(b'"lam": ', b'"lam": 0'),
        text.replace(b'"lam": ', b'"lam": +'),
        text + b" ",
        b"\xef\xbb\xbf" + text,
        text.replace(b", ", b",\t", 1),
        text.decode().encode("utf-16"),
        b"[" * int(rng.integers(1, 5000)) + text,
        b"{" * 3000,
        b'{"a": ' * 3000 + b"1" + b"}" * 3000,
        b"1" * 5000,
        b"",
        b"null",
        b"[]",
        text.replace(b"null", b"NaN", 1),
        text.replace(b"0.", b"0.0", 1),
        text[:-1] + b', "\xff\xfe": 1}',
    )
    return attempt(base, encode(base.file, choices[rng.integers(len(choices))]))


def other_sizes(rng: Rng, base: Base) -> Attempt:
    """Change sizes near the limits of integer types, so that products wrap around, and one that makes up for it."""
    sizes = dict(base.file.header["sizes"])
    for name in rng.choice(sorted(sizes), int(rng.integers(1, 4))):
        near = int(rng.choice([0, 1, 2, 8, 2**16, 2**31, 2**32, 2**40, 2**61, 2**62, 2**63, 2**64 // 8], 1)[0])
        sizes[str(name)] = near + int(rng.integers(-2, 3))
    return attempt(base, base.file.with_header(sizes=sizes))


def other_program(rng: Rng, base: Base) -> Attempt:
    """Write another statement over the arrays, and give the true one, the other one, or none."""
    changes: dict[str, Any] = {}
    header, s = base.file.header, base.statement
    for key in rng.choice(["loss", "penalty", "lam", "kind", "scope", "delta"], int(rng.integers(1, 3)), replace=False):
        factor = float(rng.choice([0.0, 0.5, 1 - 2.0**-53, 1 + 2.0**-52, 2.0, 1e3, 1e300, 1e-300]))
        loss = str(rng.choice(LOSSES))
        others: dict[str, dict[str, Any]] = {
            "loss": {"loss": loss, "delta": 0.5 if loss == "huber" else None},
            "penalty": {"penalty": str(rng.choice(PENALTIES))},
            "lam": {"lam": min(s.lam * factor, 1e308)},
            "kind": {"kind": str(rng.choice(["gated", "relu"]))},
            "scope": {"scope": str(rng.choice(["patterns", "global"]))},
            "delta": {"delta": min((s.delta or 1.0) * factor, 1e308)} if s.delta else {},
        }
        changes |= others[str(key)]
    file = base.file.with_header(**changes)
    if set(dict(layout(file.header))) == set(file.arrays):
        file = resized(file)
    given = (base.given, base.given | changes, {}, {"lam": s.lam})[rng.integers(4)]
    return attempt(base, encode(file, header_bytes({**header, **file.header})), given=given)


# Arrays


def changed_entries(rng: Rng, base: Base) -> Attempt | None:
    """Change entries of arrays: signs, exponents, neighbours, places, extremes."""
    arrays = {name: array.copy() for name, array in base.file.arrays.items()}
    for _ in range(int(rng.integers(1, 4))):
        full = [name for name, array in arrays.items() if array.size]
        name = str(rng.choice(full))
        entries = arrays[name].reshape(-1)
        chosen = rng.integers(0, len(entries), int(rng.choice([1, 1, 2, len(entries)])))
        entries[chosen] = _changed(rng, entries[chosen])
        arrays[name] = entries.reshape(arrays[name].shape)
    return attempt(base, replace(base.file, arrays=arrays))


def _changed(rng: Rng, values: Array) -> Array:
    if values.dtype.kind == "f":
        return _changed_floats(rng, values)
    wide = values.astype(object)
    extremes = [0, 1, 2, 3, 255, 65535, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -1, -2, -(2**63)]
    choices = (
        wide + int(rng.choice([-1, 1, 2, -2])),
        -wide,
        [extremes[rng.integers(len(extremes))]] * len(wide),
        rng.permutation(wide),
        rng.integers(-3, 8, len(wide)),
    )
    bits = 8 * values.dtype.itemsize
    wrapped = [int(each) % 2**bits for each in choices[rng.integers(len(choices))]]
    return np.array(wrapped, dtype=f"u{bits // 8}").view(values.dtype)


def _changed_floats(rng: Rng, values: Array) -> Array:
    same = (0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, 1.0, np.nan, np.inf)
    with np.errstate(all="ignore"):
        choices: tuple[Array, ...] = (
            -values,
            values * 10.0 ** rng.choice([150, -150, 300, -300, 16, -16, 1, -1]),
            np.nextafter(values, rng.choice([-np.inf, np.inf])),
            np.full(len(values), rng.choice(same)),
            rng.permutation(values),
            values * rng.uniform(0.5, 2.0),
            values * (1 + rng.choice([1e-3, -1e-3, 1e-8, -1e-8, 1e-15])),
            values + rng.standard_normal(len(values)) * 10.0 ** rng.uniform(-20, 20),
        )
    return choices[rng.integers(len(choices))]


def resized_array(rng: Rng, base: Base) -> Attempt:
    """Add, drop, repeat or permute the rows of all arrays of one size, with the size in the header."""
    names = ("blocks", "entries", "patterns", "cones", "leaves", "lines")
    size = str(rng.choice([name for name in names if base.file.header["sizes"].get(name)]))
    count = base.file.header["sizes"][size]
    all_rows = np.arange(count)
    some = rng.integers(0, count, int(rng.integers(1, 3)))
    choices = (
        rng.permutation(count),
        np.delete(all_rows, some),
        np.sort(np.append(all_rows, some)),
        np.append(all_rows, some),
        all_rows[:0],
        np.repeat(all_rows, int(rng.integers(2, 30))),
    )
    kept = choices[rng.integers(len(choices))]
    arrays = {}
    for name, shape in layout(base.file.header):
        if size in shape:
            arrays[name] = np.take(base.file.arrays[name], kept, axis=shape.index(size))
    return attempt(base, base.file.with_arrays(**arrays))


def exchanged_arrays(rng: Rng, base: Base) -> Attempt:
    """Take arrays of another base, of the same sizes or with its header."""
    bases = all_bases()
    other = bases[rng.integers(len(bases))]
    shared = [name for name in base.file.arrays if name in other.file.arrays]
    same = [name for name in shared if base.file.arrays[name].shape == other.file.arrays[name].shape]
    if same and rng.random() < 0.7:
        name = str(rng.choice(same))
        return attempt(base, base.file.with_arrays(**{name: other.file.arrays[name]}))
    if rng.random() < 0.5:
        return attempt(base, other.file.with_header(data_sha256=base.file.header["data_sha256"]))
    return attempt(base, replace(other.file, header=base.file.header))


# The verifier's statement and data


def other_statement(rng: Rng, base: Base) -> Attempt:
    """Give another statement than that of the file."""
    given, s = dict(base.given), base.statement
    key = str(rng.choice(["kind", "scope", "loss", "penalty", "lam", "delta", "patterns"]))
    if key == "patterns":
        masks = np.ones((1, len(s.X)), dtype=bool) if s.masks is None else s.masks.copy()
        choices = (masks[:-1], np.vstack([masks, ~masks[:1]]), ~masks, np.zeros_like(masks[:1]), masks[:, ::-1])
        given[key] = choices[rng.integers(len(choices))].T
        if s.masks is not None and {row.tobytes() for row in given[key].T} == {row.tobytes() for row in s.masks}:
            given[key] = np.zeros((len(s.X), 0), dtype=bool)
    elif key in ("lam", "delta"):
        given[key] = float(np.nextafter(given[key] or 1.0, 2.0)) * float(rng.choice([1.0, 2.0]))
    else:
        options = {"kind": ("gated", "relu"), "scope": ("patterns", "global"), "loss": LOSSES, "penalty": PENALTIES}
        given[key] = str(rng.choice([each for each in options[key] if each != given[key]]))
    return attempt(base, base.file, given=given)


def other_data(rng: Rng, base: Base) -> Attempt:
    """Give other data than those of the file: an entry, a row, the order, a shape."""
    X, y = base.X.copy(), base.y.copy()
    choice = int(rng.integers(7))
    row = int(rng.integers(len(X)))
    if choice == 0:
        X[row, 0] = np.nextafter(X[row, 0], 1e300)
    elif choice == 1:
        y[row] = -y[row] if y[row].any() else 1.0
    elif choice == 2:
        X, y = np.vstack([X, X[:1]]), np.concatenate([y, y[:1]])
    elif choice == 3:
        X = np.roll(X, 1, axis=0) + (0.0 if len(np.unique(X, axis=0)) > 1 else 1.0)
    elif choice == 4:
        X = np.column_stack([X, np.zeros(len(X))])
    elif choice == 5:
        X, y = X[:-1], y[:-1]
    else:
        X = 2.0 * X + 1.0
    return attempt(base, base.file, X=X, y=y)


MUTATIONS: tuple[Forger, ...] = (
    flipped_bits,
    flipped_array_bits,
    spliced_bytes,
    odd_value,
    odd_keys,
    not_canonical,
    other_sizes,
    other_program,
    changed_entries,
    resized_array,
    exchanged_arrays,
    other_statement,
    other_data,
)
