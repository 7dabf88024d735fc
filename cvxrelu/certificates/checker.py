"""Stand-alone checker of saved certificates: NumPy and the standard library, nothing of cvxrelu.

    python checker.py CERTIFICATE --data DATA.npz [--exact] [--json]

DATA.npz holds X (n, d) and y (n,) or (n, c). Exit codes: 0 verified, 1 rejected, 2 wrong use or unreadable file.

A certificate claims that the optimal value of the convex program of a two-layer network (below) for given data lies in
[lower, upper], for given activation patterns or, of scope "global", for all that the data have. Nothing in it is
believed: upper is derived anew as the objective of the stored weights, lower as the dual objective of the stored dual
point, and the claims must not be better than these by more than a bound of the rounding errors of their evaluation.
With n rows, c outputs, P patterns D_i = diag of a 0/1 column, F(f) = (1/n) sum_j loss(f_j, y_j), t (n, c) and
Xt_i = (2 D_i - I) X:

    gated   minimise F(sum_i D_i X U_i) + lam Omega(U)
            lower = -F*(t) - (lam Omega)*(-A't), (A't)_ki = X' D_i t_k
    relu    minimise F(sum_i D_i X (V_i - W_i)) + lam Omega(V, W) with Xt_i v >= 0 and Xt_i w >= 0 for all blocks v, w
            lower = -F*(t) - (lam Omega)*(-+A't + Xt'g) for any multipliers g >= 0

    global  relu with all patterns: minimise F(sum_j (X u_j)_+ a_j) + (lam / 2) sum_j (||u_j||^2 + a_j^2), any width
            lower = -F*(t) for t (n, 1) with |t'(Xu)_+| <= lam for all ||u|| <= 1, of which the file has the proof

For a norm Omega the second term is 0 where the dual norm of the argument is at most lam, else infinite: a t
beyond that by at most 1e-9 is shrunk, by more it is rejected. The programs are those of Mishkin, Sahiner & Pilanci
(ICML 2022, arXiv 2202.01331) with the factor 1/n; the file format is in certificate_format.md.
"""

import argparse
import hashlib
import io
import json
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCOPES = {1: "patterns", 2: "global"}  # of the versions of the format
PROOFS = {  # of scope "global"
    "cones": "cones that cover the unit ball of neurons, each with its bound",
    "relaxation": "multipliers of a semidefinite relaxation",
}
RIGORS = ("floating_point", "rounded")
LOSSES = ("squared", "huber", "logistic", "softmax")
PENALTIES = ("group_l1", "l1", "feature_group_l1", "nuclear", "squared_l2", "none")
EPS = 2.0**-52  # twice the unit roundoff: room for the rounding of the claim and for that of the check
TINY = 2.0**-1070  # underflow of a product
DUAL_EXCESS = 1e-9  # relative infeasibility of a dual point that is shrunk away
EXACT_LIMIT = 10**6  # n d c P
KEYS = {
    **dict.fromkeys(
        ("format", "kind", "scope", "rigor", "penalty", "x_dtype", "problem_sha256", "content_sha256"), str
    ),
    **dict.fromkeys(("version", "n", "d", "c", "n_patterns"), int),
    **dict.fromkeys(("lam", "lower", "upper"), float),
    "loss": dict,
    "info": dict,
}


class RejectedCertificate(RuntimeError):
    """The certificate does not prove what it claims, or its file is not sound; the message says why."""


@dataclass(frozen=True, eq=False)
class Contents:
    """Header and arrays of a file, of valid form but not yet verified."""

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Verdict:
    """Bounds that the checker derived from a verified certificate.

    Attributes
    ----------
    lower, upper : float
        The checker's own bounds.
    claimed_lower, claimed_upper : float
        Those of the certificate.
    lower_rounding, upper_rounding : float
        Tolerances by which the claims may be better than the checker's bounds: 0 where an exact check has none.
    cone_violation : float
        The largest -s_j x_j'w / (||x_j|| ||w||), s_j = 2 D_j - 1: at most 8 (d + 4) 2^-52. An exact check repairs it.
    arithmetic : str
        "exact" (rational numbers) or "floating_point".
    kind, scope, rigor : str
        As the certificate has them.
    proof : str or None
        For scope "global": the kind of its proof.
    n_blocks : int
        Number of non-zero blocks.
    """

    lower: float
    upper: float
    claimed_lower: float
    claimed_upper: float
    lower_rounding: float
    upper_rounding: float
    cone_violation: float
    arithmetic: str
    kind: str
    scope: str
    proof: str | None
    rigor: str
    n_blocks: int

    def __str__(self) -> str:
        networks = f"{self.kind} networks whose neurons have the given patterns"
        if self.scope == "global":
            networks = "two-layer ReLU networks of any width"
        lines = {
            "lower bound": f"{self.lower:.17g}  (claimed {self.claimed_lower:.17g})",
            "upper bound": f"{self.upper:.17g}  (claimed {self.claimed_upper:.17g})",
            "rounding": f"{self.lower_rounding:.1e} and {self.upper_rounding:.1e}: what the claims may be better by",
            "gap": f"{self.upper - self.lower:.3e}",
            "arithmetic": "rational, exact" if self.arithmetic == "exact" else "float64",
            "scope": f"{self.scope}: optimal among {networks}",
            **({} if self.proof is None else {"proof": f"{self.proof}: {PROOFS[self.proof]}"}),
            "rigor": self.rigor + ("" if self.rigor == "floating_point" else " (claimed; --exact checks it)"),
            "non-zero blocks": str(self.n_blocks),
        }
        if self.arithmetic == "exact":
            lines["rigor"] = self.rigor
        return "\n".join(f"{name:<15} {value}" for name, value in lines.items())


def _require(condition: Any, reason: str) -> None:
    if not condition:
        raise RejectedCertificate(reason)


# The file


def read_certificate(path: Any) -> Contents:
    """Return the contents of a file; OSError if it cannot be read, RejectedCertificate if it is not sound."""
    with open(path, "rb") as file:
        return parse(file.read())


