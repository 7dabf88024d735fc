"""Forgeries of scope global: the file chooses the geometry, the cover of space, and the multipliers."""

import numpy as np

from reference.forgeries.bases import Base
from reference.forgeries.files import Array
from reference.forgeries.mutations import Attempt, Forger, Rng, attempt

_SIZES = (
    2.0**-1074,
    1e-300,
    1e-150,
    1e-20,
    1e-9,
    0.5,
    2.0,
    1e9,
    2.0**31,
    2.0**32,
    2.0**53,
    2.0**63,
    2.0**64,
    1e150,
    1e300,
)


def _is_global(base: Base) -> bool:
    return base.statement.scope == "global"


def _lying(rng: Rng, base: Base) -> Array:
    """Return a dual point that is larger than a feasible one, by much or a little."""
    t = base.file.arrays["t"]
    part = float(rng.choice([1.0, 0.1, 1e-2, 1e-6]))
    return np.asarray(t + part * (base.liar - t) if rng.random() < 0.5 else t * (1.0 + part))


def scaled_geometry(rng: Rng, base: Base) -> Attempt | None:
    """Scale basis, lines and row sizes, so that the same rows seem small, and take a larger dual point."""
    if not _is_global(base):
        return None
    a = dict(base.file.arrays)
    by = [float(rng.choice(_SIZES)) for _ in range(3)]
    with np.errstate(all="ignore"):
        for name, size in zip(("basis", "lines", "row_sizes"), by, strict=True):
            if rng.random() < 0.5:
                a[name] = a[name] * size
        if rng.random() < 0.3:  # one line or row only
            a["lines"] = base.file.arrays["lines"].copy()
            a["lines"][rng.integers(len(a["lines"]))] *= by[0]
            a["row_sizes"] = base.file.arrays["row_sizes"].copy()
            a["row_sizes"][rng.integers(len(a["row_sizes"]))] /= by[0]
    names = ("basis", "lines", "row_sizes")
    return attempt(base, base.file.with_arrays(t=_lying(rng, base), **{name: a[name] for name in names}))


def hidden_coordinates(rng: Rng, base: Base) -> Attempt | None:
    """Add coordinates that are multiplied by 0 or by huge numbers, and lines that differ in them."""
    if not _is_global(base):
        return None
    a, size = base.file.arrays, float(rng.choice(_SIZES))
    d = a["basis"].shape[1]
    extra = np.zeros((1, d)) if rng.random() < 0.5 else size * rng.standard_normal((1, d))
    column = rng.standard_normal((len(a["lines"]), 1)) * float(rng.choice([0.0, 1.0, size]))
    with np.errstate(all="ignore"):
        basis, lines = np.vstack([a["basis"], extra]), np.column_stack([a["lines"], column / max(size, 1e-300)])
    arrays = {"basis": basis, "lines": lines, "t": _lying(rng, base)}
    if "points" in a:
        arrays["points"] = np.column_stack([a["points"], np.zeros(len(a["points"]))])
    return attempt(base, base.file.with_arrays(**arrays))


def rows_elsewhere(rng: Rng, base: Base) -> Attempt | None:
    """Put rows on other lines, on none, on the other side, or with another size."""
    if not _is_global(base):
        return None
    row_lines, sizes = base.file.arrays["row_lines"].tolist(), base.file.arrays["row_sizes"].tolist()
    K = len(base.file.arrays["lines"])
    for row in rng.choice(len(sizes), int(rng.integers(1, 4)), replace=False).tolist():
        line = row_lines[row]
        near = [0, -line, K, K + 1, -K, -K - 1, 2**62, -(2**63), 2**63 - 1, 2**32 + abs(line)]
        row_lines[row] = near[rng.integers(len(near))]
        sizes[row] *= float(rng.choice([0.0, 1.0, -1.0, 1e300, 1 + 2.0**-52]))
    t = _lying(rng, base) if rng.random() < 0.5 else base.file.arrays["t"]
    return attempt(base, base.file.with_arrays(row_lines=row_lines, row_sizes=sizes, t=t))


def unused_lines(rng: Rng, base: Base) -> Attempt | None:
    """Add lines that no row uses: zero, huge, tiny, or wrapping around when multiplied."""
    if not _is_global(base):
        return None
    a, count = base.file.arrays, int(rng.choice([1, 2, 5]))
    extra = rng.standard_normal((count, a["lines"].shape[1])) * float(rng.choice((0.0, *_SIZES)))
    extra = np.trunc(extra) if rng.random() < 0.5 else extra
    arrays = {"lines": np.vstack([a["lines"], extra]), "t": _lying(rng, base)}
    if a.get("multipliers", np.zeros(0)).ndim == 3:
        arrays["multipliers"] = np.concatenate([a["multipliers"], np.zeros((2, 4, count))], axis=2)
    return attempt(base, base.file.with_arrays(**arrays))


def false_lines(rng: Rng, base: Base) -> Attempt | None:
    """Choose a geometry of powers of two at random, whose integers may wrap around."""
    if not _is_global(base):
        return None
    n, d = base.statement.X.shape
    r, K = int(rng.integers(1, 4)), int(rng.integers(1, n + 1))
    lines = rng.integers(-3, 4, (K, r)) * 2.0 ** rng.choice([0, 16, 31, 32, 33, 62, 63, 64], (K, 1))
    basis = rng.integers(-1, 2, (r, d)) * 2.0 ** -float(rng.choice([0, 32, 64]))
    arrays = {"basis": basis, "lines": lines, "row_lines": rng.integers(-K, K + 1, n), "row_sizes": rng.random(n)}
    if "points" in base.file.arrays:
        arrays |= {"points": np.zeros((2 << r, r)), "cuts": np.zeros((2 << r, 4))}
        arrays |= {"multipliers": np.zeros(0), "places": np.zeros((0, 2))}
    elif "corners" in base.file.arrays:
        arrays["multipliers"] = np.abs(rng.standard_normal((2, 4, K))) * float(rng.choice(_SIZES))
    return attempt(base, base.file.with_arrays(t=_lying(rng, base), **arrays))


