"""Stand-alone checker of certificates, format version 3: the standard library and NumPy, nothing of cvxrelu.

    python checker.py CERTIFICATE --data DATA.npz --lam 0.01 --scope global [--interval] [--json]

certificate_format.md defines which files are accepted and proves, in numbered lemmas, that the statement of an accepted
file is true; each function names its lemma. Nothing in a file is believed. It holds weights, a dual point and
multipliers, but no bounds: both are derived here, and every inequality is checked in rational arithmetic, without a
tolerance. Floats are the rational numbers that they represent. With --interval the long sums are enclosed in float64.

DATA.npz holds X (n, d) and y (n,) or (n, c). The statement is given by --kind, --scope, --loss, --delta, --penalty, --lam,
--patterns (an npz file with D (n, P)) and --network (one with W1 (m, d) and w2 (m,): the bound is then of its objective);
what is not given is as the file says, and printed. --max-memory limits the bytes that a check may need.

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
from numpy.typing import NDArray

Array = NDArray[Any]

MAGIC = b"cvxrelu certificate 3\n"
CHOICES: dict[str, tuple[Any, ...]] = {
    "kind": ("gated", "relu"),
    "scope": ("patterns", "global"),
    "loss": ("squared", "huber", "logistic", "softmax"),
    "penalty": ("group_l1", "l1", "feature_group_l1", "nuclear", "squared_l2", "none"),
    "proof": (None, "cones", "maximum", "relaxation"),
}
KEYS = {*CHOICES, "delta", "lam", "data_sha256", "rows", "sizes"}
# Name, type and shape of the arrays, in the order of the file.
ALL = "weights <f8 2 blocks d, blocks <i8 blocks, t <f8 n c"
LINES = ", basis <f8 rank d, lines <f8 lines rank, row_lines <i8 n, row_sizes <f8 n"
PROOFS = {
    None: ", patterns |u1 patterns bytes, multipliers <f8 entries, places <i8 entries 2",
    "maximum": LINES,
    "relaxation": LINES + ", multipliers <f8 2 4 lines, corners <f8 2 2",
    "cones": LINES + ", cuts <u2 cones 4, points <f8 leaves rank, multipliers <f8 entries, places <i8 entries 2",
}
DEEPEST = 256  # cuts above a cone, which lengthen its integers
CHUNK = 2**20  # numbers at a time
ABOVE, OUTSIDE = "the dual point is infeasible: a dual norm exceeds lam", "the dual point is outside the loss's domain"
DOWN, UP = (Context(30, way, -99999, 99999, traps=[]) for way in (ROUND_FLOOR, ROUND_CEILING))

Contents = namedtuple("Contents", "header arrays")  # of a file of valid form
Problem = namedtuple("Problem", "X Y header arrays masks interval")  # the data, a file, and its patterns (P, n)
# f(z) = (w0'z + sum_k tau_k (e_k'z)_+) / unit of integers, E being ``scale`` times the lines of the file; limit = R^2
Terms = namedtuple("Terms", "E tau w0 scale unit limit")
Ray = namedtuple("Ray", "v z value bits")  # v, E v, unit f(v), and the bit length of v


class RejectedCertificate(RuntimeError):
    """The file does not prove the statement; the message says why."""


def require(condition: Any, reason: str) -> None:
    """Reject the certificate unless the condition holds."""
    if not condition:
        raise RejectedCertificate(reason)


# The file: section 2 of certificate_format.md


def parse(raw: bytes) -> Contents:
    """Return header and arrays of a file of valid form."""
    old = "the file is of version 1 or 2, whose proofs can be forged: save the certificate again with this cvxrelu"
    require(raw.startswith(MAGIC), old if raw.startswith(b"PK") else "the file is no cvxrelu certificate of version 3")
    text = raw[len(MAGIC) : raw.find(b"\n", len(MAGIC))]
    try:
        header = json.loads(text)
        require(json.dumps(header, sort_keys=True).encode() == text, "the header is not in canonical form")
        check_header(header)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RejectedCertificate(f"the header is damaged: {error}") from error
    arrays, start = {}, len(MAGIC) + len(text) + 1
    for name, dtype, *shape in layout(header):
        count = math.prod(header["sizes"].get(size) if size.isalpha() else int(size) for size in shape)
        require(start + count * np.dtype(dtype).itemsize <= len(raw), f"the file ends within {name}")
        shape = [header["sizes"].get(size) if size.isalpha() else int(size) for size in shape]
        arrays[name] = np.frombuffer(raw, dtype, count, start).reshape(shape)
        require(dtype != "<f8" or np.isfinite(arrays[name]).all(), f"{name} must be finite")
        start += arrays[name].nbytes
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
        require(header[key] in choices, f"{key} must be one of {choices}; got {header[key]!r}")
    lam, delta, sizes, is_global = header["lam"], header["delta"], header["sizes"], header["scope"] == "global"
    require(type(lam) is float and 0.0 <= lam < math.inf, "lam must be a finite float >= 0")
    huber = type(delta) is float and 0.0 < delta < math.inf
    require(huber if header["loss"] == "huber" else delta is None, "delta must be > 0 for huber, else null")
    names = {size for _, _, *shape in layout(header) for size in shape if size.isalpha()}
    fits = set(sizes) == names and all(type(size) is int and 0 <= size < 2**40 for size in sizes.values())
    require(fits and sizes.get("bytes", 0) in (0, -(-sizes["n"] // 8)), f"sizes must be {sorted(names)} from 0 to 2^40")
    fits = header["kind"] == "relu" and header["penalty"] == "group_l1" and lam > 0.0 and sizes["c"] == 1
    require(fits or not is_global, "scope global takes ReLU networks with one output, group_l1 and lam > 0")
    require(header["kind"] == "gated" or header["penalty"] != "nuclear", "ReLU networks have no nuclear penalty")
    require(is_global == (header["proof"] is not None), "a proof is of scope global")


def check_entries(arrays: dict[str, Array], rows: int, columns: int) -> None:
    """Check the sparse matrix of multipliers >= 0: places (row, column) must be in range and ascend."""
    places, (down, right) = arrays["places"], np.diff(arrays["places"], axis=0).T
    require(((places >= 0) & (places < (rows, columns))).all(), "an entry is out of range")
    require(((down > 0) | ((down == 0) & (right > 0))).all(), "the places of entries must ascend")
    require((arrays["multipliers"] >= 0.0).all(), "multipliers must be >= 0")


# Numbers: section 3


def rational(values: Any) -> Any:
    """Return an array of numbers as fractions of the same values."""
    return np.frompyfunc(Fraction, 1, 1)(np.asarray(values, dtype=object))


def integers(values: Any) -> tuple[Any, int]:
    """Return integers and q > 0 such that the fractions ``values`` are integers / q."""
    q = math.lcm(*(value.denominator for value in values.flat))
    return np.frompyfunc(lambda value: value.numerator * (q // value.denominator), 1, 1)(values), q


def times(A: Array, B: Array, interval: bool = False) -> tuple[Array, Fraction]:
    """Return M and a unit: A @ B is M times the unit, exactly, or as float64 computes it."""
    if interval:
        return A @ B, Fraction(1)
    (a, p), (b, q) = integers(rational(A)), integers(rational(B))
    return a @ b, Fraction(1, p * q)


def radius(length: int, sizes: Array) -> Array:
    """Return bounds of the errors of float64 sums of ``length`` products with absolute values ``sizes`` (Lemma 1)."""
    return (length + 16) * (2.0**-52 * sizes + 2.0**-1000)


def root_above(square: Any) -> Fraction:
    """Return an upper bound of the square root (Lemma 2)."""
    inner, q = square.numerator * square.denominator << 256, square.denominator << 128
    return Fraction(math.isqrt(inner - 1) + 1 if inner else 0, q)


def decimal(value: Fraction, way: Context) -> Decimal:
    """Return the number as a decimal one of 30 digits, rounded down or up."""
    return way.divide(Decimal(value.numerator), Decimal(value.denominator))


def log_sum_exp_above(differences: list[Fraction]) -> Fraction:
    """Return an upper bound of ln(1 + sum_k exp(differences_k)) (Lemma 3)."""
    terms, total = [Decimal(0), *(decimal(value, UP) for value in differences)], Decimal(0)
    for term in terms:
        total = UP.add(total, UP.next_plus(UP.exp(UP.subtract(term, max(terms)))))
    return Fraction(UP.add(max(terms), UP.next_plus(UP.ln(total))))


def entropy_below(p: Fraction) -> Fraction:
    """Return a lower bound of -p ln p for p in [0, 1] (Lemma 3)."""
    log = UP.next_plus(UP.ln(decimal(p, UP))) if p else Decimal(0)
    return Fraction(decimal(p, DOWN)) * max(-Fraction(log), Fraction(0))


def is_semidefinite(S: Array) -> bool:
    """Return whether a symmetric matrix of integers is positive semidefinite (Lemma 6)."""
    last = 1
    while len(S):
        pivot, row, rest = S[0, 0], S[0, 1:], S[1:, 1:]
        if pivot < 0 or (pivot == 0 and row.any()):
            return False
        S, last = (rest, last) if pivot == 0 else ((pivot * rest - np.outer(row, row)) // last, pivot)
    return True


def real(name: str, values: Any) -> Array:
    """Return an array as float64 of the same values; ValueError if there is none."""
    array = np.asarray(values)
    with np.errstate(all="ignore"):
        floats = array.astype("<f8") + 0.0 if array.dtype.kind in "fiub" else np.empty(0)
        if floats.size and np.isfinite(floats).all() and (floats.astype(array.dtype) == array).all():
            return np.ascontiguousarray(floats)
    raise ValueError(f"{name} must hold finite numbers that float64 represents; got {array.dtype} {array.shape}")


def digest(*arrays: Array) -> str:
    """Return the SHA-256 of the shapes and bytes of arrays."""
    shapes = json.dumps([list(array.shape) for array in arrays]).encode()
    return hashlib.sha256(shapes + b"".join(array.tobytes() for array in arrays)).hexdigest()


# The upper bound: section 4


def upper_bound(problem: Problem) -> Fraction:
    """Return an upper bound of the objective of the weights of the file (Lemma 4)."""
    header, arrays, blocks = problem.header, problem.arrays, problem.arrays["blocks"]
    shape = (1 + (header["kind"] == "relu"), problem.Y.shape[1], len(problem.masks))
    shape = (1, 1, shape[2]) if header["penalty"] == "nuclear" else shape
    require(((blocks >= 0) & (blocks < math.prod(shape))).all(), "there is no such block")
    side, k, pattern = np.unravel_index(blocks, shape)
    if header["penalty"] == "nuclear" or header["scope"] == "global":
        outputs = arrays.get("outputs", 1.0 - 2.0 * side[:, None])
    else:
        require((np.diff(blocks) > 0).all(), "blocks must ascend")
        outputs = np.where(np.arange(shape[1]) == k[:, None], 1.0 - 2.0 * side[:, None], 0.0)
    masks = None if header["scope"] == "global" else problem.masks[pattern]
    return objective_above(problem, arrays["weights"], outputs, masks)


def objective_above(problem: Problem, W: Array, outputs: Array, masks: Array | None) -> Fraction:
    """Return an upper bound of the objective of neurons with input weights w_j, the sums of W (2, m, d) (Lemma 4).

    The predictions are sum_j (X w_j)_+ o_j', or with masks (m, n) sum_j D_j X w_j o_j'; for kind relu, the weights must
    then be in the cones of the masks.
    """
    V, o, penalty = rational(W).sum(axis=0), np.abs(rational(outputs)), problem.header["penalty"]
    squares, zero = V * V, Fraction(0)
    if penalty in ("group_l1", "nuclear"):
        sizes = o.sum(axis=1) if penalty == "group_l1" else map(root_above, (o * o).sum(axis=1))
        omega = sum((root_above(w) * size for w, size in zip(squares.sum(axis=1), sizes, strict=True)), zero)
    elif penalty == "squared_l2":
        omega = squares.sum() / Fraction(2)
    else:
        groups = {"l1": squares, "feature_group_l1": squares.sum(axis=0), "none": squares[:0]}
        omega = sum(map(root_above, groups[penalty].flat), zero)
    return loss_above(problem, *predictions(problem, W, outputs, masks)) + Fraction(problem.header["lam"]) * omega


def predictions(problem: Problem, W: Array, outputs: Array, masks: Array | None) -> tuple[Any, Any]:
    """Return the predictions of these neurons, and bounds of their errors (Lemma 4)."""
    f = error = rational(np.zeros_like(problem.Y))
    X, step = np.hstack([problem.X, problem.X]), max(1, CHUNK // len(problem.X))
    for part in (slice(start, start + step) for start in range(0, len(outputs), step)):
        both, O = np.hstack([W[0, part], W[1, part]]).T, outputs[part]
        z, unit = times(X, both, problem.interval)
        sizes = np.abs(X) @ np.abs(both) if problem.interval else np.zeros(z.shape)
        mask = z > 0 if masks is None else masks[part].T
        if masks is not None and problem.header["kind"] == "relu":  # what float64 does not decide is computed exactly
            rows = (np.where(mask, z, -z) < (radius(len(both), sizes) if problem.interval else 0)).any(axis=1)
            outside = np.where(mask[rows], 1, -1) * times(X[rows], both)[0] < 0
            require(not outside.any(), "weights are outside their cones")
        multiples, q = (O, 1) if problem.interval else integers(rational(O))
        f = f + rational(np.where(mask, z, 0) @ multiples) * (unit / q)
        if problem.interval:
            error = error + rational(radius(len(both) + len(O), sizes @ np.abs(O)))
    return f, error


def loss_above(problem: Problem, f: Any, error: Any) -> Fraction:
    """Return an upper bound of F at predictions that may be off by ``error`` (Lemmas 3 and 4)."""
    n, loss, Y, every = len(f), problem.header["loss"], rational(problem.Y), range(f.shape[1])
    if loss in ("squared", "huber"):
        r = np.abs(f - Y) + error
        inner = r if loss == "squared" else np.minimum(r, Fraction(problem.header["delta"]))
        return Fraction((inner * (2 * r - inner)).sum()) / (2 * n)
    if loss == "logistic":
        return sum((log_sum_exp_above([d]) for d in (error - Y * f).flat), Fraction(0)) / n
    total = Fraction(0)
    for z, more, label in zip(f, error, problem.Y.argmax(axis=1).tolist(), strict=True):
        total += log_sum_exp_above([z[k] - z[label] + more[k] + more[label] for k in every if k != label])
    return total / n


# The lower bound, scope patterns: section 5


def dual_value(problem: Problem) -> Fraction:
    """Return a lower bound of -F*(t); t must be in the domain (Lemmas 3 and 5)."""
    loss, Y, n = problem.header["loss"], rational(problem.Y), len(problem.Y)
    u = rational(problem.arrays["t"]) * n
    if loss in ("squared", "huber"):
        require(loss == "squared" or (np.abs(u) <= Fraction(problem.header["delta"])).all(), OUTSIDE)
        return Fraction(-(u * (u / 2 + Y)).sum()) / n
    p = np.hstack([-Y * u, 1 + Y * u]) if loss == "logistic" else Y + u
    require((p >= 0).all() and (p.sum(axis=1) == 1).all(), OUTSIDE)
    return sum(map(entropy_below, p.flat), Fraction(0)) / n


def patterns_bound(problem: Problem) -> Fraction:
    """Return a lower bound of the optimal value among networks with the patterns (Lemmas 5 and 6)."""
    X, _, header, arrays, masks, interval = problem
    t, places, penalty, lam, (n, d) = arrays["t"], arrays["places"], header["penalty"], Fraction(header["lam"]), X.shape
    signs, c, interval = (
        (-1, 1)[: 1 + (header["kind"] == "relu")],
        t.shape[1],
        interval and lam > 0 and penalty != "none",
    )
    check_entries(arrays, (len(signs) - 1) * 2 * c * len(masks), n)
    total, by_feature, step = Fraction(0), rational(np.zeros(d)), max(1, CHUNK // max(n, 2 * c * d))
    for start in range(0, len(masks), step):
        D = masks[start : start + step]
        Z, R = (rational(np.zeros((len(signs), c, len(D), d))) for _ in range(2))
        for s, k in np.ndindex(len(signs), c):
            first = (s * c + k) * len(masks) + start
            entries = slice(*np.searchsorted(places[:, 0], [first, first + len(D)]))
            T, G, (i, j) = signs[s] * np.where(D, t[:, k], 0.0), np.zeros(D.shape), (places[entries] - [first, 0]).T
            G[i, j] = np.where(D[i, j], 1.0, -1.0) * arrays["multipliers"][entries]
            Z[s, k] = sum(rational(M) * unit for M, unit in (times(T, X, interval), times(G, X, interval)))
            R[s, k] += rational(radius(2 * n, (np.abs(T) + np.abs(G)) @ np.abs(X))) if interval else 0
        squares = (np.abs(Z) + R) ** 2
        if penalty == "none" or lam == 0:
            require(not squares.any(), "without a penalty the dual point must vanish on all networks")
        elif penalty == "squared_l2":
            total += squares.sum() / (2 * lam)
        elif penalty == "feature_group_l1":
            by_feature += squares.sum(axis=(0, 1, 2))
        elif penalty == "nuclear":
            rooms = [lam - root_above((R[0, :, i] ** 2).sum()) for i in range(len(D))]
            require(all(has_norm(Z[0, :, i], room) for i, room in enumerate(rooms)), ABOVE)
        else:
            require(((squares if penalty == "l1" else squares.sum(axis=-1)) <= lam**2).all(), ABOVE)
    require((by_feature <= lam**2).all(), ABOVE)
    return dual_value(problem) - total


def has_norm(Z: Any, bound: Fraction) -> bool:
    """Return whether the spectral norm of Z (c, d) is at most the bound (Lemma 6)."""
    M, q = integers(Z)
    limit = math.floor((bound * q) ** 2) * np.eye(len(M), dtype=int).astype(object)
    return bound >= 0 and is_semidefinite(limit - M @ M.T)


# The lower bound, scope global: section 6


def global_bound(problem: Problem) -> Fraction:
    """Return a lower bound of the optimal value among networks of any width (Lemmas 7 and 8)."""
    lines, basis, row_lines = (problem.arrays[name] for name in ("lines", "basis", "row_lines"))
    t, sizes, lam = (
        rational(problem.arrays["t"][:, 0]),
        rational(problem.arrays["row_sizes"]),
        Fraction(problem.header["lam"]),
    )
    fits = 1 <= len(basis) <= 64 and len(lines) >= 1 and (np.abs(row_lines) <= len(lines)).all() and (sizes >= 0).all()
    require(fits, "the rank must be from 1 to 64, and rows must be on lines and of sizes >= 0")
    k, sides = np.abs(row_lines) - 1, np.sign(row_lines).astype(object)
    (M, unit), (gram, square), sums = times(lines, basis), times(basis, basis.T), rational(np.zeros((2, len(lines))))
    rest = rational(problem.X) - (sides * sizes)[:, None] * (M * unit)[k]
    slack = sum((abs(s) * root_above(row @ row) for s, row in zip(t, rest, strict=True)), Fraction(0))
    stretch = (np.abs(gram) * square).sum(axis=1).max()
    require(lam > slack and stretch > 0, "the lines are too far from the rows")
    np.add.at(sums, ((row_lines < 0).astype(int), k), t * sizes * np.abs(sides))
    (E, scale), (sums, q) = integers(rational(lines)), integers(sums)
    terms = Terms(E, sums[0] + sums[1], -(sums[1] @ E), scale, scale * q, (lam - slack) ** 2 / stretch)
    proofs = {"cones": check_cones, "maximum": check_maximum, "relaxation": check_relaxation}
    proofs[problem.header["proof"]](terms, problem.arrays)
    return dual_value(problem)


def ray(terms: Terms, side: int, v: Array, z: Array) -> Ray:
    """Return a ray of a proof for f (side 1) or -f (side -1)."""
    value = side * (terms.w0 @ v + terms.tau @ np.maximum(z, 0))
    return Ray(v, z, value, max(abs(entry).bit_length() for entry in v))


def check_cones(terms: Terms, arrays: dict[str, Array]) -> None:
    """Check that cones which cover the space prove the bound of f and -f (Lemma 9)."""
    r, points, nodes, leaf = terms.E.shape[1], arrays["points"], iter(arrays["cuts"].tolist()), 0
    check_entries(arrays, len(points), len(terms.E))
    require((arrays["multipliers"] <= 1.0).all(), "multipliers of leaves must be in [0, 1]")
    require(len(arrays["cuts"]) >= 2 << r, "the cones do not cover the space")
    for side in (1, -1):
        units = np.eye(r, dtype=int).astype(object)
        ends = [[ray(terms, side, s * units[j], s * terms.E[:, j]) for s in (-1, 1)] for j in range(r)]
        stack = [(0, [ends[j][i >> j & 1] for j in range(r)]) for i in range(1 << r)]
        while stack:
            (depth, V), (a, b, alpha, beta) = stack.pop(), next(nodes, (0, 0, 0, 1))
            if alpha == beta == 0:
                require(leaf < len(points), "there are more leaves than points")
                check_leaf(terms, side, V, arrays, leaf)
                leaf += 1
                continue
            fits = max(a, b) < r and a != b and min(alpha, beta) > 0 and depth < DEEPEST
            require(fits, "a cone is cut at no edge, or too often")
            w = ray(terms, side, alpha * V[a].v + beta * V[b].v, alpha * V[a].z + beta * V[b].z)
            stack += [(depth + 1, [w if j == gone else V[j] for j in range(r)]) for gone in (a, b)]
    require(next(nodes, None) is None and leaf == len(points), "there are more cones than cover the space")


def check_leaf(terms: Terms, side: int, V: list[Ray], arrays: dict[str, Array], leaf: int) -> None:
    """Check the bound of a cone (Lemma 9)."""
    Z, tau, top = np.array([v.z for v in V]), side * terms.tau, max(v.bits for v in V)
    used = np.flatnonzero((Z > 0).any(axis=0) & (Z < 0).any(axis=0) & (tau < 0))
    Z, entries = Z[:, used], slice(*np.searchsorted(arrays["places"][:, 0], [leaf, leaf + 1]))
    c = (np.array([1 << (top - v.bits) for v in V], dtype=object) @ Z > 0).astype(int).astype(object)
    for line, value in zip(arrays["places"][entries, 1], arrays["multipliers"][entries].tolist(), strict=True):
        c[used == line] = Fraction(value)
    x, q = integers(rational(arrays["points"][leaf]))
    excess = (np.maximum(Z, 0) - c * Z) @ -tau[used]
    below = all((v.value + more) * q <= (v.v @ x) * terms.unit for v, more in zip(V, excess, strict=True))
    require(below and x @ x <= terms.limit * q**2, "the function exceeds the bound of a leaf")


def check_maximum(terms: Terms, arrays: dict[str, Array]) -> None:
    """Check the bound of f and -f on each arc of the circle between kinks (Lemma 10)."""
    require(terms.E.shape[1] <= 2, "an exact maximum is of rank at most 2")
    E, limit = np.column_stack([terms.E, 0 * terms.tau])[:, :2], terms.limit * terms.unit**2
    across = [s * np.array([-y, x]) for x, y in E for s in (1, -1) if x or y]
    axes = [np.array(axis, dtype=object) for axis in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    turns = sorted([*axes, *across], key=lambda turn: angle(*turn))
    values = [np.append(terms.w0, 0)[:2] @ turn + terms.tau @ np.maximum(E @ turn, 0) for turn in turns]
    for a, b, at_a, at_b in zip([turns[-1], *turns], turns, [values[-1], *values], values, strict=False):
        width = a[0] * b[1] - a[1] * b[0]
        h = at_a * np.array([b[1], -b[0]]) - at_b * np.array([a[1], -a[0]])
        inside = any(s * (a[0] * h[1] - a[1] * h[0]) >= 0 <= s * (h[0] * b[1] - h[1] * b[0]) for s in (1, -1))
        require(at_b**2 <= limit * (b @ b) and (not width or not inside or h @ h <= limit * width**2), ABOVE)


def angle(x: int, y: int) -> tuple[int, Fraction]:
    """Return a key that sorts vectors (x, y) != 0 by their angle in [0, 2 pi)."""
    quadrant = 0
    while not (x > 0 and y >= 0):
        x, y, quadrant = y, -x, quadrant + 1
    return quadrant, Fraction(y, x)


def check_relaxation(terms: Terms, arrays: dict[str, Array]) -> None:
    """Check that quadratic functions bound f and -f on the unit ball (Lemma 11)."""
    E, scale, r, multipliers, corners = terms.E, terms.scale, terms.E.shape[1], arrays["multipliers"], arrays["corners"]
    heights = np.array([root_above(Fraction(e @ e, scale**2)) for e in E])
    require((multipliers[:, [0, 2, 3]] >= 0).all() and (corners[:, 1] >= 0).all(), "multipliers must be >= 0")
    for side, (rho, gamma, delta, kappa), (nu, mu) in zip(
        (1, -1), rational(multipliers), rational(corners), strict=True
    ):
        tau, w0 = side * terms.tau * Fraction(scale, terms.unit), side * terms.w0 * Fraction(1, terms.unit)
        m = np.maximum(np.abs(gamma) + delta * heights, np.maximum(-tau, 0))
        require(((tau + m) ** 2 <= 8 * rho * kappa).all(), "kappa is too small")
        S, (curvature, q) = np.full((r + 1, r + 1), nu), integers(rho - delta)
        S[0, 1:] = S[1:, 0] = -(w0 + (tau + gamma) @ E / (2 * scale)) / 2
        S[1:, 1:] = mu * np.eye(r, dtype=int).astype(object) - (E.T * curvature) @ E * Fraction(1, 2 * q * scale**2)
        require(is_semidefinite(integers(S)[0]), "a quadratic function exceeds its bound")
        require(0 <= nu + mu + kappa.sum() and (nu + mu + kappa.sum()) ** 2 <= terms.limit, ABOVE)


# The verdict


def sentence(verdict: dict[str, Any]) -> str:
    """Return a verdict in words."""
    s = verdict["statement"]
    delta = "" if s["delta"] is None else f" (delta={s['delta']!r})"
    of = "two-layer ReLU network of any width"
    of = f"{s['kind']} network with the {s['patterns']['count']} activation patterns" if s["patterns"] else of
    return (
        f"verified in {verdict['arithmetic']} arithmetic: on the {s['n']} x {s['d']} data (c={s['c']}, SHA-256 "
        f"{s['data_sha256'][:12]}), with {s['loss']}{delta} loss, penalty {s['penalty']} and lam={s['lam']!r}, no {of} has an "
        f"objective below\n  {verdict['lower']}\nand that of the {'given network' if s['network'] else 'weights in the file'}"
        f" is at most\n  {verdict['upper']}"
    )


def mapped(rows: dict[str, Any], X: Array, y: Array) -> tuple[Array, Array]:
    """Return the rows to which the header's map takes the data (section 2)."""
    try:
        shift, scale, y_shift, y_scale = (real(k, rows[k]) for k in ("x_shift", "x_scale", "y_shift", "y_scale"))
        if rows["classes"] is not None:
            y = np.array([[value == name for name in rows["classes"]] for value in y.ravel().tolist()], dtype=float)
            y = 2.0 * y[:, 1] - 1.0 if y.shape[1] == 2 else y
        with np.errstate(all="ignore"):
            X, y = (real("X", X) - shift) / scale, (real("y", y).reshape(len(y), -1) - y_shift) / y_scale
        return np.column_stack([X, np.ones(len(X))]) if rows["bias"] is True else X, y
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RejectedCertificate(f"the map of the rows does not fit the data: {error}") from error


