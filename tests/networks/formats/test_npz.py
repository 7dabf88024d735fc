import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cvxrelu as cr
from cvxrelu._files import content_hash, pack
from tests.helpers.cases import assert_same_network, random_network

SIZES = st.integers(0, 6)
HEADER = {"format": "cvxrelu network", "version": 1, "kind": "relu", "cvxrelu": "0"}


@st.composite
def networks(draw):
    """Networks with any finite entries, including subnormal and huge numbers and -0, of both dtypes, also empty."""
    m, d, c = draw(SIZES), draw(st.integers(1, 6)), draw(st.one_of(st.none(), st.integers(1, 4)))
    shapes = {"W1": (m, d), "w2": (m,) if c is None else (m, c)}
    if draw(st.booleans()):
        shapes["G"] = (d, m)
    floats = {width: st.floats(allow_nan=False, allow_infinity=False, width=width) for width in (32, 64)}
    arrays = {}
    for name, shape in shapes.items():
        width = draw(st.sampled_from([32, 64]))
        arrays[name] = draw(hnp.arrays(f"f{width // 8}", shape, elements=floats[width]))
    return cr.GatedReLUNetwork(**arrays) if "G" in arrays else cr.ReLUNetwork(**arrays)


@settings(max_examples=100)
@given(networks())
def test_round_trip_is_exact_to_the_bit(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("files") / "network.npz"
    network.save(path)
    assert_same_network(cr.load_network(path), network)
    assert_same_network(cr.load_network(str(path)), network)


def test_the_file_is_an_npz_without_objects_and_always_the_same(tmp_path):
    network = random_network("gated", np.random.default_rng(0), c=2, dtype=np.float32)
    network.save(tmp_path / "a.npz")
    network.save(tmp_path / "b")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["G", "W1", "header", "w2"]
        header = json.loads(archive["header"].tobytes())
        np.testing.assert_array_equal(archive["W1"], network.W1)
    assert (header["format"], header["version"], header["kind"]) == ("cvxrelu network", 1, "gated")
    assert header["cvxrelu"] == cr.__version__


def test_no_file_is_overwritten_by_default(tmp_path):
    path = tmp_path / "network.npz"
    first, second = (random_network("relu", np.random.default_rng(seed)) for seed in (0, 1))
    first.save(path)
    with pytest.raises(FileExistsError, match="exists already: choose another one, or pass overwrite=True"):
        second.save(path)
    assert_same_network(cr.load_network(path), first)
    second.save(path, overwrite=True)
    assert_same_network(cr.load_network(path), second)
    assert os.listdir(tmp_path) == ["network.npz"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, overwrite):
    network = random_network("relu", np.random.default_rng(0))
    path = tmp_path / "network.npz"
    if overwrite:
        path.write_bytes(b"old")

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        network.save(path, overwrite=overwrite)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == (
        {"network.npz": b"old"} if overwrite else {}
    )


def test_any_changed_byte_is_detected_or_has_no_effect(tmp_path):
    """Only bytes of the zip structure that carry no content may change."""
    network = random_network("gated", np.random.default_rng(0), m=2)
    path = tmp_path / "network.npz"
    network.save(path)
    raw = path.read_bytes()
    damaged = tmp_path / "damaged.npz"
    refusals = []
    for index in range(len(raw)):
        damaged.write_bytes(raw[:index] + bytes([raw[index] ^ 0x11]) + raw[index + 1 :])
        try:
            assert_same_network(cr.load_network(damaged), network)
        except ValueError as error:
            refusals.append(str(error))
    content = sum(array.nbytes for array in vars(network).values())
    assert len(refusals) > content
    assert all(refusal.startswith("path must be ") for refusal in refusals)
    for length in range(0, len(raw), 7):
        damaged.write_bytes(raw[:length])
        with pytest.raises(ValueError, match="damaged.npz is not one, or damaged"):
            cr.load_network(damaged)


def test_other_files_are_rejected(tmp_path):
    path = tmp_path / "file"
    array, objects = io.BytesIO(), io.BytesIO()
    np.save(array, np.ones(3))
    np.savez(objects, header=np.array([{}], dtype=object))
    for raw in (b"", b"text", b"PK\5\6" + bytes(18), array.getvalue(), objects.getvalue()):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match="path must be the file of a network; .*file is not one, or damaged"):
            cr.load_network(path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match="not an npz"):
        cr.load_network(path)
    with pytest.raises(FileNotFoundError):
        cr.load_network(tmp_path / "nothing")
    with pytest.raises(TypeError):
        cr.load_network(None)


def test_a_certificate_is_rejected(tmp_path):
    X = np.random.default_rng(0).standard_normal((8, 2))
    problem = cr.ConvexReLU(X, X[:, 0], cr.sample_patterns(X, 3), lam=0.1)
    cr.certify(problem, problem.zero_weights()).save(tmp_path / "a.cert")
    with pytest.raises(ValueError, match="a.cert holds the format 'cvxrelu certificate'"):
        cr.load_network(tmp_path / "a.cert")


W1, W2 = np.ones((2, 3)), np.ones(2)
BAD = {
    "has version 2, written by cvxrelu 9.9: install": ({"version": 2, "cvxrelu": "9.9"}, {}),
    "version 0 is unknown": ({"version": 0}, {}),
    "version '2' is unknown": ({"version": "2"}, {}),
    "kind 'deep' is unknown": ({"kind": "deep"}, {}),
    r"members must be \['G', 'W1', 'w2'\]; got \['W1', 'w2'\]": ({"kind": "gated"}, {}),
    r"got \['W1', 'b1', 'w2'\]": ({}, {"b1": np.ones(2)}),
    "W1 must be <f4 or <f8; got <i8": ({}, {"W1": W1.astype(np.int64)}),
    "W1 must be <f4 or <f8; got <f2": ({}, {"W1": W1.astype(np.float16)}),
    r"shapes \(m, d\) and \(m,\) or \(m, c\); got \(2, 3\) and \(3,\)": ({}, {"w2": np.ones(3)}),
    "w2 must be finite": ({}, {"w2": np.array([1.0, np.nan])}),
    "holds the format 'other'": ({"format": "other"}, {}),
}


@pytest.mark.parametrize("message", BAD)
def test_invalid_headers_and_members_are_rejected(tmp_path, message):
    header, arrays = BAD[message]
    path = tmp_path / "network.npz"
    path.write_bytes(pack({**HEADER, **header}, {"W1": W1, "w2": W2, **arrays}))
    with pytest.raises(ValueError, match=f"path must be .*network.npz .*{message}"):
        cr.load_network(path)


def test_changed_contents_are_rejected(tmp_path):
    """The file is rebuilt with one weight changed and the old hash."""
    header = {**HEADER, "content_sha256": content_hash(HEADER, {"W1": W1, "w2": W2})}
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    path = tmp_path / "network.npz"
    np.savez(path, header=text, W1=W1, w2=W2)
    assert_same_network(cr.load_network(path), cr.ReLUNetwork(W1, W2))
    np.savez(path, header=text, W1=2.0 * W1, w2=W2)
    with pytest.raises(ValueError, match="damaged: the contents were changed"):
        cr.load_network(path)
    raw = path.read_bytes()
    for name in ("header", "w2"):
        with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(path, "w") as new:
            for member in old.namelist():
                new.writestr(member, b"not an array" if member == f"{name}.npy" else old.read(member))
        with pytest.raises(ValueError, match="not one, or damaged"):
            cr.load_network(path)