def parse(raw: bytes) -> Contents:
    """Return the contents of the bytes of a file; RejectedCertificate if they are not sound."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            infos = archive.infolist()
            stored = all(info.compress_type == zipfile.ZIP_STORED for info in infos)
            _require(stored and raw[-22:-18] == b"PK\5\6", "the file is compressed, or something follows its end")
            _require(
                min((info.header_offset for info in infos), default=0) == 0, "something precedes the file's members"
            )
            names = [info.filename for info in infos]
            _require(len(set(names)) == len(names), "the file has a duplicate member")
            arrays = {name.removesuffix(".npy"): _array(archive.read(name)) for name in names}
        header = _header(arrays.pop("header").tobytes())
    except RejectedCertificate:
        raise
    except Exception as error:  # whatever the parsers of zip, npy and JSON raise on damaged bytes
        raise RejectedCertificate(f"the file is damaged, or no certificate: {error!r}") from error
    shapes = _shapes(header, arrays)
    _require(set(arrays) == set(shapes), f"the file must have the members {sorted(shapes)}; got {sorted(arrays)}")
    for name, (dtype, shape) in shapes.items():
        found = arrays[name]
        _require(found.dtype.str == dtype and found.shape == shape, f"member {name} must be {dtype} of shape {shape}")
        _require(dtype != "<f8" or np.isfinite(found).all(), f"member {name} must be finite")
    _require(content_hash(header, arrays) == header["content_sha256"], "the contents were changed: their hash differs")
    _check_indices(header, arrays)
    return Contents(header, arrays)


def _array(raw: bytes) -> NDArray[Any]:
    """Return an array of the npy format 1.0: no pickle, C order, and exactly as many bytes as it says."""
    stream = io.BytesIO(raw)
    _require(np.lib.format.read_magic(stream) == (1, 0), "a member is not of the npy format 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    body = raw[stream.tell() :]
    _require(not fortran and dtype.str in ("<f8", "<i8", "|u1"), "a member has another type than <f8, <i8 and |u1")
    _require(len(body) == dtype.itemsize * math.prod(shape), "a member has missing or trailing bytes")
    return np.frombuffer(body, dtype).reshape(shape)


def _header(raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _require(len(dict(pairs)) == len(pairs), "the header has a duplicate key")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise RejectedCertificate(f"the header holds {constant}")

    header: dict[str, Any] = json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=refuse)
    _require(
        isinstance(header, dict) and header.get("format") == "cvxrelu certificate", "this is no cvxrelu certificate"
    )
    version: Any = header.get("version")
    _require(version in SCOPES, f"format version {version!r} is unknown: must be one of {list(SCOPES)}")
    keys = KEYS if SCOPES[version] == "patterns" else {**KEYS, "proof": str}
    _require(set(header) == set(keys), f"the header must have the keys {sorted(keys)}; got {sorted(header)}")
    for key, kind in keys.items():
        _require(type(header[key]) is kind, f"{key} must be of type {kind.__name__}; got {header[key]!r}")
        _require(kind is not int or header[key] >= 1, f"{key} must be positive")
        _require(kind is not float or math.isfinite(header[key]), f"{key} must be finite")
    _require(header["kind"] in ("gated", "relu"), f"kind {header['kind']!r} is unknown")
    _require(
        header["scope"] == SCOPES[version],
        f"scope {header['scope']!r} cannot be checked: must be {SCOPES[version]!r} in version {version}",
    )
    _require(header["rigor"] in RIGORS, f"rigor {header['rigor']!r} is unknown: must be one of {RIGORS}")
    _require(header["penalty"] in PENALTIES, f"penalty {header['penalty']!r} is unknown")
    _require(header["kind"] == "gated" or header["penalty"] != "nuclear", "a ReLU program has no nuclear penalty")
    _require(header["x_dtype"] in ("float32", "float64"), f"x_dtype {header['x_dtype']!r} is unknown")
    _require(header["lam"] >= 0.0, f"lam must not be negative; got {header['lam']!r}")
    if header["scope"] == "global":
        _require(header["proof"] in PROOFS, f"proof {header['proof']!r} is unknown")
        fits = (header["kind"], header["penalty"], header["c"]) == ("relu", "group_l1", 1) and header["lam"] > 0.0
        _require(fits, "scope 'global' is of ReLU programs with group_l1, lam > 0 and one output")
        _require(header["rigor"] == "floating_point", "scope 'global' cannot be checked without rounding")
    loss = header["loss"]
    _require(loss.get("name") in LOSSES, f"loss {loss!r} is unknown")
    _require(set(loss) == ({"name", "delta"} if loss["name"] == "huber" else {"name"}), f"loss {loss!r} is unknown")
    delta = loss.get("delta", 1.0)
    _require(type(delta) is float and 0.0 < delta < math.inf, f"delta must be positive; got {delta!r}")
    return header


def _shapes(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each member of such a file."""
    n, d, c, n_patterns = (header[key] for key in ("n", "d", "c", "n_patterns"))
    n_nonzero = arrays["blocks"].size if "blocks" in arrays else 0
    shapes = {
        "patterns": ("|u1", (n_patterns, -(-n // 8))),
        "blocks": ("<i8", (n_nonzero,)),
        "weights": ("<f8", (n_nonzero, d)),
        "t": ("<f8", (n, c)),
    }
    if "gates" in arrays:
        shapes["gates"] = ("<f8", (d, n_patterns))
    if header["scope"] == "global":
        shapes |= _shapes_of_proof(header, arrays)
    elif header["kind"] == "relu":
        n_entries = arrays["multiplier_values"].size if "multiplier_values" in arrays else 0
        shapes["multiplier_values"] = ("<f8", (n_entries,))
        shapes["multiplier_rows"] = ("<i8", (n_entries,))
        shapes["multiplier_starts"] = ("<i8", (2 * c * n_patterns + 1,))
    return shapes


def _shapes_of_proof(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...]]]:
    def size(name: str, axis: int = 0) -> int:
        shape = arrays[name].shape if name in arrays else ()
        return shape[axis] if len(shape) > axis else 0

    r, n_lines, n_leaves, n_entries = size("basis", 1), size("lines"), size("leaf_points"), size("leaf_values")
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "basis": ("<f8", (header["d"], r)),
        "lines": ("<f8", (n_lines, r)),
        "row_lines": ("<i8", (header["n"],)),
    }
    if header["proof"] == "relaxation":
        return shapes | dict.fromkeys(("rho", "gamma", "delta"), ("<f8", (2, n_lines)))
    return shapes | {
        "axes": ("<f8", (r, r)),
        "cuts": ("|u1", (size("cuts"), 2)),
        "shares": ("<f8", (size("shares"),)),
        "leaf_points": ("<f8", (n_leaves, r)),
        "leaf_values": ("<f8", (n_entries,)),
        "leaf_lines": ("<i8", (n_entries,)),
        "leaf_starts": ("<i8", (n_leaves + 1,)),
    }