def check(
    contents: Contents, X: Any, y: Any, *, interval: bool = False, max_memory: float = 4e9, **given: Any
) -> dict[str, Any]:
    """Return the verdict, the object that --json prints; RejectedCertificate if the file does not prove the statement.

    ``given`` holds the parts of the statement: kind, scope, loss, delta, penalty, lam, patterns (n, P) and network, the pair
    W1 (m, d), w2 (m,) or (m, c). Those missing, or None, are as in the file. ValueError if data or network are invalid, or
    the check needs more memory than allowed.
    """
    started, (header, arrays), sizes = time.perf_counter(), contents, contents.header["sizes"]
    given = {key: value for key, value in given.items() if value is not None}
    patterns, network = given.pop("patterns", None), given.pop("network", None)
    if estimate(header, interval)[1] > max_memory:
        raise ValueError(f"the check needs about {estimate(header, interval)[1]:.1e} bytes, more than allowed")
    X, y = np.asarray(X), np.asarray(y)
    X, Y = (
        real(*each)
        for each in zip("Xy", (X, y) if header["rows"] is None else mapped(header["rows"], X, y), strict=True)
    )
    if X.ndim != 2 or Y.ndim not in (1, 2) or len(X) != len(Y):
        raise ValueError(f"X must be (n, d) and y (n,) or (n, c); got {X.shape} and {Y.shape}")
    Y, statement = (
        Y.reshape(len(X), -1),
        {key: header[key] for key in ("kind", "scope", "loss", "delta", "penalty", "lam", "rows")},
    )
    for key, value in given.items():
        require(statement[key] == value, f"the file is about {key} {statement[key]!r}, not {value!r}")
    statement["from_file"] = [key for key, value in statement.items() if value is not None and key not in given]
    facts = {"n": len(X), "d": X.shape[1], "c": Y.shape[1], "data_sha256": digest(X, Y)}
    require(facts.items() <= {**header, **sizes}.items(), "these are not the data of the file")
    labels = {"logistic": np.abs(Y) == 1.0, "softmax": np.isin(Y, (0.0, 1.0)) & (Y.sum(axis=1, keepdims=True) == 1.0)}
    require(
        labels.get(header["loss"], np.ones(1)).all(), "the labels must be -1 or 1 (logistic), or one-hot rows (softmax)"
    )
    statement |= {**facts, "patterns": None, "network": None}
    masks = np.ones((1, len(X)), dtype=bool)
    if header["scope"] == "patterns":
        masks = np.unpackbits(arrays["patterns"], axis=1, count=len(X)).view(bool)
        statement["patterns"] = {"count": len(masks), "sha256": digest(np.packbits(masks, axis=1))}
        columns = masks if patterns is None else np.asarray(patterns, dtype=bool).T
        require(
            {mask.tobytes() for mask in masks} == {column.tobytes() for column in columns}, "the patterns are others"
        )
        statement["from_file"] += ["patterns"] if patterns is None else []
    problem = Problem(X, Y, header, arrays, masks, interval)
    if network is None:
        upper = upper_bound(problem)
    else:
        W1, w2 = real("W1", network[0]), real("w2", network[1]).reshape(len(network[1]), -1)
        if (
            W1.shape != (len(w2), X.shape[1])
            or w2.shape[1:] != Y.shape[1:]
            or header["kind"] + header["penalty"] != "relugroup_l1"
        ):
            raise ValueError("a network is W1 (m, d) and w2 (m,) or (m, c), of kind relu and penalty group_l1")
        statement["network"], upper = digest(W1, w2), objective_above(problem, np.stack([W1, 0 * W1]), w2, None)
    lower = patterns_bound(problem) if header["scope"] == "patterns" else global_bound(problem)
    verdict: dict[str, Any] = {"verified": True, "statement": statement}
    shown = not interval and header["loss"] in ("squared", "huber")
    for name, value, way in (("lower", lower, DOWN), ("upper", upper, UP)):
        verdict[name] = str(decimal(value, way))
        verdict[f"{name}_exact"] = f"{Decimal(value.numerator):f}/{Decimal(value.denominator):f}" if shown else None
    arithmetic = "interval" if interval else "exact"
    return {**verdict, "arithmetic": arithmetic, "seconds": time.perf_counter() - started}


