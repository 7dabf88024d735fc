"""Forgeries of scope patterns, and of any file: each aims at one way in which a checker could believe too much."""

from typing import Any

import numpy as np

from reference.forgeries.bases import Base
from reference.forgeries.files import Array, File, data_hash, dtype, encode, header_bytes
from reference.forgeries.mutations import Attempt, Forger, Rng, attempt


def _of_patterns(base: Base) -> bool:
    return base.statement.masks is not None


def with_network(rng: Rng, base: Base) -> Attempt | None:
    """Give a network with weights and outputs of extreme sizes, also ones that cancel."""
    s = base.statement
    if s.kind != "relu" or s.penalty != "group_l1":
        return None
    (d, c), m = (s.X.shape[1], s.Y.shape[1]), int(rng.integers(1, 4))
    W, outputs = rng.standard_normal((m, d)), rng.standard_normal((m, c))
    size = 10.0 ** float(rng.choice([0, 30, 150, 300, 307]))
    if rng.random() < 0.5:  # subnormal weights, huge outputs
        W, outputs = W * np.maximum(1.0 / size, 5e-324) / 2.0**16, outputs * size
        W = np.where(rng.random(W.shape) < 0.5, W, 5e-324 * rng.integers(-3, 4, W.shape))
    else:  # neurons that cancel
        W, outputs = np.vstack([size * W, size * W, W]), np.vstack([outputs, -outputs, outputs])
    return attempt(base, base.file, given=base.given | {"network": (W, outputs)})


def outputs_of_nuclear(rng: Rng, base: Base) -> Attempt | None:
    """Give tiny input weights huge outputs, so that what underflows is multiplied (penalty nuclear)."""
    if base.statement.penalty != "nuclear" or base.statement.masks is None:
        return None
    m, (d, c) = int(rng.integers(1, 4)), (base.statement.X.shape[1], base.statement.Y.shape[1])
    exponent = float(rng.choice([-308, -320, -300, -200]))
    W = np.maximum(10.0**exponent, 5e-324) * rng.integers(-3, 4, (2, m, d))
    outputs = rng.standard_normal((m, c)) * 10.0 ** min(307.0, float(rng.choice([-exponent, 307.0, 0.0])))
    P = len(base.statement.masks)
    return attempt(base, base.file.with_arrays(weights=W, outputs=outputs, blocks=np.sort(rng.integers(0, P, m))))


def liar(rng: Rng, base: Base) -> Attempt:
    """Take the dual point of the largest value, or move towards it."""
    part = float(rng.choice([1.0, 1e-3, 1e-8, 1e-12, rng.random()]))
    t = base.file.arrays["t"]
    return attempt(base, base.file.with_arrays(t=t + part * (base.liar - t)))


def absorbed(rng: Rng, base: Base) -> Attempt | None:
    """Take the liar's dual point, and huge multipliers of opposite rows, which absorb A't in rounded arithmetic."""
    s = base.statement
    if s.masks is None or s.kind != "relu":
        return None
    blocks, n = 2 * s.Y.shape[1] * len(s.masks), len(s.X)
    size = 10.0 ** float(rng.uniform(0, 300))
    values = np.zeros((blocks, n))
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j and _opposite(s.X[i], s.X[j])]
    for block in range(blocks):
        mask = s.masks[block % len(s.masks)]
        fitting = [(i, j) for i, j in pairs if mask[i] == mask[j]] or [tuple(rng.integers(0, n, 2))]
        i, j = fitting[rng.integers(len(fitting))]
        values[block, [i, j]] = size
        if rng.random() < 0.3:
            values[block, i] *= rng.choice([1 + 2.0**-52, 0.5, 2.0])
    places = np.argwhere(values)
    return attempt(base, base.file.with_arrays(t=base.liar, multipliers=values[values > 0], places=places))


def _opposite(a: Array, b: Array) -> bool:
    return bool(a @ b < 0 and a @ b <= -np.linalg.norm(a) * np.linalg.norm(b) * (1 - 1e-9))