def false_cover(rng: Rng, base: Base) -> Attempt | None:
    """Cut cones so that they do not cover space: leave parts out, cut nowhere, at no edge, with alpha or beta 0."""
    cuts = base.file.arrays.get("cuts")
    if cuts is None:
        return None
    cuts, points, r = cuts.astype(int), base.file.arrays["points"], base.file.arrays["basis"].shape[0]
    choice, row = int(rng.integers(8)), int(rng.integers(len(cuts)))
    if choice == 0:
        cuts = cuts[:row]
    elif choice == 1:
        cuts[row] = 0
    elif choice == 2:
        cuts[row, rng.integers(4)] = rng.choice([0, 1, r - 1, r, 255, 65535])
    elif choice == 3:
        cuts = np.delete(cuts, row, axis=0)
    elif choice == 4:
        cuts = np.insert(cuts, row, [0, 1 % r, rng.integers(0, 3), rng.integers(0, 3)], axis=0)
    elif choice == 5:  # a chain of cuts
        cuts = np.vstack([np.tile([0, 1 % r, 65535, 1], (int(rng.choice([3, 200, 257, 400])), 1)), cuts])
    elif choice == 6:  # only the leaves of orthants
        cuts, points = np.zeros((2 << r, 4)), np.resize(points, (2 << r, r))
    else:
        cuts = rng.permutation(cuts)
    n_leaves = int((cuts[:, 2:] == 0).all(axis=1).sum())
    if rng.random() < 0.7:
        points = np.resize(points, (n_leaves, r)) if points.size else np.zeros((n_leaves, r))
    t = _lying(rng, base) if rng.random() < 0.5 else base.file.arrays["t"]
    return attempt(base, base.file.with_arrays(cuts=cuts, points=points, t=t))


def false_leaves(rng: Rng, base: Base) -> Attempt | None:
    """Move the points of leaves, and give multipliers beyond [0, 1] or of other lines."""
    points = base.file.arrays.get("points")
    if points is None:
        return None
    a, n_lines = base.file.arrays, len(base.file.arrays["lines"])
    with np.errstate(all="ignore"):
        points = points * float(rng.choice([1.0, 0.0, -1.0, 0.999, 1.001, 1e300]))
    entries = rng.random((len(points), n_lines)) < rng.choice([0.1, 1.0])
    values = rng.choice([0.0, 1.0, 0.5, 1 + 2.0**-52, -1e-300, 2.0, 1e300], int(entries.sum()))
    if rng.random() < 0.7:
        values = np.clip(values, 0.0, 1.0)
    arrays = {"points": points, "multipliers": values, "places": np.argwhere(entries)}
    t = _lying(rng, base) if rng.random() < 0.7 else a["t"]
    return attempt(base, base.file.with_arrays(t=t, **arrays))


def false_relaxation(rng: Rng, base: Base) -> Attempt | None:
    """Give curvatures, slopes and corners of extreme sizes or signs."""
    corners = base.file.arrays.get("corners")
    if corners is None:
        return None
    multipliers, corners = base.file.arrays["multipliers"].copy(), corners.copy()
    with np.errstate(all="ignore"):
        for _ in range(int(rng.integers(1, 4))):
            size = float(rng.choice([0.0, -1.0, 1 - 1e-9, *_SIZES]))
            if rng.random() < 0.5:
                multipliers[int(rng.integers(2)), int(rng.integers(4))] *= size
            else:
                corners[int(rng.integers(2)), int(rng.integers(2))] *= size
        if rng.random() < 0.3:
            corners[:] = rng.choice([0.0, -1.0, 1e-300, 1e300], (2, 2)) * rng.random((2, 2))
    t = _lying(rng, base) if rng.random() < 0.7 else base.file.arrays["t"]
    return attempt(base, base.file.with_arrays(multipliers=multipliers, corners=corners, t=t))


def other_proof(rng: Rng, base: Base) -> Attempt | None:
    """Call the proof by another name, with the arrays that it needs, empty or trivial."""
    if not _is_global(base):
        return None
    proof, r, K = str(rng.choice(["cones", "maximum", "relaxation"])), *base.file.arrays["lines"].shape[::-1]
    kept = {name: base.file.arrays[name] for name in list(base.file.arrays)[:7]}
    more: dict[str, Array] = {}
    if proof == "relaxation":
        size = float(rng.choice(_SIZES))
        more = {"multipliers": np.full((2, 4, K), size), "corners": np.full((2, 2), float(rng.choice([0.0, 1.0, 1e9])))}
    elif proof == "cones":
        more = {"cuts": np.zeros((2 << r, 4)), "points": np.zeros((2 << r, r))}
        more |= {"multipliers": np.zeros(0), "places": np.zeros((0, 2))}
    header = {**base.file.header, "proof": proof, "sizes": {"n": 0, "d": 0, "c": 1}}
    t = base.file.arrays["t"] * float(rng.choice([0.0, 1e-3, 1.0]))
    return attempt(base, type(base.file)(header, kept).with_arrays(**{**kept, "t": t}, **more))


GLOBAL_ATTACKS: tuple[Forger, ...] = (
    scaled_geometry,
    hidden_coordinates,
    rows_elsewhere,
    unused_lines,
    false_lines,
    false_cover,
    false_leaves,
    false_relaxation,
    other_proof,
)
