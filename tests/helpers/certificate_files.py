"""Files of certificates, version 3, written from their description alone: proofs by hand, for small random problems."""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np

FIRST_LINE = b"cvxrelu certificate 3\n"
SIZES = {
    "weights": (2, "blocks", "d"),
    "blocks": ("blocks",),
    "t": ("n", "c"),
    "outputs": ("blocks", "c"),
    "patterns": ("patterns", "bytes"),
    "basis": ("rank", "d"),
    "lines": ("lines", "rank"),
    "row_lines": ("n",),
    "row_sizes": ("n",),
    "corners": (2, 2),
    "cuts": ("cones", 4),
    "points": ("leaves", "rank"),
    "multipliers": ("entries",),
    "places": ("entries", 2),
}
TYPES = {"blocks": "<i8", "patterns": "|u1", "row_lines": "<i8", "cuts": "<u2", "places": "<i8"}
LOSSES = ["squared", "huber", "logistic", "softmax"]
PENALTIES = ["group_l1", "l1", "feature_group_l1", "nuclear", "squared_l2", "none"]


@dataclass(frozen=True)
class Case:
    """A file in parts: data x (n, d), y (n, c), the header and the arrays in the order of the file."""

    x: np.ndarray
    y: np.ndarray
    header: dict
    arrays: dict

    def with_array(self, name, change):
        """Return the case with one array changed in place by `change`."""
        changed = self.arrays[name].copy()
        change(changed)
        return replace(self, arrays={**self.arrays, name: changed})

    def with_header(self, **values):
        return replace(self, header={**self.header, **values})

    def encoded(self):
        text = json.dumps(self.header, sort_keys=True).encode()
        return FIRST_LINE + text + b"\n" + b"".join(v.tobytes() for v in self.arrays.values())

    def save(self, folder):
        """Write the file and its data; return their paths."""
        certificate, data = folder / "certificate.bin", folder / "data.npz"
        certificate.write_bytes(self.encoded())
        np.savez(data, X=self.x, y=self.y)
        return certificate, data


def data_hash(x, y):
    shapes = json.dumps([list(x.shape), list(y.shape)]).encode()
    return hashlib.sha256(shapes + (x + 0.0).astype("<f8").tobytes() + (y + 0.0).astype("<f8").tobytes()).hexdigest()


def assembled(x, y, statement, arrays):
    arrays = {name: np.ascontiguousarray(v, TYPES.get(name, "<f8")) for name, v in arrays.items()}
    sizes = {"n": x.shape[0], "d": x.shape[1], "c": y.shape[1]}
    for name, value in arrays.items():
        shape = (2, 4, "lines") if name == "multipliers" and value.ndim == 3 else SIZES[name]
        sizes.update({s: int(k) for s, k in zip(shape, value.shape, strict=True) if isinstance(s, str)})
    header = {"delta": None, "proof": None, "rows": None, "data_sha256": data_hash(x, y), "sizes": sizes, **statement}
    return Case(x, y, header, arrays)


def dyadic(rng, shape, bits=6):
    return rng.integers(-(2**bits), 2**bits + 1, shape) / 2 ** (bits - 2)


def targets(rng, loss, n, c):
    if loss == "logistic":
        return rng.choice([-1.0, 1.0], (n, c))
    return np.eye(c)[rng.integers(c, size=n)] if loss == "softmax" else dyadic(rng, (n, c))


def dual_point(rng, loss, y, delta=1.0):
    """A point in the domain of the dual, small enough to stay there for each smaller power of two."""
    n, c = y.shape
    unit = 2.0 ** -np.ceil(np.log2(4 * n * c))
    u = rng.integers(1, 4, (n, c)) * unit
    if loss == "logistic":
        return -y * u
    if loss == "softmax":
        return np.where(y == 1, -(u * (1 - y)).sum(1, keepdims=True), u)
    return u * rng.choice([-1.0, 1.0], (n, c)) * min(delta, 1.0)


def unsigned(v):
    return np.where(v == 0, 0.0, v)


