"""Malformed and huge files are rejected at little cost, or their cost is printed first; invalid data are refused."""

import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cvxrelu.certificates import checker
from reference.forgeries.files import MAGIC, File, encode, header_bytes
from tests.certificates.test_trust_table import BOTH, X, Y, check, global_file, patterns_file, rejected

ONE = np.ones((1, 2), dtype=bool)

# I. Memory and time

LIMITED = textwrap.dedent(
    """
    import os, resource, runpy, sys
    sys.path.insert(0, os.path.dirname(sys.argv[1]))
    import checker
    inner, events = checker.check, 0

    def check(contents, X, y, **options):
        seconds, memory = checker.estimate(contents, options.get("interval", False))
        if seconds > 10.0 or memory > 5e8:
            os._exit(42)  # the command has printed its estimate
        return inner(contents, X, y, **options)

    def count(frame, event, argument):
        global events
        events += 1
        if events > 15_000_000:
            os._exit(99)

    checker.check = check
    used = 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])
    resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000,) * 2)
    sys.setprofile(count)
    os._exit(checker.run(sys.argv[2], sys.argv[3], interval=sys.argv[4] == "interval"))
    """
)


def long_header(text):
    return lambda: (MAGIC + text + b"\n", X, Y)


def mapped(**rows):
    identity = {"x_shift": [0.0] * 4, "x_scale": [1.0] * 4, "y_shift": [0.0], "y_scale": [1.0]}
    rows = {**identity, "bias": False, "classes": None, **rows}
    A, B = np.ones((500, 4)), np.ones((500, 1))
    file = patterns_file(A, B, np.ones((1, 500), dtype=bool)).with_header(rows=rows)
    return encode(File(file.header, file.arrays), header_bytes(file.header)), A, B


def many(rows, columns, **sizes):
    """Return a file with many patterns, neurons and entries, of data with rows and columns."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((rows, columns)), rng.standard_normal((rows, 1))
    P, m, entries = (sizes.get(name, 1) for name in ("patterns", "neurons", "entries"))
    masks = rng.random((P, rows)) < 0.5
    places = np.unique(rng.integers(0, [[2 * P, rows]], (entries, 2)), axis=0)
    weights = rng.standard_normal((2, m, columns)) * 2.0 ** rng.integers(
        *sizes.get("exponents", (0, 1)), (2, m, columns)
    )
    parts = {
        "weights": weights,
        "blocks": np.arange(m) % (2 * P),
        "multipliers": np.ones(len(places)),
        "places": places,
    }
    return encode(patterns_file(A, B, masks, **parts)), A, B


def many_neurons(rows, columns, neurons, exponents=(0, 1)):
    """Return a file of scope global with many neurons."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((rows, columns)), rng.standard_normal((rows, 1))
    weights = rng.standard_normal((2, neurons, columns)) * 2.0 ** rng.integers(*exponents, (2, neurons, columns))
    return encode(global_file(A, B, "relaxation", blocks=np.zeros(neurons), weights=weights)), A, B


def many_cones(cones, deep):
    """Return a file of scope global with many cuts, some of them in a chain, and no leaves."""
    cuts = np.tile([0, 1, 65535, 65534], (cones, 1)) if deep else np.zeros((cones, 4))
    points = np.zeros((0 if deep else cones, 2))
    return encode(global_file(X, Y, "cones", t=-Y / 100, cuts=cuts, points=points)), X, Y


def many_lines(proof, rows, rank):
    A = np.random.default_rng(0).standard_normal((rows, rank))
    return encode(global_file(A, A[:, :1], proof, t=-A[:, :1] * 1e-6)), A, A[:, :1]


