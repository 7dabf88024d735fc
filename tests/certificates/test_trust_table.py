"""The ways in which a certificate could deceive its checker, one by one."""

from fractions import Fraction

import numpy as np
import pytest

from cvxrelu.certificates import checker
from reference.forgeries.files import File, data_hash, encode
from reference.forgeries.oracle import Points, Statement, bounds

BOTH = pytest.mark.parametrize("interval", [False, True], ids=["exact", "interval"])
S, M = 2.0**-0.5, 2.0**100
X, Y = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([[-2.0], [2.0]])
BEST = np.array([[0.0, 2.0]])  # neurons -+ (0, 2), of outputs -+ 1, fit X and Y exactly


def patterns_file(X, Y, masks, **parts):
    """Return a file of scope patterns; arrays and entries of the header by name."""
    header = {"kind": "relu", "scope": "patterns", "loss": "squared", "delta": None, "penalty": "group_l1", "lam": 0.01}
    header |= {"proof": None}
    header |= {"rows": None, "data_sha256": data_hash(X, Y), "sizes": {"c": Y.shape[1]}}
    arrays = {"weights": np.zeros((2, 0, X.shape[1])), "blocks": [], "t": 0 * Y}
    arrays |= {"outputs": np.zeros((0, Y.shape[1]))} if parts.get("penalty") == "nuclear" else {}
    arrays |= {"patterns": np.packbits(masks, axis=1), "multipliers": [], "places": np.zeros((0, 2))}
    return filled(header, arrays, parts)


def global_file(X, Y, proof, **parts):
    """Return a file of scope global whose lines are the rows; arrays and entries of the header by name."""
    (n, d), r = X.shape, len(parts.get("basis", X.T))
    header = {"kind": "relu", "scope": "global", "loss": "squared", "delta": None, "penalty": "group_l1", "lam": 0.01}
    header |= {"proof": proof}
    header |= {"rows": None, "data_sha256": data_hash(X, Y), "sizes": {}}
    arrays = {"weights": np.zeros((2, 0, d)), "blocks": [], "t": 0 * Y, "basis": np.eye(d), "lines": X}
    arrays |= {"row_lines": np.arange(1, n + 1), "row_sizes": np.ones(n)}
    K = len(parts.get("lines", X))
    if proof == "relaxation":
        arrays |= {"multipliers": np.zeros((2, 4, K)), "corners": np.zeros((2, 2))}
    if proof == "cones":
        arrays |= {"cuts": np.zeros((2 << r, 4)), "points": np.zeros((2 << r, r))}
        arrays |= {"multipliers": [], "places": np.zeros((0, 2))}
    return filled(header, arrays, parts)


def filled(header, arrays, parts):
    header |= {key: value for key, value in parts.items() if key in header}
    assert set(parts) <= {*header, *arrays}
    return File(header, {}).with_arrays(**(arrays | {key: parts[key] for key in arrays if key in parts}))


def check(file, X, Y, interval=False, **given):
    return checker.check(checker.parse(encode(file)), X, Y, interval=interval, **given)


def rejected(file, X, Y, interval, match=None, **given):
    with pytest.raises(checker.RejectedCertificate, match=match):
        check(file, X, Y, interval, **given)


def not_deceived(file, X, Y, interval, above):
    """Assert that the file is rejected, or its lower bound true."""
    try:
        verdict = check(file, X, Y, interval)
    except checker.RejectedCertificate:
        return
    assert interval
    assert Fraction(verdict["lower"]) <= above


def truth(s, weights=(), networks=()):
    return bounds(s, Points(weights=list(weights), networks=list(networks)))


def statement(X, Y, masks=None, lam=0.01, loss="squared", kind="relu"):
    scope = "global" if masks is None else "patterns"
    return Statement(X, Y, lam, loss, None, "group_l1", kind, scope, masks)


# A. The file chooses the geometry


@BOTH
@pytest.mark.parametrize("size", [1.0, 2.0**-64, 2.0**64, 1e-300, 1e300])
@pytest.mark.parametrize("proof", ["cones", "maximum", "relaxation"])
def test_scaled_geometry(proof, size, interval):
    """A dual value of 2 where networks reach 0.04: lines, basis and sizes that make the rows look small."""
    above = truth(statement(X, Y), networks=[(np.vstack([BEST, -BEST]), np.array([[-1.0], [1.0]]))])[1]
    assert above < Fraction(5, 100)
    for parts in (
        {"basis": size * np.eye(2)},
        {"lines": size * X},
        {"row_sizes": np.full(2, size)},
        {"basis": size * np.eye(2), "lines": X / size},
        {"lines": size * X, "row_sizes": np.full(2, 1 / size)},
        {"basis": np.zeros((2, 2))},
        {"lines": 0 * X},
        {"row_sizes": np.zeros(2)},
    ):
        rejected(global_file(X, Y, proof, t=-Y / 2, **parts), X, Y, interval)