def bought_multipliers(rng: Rng, base: Base) -> Attempt | None:
    """Solve for multipliers, of any signs and then clipped, that cancel the liar's A't."""
    s = base.statement
    if s.masks is None or s.kind != "relu":
        return None
    rows, values = [], []
    for block in range(2 * s.Y.shape[1] * len(s.masks)):
        side, k, i = np.unravel_index(block, (2, s.Y.shape[1], len(s.masks)))
        signs = np.where(s.masks[i], 1.0, -1.0)
        missing = (1 - 2 * side) * (np.where(s.masks[i], base.liar[:, k], 0.0) @ s.X)
        g = np.linalg.lstsq((signs[:, None] * s.X).T, missing, rcond=None)[0]
        g = g if rng.random() < 0.5 else np.maximum(g, 0.0)
        for row in np.flatnonzero(g):
            rows.append((block, row))
            values.append(g[row])
    places = np.array(rows).reshape(-1, 2)
    return attempt(base, base.file.with_arrays(t=base.liar, multipliers=np.array(values), places=places))


def cancelling(rng: Rng, base: Base) -> Attempt | None:
    """Write weights as sums of huge parts that cancel, or blocks of V and W that do."""
    s = base.statement
    size = 10.0 ** float(rng.uniform(0, 307))
    if s.masks is None or rng.random() < 0.5:
        W = base.file.arrays["weights"].copy()
        huge = np.maximum(np.minimum(size * rng.standard_normal(W[0].shape), 1e308), -1e308)
        return attempt(base, base.file.with_arrays(weights=np.stack([huge, W.sum(axis=0) - huge])))
    if s.kind == "gated" or "outputs" in base.file.arrays:
        return None
    c, P, d = s.Y.shape[1], len(s.masks), s.X.shape[1]
    i, w = int(rng.integers(P)), rng.standard_normal(d) * min(size, 1e307)
    blocks = np.array([i, c * P + i])
    both = np.stack([w, w * (1 + rng.choice([0.0, 2.0**-52]))])
    return attempt(base, base.file.with_arrays(blocks=blocks, weights=np.stack([both, 0 * both])))


def outside_cones(rng: Rng, base: Base) -> Attempt | None:
    """Take the weights that fit best, whatever their cones, or move them a little out of the cones."""
    s, arrays = base.statement, base.file.arrays
    if s.masks is None or s.kind != "relu":
        return None
    if rng.random() < 0.5 and len(arrays["blocks"]):
        W = arrays["weights"].copy()
        W[0] += np.abs(W[0]).max() * rng.standard_normal(W[0].shape) * 10.0 ** float(rng.integers(-17, 1))
        return attempt(base, base.file.with_arrays(weights=W))
    fitted = np.linalg.lstsq(np.where(s.masks[0], s.X.T, 0.0).T, s.Y, rcond=None)[0].T
    blocks = np.arange(s.Y.shape[1]) * len(s.masks)
    return attempt(base, base.file.with_arrays(blocks=blocks, weights=np.stack([fitted, 0 * fitted])))


def numbered_otherwise(rng: Rng, base: Base) -> Attempt | None:
    """Give a block twice, share one among many, or number blocks beyond the last."""
    blocks, W = base.file.arrays["blocks"], base.file.arrays["weights"]
    if not len(blocks):
        return None
    count = int(rng.choice([2, 10, 100]))
    arrays: dict[str, Array] = {"blocks": np.repeat(blocks, count), "weights": np.repeat(W / count, count, axis=1)}
    if rng.random() < 0.3:
        arrays["blocks"] = arrays["blocks"] + rng.choice([1, 7, 2**31, 2**62, -1, -(2**63)])
    elif rng.random() < 0.3:
        arrays["blocks"] = np.arange(len(arrays["blocks"]))
    if "outputs" in base.file.arrays:
        arrays["outputs"] = np.repeat(base.file.arrays["outputs"], count, axis=0)
    return attempt(base, base.file.with_arrays(**arrays))