def _check_indices(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    n, n_blocks = header["n"], (2 if header["kind"] == "relu" else 1) * header["c"] * header["n_patterns"]
    blocks, padding = arrays["blocks"], -header["n"] % 8
    _require(not (arrays["patterns"][:, -1] & (2**padding - 1)).any(), "bits past the last row must be zero")
    _require((np.diff(blocks) > 0).all(), "the numbers of the blocks must ascend")
    _require(((blocks >= 0) & (blocks < n_blocks)).all(), "there is no such block")
    if header["scope"] == "global":
        _check_proof(header, arrays)
    elif header["kind"] == "relu":
        values = _check_sparse(arrays, "multiplier_values", "multiplier_rows", "multiplier_starts", n)
        _require((values >= 0.0).all(), f"multipliers must be >= 0; got {values.min(initial=0.0)!r}")


def _check_sparse(
    arrays: dict[str, NDArray[Any]], values: str, columns: str, starts: str, n_columns: int
) -> NDArray[Any]:
    """Return the values of a sparse matrix by rows, of the members with these names; its form is checked."""
    indices, begins = arrays[columns], arrays[starts]
    sound = begins[0] == 0 and begins[-1] == len(indices) and (np.diff(begins) >= 0).all()
    _require(sound, f"{starts} are invalid")
    _require(((indices >= 0) & (indices < n_columns)).all(), f"{columns} has indices out of range")
    owners = np.repeat(np.arange(len(begins) - 1), np.diff(begins))
    _require((np.diff(owners * n_columns + indices) > 0).all(), f"{columns} must ascend in each part")
    return arrays[values]


def _check_proof(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    n_lines = len(arrays["lines"])
    _require((np.abs(arrays["row_lines"]) <= n_lines).all(), "a row is on no line of the file")
    if header["proof"] == "relaxation":
        _require((arrays["delta"] >= 0.0).all(), "delta must be >= 0")
        return
    cuts, shares = arrays["cuts"], arrays["shares"]
    _require((cuts < len(arrays["axes"])).all(), "a cone is cut at no edge")
    n_cuts = int(np.count_nonzero(cuts[:, 0] != cuts[:, 1]))
    _require(
        (len(shares), len(arrays["leaf_points"])) == (n_cuts, len(cuts) - n_cuts), "there are other cuts or leaves"
    )
    _require(((shares > 0.0) & (shares < 1.0)).all(), "a cone is cut outside an edge")
    values = _check_sparse(arrays, "leaf_values", "leaf_lines", "leaf_starts", n_lines)
    _require(((values >= 0.0) & (values <= 1.0)).all(), "leaf_values must be in [0, 1]")


def content_hash(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    """Return the hash of everything in the file, of itself apart."""
    rest = {key: value for key, value in header.items() if key != "content_sha256"}
    digest = hashlib.sha256(_canonical_json(rest))
    for name in sorted(arrays):
        digest.update(f"\n{name} {arrays[name].dtype.str} {list(arrays[name].shape)}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def problem_hash(X: NDArray[Any], Y: NDArray[Any], lam: float, loss: dict[str, Any], penalty: str) -> str:
    """Return the hash of data (as from `canonical_data`), lam, loss and penalty."""
    name = {key: value.hex() if isinstance(value, float) else value for key, value in loss.items()}
    facts = {"X": X.shape, "Y": Y.shape, "dtype": "<f8", "lam": lam.hex(), "loss": name, "penalty": penalty}
    return hashlib.sha256(_canonical_json(facts) + b"\n" + X.tobytes() + Y.tobytes()).hexdigest()


def _canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def canonical_data(X: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return X (n, d), Y (n, c) as little-endian float64 in C order, without -0.0; ValueError if they are no data."""
    arrays = []
    for name, value in (("X", X), ("y", y)):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub" or array.size == 0 or not np.isfinite(array).all():
            raise ValueError(f"{name} must hold finite real numbers; got {array.dtype} of shape {array.shape}")
        arrays.append(np.ascontiguousarray(array, dtype="<f8") + 0.0)
    X, Y = arrays
    if X.ndim != 2 or Y.ndim not in (1, 2) or len(X) != len(Y):
        raise ValueError(f"X must be (n, d) and y (n,) or (n, c); got {X.shape} and {Y.shape}")
    return X, Y.reshape(len(X), -1)


# Arithmetic: float64, or rational numbers


@dataclass(frozen=True)
class _Arithmetic:
    """Numbers of one kind. Multiples of the last three, all zero for rational numbers, bound errors of rounding.

    Attributes
    ----------
    name : str
        As in `Verdict`.
    number, array : callable
        Turn a number or an array of float64 into this kind.
    norms : callable
        The Euclidean norms of the rows of an array, or slightly more.
    eps, tiny, tiny_root : float
        Relative error, with room; underflow of a product; underflow of a square, under the root.
    """

    name: str
    number: Callable[[Any], Any]
    array: Callable[[NDArray[Any]], NDArray[Any]]
    norms: Callable[[NDArray[Any]], NDArray[Any]]
    eps: float
    tiny: float
    tiny_root: float


def _norms(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the Euclidean norms of the rows in float64, by entries of unit size."""
    if rows.shape[1] == 1:
        single: NDArray[Any] = np.abs(rows[:, 0])
        return single
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    units = rows / np.where(largest > 0.0, largest, 1.0)
    norms: NDArray[Any] = largest[:, 0] * np.sqrt(np.sum(units * units, axis=1))
    return norms


def _norms_above(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the Euclidean norms of rows of fractions, rounded up as in `root_above`."""
    if rows.shape[1] == 1:
        single: NDArray[Any] = np.abs(rows[:, 0])
        return single
    return np.array([root_above(sum(x * x for x in row)) for row in rows], dtype=object)


def root_above(square: Fraction) -> Fraction:
    """Return a fraction >= the square root, equal to it where that is one, else at most 2^-128 relatively above."""
    inner = square.numerator * square.denominator << 256
    root = math.isqrt(inner)
    return Fraction(root if root * root == inner else root + 1, square.denominator << 128)


def _fractions(values: NDArray[Any]) -> NDArray[Any]:
    array: NDArray[Any] = np.empty(values.size, dtype=object)
    array[:] = [Fraction(value) for value in values.ravel().tolist()]
    return array.reshape(values.shape)


FLOATS = _Arithmetic("floating_point", float, np.asarray, _norms, EPS, TINY, 1e-153)
RATIONALS = _Arithmetic("exact", Fraction, _fractions, _norms_above, 0.0, 0.0, 0.0)


# The check


def check(contents: Contents, X: Any, y: Any, exact: bool = False) -> Verdict:
    """Return what was derived; RejectedCertificate if it does not bear out the claims.

    ``exact`` derives both bounds in rational arithmetic too, for squared and Huber loss. A claim of rigor "rounded"
    must then hold with no rounding at all. ValueError if the data are unusable or an exact check is out of reach.
    """
    header = contents.header
    X, Y = canonical_data(X, y)
    found = problem_hash(X, Y, header["lam"], header["loss"], header["penalty"])
    _require(
        found == header["problem_sha256"], "X, y, lam, loss or penalty are not those of the certificate: hash differs"
    )
    _require(X.shape == (header["n"], header["d"]), "n and d are not those of X")
    _require(Y.shape[1] == header["c"], "c is not that of y")
    if exact:
        _check_exact_reach(header)
    with np.errstate(all="ignore"):
        problem = _Problem(contents, X, Y, FLOATS)
        problem.check_labels()
        problem.check_gates()
        primal = _Primal(problem)
        upper, upper_rounding = primal.bound()
        lower, lower_rounding = _Dual(problem).bound()
    numbers = (upper, upper_rounding, lower, lower_rounding)
    _require(all(math.isfinite(number) for number in numbers), "the bounds overflow in float64")
    if exact:
        problem = _Problem(contents, X, Y, RATIONALS)
        primal = _Primal(problem)
        upper, lower = primal.bound()[0], _Dual(problem).bound()[0]
        if header["rigor"] == "rounded":
            upper_rounding = lower_rounding = 0.0
    claims = header["lower"], header["upper"]
    _require(claims[0] <= claims[1], f"the claimed lower bound {claims[0]!r} is above the upper bound {claims[1]!r}")
    _require(
        claims[1] >= upper - type(upper)(upper_rounding),
        f"the claimed upper bound {claims[1]!r} is below the objective {float(upper)!r} of the weights",
    )
    _require(
        claims[0] <= lower + type(lower)(lower_rounding),
        f"the claimed lower bound {claims[0]!r} is above the dual objective {float(lower)!r} of the dual point",
    )
    return Verdict(
        lower=_towards(lower, -math.inf),
        upper=_towards(upper, math.inf),
        claimed_lower=claims[0],
        claimed_upper=claims[1],
        lower_rounding=lower_rounding,
        upper_rounding=upper_rounding,
        cone_violation=float(primal.violation),
        arithmetic=problem.arithmetic.name,
        kind=header["kind"],
        scope=header["scope"],
        proof=header.get("proof"),
        rigor=header["rigor"],
        n_blocks=len(contents.arrays["blocks"]),
    )


def _check_exact_reach(header: dict[str, Any]) -> None:
    if header["scope"] == "global":
        raise ValueError("an exact check takes scope patterns; scope global is out of reach")
    name, penalty = header["loss"]["name"], header["penalty"]
    if name not in ("squared", "huber"):
        raise ValueError(f"an exact check takes squared and Huber loss; {name} has exponentials and logarithms")
    if penalty in ("nuclear", "none") or header["lam"] == 0.0:
        raise ValueError("an exact check takes lam > 0 and penalty group_l1, l1, feature_group_l1 or squared_l2")
    work = header["n"] * header["d"] * header["c"] * header["n_patterns"]
    if work > EXACT_LIMIT:
        raise ValueError(f"an exact check is for small problems: n d c P = {work} is above {EXACT_LIMIT}")


def _towards(number: Any, end: float) -> float:
    """Return the number as a float, rounded towards ``end``."""
    value = float(number)
    while (value > number) if end < 0.0 else (value < number):
        value = math.nextafter(value, end)
    return value


class _Problem:
    """The program of the certificate on the data: sizes, patterns, loss, penalty and lam, in one arithmetic."""

    def __init__(self, contents: Contents, X: NDArray[Any], Y: NDArray[Any], arithmetic: _Arithmetic) -> None:
        header = contents.header
        self.arithmetic, self.arrays = arithmetic, contents.arrays
        self.relu, self.proof, self.x_dtype = header["kind"] == "relu", header.get("proof"), header["x_dtype"]
        self.loss, self.penalty = header["loss"]["name"], header["penalty"]
        self.lam, self.delta = arithmetic.number(header["lam"]), arithmetic.number(header["loss"].get("delta", 1.0))
        (self.n, self.d), self.c, self.n_patterns = X.shape, Y.shape[1], header["n_patterns"]
        self.n_sides = 2 if self.relu else 1
        self.X, self.Y = arithmetic.array(X), arithmetic.array(Y)
        self.gates = arithmetic.array(self.arrays["gates"]) if "gates" in self.arrays else None
        self.sizes, self.row_norms = np.abs(X), _norms(X)  # in float64, for bounds of rounding errors

    def check_labels(self) -> None:
        if self.loss == "logistic":
            _require((np.abs(self.Y) == 1.0).all(), "labels of the logistic loss must be -1 or +1")
        if self.loss == "softmax":
            one_hot = np.isin(self.Y, (0.0, 1.0)).all() and (self.Y.sum(axis=1) == 1.0).all()
            _require(one_hot and self.c >= 2, "labels of the softmax loss must be one-hot rows")

    def check_gates(self) -> None:
        """Compare the patterns with 1[X G >= 0]: products within rounding, in the precision of X, may have any sign."""
        if self.gates is None:
            return
        units = self.X / np.where(self.row_norms > 0.0, self.row_norms, 1.0)[:, None]
        lengths = _norms(self.gates.T)
        gates = self.gates.T / np.where(lengths > 0.0, lengths, 1.0)[:, None]
        rounding = 8 * self.d * float(np.finfo(self.x_dtype).eps)
        for part in self.parts():
            cosines = gates[part] @ units.T
            differing = (self.masks(part) != (cosines >= 0.0)) & (np.abs(cosines) > rounding)
            _require(not differing.any(), f"{differing.sum()} bits of the patterns are not those of the gates")

    def masks(self, patterns: Any) -> NDArray[Any]:
        return np.unpackbits(self.arrays["patterns"][patterns], axis=-1, count=self.n).view(np.bool_)

    def parts(self) -> list[slice]:
        """Return slices of the patterns whose masks fit into memory."""
        step = max(1, 2**22 // self.n)
        return [slice(start, start + step) for start in range(0, self.n_patterns, step)]

    def groups(self, blocks: NDArray[Any]) -> NDArray[Any]:
        """Return the groups of the penalty as rows, of blocks (m, d)."""
        return {"group_l1": blocks, "feature_group_l1": blocks.T, "l1": blocks.reshape(-1, 1)}[self.penalty]


class _Primal:
    """The upper bound: the objective of the stored weights, which must be in their cones."""

    def __init__(self, problem: _Problem) -> None:
        self.problem, self.arithmetic, self.blocks = problem, problem.arithmetic, problem.arrays["blocks"]
        self.violation = 0.0

    def bound(self) -> tuple[Any, float]:
        """Return the objective and a bound of its rounding error."""
        problem, eps = self.problem, self.arithmetic.eps
        stored = problem.arrays["weights"]
        weights = self.arithmetic.array(stored).copy()
        f, sizes = np.zeros_like(problem.Y), np.zeros((problem.n, problem.c))
        for index, block in enumerate(self.blocks.tolist()):
            side, k, i = np.unravel_index(block, (problem.n_sides, problem.c, problem.n_patterns))
            active = problem.masks(i)
            if problem.relu:
                weights[index] = self._in_cone(weights[index], int(i), active)
            f[:, k] += np.where(active, problem.X @ weights[index], 0) * (-1 if side else 1)
            sizes[:, k] += np.where(active, problem.sizes @ np.abs(stored[index]), 0.0)
        loss, omega = self._loss(f), self._omega(weights)
        n_terms = problem.d + len(weights) + 8
        errors = n_terms * eps * sizes
        slope: Any = {"logistic": 1.0, "softmax": 2.0}.get(problem.loss)
        if slope is None:
            slope = np.abs(f - problem.Y) + errors
        of_omega = 64 * n_terms * eps * omega + self.arithmetic.tiny_root * weights.size
        rounding = np.sum(slope * errors) / problem.n + (f.size + 16) * eps * loss + problem.lam * of_omega
        return loss + problem.lam * omega, float(rounding) + self.arithmetic.tiny * f.size

    def _in_cone(self, w: NDArray[Any], i: int, active: NDArray[Any]) -> NDArray[Any]:
        """Return w, which must be in cone i to rounding; where the arithmetic has none, moved in along the gate."""
        problem = self.problem
        products = np.where(active, 1, -1) * (problem.X @ w)
        scales = problem.row_norms * float(_norms(np.asarray([w], dtype=float))[0])
        missing = np.asarray(-products, dtype=float)
        tol = 8 * (problem.d + 4) * EPS
        fits = np.isfinite(scales) & (missing <= tol * scales + problem.d * TINY)
        _require(fits.all(), "weights miss their cones by more than rounding")
        worst = np.max(missing / np.where(scales > 0.0, scales, np.inf))
        self.violation = max(self.violation, float(worst), 0.0)
        if self.arithmetic.eps > 0.0 or (products >= 0).all():
            return w
        gate = np.zeros(problem.d) if problem.gates is None else problem.gates[:, i]
        gains = np.where(active, 1, -1) * (problem.X @ gate)
        outside = products < 0
        _require(
            (gains[outside] > 0).all(), "exactly, weights are not in their cones, and no gate leads back into them"
        )
        step = np.max(-products[outside] / gains[outside])
        _require((products + step * gains >= 0).all(), "exactly, weights and a gate are not in their cones")
        moved: NDArray[Any] = w + step * gate
        return moved

    def _loss(self, f: NDArray[Any]) -> Any:
        """Return F(f)."""
        name, Y = self.problem.loss, self.problem.Y
        if name == "logistic":
            terms = np.logaddexp(0.0, -Y * f)
        elif name == "softmax":
            margins = f - np.sum(Y * f, axis=1, keepdims=True)
            top = margins.max(axis=1, keepdims=True)
            terms = top + np.log(np.sum(np.exp(margins - top), axis=1, keepdims=True))
        else:
            size = np.abs(f - Y)
            inner = size if name == "squared" else np.minimum(size, self.problem.delta)
            terms = inner * (size - inner / 2)
        return np.sum(terms) / self.problem.n

    def _omega(self, weights: NDArray[Any]) -> Any:
        """Return the penalty of the weights."""
        problem = self.problem
        if problem.penalty == "none" or len(weights) == 0:
            return 0 * problem.lam
        if problem.penalty == "squared_l2":
            return np.sum(weights * weights) / 2
        if problem.penalty == "nuclear":
            used, indices = np.unique(self.blocks % problem.n_patterns, return_inverse=True)
            matrices = np.zeros((len(used), problem.c, problem.d))
            matrices[indices, self.blocks // problem.n_patterns] = weights
            return np.sum(np.linalg.svd(matrices, compute_uv=False))
        return np.sum(self.arithmetic.norms(problem.groups(weights)))


class _Dual:
    """The lower bound: the dual objective of the stored dual point t, moved to feasibility."""

    def __init__(self, problem: _Problem) -> None:
        self.problem, self.arithmetic = problem, problem.arithmetic

    def bound(self) -> tuple[Any, float]:
        """Return the dual objective and a bound of its rounding error."""
        problem, eps = self.problem, self.arithmetic.eps
        t = self._into_domain(self.arithmetic.array(problem.arrays["t"]))
        if problem.proof is not None:
            return self._shrunk(t, *_NeuronProof(problem, t[:, 0]).bound())
        Z, errors = self._argument(t)
        _require(np.isfinite(errors).all(), "the bounds overflow in float64")
        value, rounding = self._value(t)
        if problem.lam == 0 or problem.penalty == "none":
            _require((np.abs(Z) <= 4 * errors).all(), "the dual point is infeasible: without a penalty A't must vanish")
            return value, rounding
        if problem.penalty == "squared_l2":
            square = np.sum(Z * Z)
            of_square = np.sum(errors * (2 * np.abs(Z) + errors)) + Z.size * eps * square
            return value - square / (2 * problem.lam), rounding + float(of_square) / (2 * problem.lam)
        return self._shrunk(t, *self._norm(Z, errors))

    def _shrunk(self, t: NDArray[Any], size: Any, error: Any) -> tuple[Any, float]:
        """Return the dual value of t, shrunk if its dual norm is above lam, and a bound of the rounding error."""
        lam, number = self.problem.lam, self.arithmetic.number
        value, rounding = self._value(t)
        least = size - error
        _require(
            least <= lam * (1 + number(DUAL_EXCESS)),
            f"the dual point is infeasible: the dual norm is {float(size)!r} where lam is {float(lam)!r}",
        )
        if size > lam:
            value, rounding = self._value(t * (lam / size))
            # The claim may be better by the rounding of the dual norm.
            best = self._value(t * min(number(1.0), lam / least if least > 0.0 else number(1.0)))[0]
            rounding += max(0.0, float(best - value))
        return value, rounding

    def _into_domain(self, t: NDArray[Any]) -> NDArray[Any]:
        """Return t moved into the domain of F*, which it may miss by 1e-9."""
        problem, n, Y = self.problem, self.problem.n, self.problem.Y
        if problem.loss == "squared":
            return t
        if problem.loss == "huber":
            bound = problem.delta / n
            excess, moved = np.max(np.abs(t)) / bound - 1, np.minimum(np.maximum(t, -bound), bound)
        elif problem.loss == "logistic":
            a = -n * Y * t
            excess, moved = np.max(np.maximum(-a, a - 1.0)), -Y * np.clip(a, 0.0, 1.0) / n
        else:
            p = n * t + Y
            excess = max(np.max(-p), np.max(np.abs(p.sum(axis=1) - 1.0)))
            p = np.maximum(p, 0.0)
            moved = (p / p.sum(axis=1, keepdims=True) - Y) / n
        _require(
            excess <= DUAL_EXCESS, f"the dual point is outside the domain of the conjugate loss, by {float(excess)!r}"
        )
        # Within rounding it stays: n t + Y has lost digits of a small t.
        result: NDArray[Any] = moved if excess > 16 * problem.c * self.arithmetic.eps else t
        return result

    def _value(self, t: NDArray[Any]) -> tuple[Any, float]:
        """Return -F*(t) and a bound of its rounding error."""
        problem, eps, n, Y = self.problem, self.arithmetic.eps, self.problem.n, self.problem.Y
        if problem.loss == "logistic":
            a = np.clip(-n * Y * t, 0.0, 1.0)
            parts = [a * np.log(np.where(a > 0.0, a, 1.0)), (1.0 - a) * np.log1p(-np.where(a < 1.0, a, 0.0))]
        elif problem.loss == "softmax":
            p = np.clip(n * t + Y, 0.0, 1.0)
            parts = [p * np.log(np.where(p > 0.0, p, 1.0))]
        else:
            parts = [n * t * (n * t) / 2, n * t * Y]
        value = -sum(np.sum(part) for part in parts) / n
        total = sum(np.sum(np.abs(part)) for part in parts) / n
        of_logarithms = 0.0 if problem.loss in ("squared", "huber") else 64 * problem.c * eps
        return value, float((2 * Y.size + 64) * eps * total) + of_logarithms + self.arithmetic.tiny * Y.size

    def _argument(self, t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the blocks (B, d) of -A't or -+A't + Xt'g, and bounds of their rounding errors."""
        problem, n_patterns = self.problem, self.problem.n_patterns
        Z = np.zeros((problem.n_sides, problem.c, n_patterns, problem.d), dtype=problem.X.dtype)
        for part in problem.parts():
            masks = problem.masks(part)
            for k in range(problem.c):
                product = np.where(masks, t[:, k], 0) @ problem.X
                Z[0, k, part] = -product
                Z[-1, k, part] = product if problem.relu else -product
        Z = Z.reshape(-1, problem.d)
        of_t = (problem.sizes.T @ np.abs(np.asarray(t, dtype=float))).T
        sizes = np.tile(np.repeat(of_t, n_patterns, axis=0), (problem.n_sides, 1))
        if problem.relu:
            values, rows, starts = (problem.arrays[f"multiplier_{name}"] for name in ("values", "rows", "starts"))
            owners = np.repeat(np.arange(len(Z)), np.diff(starts))
            bits = problem.arrays["patterns"][owners % n_patterns, rows // 8] >> (7 - rows % 8).astype(np.uint8) & 1
            signed = np.where(bits == 1, 1, -1) * self.arithmetic.array(values)
            step = max(1, 2**22 // problem.d)
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                np.add.at(Z, owners[part], signed[part, None] * problem.X[rows[part]])
                np.add.at(sizes, owners[part], values[part, None] * problem.sizes[rows[part]])
        return Z, (2 * problem.n + 8) * self.arithmetic.eps * sizes + problem.n * self.arithmetic.tiny

    def _norm(self, Z: NDArray[Any], errors: NDArray[Any]) -> tuple[Any, Any]:
        """Return the dual norm of the argument (B, d) and a bound of its error."""
        problem = self.problem
        if problem.penalty == "nuclear":
            shape = (problem.c, problem.n_patterns, problem.d)
            matrices = Z.reshape(shape).transpose(1, 0, 2)
            size = np.linalg.svd(matrices, compute_uv=False).max()
            groups = errors.reshape(shape).transpose(1, 0, 2).reshape(problem.n_patterns, -1)
        else:
            size, groups = np.max(self.arithmetic.norms(problem.groups(Z))), problem.groups(errors)
        error = np.max(_norms(groups)) + 8 * (groups.shape[1] + 8) * self.arithmetic.eps * size
        return size, self.arithmetic.number(error)


class _NeuronProof:
    """The proof of scope "global", of which the largest |t'(Xu)_+| over the unit ball is bounded.

    With lines e_k of the file (any vectors) and z = B'u, t'(Xu)_+ is f(z) = w0'z + sum_k tau_k (e_k'z)_+ for rows
    x_i = +-||x_i|| B e_k; what a row is off counts in full. The proof bounds f and -f for ||z|| <= 1.
    """

    def __init__(self, problem: _Problem, t: NDArray[Any]) -> None:
        self.problem, self.arrays, self.t = problem, problem.arrays, t
        self.E, row_lines, norms = self.arrays["lines"], self.arrays["row_lines"], problem.row_norms
        self.line, self.joined, self.signed = np.abs(row_lines) - 1, row_lines != 0, np.sign(row_lines) * norms
        plus, minus = (
            np.bincount(self.line[part], (t * norms)[part], minlength=len(self.E))
            for part in (row_lines > 0, row_lines < 0)
        )
        self.tau, self.w0 = plus + minus, -minus @ self.E
        self.scale = float(np.abs(t) @ norms * np.max(_norms(self.E), initial=1.0))
        self.rounding = (problem.n + len(self.E) + problem.d + 4 * self.arrays["basis"].shape[1] + 32) * EPS

    def bound(self) -> tuple[float, float]:
        """Return a proven bound of the maximum of |t'(Xu)_+| over ||u|| <= 1, and one of its rounding error."""
        problem, basis = self.problem, self.arrays["basis"]
        off = problem.X.copy()
        off[self.joined] -= self.signed[self.joined, None] * (self.E[self.line[self.joined]] @ basis.T)
        slack = np.abs(self.t) @ _norms(off)
        size, error = self._by_cones() if problem.proof == "cones" else self._by_relaxation()
        skew = np.linalg.norm(basis.T @ basis - np.eye(basis.shape[1])) + (problem.d + 8) * EPS * np.sum(basis * basis)
        error += 2 * self.rounding * self.scale + TINY * (problem.n + len(self.E))
        return float(size * math.sqrt(1.0 + skew) + slack), float(error)

    def _by_relaxation(self) -> tuple[float, float]:
        """Return a bound of f and -f by a quadratic function, and one of its rounding error.

        With tau = p - m for p, m >= 0 and s_k = e_k'z, (s)_+ = (s + |s|) / 2 and p |s| <= rho s^2 + p^2 / (4 rho), and
        -m |s| <= gamma s - delta s^2 if |gamma| + delta ||e|| <= m. The function of z that this adds up to,
        b'z + z'Q z + constant, is at most mu + b'z - z'M z + constant with M = mu I - Q. Where M is positive
        semidefinite, that is for any y at most its value at y + ||b - 2 M y|| (1 + ||y||).
        """
        E, rounding = self.E, self.rounding
        heights, size, error = _norms(E), 0.0, 0.0
        multipliers = (self.arrays[name] for name in ("rho", "gamma", "delta"))
        for side, rho, gamma, delta in zip((1.0, -1.0), *multipliers, strict=True):
            m = np.maximum(np.abs(gamma) + delta * heights, np.maximum(-side * self.tau, 0.0))
            p = side * self.tau + m
            rho = np.maximum(rho, p / 2)
            b = side * self.w0 + (side * self.tau + gamma) @ E / 2
            Q = (E.T * (rho - delta)) @ E / 2
            total = 2 * self.scale + float(heights @ (p + m + np.abs(gamma) + heights * (rho + delta)))
            _require(math.isfinite(total), "the bounds overflow in float64")
            values, vectors = np.linalg.eigh(Q)
            along = b @ vectors
            low = max(values[-1], 0.0) + 8 * (rounding + len(Q) ** 2 * EPS) * total + TINY
            mu = low + float(np.linalg.norm(b))
            for _ in range(100):  # mu is best where ||y|| = 1, or as low as it can be
                middle = (low + mu) / 2
                low, mu = (middle, mu) if np.linalg.norm(along / (middle - values)) > 2.0 else (low, middle)
            y = vectors @ (along / (mu - values)) / 2
            M, length = mu * np.eye(len(Q)) - Q, float(np.linalg.norm(y))
            constant = np.sum(p * np.divide(p, 8 * rho, out=np.zeros_like(p), where=p > 0.0))
            missed = np.linalg.norm(b - 2 * M @ y) * (1 + length)
            size = np.maximum(size, mu + b @ y - y @ M @ y + missed + constant)  # of NaN it is NaN
            error = np.maximum(error, 8 * rounding * (total + mu) * (1 + length) ** 2)
        return size, error

    def _by_cones(self) -> tuple[float, float]:
        """Return a bound of f and -f by cones that cover the space, and one of its rounding error.

        Where z = sum_j a_j v_j with a >= 0 and for any c_k in [0, 1], f(z) <= sum_j a_j q_j with

            q_j = w0'v_j + sum over tau_k > 0 of tau_k (e_k'v_j)_+ + sum over tau_k < 0 of c_k tau_k e_k'v_j,

        and if q_j <= v_j'x for all j, f(z) <= x'z <= ||x||. Where x misses that, it is moved along the sum of the rays.
        """
        E, scale = self.E, self.scale
        n_lines, r = E.shape
        size = error = depth = 0.0
        leaves, first = self._leaves(), 0
        while batch := list(islice(leaves, max(1, 2**20 // (r * n_lines + 1)))):
            V, sides, depths = (np.array(part) for part in zip(*batch, strict=True))
            part = slice(first, first + len(batch))
            first = part.stop
            x, Z, weights = self.arrays["leaf_points"][part], V @ E.T, sides[:, None] * self.tau
            convex, concave = np.maximum(weights, 0.0), np.minimum(weights, 0.0) * self._leaf_multipliers(part, Z)
            q = sides[:, None] * (V @ self.w0) + _times(np.maximum(Z, 0.0), convex) + _times(Z, concave)
            rays = V.sum(axis=1)
            inner = _times(V, rays).min(axis=1)
            _require((inner > 0.0).all(), "a cone has rays at obtuse angles")
            lengths, reach = _norms(x), _norms(rays) / inner
            violations = np.maximum(q - _times(V, x), 0.0).max(axis=1)
            size = np.maximum(size, np.max(lengths + reach * violations))  # of NaN it is NaN
            error = np.maximum(error, np.max(reach * self.rounding * (2 * scale + lengths)))
            depth = max(depth, np.max(depths))
        # Rays are rounded at each cut, by 2 EPS; coefficients of points of the unit ball sum to at most sqrt(r).
        return size, error + 16 * depth * math.sqrt(r) * EPS * scale

    def _leaves(self) -> Iterator[tuple[NDArray[Any], float, int]]:
        """Yield the cones (r, r) that are not cut, first those of f and then those of -f, side and number of cuts."""
        axes, cuts, shares = self.arrays["axes"], self.arrays["cuts"], iter(self.arrays["shares"].tolist())
        r = len(axes)
        _require(np.linalg.norm(axes @ axes.T - np.eye(r)) <= 1e-9, "the axes are not orthonormal")
        _require(len(cuts) >= 2 << r, "the cones do not cover the unit ball")
        signs = np.where(np.arange(2**r)[:, None] >> np.arange(r) & 1, 1.0, -1.0)
        open_cones = [(V, side, 0) for side in (-1.0, 1.0) for V in signs[:, :, None] * axes]
        for a, b in cuts.tolist():
            _require(open_cones, "there are more cones than cover the unit ball")
            V, side, depth = open_cones.pop()
            if a == b:
                yield V, side, depth
                continue
            fraction = next(shares)
            middle = (1.0 - fraction) * V[a] + fraction * V[b]
            middle /= math.sqrt(middle @ middle)
            for replaced in (a, b):
                half = V.copy()
                half[replaced] = middle
                open_cones.append((half, side, depth + 1))
        _require(not open_cones, "the cones do not cover the unit ball")

    def _leaf_multipliers(self, leaves: slice, Z: NDArray[Any]) -> NDArray[Any]:
        """Return c (l, K): what the file has, or else 1 where the products Z (l, r, K) have a positive sum."""
        values, lines, starts = (self.arrays[f"leaf_{name}"] for name in ("values", "lines", "starts"))
        c: NDArray[Any] = (Z.sum(axis=1) > 0.0).astype(np.float64)
        entries = slice(starts[leaves.start], starts[leaves.stop])
        counts = np.diff(starts[leaves.start : leaves.stop + 1])
        c[np.repeat(np.arange(len(c)), counts), lines[entries]] = values[entries]
        return c


def _times(matrices: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
    product: NDArray[Any] = np.matmul(matrices, vectors[:, :, None])[:, :, 0]
    return product


# The command


def read_data(path: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return X and y of an npz file; OSError if it cannot be read, ValueError if it does not hold them."""
    with open(path, "rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            return archive["X"], archive["y"]
        except Exception as error:  # whatever NumPy raises on files of another kind
            raise ValueError(f"{path} must be an npz file with arrays X and y: {error}") from error


def run(certificate: Any, data: Any, exact: bool = False, as_json: bool = False) -> int:
    """Check a certificate's file, print what was found and return the exit code."""
    try:
        X, y = read_data(data)
        verdict = check(read_certificate(certificate), X, y, exact)
    except RejectedCertificate as error:
        if as_json:
            print(json.dumps({"verified": False, "reason": str(error)}, indent=2))
        else:
            print(f"rejected: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps({"verified": True, **asdict(verdict)}, indent=2, allow_nan=False))
    else:
        print(f"verified\n{verdict}")
    return 0


def main() -> int:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(
        description="Check a certificate of cvxrelu.", epilog="Exit codes: 0 verified, 1 rejected, 2 wrong use."
    )
    parser.add_argument("certificate", help="file written by Certificate.save")
    parser.add_argument("--data", required=True, help="npz file with X and y")
    parser.add_argument(
        "--exact", action="store_true", help="rational arithmetic: squared and Huber loss, small problems"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    return run(options.certificate, options.data, options.exact, options.json)


if __name__ == "__main__":
    sys.exit(main())