@BOTH
@pytest.mark.parametrize("proof", ["cones", "relaxation"])
def test_hidden_coordinates(proof, interval):
    basis, lines = np.array([[0.0, M], [1.0, 0.0], [0.0, 0.0]]), np.array([[S / M, S, S], [-S / M, S, S]])
    for sizes in ([1.0, 1.0], [2**0.5, 2**0.5]):
        rejected(global_file(X, Y, proof, t=-Y / 2, basis=basis, lines=lines, row_sizes=sizes), X, Y, interval)


@BOTH
@pytest.mark.parametrize("size", [2.0**20, 2.0**31, 2.0**32, 2.0**40, 2.0**63, 2.0**64])
def test_integers_that_wrap_around(size, interval):
    """Products of 64-bit integers wrap around between kinks of unused lines: 0.125 for at most 0.1222."""
    A, B = np.vstack([np.ones((1, 2)), np.zeros((3, 2))]), np.array([[1.0], [0.0], [0.0], [0.0]])
    above = truth(statement(A, B, lam=0.3), networks=[(np.full((1, 2), 0.19425), np.array([[0.3885]]))])[1]
    assert above < Fraction(4886, 40000)
    lines = np.array([[1.0, 1.0], [1.0, -size], [size, -1.0]])
    file = global_file(A, B, "maximum", t=-B / 4, lam=0.3, lines=lines, row_lines=[1, 0, 0, 0])
    rejected(file, A, B, interval, "lam")


# B. Tolerances that the forger buys


@BOTH
@pytest.mark.parametrize("proof", ["cones", "maximum", "relaxation"])
def test_unused_line(proof, interval):
    for size in (1e40, 1e300, 2.0**-1074):
        lines = np.vstack([X, [[size, 0.0]]])
        rejected(global_file(X, Y, proof, t=-Y / 2, lines=lines), X, Y, interval)
        file = global_file(X, Y, proof, t=-Y / 2, lines=lines[2:], row_lines=[0, 0], row_sizes=[0.0, 0.0])
        rejected(file, X, Y, interval)


@BOTH
def test_blocks_that_cancel(interval):
    """V = W = 1e34 (1, 0): the objective is that of their norms."""
    masks, both = np.ones((1, 2), dtype=bool), 1e34 * np.array([[1.0, 0.0], [1.0, 0.0]])
    file = patterns_file(X, Y, masks, lam=0.5, blocks=[0, 1], weights=np.stack([both, 0 * both]))
    assert Fraction(check(file, X, Y, interval)["upper"]) >= 2 * 0.5 * Fraction(1e34)
    parts = patterns_file(X, Y, masks, lam=0.5, blocks=[0], weights=np.stack([both[:1], -both[:1]]))
    verdict = check(parts, X, Y, interval)  # weights that are a sum of parts
    assert Fraction(verdict["upper"]) >= 2
    assert interval or Fraction(verdict["upper"]) == 2


def test_no_claims_in_the_file():
    file = patterns_file(X, Y, np.ones((1, 2), dtype=bool))
    for key in ("lower", "upper", "info", "rigor"):
        rejected(file.with_header(**{key: 0.0}), X, Y, False)


# C. Sizes that wrap around


@pytest.mark.parametrize("name", ["n", "d", "blocks", "patterns", "entries"])
@pytest.mark.parametrize("size", [2**31, 2**40 - 1, 2**40, 2**61, 2**62, 2**63, 2**64, -1, -(2**63)])
def test_sizes(name, size):
    file = patterns_file(X, Y, np.ones((2, 2), dtype=bool))
    file = file.with_header(sizes=file.header["sizes"] | {name: size})
    with pytest.raises(
        (checker.RejectedCertificate, ValueError), match="ends within|must be|out of range|bytes, more than allowed"
    ):
        check(file, X, Y)