def spread_lines(rank):
    """Return a file whose lines have entries of very different sizes."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((rank, rank)) * 2.0 ** rng.integers(-1000, 1, (rank, rank))
    t, multipliers = np.full((rank, 1), -1e-6), np.zeros((2, 4, rank))
    multipliers[:, 0] = 1e-3
    file = global_file(A, np.ones((rank, 1)), "relaxation", t=t, multipliers=multipliers, corners=np.full((2, 2), 1e6))
    return encode(file), A, np.ones((rank, 1))


def many_outputs(c, columns, penalty):
    A, B = np.ones((1, columns)), np.ones((1, c))
    masks, t = np.ones((1, 1), dtype=bool), np.full((1, c), 1e-3)
    weights, blocks = np.ones((2, 1, columns)), np.zeros(1, dtype=int)
    parts = {"weights": weights, "blocks": blocks} | ({"outputs": np.ones((1, c))} if penalty == "nuclear" else {})
    return encode(patterns_file(A, B, masks, kind="gated", penalty=penalty, t=t, **parts)), A, B


def certain_labels(rows):
    """Return a file whose dual point is near the border of the domain of the logistic loss."""
    A, B = np.ones((rows, 1)), np.ones((rows, 1))
    return (
        encode(patterns_file(A, B, np.ones((1, rows), dtype=bool), loss="logistic", t=np.full(B.shape, -1e-40))),
        A,
        B,
    )


BOMBS = {
    "brackets": long_header(b"[" * 10**7),
    "objects": long_header(b"[" + b", ".join([b"{}"] * 2_400_000) + b"]"),
    "numbers": long_header(b"[" + b", ".join([b"1.5"] * 2_000_000) + b"]"),
    "digits": long_header(b"1" * 10**7),
    "short brackets": long_header(b"[" * 10**6),
    "short objects": long_header(b'{"a": ' * 10**5 + b"1" + b"}" * 10**5),
    "classes": lambda: mapped(classes=list(range(150_000))),
    "shift": lambda: mapped(x_shift=[[[0.0]]] * 100_000),
    "long shift": lambda: mapped(x_shift=[0.0] * 150_000),
    "names": lambda: mapped(classes=["x" * 500_000, "y" * 500_000]),
    "patterns": lambda: many(800, 3, patterns=95_000),
    "equal patterns": lambda: many(8, 3, patterns=10**7),
    "entries": lambda: many(200, 4, patterns=100, entries=400_000),
    "neurons": lambda: many_neurons(100, 4, 139_000),
    "exponents": lambda: many_neurons(569, 4, 200, (-1070, 1000)),
    "cuts": lambda: many_cones(1_250_000, deep=True),
    "leaves": lambda: many_cones(400_000, deep=False),
    "lines": lambda: many_lines("maximum", 5000, 2),
    "rank": lambda: many_lines("relaxation", 5000, 64),
    "small rank": lambda: many_lines("relaxation", 100, 64),
    "exponents of lines": lambda: spread_lines(40),
    "long rows": lambda: many(8, 10_000, patterns=100_000),
    "words": lambda: mapped(x_shift=["x" * 500_000, *[""] * 3]),
    "outputs": lambda: many_outputs(8000, 1, "group_l1"),
    "spectral norms": lambda: many_outputs(60, 2, "nuclear"),
    "large spectral norms": lambda: many_outputs(60, 50, "nuclear"),
    "certain labels": lambda: certain_labels(2_000),
}
SLOW = ("equal patterns", "exponents", "lines", "patterns", "entries", "small rank", "outputs")


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits of the address space")
@pytest.mark.parametrize("arithmetic", ["exact", "interval"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in BOMBS]
)
def test_no_file_of_ten_megabytes_costs_much(name, arithmetic, tmp_path):
    """A check takes 500 MB and some work before it rejects, unless its estimate says more and is printed first."""
    raw, A, B = BOMBS[name]()
    assert len(raw) < 1.1e7
    (tmp_path / "file").write_bytes(raw)
    np.savez(tmp_path / "data.npz", X=A, y=B)
    command = [sys.executable, "-c", LIMITED, checker.__file__, tmp_path / "file", tmp_path / "data.npz", arithmetic]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode in (0, 1, 2, 42), done.stderr
    assert done.returncode != 42 or "the check takes about" in done.stderr


# J. Malformed files, and data that would be rounded


@BOTH
@pytest.mark.parametrize("proof", ["cones", "maximum", "relaxation"])
def test_malformed_global_files(proof, interval):
    for line in (-(2**63), 2**63 - 1, 3, -3):
        rejected(global_file(X, Y, proof, row_lines=[line, 1]), X, Y, interval)
    empty = {"basis": np.zeros((0, 2)), "lines": np.zeros((2, 0))}
    rejected(global_file(X, Y, proof, **empty), X, Y, interval)
    rejected(global_file(X, Y, proof, lines=np.zeros((0, 2)), row_lines=[0, 0]), X, Y, interval)
    for name in ("basis", "lines", "row_sizes", "t", "weights"):
        file = global_file(X, Y, proof, blocks=[0], weights=np.ones((2, 1, 2)))
        for value in (np.nan, np.inf, -np.inf):
            array = np.array(file.arrays[name])
            array.flat[0] = value
            rejected(file.with_arrays(**{name: array}), X, Y, interval, "finite")


def test_malformed_headers():
    file = patterns_file(X, Y, ONE)
    for key, value in {"lam": np.inf, "delta": np.nan, "rows": np.inf, "kind": [], "proof": "maximum"}.items():
        rejected(file.with_header(**{key: value}), X, Y, False)
    rejected(file.with_header(scope="global"), X, Y, False)
    rejected(global_file(X, Y, "maximum").with_header(scope="patterns"), X, Y, False)
    rejected(global_file(X, Y, "maximum").with_header(proof=None), X, Y, False)
    text = header_bytes(file.header)
    for other in (
        text[:-1] + b', "lam": 9.0}',
        text + b" ",
        json.dumps(file.header, indent=1).encode(),
        b"",
        b"\xff",
        b"{}",
    ):
        with pytest.raises(checker.RejectedCertificate):
            checker.parse(encode(file, other))
    raw = encode(file)
    for damaged in (raw + b"\0", raw[:-1], raw[: len(raw) // 2], b"", MAGIC, MAGIC + text):
        with pytest.raises(checker.RejectedCertificate):
            checker.parse(damaged)


@BOTH
def test_data_that_float64_does_not_represent_are_invalid(interval):
    file = patterns_file(X, Y, ONE)
    assert check(file, X.astype(np.float32), Y.astype(int), interval)["verified"]
    assert check(file, X.astype(np.longdouble), Y[:, 0], interval)["verified"]
    bad = [X.astype(object), X.astype(str), X + np.nan, X * np.inf, X[None], X[:1], X[:, 0]]
    bad += [np.array([[2**53 + 1, 1], [1, -1]]), np.array([[2**64 - 1, 1], [1, 1]], dtype=np.uint64)]
    bad += [X + np.longdouble(2) ** -60] if np.finfo(np.longdouble).eps < 1e-17 else []
    for other in bad:
        with pytest.raises(ValueError, match="float64|must be"):
            check(file, other, Y, interval)


# Files of versions 1 and 2


def test_zip_files_are_refused_with_the_remedy(tmp_path, capsys):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("header.json", '{"format": "cvxrelu certificate", "version": 2}')
    with pytest.raises(checker.RejectedCertificate, match="version 1 or 2.*save the certificate again"):
        checker.parse(buffer.getvalue())
    (tmp_path / "old").write_bytes(buffer.getvalue())
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    assert checker.run(tmp_path / "old", tmp_path / "data.npz") == 1
    assert "save the certificate again" in capsys.readouterr().out
    assert checker.run(tmp_path / "none", tmp_path / "data.npz") == 2
    assert Path(checker.__file__).name == "checker.py"
