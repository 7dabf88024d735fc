"""Stand-alone checker of certificates, format version 3: the standard library and NumPy, nothing of cvxrelu.

    python checker.py CERTIFICATE --data DATA.npz --lam 0.01 --scope global [--interval] [--json]

certificate_format.md defines which files are accepted and proves, in numbered lemmas, that the statement of an accepted
file is true; each function names its lemma. Nothing in a file is believed. It holds weights, a dual point and
multipliers, but no bounds: both are derived here, and every inequality is checked in rational arithmetic, without a
tolerance. Floats are the rational numbers that they represent. With --interval the long sums are enclosed in float64.

DATA.npz holds X (n, d) and y (n,) or (n, c). The statement is given by --kind, --scope, --loss, --delta, --penalty,
--lam, --patterns (an npz file with D (n, P)) and --network (one with W1 (m, d) and w2 (m,) or (m, c), whose objective
the upper bound is then of); what is not given is as the file says, and printed. --max-memory is in bytes.

Exit codes: 0 verified; 1 rejected; 2 wrong use, invalid data, or more memory than allowed; 3 failure of the machine.
"""

import argparse
import hashlib
import json
import math
import sys
import time
from collections import namedtuple
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MAGIC = b"cvxrelu certificate 3\n"
CHOICES: dict[str, tuple[Any, ...]] = {
    "kind": ("gated", "relu"),
    "scope": ("patterns", "global"),
    "loss": ("squared", "huber", "logistic", "softmax"),
    "penalty": ("group_l1", "l1", "feature_group_l1", "nuclear", "squared_l2", "none"),
    "proof": (None, "cones", "maximum", "relaxation"),
}
KEYS = {*CHOICES, "delta", "lam", "data_sha256", "rows", "sizes"}
VECTORS = ("x_shift", "x_scale", "y_shift", "y_scale")  # of the map of the rows
STATEMENT = ("kind", "scope", "loss", "delta", "penalty", "lam", "rows", "n", "d", "c", "data_sha256", "patterns")
# Name, type and shape of the arrays, in the order of the file.
ALL = "weights <f8 2 blocks d, blocks <i8 blocks, t <f8 n c"
LINES = ", basis <f8 rank d, lines <f8 lines rank, row_lines <i8 n, row_sizes <f8 n"
PROOFS = {
    None: ", patterns |u1 patterns bytes, multipliers <f8 entries, places <i8 entries 2",
    "maximum": LINES,
    "relaxation": LINES + ", multipliers <f8 2 4 lines, corners <f8 2 2",
    "cones": LINES + ", cuts <u2 cones 4, points <f8 leaves rank, multipliers <f8 entries, places <i8 entries 2",
}
LONGEST, DEEPEST, CHUNK = 2**20, 256, 2**20  # bytes of the header, cuts above a cone, numbers at a time
ABOVE, OUTSIDE = "the dual point is infeasible: a dual norm exceeds lam", "the dual point is outside the loss's domain"
OTHERS = "these are not the data of the file: its map does not fit them"
DOWN, UP = (Context(30, way, -99999, 99999, traps=[]) for way in (ROUND_FLOOR, ROUND_CEILING))

Contents = namedtuple("Contents", "header arrays")  # of a file of valid form
Problem = namedtuple("Problem", "X Y header arrays masks interval")  # the data, a file, and its patterns (P, n)
# f(z) = (w0'z + sum_k tau_k (E_k'z)_+) / unit, of integers; E is ``scale`` times the lines of the file, limit is R^2
Terms = namedtuple("Terms", "E tau w0 scale unit limit")


class RejectedCertificate(RuntimeError):
    """The file does not prove the statement; the message says why."""


class InvalidInput(ValueError):
    """The verifier's data, patterns or network are invalid, or the check needs more memory than allowed."""


def require(condition: Any, reason: str, error: type[Exception] = RejectedCertificate) -> None:
    """Reject the certificate, or raise another error, unless the condition holds."""
    if not condition:
        raise error(reason)


# The file: section 2 of certificate_format.md


def parse(raw: bytes) -> Contents:
    """Return header and arrays of a file of valid form."""
    old = "the file is of version 1 or 2, whose proofs can be forged: save the certificate again with this cvxrelu"
    require(raw.startswith(MAGIC), old if raw.startswith(b"PK") else "the file is no cvxrelu certificate of version 3")
    text, newline, _ = raw[len(MAGIC) : len(MAGIC) + LONGEST + 1].partition(b"\n")
    require(newline, f"the header has no end, or more than {LONGEST} bytes")
    try:
        header = json.loads(text, parse_constant=int)  # which fails: NaN and infinities are no JSON
        require(json.dumps(header, sort_keys=True).encode() == text, "the header is not in canonical form")
        check_header(header)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RejectedCertificate(f"the header is damaged: {error!a}") from error
    arrays, start = {}, len(MAGIC) + len(text) + 1
    for name, dtype, *letters in layout(header):
        shape = [header["sizes"][size] if size.isalpha() else int(size) for size in letters]
        end = start + math.prod(shape) * np.dtype(dtype).itemsize
        require(end <= len(raw), f"the file ends within {name}")
        arrays[name], start = np.frombuffer(raw[start:end], dtype).reshape(shape), end
        require(dtype != "<f8" or np.isfinite(arrays[name]).all(), f"{name} must be finite")
    require(start == len(raw), "bytes follow the last array")
    return Contents(header, arrays)