def repeated_patterns(rng: Rng, base: Base) -> Attempt | None:
    """Repeat the patterns and share the weights among the copies, which lessens some penalties."""
    s = base.statement
    if s.masks is None or "outputs" in base.file.arrays:
        return None
    P, count = len(s.masks), int(rng.choice([2, 9, 40]))
    blocks, W = base.file.arrays["blocks"], base.file.arrays["weights"]
    copies = (blocks // P * (P * count) + blocks % P)[:, None] + P * np.arange(count)
    order = np.argsort(copies, axis=None)
    weights = np.repeat(W / count, count, axis=1)[:, order]
    old, n_blocks = base.file.arrays["places"], s.sides * s.Y.shape[1] * P * count
    values = np.zeros((n_blocks, len(s.X)))
    for (block, row), value in zip(old, base.file.arrays["multipliers"], strict=True):
        values[block // P * (P * count) + block % P + P * np.arange(count), row] = value
    places = np.argwhere(values)
    file = base.file.with_arrays(
        patterns=np.tile(base.file.arrays["patterns"], (count, 1)),
        blocks=copies.ravel()[order],
        weights=weights,
        places=places,
        multipliers=values[tuple(places.T)],
        t=base.file.arrays["t"] * float(rng.choice([1.0, 1.0 / np.sqrt(count), np.sqrt(count)])),
    )
    return attempt(base, file, given=base.given if rng.random() < 0.7 else {})


def fewer_patterns(rng: Rng, base: Base) -> Attempt | None:
    """Drop patterns, so that the dual point has fewer constraints, and say nothing or the truth."""
    if base.statement.masks is None:
        return None
    rows = rng.random(len(base.statement.masks)) < 0.5
    patterns = base.file.arrays["patterns"][rows] if rows.any() else np.zeros_like(base.file.arrays["patterns"][:1])
    empty = np.zeros((2, 0, base.statement.X.shape[1]))
    arrays: dict[str, Any] = {"patterns": patterns, "blocks": [], "weights": empty, "multipliers": []}
    arrays |= {"places": np.zeros((0, 2)), "t": base.liar if rng.random() < 0.5 else base.file.arrays["t"]}
    if "outputs" in base.file.arrays:
        arrays["outputs"] = np.zeros((0, base.statement.Y.shape[1]))
    return attempt(base, base.file.with_arrays(**arrays), given=base.given if rng.random() < 0.7 else {})


def beyond_domain(rng: Rng, base: Base) -> Attempt | None:
    """Move the dual point out of the domain of the conjugate loss, by a little or by much."""
    s = base.statement
    if s.loss == "squared":
        return None
    size, n = 10.0 ** float(rng.uniform(-320, 0)), len(s.X)
    t = base.file.arrays["t"].copy() if rng.random() < 0.5 else np.array(base.liar)
    row = int(rng.integers(n))
    if s.loss == "huber":
        t[row] = rng.choice([-1.0, 1.0]) * np.nextafter(float(s.delta or 1.0) / n, 1e300)
    elif s.loss == "logistic":
        t[row] = rng.choice([size * s.Y[row], -s.Y[row] * (1.0 + max(size, 2.0**-52)) / n])
    else:
        t[row, int(rng.integers(t.shape[1]))] += rng.choice([-1.0, 1.0]) * size
    return attempt(base, base.file.with_arrays(t=t))


def wrong_places(rng: Rng, base: Base) -> Attempt | None:
    """Give places twice, in another order, or out of range."""
    places = base.file.arrays.get("places")
    if places is None:
        return None
    extra = rng.choice([0, 1, -1, 2**31, 2**32, 2**62, -(2**63), 2**63 - 1], (int(rng.integers(1, 4)), 2))
    if len(places) and rng.random() < 0.5:
        extra = places[rng.integers(0, len(places), len(extra))]
    more = np.append(base.file.arrays["multipliers"], 10.0 ** rng.uniform(-300, 300, len(extra)))
    order = rng.permutation(len(places) + len(extra)) if rng.random() < 0.3 else slice(None)
    return attempt(base, base.file.with_arrays(multipliers=more[order], places=np.vstack([places, extra])[order]))


def false_map(rng: Rng, base: Base) -> Attempt | None:
    """Change the map from the verifier's data to those of the statement, or add one; also one that is a bomb."""
    d = base.X.shape[1]
    rows = base.file.header["rows"]
    c = 1 if base.y.ndim == 1 else base.y.shape[1]
    identity = {"x_shift": [0.0] * d, "x_scale": [1.0] * d, "y_shift": [0.0] * c, "y_scale": [1.0] * c}
    rows = {**identity, "bias": False, "classes": None, **(rows or {})}
    odd: tuple[Any, ...] = (
        0.0, 1e300, 1e-320, -1.0, [], [0.0], [1e300] * d, [1e-308] * d, [0.0] * d, [[[0.0]]] * 1000, None,
        [1.0] * (d + 1), "abc", True, 1, [0, 1], [1, 0], [1, 2], [0] * 1000, list(range(1000)), ["a", "b"], {},
        [[0, 1], [1]], [0, 0, 1], [1.0, 1], [None], [True, False], 2**70, [2**70] * d, ["x" * 1000] * d,
        float("nan"), [float("inf")] * d,
    )  # fmt: skip
    rows[str(rng.choice(sorted(rows)))] = odd[rng.integers(len(odd))]
    if rng.random() < 0.1:
        rows.pop(str(rng.choice(sorted(rows))))
    header = {**base.file.header, "rows": rows}
    mapped = mapped_rows(rows, base.X, base.y)
    if mapped is not None and mapped[0].shape == base.statement.X.shape and np.isfinite(mapped[0]).all():
        header["data_sha256"] = data_hash(*mapped)
    return attempt(base, encode(File(header, base.file.arrays), header_bytes(header)))


def mapped_rows(rows: dict[str, Any] | None, X: Array, y: Array) -> tuple[Array, Array] | None:
    """Return X, Y to which a map takes the data, or None if it does not."""
    if rows is None:
        return X, y.reshape(len(y), -1)
    try:
        with np.errstate(all="ignore"):
            Z = (X - np.array(rows["x_shift"], dtype=float)) / np.array(rows["x_scale"], dtype=float)
            Y = y.reshape(len(y), -1)
            if rows["classes"] is not None:
                Y = np.array([[float(value == name) for name in rows["classes"]] for value in y.ravel().tolist()])
                Y = 2.0 * Y[:, 1:] - 1.0 if Y.shape[1] == 2 else Y
            Y = (Y - np.array(rows["y_shift"], dtype=float)) / np.array(rows["y_scale"], dtype=float)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None
    return (np.column_stack([Z, np.ones(len(Z))]) if rows.get("bias") is True else Z) + 0.0, Y + 0.0


def bomb(rng: Rng, base: Base) -> Attempt:
    """Claim more than the file holds, with sizes that multiply to 0 or wrap around, or hold much of one kind."""
    sizes = dict(base.file.header["sizes"])
    huge = int(rng.choice([2**31, 2**39, 2**40 - 1, 10**6]))
    arrays = dict(base.file.arrays)
    choice = int(rng.integers(5))
    if choice == 0:  # nothing of everything, but one size
        sizes = dict.fromkeys(sizes, 0) | {str(rng.choice(sorted(sizes))): huge}
        arrays = {name: array.reshape(-1)[:0] for name, array in arrays.items()}
    elif choice == 1:  # one array empty for any size
        empty = str(rng.choice(["blocks", "entries", "patterns", "lines", "cones", "leaves", "n", "c"]))
        sizes |= {name: 0 for name in sizes if name == empty} | {str(rng.choice(sorted(sizes))): huge}
    elif choice == 2:  # many neurons or entries of zero
        m = 3000
        arrays |= {"blocks": np.arange(m), "weights": np.zeros((2, m, base.statement.X.shape[1]))}
        sizes["blocks"] = m
    elif choice == 3 and "patterns" in arrays:
        arrays["patterns"] = np.tile(arrays["patterns"], (300, 1))
        sizes["patterns"] = len(arrays["patterns"])
    else:
        sizes = {name: size * int(rng.choice([1, 2**8, 2**16, 2**32])) for name, size in sizes.items()}
    arrays = {name: np.ascontiguousarray(array, dtype(name)) for name, array in arrays.items()}
    return attempt(base, File({**base.file.header, "sizes": sizes}, arrays))


ATTACKS: tuple[Forger, ...] = (
    with_network,
    outputs_of_nuclear,
    liar,
    absorbed,
    bought_multipliers,
    cancelling,
    outside_cones,
    numbered_otherwise,
    repeated_patterns,
    fewer_patterns,
    beyond_domain,
    wrong_places,
    false_map,
    bomb,
)
