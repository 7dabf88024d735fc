"""Files of the wrong form: missing, extra, damaged and truncated members."""

import io
import json
import zipfile

import numpy as np
import pytest

from cvxrelu._files import pack
from cvxrelu.certificates import checker
from cvxrelu.certificates.checker import RejectedCertificate
from tests.helpers.forgery import as_plain, changed, forged


def replaced_members(contents, header_text=None, drop=(), **members):
    """A file written member by member, with any bytes at all."""
    raw = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pack(contents.header, contents.arrays))) as old:
        bodies = {name: old.read(name) for name in old.namelist() if name not in drop}
    if header_text is not None:
        member = io.BytesIO()
        np.save(member, np.frombuffer(header_text.encode(), np.uint8))
        bodies["header.npy"] = member.getvalue()
    with zipfile.ZipFile(raw, "w") as new:
        for name, body in {**bodies, **members}.items():
            new.writestr(name, body)
    return raw.getvalue()


def test_file_members(relu):
    contents = relu[1]
    pickled, wide = io.BytesIO(), io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(wide, np.zeros(3, np.float32))
    t = zipfile.ZipFile(io.BytesIO(as_plain(contents))).read("t.npy")
    text = json.dumps(contents.header)
    files = {
        "unknown member": replaced_members(contents, **{"more.npy": t}),
        "no t": replaced_members(contents, drop=("t.npy",)),
        "no header": replaced_members(contents, drop=("header.npy",)),
        "trailing bytes in a member": replaced_members(contents, **{"t.npy": t + b"\0"}),
        "missing bytes in a member": replaced_members(contents, **{"t.npy": t[:-1]}),
        "pickle": replaced_members(contents, **{"t.npy": pickled.getvalue()}),
        "float32": replaced_members(contents, **{"t.npy": wide.getvalue()}),
        "not npy": replaced_members(contents, **{"t.npy": b"hello"}),
        "trailing bytes": as_plain(contents) + b"\0",
        "leading bytes": b"\0" + as_plain(contents),
        "NaN in the header": replaced_members(contents, text.replace(repr(contents.header["lower"]), "NaN")),
        "key twice": replaced_members(contents, text[:-1] + ', "scope": "patterns"}'),
        "overflow": replaced_members(contents, text.replace(repr(contents.header["lower"]), "1e999")),
        "deep": replaced_members(contents, "[" * 100000),
        "list": replaced_members(contents, "[1]"),
        "empty": b"",
        "text": b"not a zip file",
    }
    compressed = io.BytesIO()
    np.savez_compressed(compressed, header=np.frombuffer(text.encode(), np.uint8), **contents.arrays)
    files["compressed"] = compressed.getvalue()
    doubled = io.BytesIO(as_plain(contents))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(doubled, "a") as archive:
        archive.writestr("t.npy", t)
    files["member twice"] = doubled.getvalue()
    for name, raw in files.items():
        with pytest.raises(RejectedCertificate):
            pytest.fail(f"{name} was not seen: {checker.parse(raw)}")
    assert checker.parse(replaced_members(contents, text)).header == contents.header


def test_arrays_of_the_wrong_form(relu):
    contents = relu[1]
    arrays = contents.arrays
    padded = arrays["patterns"].copy()
    padded[0, -1] |= 1
    wrong = {
        "bits past the last row": {"patterns": padded},
        "NaN": changed(contents, "t", 0, np.nan),
        "infinite weight": changed(contents, "weights", (0, 0), np.inf),
        "NaN multiplier": changed(contents, "multiplier_values", 0, np.nan),
        "block twice": {"blocks": np.full_like(arrays["blocks"], arrays["blocks"][0])},
        "no such block": changed(contents, "blocks", -1, 10**6),
        "negative block": changed(contents, "blocks", 0, -1),
        "no such row": changed(contents, "multiplier_rows", 0, 99),
        "starts": changed(contents, "multiplier_starts", 0, 1),
        "descending starts": changed(contents, "multiplier_starts", 1, 10**6),
        "shape": {"t": arrays["t"][:-1]},
        "flat": {"t": arrays["t"][:, 0]},
        "type": {"t": arrays["t"].astype(np.float32)},
        "big-endian": {"t": arrays["t"].astype(">f8")},
    }
    for name, change in wrong.items():
        with pytest.raises(RejectedCertificate):
            pytest.fail(f"{name} was not seen: {forged(contents, change)}")


def test_a_multiplier_that_comes_twice_is_refused(relu):
    _, contents = relu
    starts, rows = contents.arrays["multiplier_starts"], contents.arrays["multiplier_rows"]
    first = int(starts[np.flatnonzero(np.diff(starts) > 1)[0]])
    with pytest.raises(RejectedCertificate, match="must ascend in each part"):
        forged(contents, changed(contents, "multiplier_rows", first + 1, rows[first]))


def test_truncated_and_damaged_files(relu):
    """Every cut is rejected; a flipped byte is rejected or changes nothing that is read (a date in the zip file)."""
    contents = relu[1]
    raw = as_plain(contents)
    rng = np.random.default_rng(0)
    for length in [*range(0, len(raw), 97), len(raw) - 1]:
        with pytest.raises(RejectedCertificate):
            checker.parse(raw[:length])
    rejected = 0
    for index in rng.choice(len(raw), 400, replace=False):
        damaged = bytearray(raw)
        damaged[index] ^= 1 << rng.integers(8)
        try:
            found = checker.parse(bytes(damaged))
        except RejectedCertificate:
            rejected += 1
        else:
            assert pack(found.header, found.arrays) == raw
    assert rejected > 300