@BOTH
@pytest.mark.parametrize("place", [2, 2**31, 2**62, 2**63 - 1, -1, -(2**63)])
def test_places(place, interval):
    masks = np.ones((2, 2), dtype=bool)
    for places in ([[0, place]], [[4 + place, 0]], [[0, 0], [place, 0]], [[place, 1], [place, 0]], [[0, 0], [0, 0]]):
        if places != [[0, 0], [2, 0]]:
            places = np.array(places, dtype=object) if place < 2**62 else [[place, place]]
            file = patterns_file(X, Y, masks, multipliers=np.ones(len(places)), places=places)
            rejected(file, X, Y, interval)


# D. The statement is the verifier's


def test_statement_of_the_verifier():
    masks, D = np.array([[True, True], [False, False]]), np.array([[True, False], [True, False]])
    file = patterns_file(X, Y, masks, lam=10.0)
    full = {"kind": "relu", "scope": "patterns", "loss": "squared", "penalty": "group_l1", "lam": 10.0, "patterns": D}
    assert check(file, X, Y, **full)["statement"]["from_file"] == []
    assert set(check(file, X, Y)["statement"]["from_file"]) >= set(full)
    others = {"kind": "gated", "scope": "global", "loss": "logistic", "penalty": "l1", "lam": 0.01}
    for key, value in others.items():
        rejected(file, X, Y, False, **(full | {key: value}))
    for other in (D[:, :1], D[:, 1:], ~D[:, :1], np.column_stack([D, [True, False]])):
        rejected(file, X, Y, False, **(full | {"patterns": other}))
    rejected(file, X + 1.0, Y, False)
    rejected(file, X, -Y, False)
    said = checker.sentence(check(file, X, Y, **full))
    assert all(word in said for word in ("ReLU network", "2 patterns", "squared", "group_l1", "10.0", "2 x 2"))
    everything = checker.sentence(check(global_file(X, Y, "maximum", lam=10.0), X, Y))
    assert "any width" in everything


def test_the_map_of_the_rows_is_in_the_statement():
    """A map that takes all data to nearly zero makes another problem of them: it must be told."""
    rows = {"x_shift": [0.0, 0.0], "x_scale": [2.0**1000] * 2, "y_shift": [0.0], "y_scale": [1.0]}
    rows |= {"bias": False, "classes": None}
    mapped = X / 2.0**1000
    file = patterns_file(mapped, Y, np.ones((1, 2), dtype=bool), rows=rows)
    verdict = check(file, X, Y)
    assert verdict["statement"]["rows"] == rows
    assert "rows" in verdict["statement"]["from_file"]
    assert "the file's map" in checker.sentence(verdict)
    for wrong in ({"x_scale": [0.0, 1.0]}, {"x_shift": [[[0.0]]]}, {"y_scale": [1.0, 1.0]}, {"classes": [1, 2]}):
        rejected(file.with_header(rows=rows | wrong), X, Y, False)


def test_patterns_are_no_part_of_a_global_statement():
    rejected(global_file(X, Y, "maximum"), X, Y, False, patterns=np.ones((2, 1), dtype=bool))


def test_the_bound_is_of_the_given_network():
    masks = np.ones((1, 2), dtype=bool)
    verdict = check(patterns_file(X, Y, masks), X, Y, network=(np.vstack([BEST, -BEST]), np.array([-1.0, 1.0])))
    assert verdict["statement"]["network"] is not None
    assert 0.04 <= float(verdict["upper"]) < 0.041
    assert "given network, with balanced layers and patterns of its own, is" in checker.sentence(verdict)
    verdict = check(global_file(X, Y, "maximum"), X, Y, network=(100.0 * BEST, np.array([0.01])))
    assert "given network, with balanced layers, is" in checker.sentence(verdict)


@BOTH
@pytest.mark.parametrize("penalty", ["squared_l2", "feature_group_l1", "group_l1", "l1"])
def test_repeated_patterns(penalty, interval):
    """A pattern given once, and a hundred times in the file: some penalties become a hundredth."""
    A, B = np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]])
    one, count = np.ones((1, 2), dtype=bool), 100
    weights = np.stack([np.full((count, 1), 1 / count), np.zeros((count, 1))])
    parts = {"kind": "gated", "penalty": penalty, "lam": 1.0, "blocks": np.arange(count), "weights": weights}
    file = patterns_file(A, B, np.repeat(one, count, axis=0), **parts)
    rejected(file, A, B, interval, patterns=one.T)


# E, F, G, H. Small excess of the dual point and of the weights