def layout(header: dict[str, Any]) -> list[list[str]]:
    """Return name, type and shape of the arrays, in the order of the file."""
    nuclear = ", outputs <f8 blocks c" if header["penalty"] == "nuclear" else ""
    return [array.split() for array in (ALL + nuclear + PROOFS[header["proof"]]).split(",")]


def check_header(header: Any) -> None:
    """Check the values of the header."""
    require(set(header) == KEYS, f"the header must have the keys {sorted(KEYS)}")
    for key, choices in CHOICES.items():
        require(header[key] in choices, f"{key} must be one of {choices}; got {header[key]!a}")
    kind, scope, loss, penalty, proof, lam, delta, sizes = (header[key] for key in (*CHOICES, "lam", "delta", "sizes"))
    require(type(lam) is float and 0.0 <= lam < math.inf, "lam must be a finite float >= 0")
    fits = type(delta) is float and 0.0 < delta < math.inf if loss == "huber" else delta is None
    require(fits, "delta must be a finite float > 0 for huber, else null")
    any_width = scope == "global" and kind == "relu" and penalty == "group_l1" and lam > 0.0
    of_patterns = scope == "patterns" and (kind == "gated" or penalty != "nuclear")
    require(any_width if proof else of_patterns, "no proof has this scope, kind, penalty and lam")
    if (rows := header["rows"]) is not None:
        fits = set(rows) == {*VECTORS, "bias", "classes"} and type(rows["bias"]) is bool
        fits = fits and isinstance(rows["classes"], list | None)
        fits = fits and all(type(v) is float and math.isfinite(v) for key in VECTORS for v in rows[key])
        require(fits, "the map of the rows is damaged")
    names = {size for _, _, *shape in layout(header) for size in shape if size.isalpha()}
    require(set(sizes) == names, f"sizes must be {sorted(names)}")
    packed, most = -(-sizes["n"] // 8), 2**40 - 1
    ranges = {"n": (1, most), "d": (1, most), "c": (1 + (loss == "softmax"), 1 if proof else most)}
    ranges |= {"bytes": (packed, packed), "lines": (1, sizes["n"]), "rank": (1, min(sizes["d"], 64))}
    for name, size in sizes.items():
        fits = type(size) is int and ranges.get(name, (0, most))[0] <= size <= ranges.get(name, (0, most))[1]
        require(fits, f"{name} is out of range")


def check_entries(arrays: dict[str, Array], rows: int, columns: int) -> None:
    """Check the sparse matrix of multipliers >= 0: places (row, column) must be in range and ascend."""
    places, (down, right) = arrays["places"], np.diff(arrays["places"], axis=0).T
    fits = ((places >= 0) & (places < (rows, columns))).all() and ((down > 0) | ((down == 0) & (right > 0))).all()
    require(fits, "places must be in range, and ascend")
    require((arrays["multipliers"] >= 0.0).all(), "multipliers must be >= 0")


# Numbers: section 3


def rational(values: Any) -> Any:
    """Return an array of numbers as fractions of the same values."""
    return np.frompyfunc(Fraction, 1, 1)(np.asarray(values, dtype=object))


def integers(values: Any) -> tuple[Any, int]:
    """Return integers and q > 0 such that ``values``, floats, fractions or integers, are integers / q."""
    if values.dtype == np.float64:
        mantissas, exponents = np.frexp(values)
        shift = 53 - int(exponents.min(initial=0))
        return np.ldexp(mantissas, 53).astype(np.int64).astype(object) << (exponents - 53 + shift), 1 << shift
    q = math.lcm(*(value.denominator for value in values.flat))
    return np.frompyfunc(lambda value: value.numerator * (q // value.denominator), 1, 1)(values), q


def product(A: Array, B: Array, interval: bool = False) -> tuple[Array, Array, Fraction]:
    """Return M, R and a unit: A @ B is M times the unit, exactly with R = 0, or up to R with the unit 1 (Lemma 1)."""
    if not interval:
        (a, p), (b, q) = integers(A), integers(B)
        return a @ b, np.zeros((len(a), b.shape[1])), Fraction(1, p * q)
    require(np.array([5e-324]) * 2.0**60 > 0.0, "subnormal numbers are taken as zero: check without --interval")
    with np.errstate(all="ignore"):
        M, R = A @ B, (len(B) + 16) * (2.0**-52 * (np.abs(A) @ np.abs(B)) + 2.0**-1000)
    require(np.isfinite(M).all() and np.isfinite(R).all(), "a number overflows: check without --interval")
    return M, R, Fraction(1)


def portion(X: Array) -> int:
    """Return how many blocks to compute at a time, each with n numbers and d fractions."""
    return max(1, CHUNK // max(len(X), 4 * int(X.shape[1])))


def root_above(square: Any) -> Fraction:
    """Return an upper bound of the square root (Lemma 2)."""
    inner, q = square.numerator * square.denominator << 256, square.denominator << 128
    return Fraction(math.isqrt(inner - 1) + 1 if inner else 0, q)


roots = np.frompyfunc(root_above, 1, 1)


def decimal(value: Fraction, way: Context) -> Decimal:
    """Return the number as a decimal one of 30 digits, rounded down or up."""
    return way.divide(Decimal(value.numerator), Decimal(value.denominator))


def log_sum_exp_above(values: Any) -> Fraction:
    """Return an upper bound of ln(sum_k exp(values_k)) (Lemma 3)."""
    terms, total = [decimal(value, UP) for value in values], Decimal(0)
    for term in terms:
        total = UP.add(total, UP.next_plus(UP.exp(UP.subtract(term, max(terms)))))
    return Fraction(UP.add(max(terms), UP.next_plus(UP.ln(total))))


def entropy_below(p: Fraction) -> Fraction:
    """Return a lower bound of -p ln p for p in [0, 1] (Lemma 3)."""
    log = UP.next_plus(UP.ln(decimal(p, UP))) if 0 < p < 1 else Decimal(0)
    return Fraction(decimal(p, DOWN)) * -Fraction(log) if log < 0 else Fraction(0)


def is_semidefinite(S: Array) -> bool:
    """Return whether a symmetric matrix of integers is positive semidefinite (Lemma 6)."""
    last = 1
    while len(S):
        pivot, row, rest = S[0, 0], S[0, 1:], S[1:, 1:]
        if pivot < 0 or (pivot == 0 and row.any()):
            return False
        S, last = ((pivot * rest - np.outer(row, row)) // last, pivot) if pivot else (rest, last)
    return True


def real(name: str, values: Any) -> Array:
    """Return an array as float64 of the same values; InvalidInput if there is none."""
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        with np.errstate(all="ignore"):
            floats = array.astype("<f8", order="C") + 0.0
            same = floats.astype(array.dtype) == array if array.dtype.kind == "f" else np.abs(floats) < 2.0**53
        if (same & np.isfinite(floats)).all():
            return floats
    raise InvalidInput(f"{name} must hold finite numbers that float64 represents; got {array.dtype} {array.shape}")


def digest(*arrays: Array) -> str:
    """Return the SHA-256 of the shapes and bytes of arrays."""
    shapes = json.dumps([list(array.shape) for array in arrays]).encode()
    return hashlib.sha256(shapes + b"".join(array.tobytes() for array in arrays)).hexdigest()


# The upper bound: section 4


def neurons(problem: Problem) -> tuple[Array, Array, Array | None]:
    """Return input weights, outputs (m, c) and patterns, None for scope global, of the file's neurons (Lemma 4)."""
    header, arrays, blocks = problem.header, problem.arrays, problem.arrays["blocks"]
    c, P, nuclear, is_global = problem.Y.shape[1], len(problem.masks), "outputs" in arrays, header["scope"] == "global"
    count = P if nuclear else (1 + (header["kind"] == "relu")) * c * P
    require(((blocks >= 0) & (blocks < count)).all(), "there is no such block")
    require(is_global or nuclear or (np.diff(blocks) > 0).all(), "blocks must ascend")
    (output, pattern), outputs = np.divmod(blocks, P), np.zeros((len(blocks), c))
    if not nuclear:
        outputs[np.arange(len(blocks)), output % c] = np.where(output < c, 1.0, -1.0)
    return arrays["weights"], arrays.get("outputs", outputs), None if is_global else pattern


def objective_above(problem: Problem, W: Array, outputs: Array, pattern: Array | None) -> Fraction:
    """Return an upper bound of the objective of neurons with input weights w_j, the sums of W (2, m, d) (Lemma 4)."""
    (V, q), o, penalty = integers(W), np.abs(rational(outputs)), problem.header["penalty"]
    V = V.sum(axis=0) ** 2  # of V / q
    groups = {"l1": V.flatten(), "feature_group_l1": V.sum(axis=0), "none": V[:0, 0]}.get(penalty, V.sum(axis=1))
    sizes = roots((o * o).sum(axis=1)) if penalty == "nuclear" else o.sum(axis=1) if penalty == "group_l1" else 1
    norms = roots(groups * Fraction(1, q * q)) * sizes
    omega = Fraction(V.sum(), 2 * q * q) if penalty == "squared_l2" else Fraction(norms.sum())
    return loss_above(problem, *predictions(problem, W, outputs, pattern)) + omega * Fraction(problem.header["lam"])


def predictions(problem: Problem, W: Array, outputs: Array, pattern: Array | None) -> tuple[Any, Any]:
    """Return the predictions of these neurons, and bounds of their errors (Lemma 4).

    They are sum_j (X w_j)_+ o_j', or with patterns sum_j D_j X w_j o_j'; for kind relu, weights must be in their cones.
    """
    f = error = rational(np.zeros_like(problem.Y))
    X, step = np.hstack([problem.X, problem.X]), portion(problem.X)
    for first in range(0, len(outputs), step):
        part = slice(first, first + step)
        both = np.hstack([*W[:, part]]).T
        Z, R, unit = product(X, both, problem.interval)
        mask = Z > 0 if pattern is None else problem.masks[pattern[part]].T
        if pattern is not None and problem.header["kind"] == "relu":  # what float64 does not decide is computed exactly
            unsure = np.where(mask, Z, -Z) < R
            rows = unsure.any(axis=1)
            (A, _), (V, _) = integers(problem.X[rows]), integers(W[:, part])
            for w, inside, own in zip(V.sum(axis=0), mask[rows].T, unsure[rows].T, strict=True):
                outside = np.where(inside[own], 1, -1) * (A[own] @ w) < 0
                require(not outside.any(), "weights are outside their cones")
        M, more, q = product(np.where(mask, Z, 0), outputs[part], problem.interval)
        f = f + rational(M) * (unit * q)
        if problem.interval:
            error = error + 2 * rational(product(R, np.abs(outputs[part]), True)[0]) + rational(more)
    return f, error


def loss_above(problem: Problem, f: Any, error: Any) -> Fraction:
    """Return an upper bound of F at predictions that may be off by ``error`` (Lemmas 3 and 4)."""
    n, loss, Y = len(f), problem.header["loss"], rational(problem.Y)
    if loss in ("squared", "huber"):
        r, q = integers(np.abs(f - Y) + error)
        inner = r if loss == "squared" else np.minimum(r, rational(problem.header["delta"]) * q)
        return Fraction((inner * (2 * r - inner)).sum()) / (2 * n * q * q)
    if loss == "logistic":
        rows = np.stack([0 * f, error - Y * f], axis=-1).reshape(-1, 2)
    else:
        at_label, more = ((values * Y).sum(axis=1, keepdims=True) for values in (f, error))
        rows = f - at_label + (error + more) * (1 - Y)
    return Fraction(sum(map(log_sum_exp_above, rows)), n)


# The lower bound, scope patterns: section 5


def dual_value(problem: Problem, scale: Fraction) -> Fraction:
    """Return a lower bound of -F* at ``scale`` <= 1 times t, which must be in the domain (Lemmas 3 and 5)."""
    loss, t, n = problem.header["loss"], problem.arrays["t"], len(problem.Y)
    if loss in ("squared", "huber"):
        (T, unit), (Y, q) = integers(t), integers(problem.Y)
        inside = loss == "squared" or np.abs(T).max() * n * scale <= Fraction(problem.header["delta"]) * unit
        require(inside, OUTSIDE)
        return -scale * (Fraction((T * T).sum(), 2 * unit**2) * n * scale + Fraction((T * Y).sum(), unit * q))
    Y, u = rational(problem.Y), rational(t) * n * scale
    p = np.stack([-Y * u, 1 + Y * u], axis=-1) if loss == "logistic" else Y + u
    require((p >= 0).all() and (p.sum(axis=-1) == 1).all(), OUTSIDE)
    return Fraction(sum(map(entropy_below, p.flat)), n)


def patterns_bound(problem: Problem) -> Fraction:
    """Return a lower bound of the optimal value among networks with the patterns (Lemmas 5 and 6)."""
    X, Y, header, arrays, masks, interval = problem
    t, places, penalty, (n, c), P = arrays["t"], arrays["places"], header["penalty"], Y.shape, len(masks)
    lam, relu, both = Fraction(0 if penalty == "none" else header["lam"]), header["kind"] == "relu", np.vstack([X, X])
    blocks, step = (1 + relu) * c * P, c * max(1, portion(X) // c)
    features, error = rational(np.zeros(X.shape[1])), Fraction(0)
    check_entries(arrays, blocks * relu, n)
    for first in range(0, blocks, step):
        b = np.arange(first, min(first + step, blocks))
        output, pattern = (b % c, b // c) if penalty == "nuclear" else np.divmod(b, P)
        D, signs = masks[pattern], np.where(output < c, -1.0, 1.0)[:, None]
        T, G = np.where(D, signs * t.T[output % c], 0.0), np.zeros(D.shape)
        entries = slice(*np.searchsorted(places[:, 0], [first, first + step]))
        at = tuple((places[entries] - [first, 0]).T)
        G[at] = np.where(D[at], 1.0, -1.0) * arrays["multipliers"][entries]
        M, R, unit = product(np.hstack([T, G]), both, interval and lam > 0)
        (Z, p), (radii, q) = integers(M), integers(R[R > 0.0])
        error = error + Fraction((radii * radii).sum(), q * q)
        squares, unit = Z * Z, unit / p
        features, bound = features + squares.sum(axis=0) * unit**2, (lam + root_above(error)) / unit
        if penalty == "nuclear":
            below = all(has_norm(Z[i : i + c], bound) for i in range(0, len(b), c))
        else:
            groups = {"group_l1": squares.sum(axis=1), "feature_group_l1": features / unit**2}.get(penalty, squares)
            below = (groups <= bound**2).all()
        require(below or (penalty == "squared_l2" and lam > 0), ABOVE)
    rho = root_above(error)
    if penalty == "squared_l2" and lam > 0:
        total = Fraction(features.sum())
        return dual_value(problem, Fraction(1)) - (total + rho * (2 * root_above(total) + rho)) / (2 * lam)
    return dual_value(problem, lam / (lam + 2 * rho) if rho else Fraction(1))


def has_norm(Z: Any, bound: Fraction) -> bool:
    """Return whether the spectral norm of Z (c, d) is at most the bound (Lemma 6)."""
    M, q = integers(min(Z, Z.T, key=len))
    limit = (bound * q) ** 2 * np.eye(len(M), dtype=int).astype(object)
    return bound >= 0 and is_semidefinite(integers(limit - M @ M.T)[0])


# The lower bound, scope global: section 6


def global_bound(problem: Problem) -> Fraction:
    """Return a lower bound of the optimal value among networks of any width (Lemmas 7 and 8)."""
    basis, lines, row_lines, row_sizes = (problem.arrays[k] for k in ("basis", "lines", "row_lines", "row_sizes"))
    t, sizes, lam = rational(problem.arrays["t"][:, 0]), rational(row_sizes), Fraction(problem.header["lam"])
    on_lines = (-len(lines) <= row_lines) & (row_lines <= len(lines)) & (row_sizes >= 0.0)
    require(on_lines.all(), "rows must be on lines, and of sizes >= 0")
    k, sides = np.abs(row_lines) - 1, np.sign(row_lines).astype(object)  # rows on no line have side 0, whatever k
    (M, _, unit), (gram, _, square) = product(lines, basis), product(basis, basis.T)
    rest = rational(problem.X) - (sides * sizes)[:, None] * (M * unit)[k]
    slack = np.abs(t) @ roots((rest * rest).sum(axis=1))
    stretch = (np.abs(gram) * square).sum(axis=1).max()
    require(lam > slack and stretch > 0, "the lines are too far from the rows")
    sums = rational(np.zeros((2, len(lines))))
    np.add.at(sums, ((row_lines < 0).astype(int), k), t * sizes * np.abs(sides))
    (E, scale), (sums, q) = integers(lines), integers(sums)
    terms = Terms(E, sums[0] + sums[1], -(sums[1] @ E), scale, scale * q, (lam - slack) ** 2 / stretch)
    proofs = {"cones": check_cones, "maximum": check_maximum, "relaxation": check_relaxation}
    proofs[problem.header["proof"]]([terms, terms._replace(tau=-terms.tau, w0=-terms.w0)], problem.arrays)
    return dual_value(problem, Fraction(1))


def ray(f: Terms, v_z: Array) -> tuple[Array, Array, Array]:
    """Return v, z = E v and unit f(v) as one array of integers, from that of v and z, and where z > 0 and z < 0."""
    v, z = v_z[: f.E.shape[1]], v_z[f.E.shape[1] :]
    positive = z > 0
    return np.append(v_z, f.w0 @ v + f.tau[positive] @ z[positive]), positive, z < 0


def check_cones(sides: list[Terms], arrays: dict[str, Array]) -> None:
    """Check that cones which cover the space prove the bound of f and -f (Lemma 9)."""
    points, places, multipliers, cuts = (arrays[name] for name in ("points", "places", "multipliers", "cuts"))
    K, r = sides[0].E.shape
    check_entries(arrays, len(points), K)
    require((multipliers <= 1.0).all() and len(cuts) >= 2 << r, "multipliers exceed 1, or cones do not cover the space")
    starts, nodes = np.searchsorted(places[:, 0], np.arange(1, len(points))), iter(cuts.tolist())
    leaves = zip(points, np.split(places[:, 1], starts), np.split(multipliers, starts), strict=False)
    for f in sides:
        units, concave = np.hstack([np.eye(r, dtype=int).astype(object), f.E.T]), f.tau < 0
        ends = [[ray(f, -unit), ray(f, unit)] for unit in units]
        stack = [(0, [ends[j][i >> j & 1] for j in range(r)]) for i in range(1 << r)]
        while stack:
            (depth, V), (a, b, alpha, beta) = stack.pop(), next(nodes, (0, 0, 0, 1))
            if alpha == beta == 0:
                check_leaf(f, concave, V, next(leaves, None))
            else:
                fits = max(a, b) < r and a != b and min(alpha, beta) > 0 and depth < DEEPEST
                require(fits, "a cone is cut at no edge, or too often")
                w = ray(f, alpha * V[a][0][:-1] + beta * V[b][0][:-1])
                stack += [(depth + 1, [w if j == gone else V[j] for j in range(r)]) for gone in (a, b)]
    require(next(nodes, None) is None is next(leaves, None), "there are more cones than cover the space")


def check_leaf(f: Terms, concave: Array, rays: list[Any], leaf: Any) -> None:
    """Check the bound of a cone with a point, and lines and their multipliers (Lemma 9)."""
    require(leaf, "there are more leaves than points")
    integral, positive, negative = map(np.array, zip(*rays, strict=True))
    (point, lines, multipliers), (V, Z, values) = leaf, np.split(integral, [len(rays), -1], axis=1)
    used = np.flatnonzero(positive.any(axis=0) & negative.any(axis=0) & concave)
    Z, bits = Z[:, used], [max(abs(entry).bit_length() for entry in v) for v in V]
    rule, given = np.array([1 << (max(bits) - b) for b in bits], dtype=object) @ Z > 0, np.full(len(concave), -1.0)
    given[lines] = multipliers
    (c, unit), (x, q) = integers(np.where(given[used] < 0.0, rule, given[used])), integers(point)
    above = values[:, 0] * unit + (np.maximum(Z, 0) * unit - c * Z) @ -f.tau[used]
    below = (above * q <= (V @ x) * (f.unit * unit)).all() and x @ x <= f.limit * q**2
    require(below, "the function exceeds the bound of a leaf")


def check_maximum(sides: list[Terms], _: dict[str, Array]) -> None:
    """Check the bound of f and -f on each arc of the circle between kinks (Lemma 10)."""
    require(sides[0].E.shape[1] <= 2, "an exact maximum is of rank at most 2")
    E = np.column_stack([sides[0].E, 0 * sides[0].tau])[:, :2]
    kinks = [((s * y, -s * x), s, k) for k, (x, y) in enumerate(E) for s in (1, -1) if x or y]  # s: sign after
    axes = [(axis, 0, 0) for axis in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    turns = sorted([*axes, *kinks], key=lambda turn: angle(*turn[0]))
    for f in sides:
        before, limit = (E[:, 0] > 0) | ((E[:, 0] == 0) & (E[:, 1] < 0)), f.limit * f.unit**2  # just below the angle 0
        (u, v), (p, q) = np.append(f.w0, 0)[:2] + (f.tau * before) @ E, turns[-1][0]
        for (x, y), sign, k in turns:  # unit f(z) = u z_1 + v z_2 on the arc from (p, q) to (x, y)
            inside = p * y > q * x and p * v >= q * u and u * y >= v * x
            below = (u * x + v * y) ** 2 <= limit * (x * x + y * y) and (not inside or u * u + v * v <= limit)
            require(below, ABOVE)
            u, v, p, q = u + sign * f.tau[k] * E[k, 0], v + sign * f.tau[k] * E[k, 1], x, y


def angle(x: int, y: int) -> Fraction:
    """Return a key that sorts vectors (x, y) != 0 by their angle in [0, 2 pi)."""
    cosine = Fraction(x, abs(x) + abs(y))  # as if the circle were a square
    return 1 - cosine if y >= 0 else 3 + cosine


def check_relaxation(sides: list[Terms], arrays: dict[str, Array]) -> None:
    """Check that quadratic functions bound f and -f on the unit ball (Lemma 11)."""
    lines, multipliers, corners = (rational(arrays[name]) for name in ("lines", "multipliers", "corners"))
    r, heights = lines.shape[1], roots((lines * lines).sum(axis=1))
    require((multipliers[:, [0, 2, 3]] >= 0).all() and (corners[:, 1] >= 0).all(), "multipliers must be >= 0")
    for f, (rho, gamma, delta, kappa), (nu, mu) in zip(sides, multipliers, corners, strict=True):
        tau, w0 = f.tau * Fraction(f.scale, f.unit), f.w0 * Fraction(1, f.unit)
        m = np.maximum(np.abs(gamma) + delta * heights, -tau)
        require(((tau + m) ** 2 <= 8 * rho * kappa).all(), "kappa is too small")
        S, (M, _, unit) = np.full((r + 1, r + 1), nu), product(lines.T * (rho - delta), lines)
        S[0, 1:] = S[1:, 0] = (w0 + (tau + gamma) @ lines / 2) / -2
        S[1:, 1:] = mu * np.eye(r, dtype=int).astype(object) - M * unit / 2
        below = is_semidefinite(integers(S)[0]) and (nu + mu + kappa.sum()) ** 2 <= f.limit
        require(below, "a quadratic function exceeds its bound")


# The verdict


def sentence(verdict: dict[str, Any]) -> str:
    """Return a verdict in words."""
    if "reason" in verdict:
        return f"rejected: {verdict['reason']}"
    s = verdict["statement"]
    own = json.dumps({key: s[key] for key in s["from_file"]})
    delta = "" if s["delta"] is None else f" (delta={s['delta']!r})"
    data = "data to which the file's map of the rows takes yours" if s["rows"] else "data"
    kind = {"relu": "ReLU", "gated": "gated ReLU"}[s["kind"]]
    among = f"with the {s['patterns']['count']} patterns" if s["patterns"] else "of any width"
    shown = "weights in the file"
    if s["network"]:
        shown = "given network, with balanced layers" + (" and patterns of its own" if s["patterns"] else "") + ","
    return (f"the file's own statement, which you did not give: {own}\n" if s["from_file"] else "") + (
        f"verified in {verdict['arithmetic']} arithmetic: on the {s['n']} x {s['d']} {data} (c={s['c']}, "
        f"SHA-256 {s['data_sha256'][:12]}), with {s['loss']}{delta} loss, penalty {s['penalty']} and lam={s['lam']!r}, "
        f"no two-layer {kind} network {among} has an objective below\n  {verdict['lower']}\nand that of the "
        f"{shown} is at most\n  {verdict['upper']}"
    )


def read_data(header: dict[str, Any], X: Any, y: Any) -> tuple[Array, Array]:
    """Return X (n, d) and Y (n, c) of the statement: the data, or what the header's map makes of them (section 2)."""
    X, y, rows = real("X", X), np.asarray(y), header["rows"]
    fits = X.ndim == 2 and y.ndim in (1, 2) and len(X) == len(y) and X.size and y.size
    require(fits, f"X must be (n, d) and y (n,) or (n, c); got {X.shape} and {y.shape}", InvalidInput)
    if rows is None:
        return X, real("y", y).reshape(len(y), -1)
    try:
        if rows["classes"] is not None:
            count, one_hot = len(rows["classes"]), header["loss"] == "softmax"
            shape = len(X), 1 if count == 2 and not one_hot else count
            require(shape == (header["sizes"]["n"], header["sizes"]["c"]) and count >= 2, OTHERS)
            codes = np.array([list.index(rows["classes"], value) for value in y.reshape(len(y)).tolist()])
            hot = codes[:, None] == np.arange(count)
            y = hot if one_hot else (2.0 * hot - 1.0)[:, count - shape[1] :]
        Y = real("y", y).reshape(len(y), -1)
        a, b, u, v = vectors = [np.array(rows[key]) for key in VECTORS]
        require([z.shape for z in vectors] == [X.shape[1:], X.shape[1:], Y.shape[1:], Y.shape[1:]], OTHERS)
        with np.errstate(all="ignore"):
            X, Y = real("X", (X - a) / b), real("y", (Y - u) / v)
    except ValueError as error:  # a label that is no class, or numbers that are not finite
        raise RejectedCertificate(f"{OTHERS}: {error!a}") from error
    return np.column_stack([X, np.ones(len(X))]) if rows["bias"] else X, Y


def described(masks: Array) -> dict[str, Any]:
    """Return number and hash of patterns (P, n), whatever their order; equal ones count as often as they occur."""
    packed = np.packbits(masks, axis=1)
    packed = packed[np.lexsort(packed.T)]
    return {"count": len(packed), "sha256": digest(packed)}


def check(
    contents: Contents, X: Any, y: Any, *, interval: bool = False, max_memory: float = 4e9, **given: Any
) -> dict[str, Any]:
    """Return the verdict, the object that --json prints; RejectedCertificate if the file does not prove the statement.

    ``given`` holds parts of the statement: kind, scope, loss, delta, penalty, lam, patterns (n, P) and network, a pair
    W1 (m, d), w2 (m,) or (m, c). Those missing, or None, are as in the file. InvalidInput, a ValueError, if data or
    network are invalid, or the check needs more memory than allowed.
    """
    started, (header, arrays), need = time.perf_counter(), contents, estimate(contents, interval)[1]
    require(need <= max_memory, f"the check needs about {need:.1e} bytes, more than allowed", InvalidInput)
    X, Y = read_data(header, X, y)
    given = {key: value for key, value in given.items() if value is not None}
    network, masks = given.pop("network", None), np.ones((1, len(X)), dtype=bool)
    given |= {"n": len(X), "d": X.shape[1], "c": Y.shape[1], "data_sha256": digest(X, Y)}
    statement = {key: {**header, **header["sizes"], "patterns": None}[key] for key in STATEMENT}
    if header["scope"] == "patterns":
        masks = np.unpackbits(arrays["patterns"], axis=1, count=header["sizes"]["n"]).view(bool)
        statement["patterns"] = described(masks)
    if "patterns" in given:
        D = real("patterns", given["patterns"])
        fits = D.ndim == 2 and ((D == 0.0) | (D == 1.0)).all()
        require(fits, "patterns must be 0 or 1, of shape (n, P)", InvalidInput)
        given["patterns"] = described(D.T != 0.0)
    for key, value in given.items():
        other = "other data: " if key in ("n", "d", "c", "data_sha256") else ""
        require(statement[key] == value, f"the file is about {other}{key} {statement[key]!a}, not {value!a}")
    from_file = [key for key, value in statement.items() if value is not None and key not in given]
    labels = {"logistic": np.abs(Y) == 1.0, "softmax": np.sort(Y) == (np.arange(Y.shape[1]) == Y.shape[1] - 1)}
    fits = labels.get(header["loss"], np.ones(1)).all()
    require(fits, "the labels must be -1 or 1 (logistic), or one-hot rows (softmax)")
    problem = Problem(X, Y, header, arrays, masks, interval)
    parts = neurons(problem)
    if network is not None:
        W1, w2 = real("W1", network[0]), real("w2", network[1])
        w2 = w2[:, None] if w2.ndim == 1 else w2
        fits = W1.shape == (*w2.shape[:1], X.shape[1]) and w2.shape[1:] == Y.shape[1:]
        require(fits, "a network is W1 (m, d) and w2 (m,) or (m, c)", InvalidInput)
        fits = (header["kind"], header["penalty"]) == ("relu", "group_l1")
        require(fits, "the file is not about networks of kind relu with penalty group_l1")
        network, parts = digest(W1, w2), (np.stack([W1, 0 * W1]), w2, None)
    upper = objective_above(problem, *parts)
    lower = patterns_bound(problem) if header["scope"] == "patterns" else global_bound(problem)
    statement |= {"network": network, "from_file": from_file}
    verdict = {"verified": True, "statement": statement, "arithmetic": "interval" if interval else "exact"}
    shown = not interval and header["loss"] in ("squared", "huber")
    for name, value, way in (("lower", lower, DOWN), ("upper", upper, UP)):
        verdict[name] = str(decimal(value, way))
        verdict[f"{name}_exact"] = f"{Decimal(value.numerator):f}/{Decimal(value.denominator):f}" if shown else None
    return {**verdict, "seconds": time.perf_counter() - started}


def estimate(contents: Contents, interval: bool) -> tuple[float, float]:
    """Return about the seconds and the bytes that a check takes."""
    sizes = {"patterns": 0, "lines": 0, "rank": 0, "cones": 0, **contents.header["sizes"]}
    n, d, c, m, P, K, r, cones = (sizes[k] for k in ("n", "d", "c", "blocks", "patterns", "lines", "rank", "cones"))
    exponents = [np.frexp(A[A != 0.0])[1] for A in contents.arrays.values() if A.dtype.kind == "f" and A.any()]
    wide = 1.0 + max((np.ptp(each) for each in exponents), default=0) / 64.0  # words of the integers
    fractions = 0 if interval and P else 20 * n * (d + r)  # of the data
    spectra = P * min(c, d) ** 5 if contents.header["penalty"] == "nuclear" else 0
    proofs = {"maximum": 60 * K, "relaxation": 0.01 * r**5 * wide, None: 0.01 * spectra * wide}
    proof = proofs.get(contents.header["proof"], cones * (0.6 * K + 20 * r))
    others = 20 * (m + 2 * c * P) * d + n * (m + 150 * c) + fractions + K * r * r + proof
    exact, undecided = 1.5e-7 * wide, m if interval and P and contents.header["kind"] == "relu" else 0  # at most
    products = n * d * ((m + 4 * c * P) * (1e-10 if interval else exact) + undecided * exact)
    numbers = n * d + CHUNK + n * c + m * (c + d) + K * r + DEEPEST * (K + r)
    return 1e-6 * others * wide + products, 100.0 * (1.0 + wide) * numbers + n * P + 100 * cones


# The command


def load(path: Any, *names: str) -> list[Array]:
    """Return arrays of an npz file of the verifier's."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except MemoryError:
        raise
    except Exception as error:  # whatever NumPy raises on files of another kind
        raise InvalidInput(f"{path} is no npz file with {' and '.join(names)}: {error}") from error


def run(
    certificate: Any, data: Any, as_json: bool = False, patterns: Any = None, network: Any = None, **options: Any
) -> int:
    """Check a file, print the verdict and return the exit code."""
    try:
        try:
            with open(certificate, "rb") as file:
                contents = parse(file.read())
            seconds, memory = estimate(contents, options.get("interval", False))
            if seconds > 1.0 or memory > 5e8:
                print(f"the check takes about {seconds:.0f} s and {memory / 1e6:.0f} MB", file=sys.stderr, flush=True)
            options["patterns"] = patterns and load(patterns, "D")[0]
            options["network"] = network and load(network, "W1", "w2")
            verdict = check(contents, *load(data, "X", "y"), **options)
        except RejectedCertificate as error:
            verdict = {"verified": False, "reason": str(error)}
        print(json.dumps(verdict, indent=2) if as_json else sentence(verdict), flush=True)
    except Exception as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 2 if isinstance(error, InvalidInput | FileNotFoundError | IsADirectoryError | PermissionError) else 3
    return 0 if verdict["verified"] else 1


def main() -> int:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("certificate")
    parser.add_argument("--data", required=True)
    for key in ("kind", "scope", "loss", "penalty", "patterns", "network"):
        parser.add_argument(f"--{key}", choices=CHOICES.get(key))
    for key in ("lam", "delta", "max-memory"):
        parser.add_argument(f"--{key}", type=float, default=4e9 if key == "max-memory" else None)
    parser.add_argument("--interval", action="store_true")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return run(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