def patterns_case(seed, kind="gated", loss="squared", penalty="group_l1", lam=0.5, n=9, d=3, c=2, patterns=4):
    """An honest file of scope patterns; a dual vector of none and of lam = 0 vanishes."""
    rng = np.random.default_rng(seed)
    x, y = dyadic(rng, (n, d)), targets(rng, loss, n, c)
    gates = dyadic(rng, (4 * patterns, d), 3)
    _, first = np.unique(x @ gates.T > 0, axis=1, return_index=True)  # of each pattern once
    gates = gates[np.sort(first)[:patterns]]
    signs, patterns = x @ gates.T > 0, len(gates)
    blocks = (2 if kind == "relu" else 1) * c * patterns
    delta = 0.75 if loss == "huber" else None
    arrays = {}
    if penalty == "nuclear":
        count = patterns + 2
        arrays["blocks"] = rng.integers(patterns, size=count)
        weights, outputs = dyadic(rng, (2, count, d)), dyadic(rng, (count, c))
    else:
        arrays["blocks"] = np.sort(rng.choice(blocks, max(blocks // 2, 1), replace=False))
        weights = dyadic(rng, (2, len(arrays["blocks"]), d))
        weights[1] *= 2.0**-60
        if kind == "relu":
            weights[0] = gates[arrays["blocks"] % patterns] * rng.integers(1, 9, (len(weights[0]), 1))
            weights[1] = weights[0] * 2.0**-55
    t = dual_point(rng, loss, y, delta or 1.0)
    count = 2 * patterns if kind == "relu" else 0
    places = np.argwhere(np.ones((blocks, n)))
    places = places[np.sort(rng.choice(len(places), count, replace=False))]
    multipliers = rng.integers(0, 9, count) / 64
    if penalty == "none" or lam == 0:
        t, multipliers = 0 * t, 0 * multipliers
    elif penalty != "squared_l2":  # any norm of z is at most the sum of the absolute values of all entries
        reach = blocks * d * (np.abs(x).sum() * np.abs(t).max() + multipliers.sum() * np.abs(x).max())
        shrink = 2.0 ** -np.ceil(np.log2(max(reach / lam, 1)))
        t, multipliers = t * shrink, multipliers * shrink
    arrays = {"weights": weights, "blocks": arrays["blocks"], "t": unsigned(t)}
    if penalty == "nuclear":
        arrays["outputs"] = outputs
    arrays["patterns"] = np.packbits(signs.T, axis=1)
    arrays |= {"multipliers": multipliers, "places": places}
    statement = {"kind": kind, "scope": "patterns", "loss": loss, "delta": delta, "penalty": penalty, "lam": float(lam)}
    return assembled(x, y, statement, arrays)


def cut_cones(rng, rank, depth):
    """Cuts and points of both stacks: each cone is cut at random, with the same large point for an orthant."""
    cuts, signs = [], []
    for _ in range(2):
        for orthant in reversed(range(2**rank)):
            stack = [0]
            while stack:
                level = stack.pop()
                if rank == 1 or level == depth or rng.random() < 0.3:
                    cuts.append([*rng.integers(0, 9, 2), 0, 0])
                    signs.append([1.0 if orthant >> j & 1 else -1.0 for j in range(rank)])
                else:
                    a, b = rng.choice(rank, 2, replace=False)
                    cuts.append([a, b, *rng.choice([1, 2, 3, 65535], 2)])
                    stack += [level + 1, level + 1]
    return np.array(cuts), np.array(signs)


def global_case(seed, proof="maximum", loss="squared", lam=0.5, n=12, rank=2, lines=4, exact=False):
    """An honest file of scope global: rows near lines, and a dual point so small that a crude proof does."""
    rng = np.random.default_rng(seed)
    d = rank + 1
    basis = np.hstack([np.eye(rank), rng.integers(-1, 2, (rank, 1))])
    normals = dyadic(rng, (lines, rank), 3) + 2.0**-3
    row_lines = rng.integers(-lines, lines + 1, n)
    row_sizes = rng.integers(1, 9, n) / 8
    x = (row_sizes * np.sign(row_lines))[:, None] * (normals[np.abs(row_lines) - 1] @ basis)
    if exact:  # every row on its line, so no slack
        row_lines = np.where(row_lines == 0, 1, row_lines)
        x = (row_sizes * np.sign(row_lines))[:, None] * (normals[np.abs(row_lines) - 1] @ basis)
    else:
        x += dyadic(rng, x.shape) * 2.0**-8
    y = targets(rng, loss, n, 1)
    delta = 0.75 if loss == "huber" else None
    shrink = 2.0 ** -np.ceil(np.log2(1 + 64 * np.abs(x).sum() / lam * (1 + np.abs(normals).sum())))
    t = dual_point(rng, loss, y, delta or 1.0) * shrink
    arrays = {"weights": dyadic(rng, (2, 3, d)), "blocks": rng.integers(0, 2, 3), "t": t, "basis": basis}
    arrays |= {"lines": normals, "row_lines": row_lines, "row_sizes": row_sizes}
    radius = lam / 4 / np.sqrt(np.abs(basis @ basis.T).sum(1).max())
    if proof == "relaxation":
        multipliers, corners = np.zeros((2, 4, lines)), np.zeros((2, 2))
        for side, sign in enumerate([1, -1]):
            tau = np.zeros(lines)
            np.add.at(tau, np.abs(row_lines[row_lines != 0]) - 1, sign * (t[:, 0] * row_sizes)[row_lines != 0])
            room = radius / 16 / lines
            gamma, kept = room / 64 * rng.uniform(-1, 1, lines), room / 64 * rng.uniform(0, 1, lines)
            m = np.maximum(np.abs(gamma) + kept * np.linalg.norm(normals, axis=1), np.maximum(-tau, 0))
            multipliers[side, 0] = (tau + m) ** 2 / (8 * room) * (1 + 2.0**-20) + 2.0**-80
            multipliers[side, 1:] = gamma, kept, np.full(lines, room)
            corners[side] = radius / 4
        arrays |= {"multipliers": multipliers, "corners": corners}
    if proof == "cones":
        cuts, signs = cut_cones(rng, rank, 3)
        places = np.argwhere(rng.random((len(signs), lines)) < 0.2)
        arrays |= {"cuts": cuts, "points": signs * radius / rank, "multipliers": rng.integers(0, 5, len(places)) / 4}
        arrays["places"] = places
    statement = {
        "kind": "relu",
        "scope": "global",
        "loss": loss,
        "delta": delta,
        "penalty": "group_l1",
        "lam": float(lam),
    }
    return assembled(x, y, {**statement, "proof": proof}, arrays)
