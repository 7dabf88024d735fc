"""The second checker, in C++, and the package's: the same verdicts and the same bounds on files written by hand."""

import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.certificates import checker
from reference.forgeries.run import FORGERS, forged
from tests.helpers.cases import make_problem
from tests.helpers.certificate_files import LOSSES, PENALTIES, assembled, data_hash, global_case, patterns_case

SOURCE = Path(__file__).parents[2] / "reference" / "second_checker" / "checker.cpp"
COMPILER = next(filter(None, map(shutil.which, filter(None, [os.environ.get("CXX"), "c++", "g++", "clang++"]))), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

PROGRAMS = [
    (kind, loss, penalty)
    for kind in ("gated", "relu")
    for loss in LOSSES
    for penalty in PENALTIES
    if kind == "gated" or penalty != "nuclear"
]


@pytest.fixture(scope="session")
def second(tmp_path_factory):
    """Return the compiled checker; the workers of a session share it."""
    folder = tmp_path_factory.getbasetemp()
    program = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "second_checker"
    if not program.exists():
        fresh = tmp_path_factory.mktemp("second") / "checker"
        subprocess.run([COMPILER, "-std=c++17", "-Wall", "-Wextra", "-Werror", SOURCE, "-o", fresh], check=True)
        os.replace(fresh, program)
    return program


@pytest.fixture
def compare(second, monkeypatch, capsys):
    """Return a function that gives the verdicts of both on a file: exit code and what was printed."""

    def run_both(certificate, data, *options):
        arguments = [str(certificate), "--data", str(data), "--json", *options]
        done = subprocess.run([second, *arguments], capture_output=True, text=True, check=False)
        monkeypatch.setattr(sys, "argv", ["checker", *arguments])
        code = checker.main()
        return (done.returncode, json.loads(done.stdout)), (code, json.loads(capsys.readouterr().out))

    return run_both


@pytest.fixture
def check(compare, tmp_path):
    """Return a function that gives both verdicts on a case."""
    return lambda case, *options: compare(*case.save(tmp_path), *options)


def agree(verdicts):
    """Compare two verdicts; return whether the file was accepted."""
    (code, mine), (other_code, other) = verdicts
    assert code == other_code, (mine, other)
    assert code in (0, 1)
    assert mine["verified"] == other["verified"] == (code == 0)
    if code == 1:
        return False
    for bound in ("lower", "upper"):
        exact = mine[f"{bound}_exact"]
        assert exact == other[f"{bound}_exact"]
        assert abs(Decimal(mine[bound]) - Decimal(other[bound])) <= Decimal("1e-12") * abs(Decimal(other[bound]))
        if exact is not None:
            difference = Fraction(mine[bound]) - Fraction(exact)
            assert difference <= 0 if bound == "lower" else difference >= 0
    return True


@pytest.mark.parametrize("lam", [0.5, 0.0])
@pytest.mark.parametrize(("kind", "loss", "penalty"), PROGRAMS)
def test_honest_files_of_scope_patterns(check, kind, loss, penalty, lam):
    assert agree(check(patterns_case(7, kind, loss, penalty, lam, c=3)))


@pytest.mark.parametrize("loss", ["squared", "huber", "logistic"])
@pytest.mark.parametrize(
    ("proof", "rank"),
    [("maximum", 1), ("maximum", 2), *((proof, rank) for proof in ("relaxation", "cones") for rank in (1, 2, 3))],
)
@pytest.mark.parametrize("exact", [False, True])
def test_honest_files_of_scope_global(check, proof, rank, loss, exact):
    assert agree(check(global_case(5, proof, loss, rank=rank, exact=exact)))


@pytest.mark.parametrize(
    ("kind", "loss", "penalty", "c"),
    [
        ("gated", "squared", "nuclear", 3),
        ("gated", "logistic", "l1", 2),
        ("relu", "huber", "feature_group_l1", 1),
        ("relu", "softmax", "group_l1", 3),
    ],
)
def test_certificates_of_solutions(compare, tmp_path, kind, loss, penalty, c):
    problem = make_problem(kind, loss, penalty, c=c)
    certificate, data = tmp_path / "certificate.bin", tmp_path / "data.npz"
    cr.solve(problem, "CLARABEL", tol=1e-8).certificate.save(certificate)
    np.savez(data, X=problem.X, y=problem.Y)
    verdicts = compare(certificate, data)
    assert agree(verdicts)
    assert Decimal(verdicts[0][1]["upper"]) <= Decimal(verdicts[0][1]["lower"]) * Decimal("1.000001")


@pytest.mark.parametrize(("d", "loss"), [(1, "huber"), (2, "logistic"), (3, "squared")])
def test_certificates_of_global_solutions(compare, tmp_path, d, loss):
    rng = np.random.default_rng(d)
    X, y = rng.standard_normal((10, d)), rng.choice([-1.0, 1.0], 10)
    certificate, data = tmp_path / "certificate.bin", tmp_path / "data.npz"
    cr.solve_global(X, y, 0.05, loss, tol=1e-5).certificate.save(certificate)
    np.savez(data, X=X, y=y)
    verdicts = compare(certificate, data, "--scope", "global", "--lam", "0.05", "--loss", loss)
    assert agree(verdicts)
    assert Decimal(verdicts[0][1]["upper"]) <= Decimal(verdicts[0][1]["lower"]) * Decimal("1.0001")


def scaled(case, factor, names):
    for name in set(names) & set(case.arrays):
        case = case.with_array(name, lambda v: np.multiply(v, factor, out=v))
    return case


def test_softmax_needs_two_outputs(check):
    assert not agree(check(patterns_case(1, loss="softmax", c=1)))


@pytest.mark.parametrize("make", [patterns_case, global_case])
def test_dual_points_are_accepted_up_to_the_same_size(check, make):
    """Both reject the same powers of two: the constraints are decided exactly."""
    changes = 0
    for seed in range(3):
        for kind in (
            ("group_l1", "l1", "feature_group_l1") if make is patterns_case else ("maximum", "relaxation", "cones")
        ):
            case = make(seed, "relu", penalty=kind) if make is patterns_case else make(seed, kind)
            verdicts = [
                agree(check(scaled(case, 2.0**k, ["t", "multipliers", "corners", "points"]))) for k in range(0, 24, 4)
            ]
            changes += verdicts[0] and not verdicts[-1]
    assert changes == 9


@pytest.mark.parametrize("bits", [20, 27, 40, 53])
@pytest.mark.parametrize("factor", [0.75, 1.0])
def test_maximum_over_lines_of_many_bits(check, bits, factor):
    """The norm of t (x'u)_+ is that of t x: each lam from there on is accepted, and none below."""
    rng = np.random.default_rng(bits)
    for _ in range(4):
        row = rng.integers(2 ** (bits - 1), 2**bits, 2) * rng.choice([-1.0, 1.0], 2)
        lam = float(np.nextafter(np.linalg.norm(row), np.inf)) * factor
        arrays = {"weights": np.zeros((2, 0, 2)), "blocks": np.zeros(0), "t": np.array([[1.0]]), "basis": np.eye(2)}
        arrays |= {"lines": row[None], "row_lines": np.array([1]), "row_sizes": np.array([1.0])}
        statement = {"kind": "relu", "scope": "global", "loss": "squared", "penalty": "group_l1", "lam": lam}
        case = assembled(row[None], np.array([[1.0]]), {**statement, "proof": "maximum"}, arrays)
        assert agree(check(case)) == (factor == 1)


def changed_at_random(rng, case):
    """Change one to three numbers of the arrays to values that are near, extreme or of no meaning."""
    for _ in range(rng.integers(1, 4)):
        name = rng.choice([name for name, v in case.arrays.items() if v.size])
        old = case.arrays[name]
        at = tuple(rng.integers(size) for size in old.shape)
        v = old[at]
        if old.dtype.kind == "f":
            new = rng.choice([0.0, np.nextafter(v, 9), v * 2.0 ** rng.integers(-5, 20), -v, 1e200, 5e-324, np.nan, 1.0])
        elif old.dtype.kind == "i":
            new = rng.choice([0, -1, 1, v + 1, v - 1, 2**62, -v])
        else:
            new = rng.integers(256)
        case = case.with_array(name, lambda array, at=at, new=new: array.__setitem__(at, new))
    return case


@pytest.mark.parametrize("seed", range(12))
def test_changed_files(check, seed):
    rng = np.random.default_rng(seed)
    cases = [patterns_case(seed, "relu"), patterns_case(seed, penalty="nuclear", loss="softmax")]
    cases += [global_case(seed, proof) for proof in ("maximum", "relaxation", "cones")]
    for case in cases:
        agree(check(changed_at_random(rng, case)))


def forgeries():
    """Files that prove nothing, each by one change of an honest file."""
    relu, nuclear, cones = patterns_case(3, "relu"), patterns_case(3, penalty="nuclear"), global_case(3, "cones")
    maximum, relaxation = global_case(3, "maximum"), global_case(3, "relaxation")
    set_at = lambda at, value: lambda v: v.__setitem__(at, value)  # noqa: E731
    yield "weights outside of their cone", relu.with_array("weights", lambda v: np.negative(v, out=v))
    yield "a negative multiplier", relu.with_array("multipliers", set_at(0, -1e-300))
    yield "places that do not ascend", relu.with_array("places", lambda v: v.__setitem__(0, v[1]))
    yield "blocks that do not ascend", relu.with_array("blocks", lambda v: v.__setitem__(0, v[1]))
    yield "a block that does not exist", nuclear.with_array("blocks", set_at(0, 4))
    yield "a smaller lam", relu.with_header(lam=5e-324)
    yield "another loss", relu.with_header(loss="logistic")
    yield "a network that is not ReLU", relu.with_header(kind="gated")
    yield "nuclear norms of a ReLU network", nuclear.with_header(kind="relu")
    yield "lam = 0 of scope global", maximum.with_header(lam=0.0)
    yield "another hash", relu.with_header(data_sha256="0" * 64)
    yield "an output of sign 2", maximum.with_array("blocks", set_at(0, 2))
    yield "a negative row size", maximum.with_array("row_sizes", set_at(0, -1.0))
    yield "a row near no line", maximum.with_array("row_lines", set_at(0, 99))
    yield "a row near a line whose number has no absolute value", maximum.with_array("row_lines", set_at(0, -(2**63)))
    yield "more lines than rows", global_case(1, n=3, lines=4)
    yield "no basis", maximum.with_array("basis", lambda v: v.fill(0))
    yield "a maximum of rank 3", global_case(3, "cones", rank=3).with_header(proof="maximum")
    yield "no room for the corner", relaxation.with_array("corners", lambda v: v.fill(0))
    yield "a negative mu", relaxation.with_array("corners", set_at((1, 1), -1e-9))
    yield "no kappa", relaxation.with_array("multipliers", set_at((slice(None), 3), 0))
    yield "a negative rho", relaxation.with_array("multipliers", set_at((0, 0, 0), -1.0))
    yield "points at 0", cones.with_array("points", lambda v: v.fill(0))
    yield "points too far", cones.with_array("points", lambda v: np.multiply(v, 99, out=v))
    yield "a cut of a ray with itself", cones.with_array("cuts", set_at(0, (1, 1, 1, 1)))
    yield "a cut with alpha 0", cones.with_array("cuts", set_at(0, (0, 1, 0, 1)))
    yield "leaves that come too early", cones.with_array("cuts", set_at((slice(None), slice(2, 4)), 0))
    yield "cuts without an end", cones.with_array("cuts", set_at(slice(None), (0, 1, 1, 1)))
    yield "a share above 1", cones.with_array("multipliers", set_at(0, 1.25))
    yield "a share of no leaf", cones.with_array("places", set_at((-1, 0), 10**6))


@pytest.mark.parametrize("forgery", list(forgeries()), ids=lambda item: item[0])
def test_forgeries_are_rejected(check, forgery):
    assert not agree(check(forgery[1]))


@pytest.mark.slow
@pytest.mark.parametrize("case", range(2 * len(FORGERS)), ids=lambda case: FORGERS[case % len(FORGERS)].__name__)
def test_forgeries_of_the_reference_suite(second, compare, tmp_path, case):
    """Each way to forge; without what only the first checker covers: given patterns and networks, maps of the rows."""
    attempt, _ = forged(FORGERS[case % len(FORGERS)], 19, case)
    certificate, data = tmp_path / "certificate.bin", tmp_path / "data.npz"
    certificate.write_bytes(attempt.raw)
    np.savez(data, X=attempt.X, y=attempt.y)
    given = {name: value for name, value in attempt.given.items() if name not in ("patterns", "network")}
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    alone = subprocess.run([second, certificate, "--data", data, *options], capture_output=True, text=True, check=False)
    if "not covered" not in alone.stderr:
        agree(compare(certificate, data, *options))


def test_headers_have_one_form(check, monkeypatch):
    case = patterns_case(2)
    text = json.dumps(case.header, sort_keys=True)
    texts = {
        "spaces": json.dumps(case.header, sort_keys=True, separators=(",", ":")),
        "order": json.dumps(dict(reversed(case.header.items()))),
        "a key twice": text.replace('"lam": 0.5', '"lam": 0.25, "lam": 0.5'),
        "a further key": text.replace('"lam"', '"lal": 1, "lam"'),
        "a float in another form": text.replace('"lam": 0.5', '"lam": 5e-1'),
        "an integer lam": text.replace('"lam": 0.5', '"lam": 1'),
        "an infinite lam": text.replace('"lam": 0.5', '"lam": Infinity'),
        "a size with a sign": text.replace('"n": 9', '"n": +9'),
        "a size that wraps around": text.replace('"n": 9', f'"n": {2**64 + 9}'),
        "a large size": text.replace('"blocks": 4', f'"blocks": {2**39}'),
        "an escape": text.replace("group_l1", "group\\u005fl1"),
        "no brace": text[:-1],
        "nothing": "",
    }
    honest = case.encoded()
    assert honest.count(text.encode()) == 1
    for name, other in texts.items():
        assert other != text
        monkeypatch.setattr(type(case), "encoded", lambda _, other=other: honest.replace(text.encode(), other.encode()))
        assert not agree(check(case)), name


@pytest.mark.parametrize("make", [lambda: patterns_case(4, "relu", n=3), lambda: global_case(4, "cones", n=4)])
def test_truncated_and_longer_files_are_rejected(second, tmp_path, make):
    case = make()
    certificate, data = case.save(tmp_path)
    honest = certificate.read_bytes()
    step = max(len(honest) // 60, 1)
    for content in [honest + b"\0", *(honest[:size] for size in range(0, len(honest), step))]:
        certificate.write_bytes(content)
        done = subprocess.run([second, certificate, "--data", data], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.startswith("rejected: ")


def test_the_statement_must_be_that_of_the_verifier(check):
    case = patterns_case(5, "relu", "huber")
    same = [
        "--lam",
        "0.5",
        "--loss",
        "huber",
        "--delta=0.75",
        "--penalty",
        "group_l1",
        "--kind",
        "relu",
        "--scope",
        "patterns",
    ]
    assert agree(check(case, *same))
    for option, value in {
        "--lam": "0.25",
        "--delta": "1",
        "--loss": "squared",
        "--kind": "gated",
        "--scope": "global",
    }.items():
        assert not agree(check(case, option, value))


@pytest.mark.parametrize("option", ["--patterns", "--network", "--interval", "--unknown", "--loss=hinge"])
def test_uses_that_are_not_covered(second, tmp_path, option):
    certificate, data = patterns_case(6).save(tmp_path)
    done = subprocess.run(
        [second, certificate, "--data", data, option, "x"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")


def test_forms_of_the_data(check):
    """Column-major, narrow and integer arrays, targets of one dimension, and -0.0 are the same data."""
    case = patterns_case(8, c=1)
    x, y = np.round(case.x), np.round(case.y)
    header = {**case.header, "data_sha256": data_hash(x, y)}
    forms = [
        (np.asfortranarray(x), y),
        (x.astype(np.float32), y[:, 0]),
        (x.astype(np.int64), y.astype(np.int8)),
        (np.where(x == 0, -0.0, x), y),
    ]
    for form_x, form_y in forms:
        assert agree(check(type(case)(form_x, form_y, header, case.arrays)))


def test_integers_that_float64_does_not_represent(second, tmp_path):
    certificate, data = patterns_case(8).save(tmp_path)
    np.savez(data, X=np.array([[2**53 + 1]]), y=np.array([1.0]))
    done = subprocess.run([second, certificate, "--data", data], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