def estimate(header: dict[str, Any], interval: bool) -> tuple[float, float]:
    """Return about the seconds and the bytes that a check takes."""
    sizes = {"patterns": 0, "lines": 0, "rank": 0, "cones": 0, **header["sizes"]}
    n, d, c, m, P, K, r, cones = (sizes[k] for k in ("n", "d", "c", "blocks", "patterns", "lines", "rank", "cones"))
    products, others = (
        n * d * (m + 4 * c * P),
        20 * (m + 2 * c * P) * d + n * (m + 100 * c + 20 * d + 20 * r) + K * r * r,
    )
    seconds = products * (1e-10 if interval else 1.5e-7) + 1e-6 * (others + cones * (K + 20 * r))
    return seconds, 200.0 * (n * d + CHUNK + n * c + m * d + K * r + DEEPEST * (K + r)) + n * P + 100 * cones


# The command


def run(certificate: Any, data: Any, as_json: bool = False, interval: bool = False, **options: Any) -> int:
    """Check a file, print the verdict and return the exit code."""
    try:
        loaded = {"data": data, "patterns": options.pop("patterns", None), "network": options.pop("network", None)}
        archives = {key: np.load(path, allow_pickle=False) for key, path in loaded.items() if path is not None}
        with open(certificate, "rb") as file:
            contents = parse(file.read())
        if "patterns" in archives:
            options["patterns"] = archives["patterns"]["D"]
        if "network" in archives:
            options["network"] = archives["network"]["W1"], archives["network"]["w2"]
        seconds, memory = estimate(contents.header, interval)
        if seconds > 10.0 or memory > 5e8:
            print(f"the check takes about {seconds:.0f} s and {memory / 1e6:.0f} MB", file=sys.stderr)
        verdict = check(contents, archives["data"]["X"], archives["data"]["y"], interval=interval, **options)
    except RejectedCertificate as error:
        print(json.dumps({"verified": False, "reason": str(error)}) if as_json else f"rejected: {error}")
        return 1
    except (MemoryError, OSError) as error:
        print(f"error: {error!r}", file=sys.stderr)
        return 2 if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError) else 3
    except Exception as error:  # whatever NumPy raises on files of another kind
        print(f"error: {error}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(verdict, indent=2))
    else:
        said = {key: verdict["statement"][key] for key in verdict["statement"]["from_file"]}
        print(
            *([f"the file's own statement, which you did not give: {json.dumps(said)}"] if said else []),
            sentence(verdict),
            sep="\n",
        )
    return 0


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