@BOTH
@pytest.mark.parametrize("size", [1e10, 1e20, 1e150])
def test_multipliers_that_absorb(size, interval):
    """Huge multipliers of opposite rows: 1.5 for an optimal value of 0.0212."""
    A, B, masks = (
        np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]),
        np.array([[0.0], [0.0], [3.0]]),
        np.ones((1, 3), bool),
    )
    above = truth(statement(A, B, masks), weights=[np.array([1.49, -1.49, 0.0, 0.0]).reshape(2, 1, 1, 2)])[1]
    assert above < Fraction(22, 1000)
    places = [[0, 0], [0, 1], [1, 0], [1, 1]]
    not_deceived(
        patterns_file(A, B, masks, t=-B / 3, multipliers=np.full(4, size), places=places), A, B, interval, above
    )


@BOTH
def test_dual_points_outside_the_domain(interval):
    A, B = np.array([[1.0], [1e15]]), np.ones((2, 1))
    for t in ([-0.25, 2.5e-16], [-0.25, 5e-324], [-0.5 - 2.0**-53, -1e-17]):
        file = patterns_file(A, B, np.ones((1, 2), bool), kind="gated", loss="logistic", t=np.array([t]).T)
        rejected(file, A, B, interval, "outside|infeasible")
    labels = np.array([[1.0, 0.0], [0.0, 1.0]])
    for t in ([[5e-324, -5e-324], [0.0, 0.0]], [[-0.25, 0.25 + 2.0**-54], [0.0, 0.0]]):
        file = patterns_file(A, labels, np.ones((1, 2), bool), kind="gated", loss="softmax", t=t)
        rejected(file, A, labels, interval, "outside|infeasible")
    file = patterns_file(A, B, np.ones((1, 2), bool), loss="huber", delta=0.5, t=[[0.25], [np.nextafter(0.25, 1)]])
    rejected(file, A, B, interval, "outside|infeasible")


@BOTH
@pytest.mark.parametrize("size", [1e-15, 1e-100, 5e-324])
def test_weights_outside_their_cones(size, interval):
    """The cone of this pattern is {0}, and its optimal value 1.5."""
    A, B, masks = (
        np.array([[1.0, 0.0], [-1.0, -size], [0.0, 1.0]]),
        np.array([[0.0], [0.0], [3.0]]),
        np.ones((1, 3), bool),
    )
    for w in ([0.0, 3.0], [5e-324, 3.0], [1e-300, 1e-10], [0.0, 5e-324]):
        file = patterns_file(A, B, masks, blocks=[0], weights=np.array([[w], [[0.0, 0.0]]]))
        rejected(file, A, B, interval, "cone")


@BOTH
def test_nearly_zero_is_not_zero(interval):
    A, B = np.array([[1e16, 1e16], [1.0, 0.0], [-1e16, -1e16]]), np.full((3, 1), 3.0)
    for lam, penalty in ((0.0, "group_l1"), (0.01, "none"), (0.01, "group_l1")):
        file = patterns_file(A, B, np.ones((1, 3), bool), kind="gated", lam=lam, penalty=penalty, t=-B / 3)
        not_deceived(file, A, B, interval, 3.05)
    tiny = patterns_file(X, Y, np.ones((1, 2), bool), kind="gated", lam=0.0, t=[[5e-324], [0.0]])
    rejected(tiny, X, Y, interval)


@BOTH
@pytest.mark.parametrize("penalty", ["nuclear", "group_l1"])
def test_tiny_weights_with_huge_outputs(penalty, interval):
    """What underflows is multiplied by 2^1023: the optimal value is above 9e-33."""
    A, B = np.array([[0.5], [1.0]]), np.array([[0.0], [2.0**-51]])
    W, outputs, lam = np.array([[2.0**-1074]]), np.array([[2.0**1023]]), 2.0**-60
    masks = np.ones((1, 2), bool)
    parts = {"kind": "gated", "penalty": "nuclear", "outputs": outputs, "blocks": [0], "weights": np.stack([W, 0 * W])}
    file = patterns_file(A, B, masks, lam=lam, **(parts if penalty == "nuclear" else {}))
    network = None if penalty == "nuclear" else (W, outputs)
    verdict = check(file, A, B, interval, network=network)
    weight = Fraction(2) ** -51
    loss = ((weight / 2) ** 2 + (weight - weight) ** 2) / 4
    assert Fraction(verdict["upper"]) >= loss + Fraction(lam) * weight
