"""Tables in Parquet and NPZ files; those in CSV files are in test_tables."""

import sys

import numpy as np
import pandas as pd
import pytest

from cvxrelu.cli.data.table_files import TableError
from cvxrelu.cli.data.tables import read_table
from cvxrelu.cli.settings import Task
from tests.helpers.command import invoke_json, refused
from tests.helpers.needs import require


@pytest.fixture
def parquet(tmp_path):
    require("pyarrow")

    def write(frame):
        frame.to_parquet(tmp_path / "data.parquet")
        return tmp_path / "data.parquet"

    return write


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


def frame(n=30, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    return pd.DataFrame(X, columns=["a", "b"]).assign(y=np.maximum(X[:, 0], 0.0))


def test_the_same_table_in_every_format(tmp_path, parquet, npz):
    given = frame()
    given.to_csv(tmp_path / "data.csv", index=False)
    X, y = given[["a", "b"]].to_numpy(), given["y"].to_numpy()
    tables = [read_table(tmp_path / "data.csv", "y"), read_table(parquet(given), "y"), read_table(npz(X=X, y=y), None)]
    for table, names in zip(tables, (("a", "b"), ("a", "b"), ("x0", "x1")), strict=True):
        np.testing.assert_array_equal(table.X, X)
        np.testing.assert_array_equal(table.y, y)
        assert (table.features, table.task, table.target) == (names, Task.REGRESSION, "y")
    found = [
        invoke_json("solve", tmp_path / f"data.{end}", *target, "--gates", 5)["objective"]
        for end, target in (("csv", ["--target", "y"]), ("parquet", ["--target", "y"]), ("npz", []))
    ]
    assert found[0] == found[1] == found[2]


def test_parquet_keeps_its_types(parquet):
    given = frame(4).assign(
        whole=pd.array([1, 2, 3, 4], dtype="Int64"),
        flag=[True, False, True, True],
        word=pd.Categorical(["no", "yes", "no", "yes"]),
    )
    table = read_table(parquet(given), "word")
    assert table.features == ("a", "b", "y", "whole", "flag")
    np.testing.assert_array_equal(table.X[:, 3:], [[1, 1], [2, 0], [3, 1], [4, 1]])
    assert (table.labels, table.task) == (("no", "yes"), Task.CLASSIFICATION)
    np.testing.assert_array_equal(table.y, [-1, 1, -1, 1])


def test_npz_takes_labels_and_one_column_of_targets(npz):
    table = read_table(npz(X=np.eye(3), y=np.array(["b", "a", "b"])), None)
    assert table.labels == ("a", "b")
    assert read_table(npz(X=np.eye(3, dtype=np.int32), y=np.ones((3, 1))), "y").y.shape == (3,)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1.0, np.nan, 2.0, 3.0]}, ["missing value in column 'a', row 2"]),
        ({"a": [1.0, np.inf, 2.0, 3.0]}, ["column 'a' must hold finite numbers", "row 2"]),
        ({"a": ["1", "x", "2", "3"]}, ["column 'a'", "'x'", "row 2"]),
        ({"a": pd.date_range("2024-01-01", periods=4)}, ["column 'a'", "numbers or text", "datetime64"]),
        ({"a": [1j, 2, 3, 4]}, ["column 'a'", "complex"]),
        ({"a": [[1], [2], [3], [4]]}, ["column 'a'", "numbers or text", "object"]),
    ],
)
def test_columns_of_parquet_that_cannot_be_used(parquet, columns, words, monkeypatch):
    given = frame(4).assign(**columns)
    if "complex" in words:  # Parquet has no such type
        monkeypatch.setattr("pandas.read_parquet", lambda *arguments, **options: given)
        path = parquet(frame(4))
    else:
        path = parquet(given)
    with pytest.raises(TableError) as caught:
        read_table(path, "y")
    for word in words:
        assert word in str(caught.value)


def test_a_row_of_parquet_without_values_is_not_skipped(parquet):
    given = frame(4)
    given.loc[2] = np.nan
    with pytest.raises(TableError, match="missing value in column 'a', row 3"):
        read_table(parquet(given), "y")


def test_files_that_are_no_parquet(tmp_path, parquet, monkeypatch):
    (tmp_path / "text.parquet").write_text("a,y\n1,2\n")
    (tmp_path / "folder.parquet").mkdir()
    for name, words in (("text", "is not a Parquet file"), ("none", "No such file"), ("folder", "Is a directory")):
        refused("solve", tmp_path / f"{name}.parquet", "--target", "y", words=[words])
    refused("solve", parquet(frame(4)), words=["--target", "'a', 'b', 'y'"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused("solve", parquet_bytes(tmp_path), "--target", "y", words=["pyarrow", "pip install 'cvxrelu[parquet]'"])


def parquet_bytes(folder):
    (folder / "any.parquet").write_bytes(b"PAR1")
    return folder / "any.parquet"


NAN = np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, 5.0]])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"A": np.eye(3)}, ["must be an npz file with arrays X and y"]),
        ({"X": np.ones(3), "y": np.ones(3)}, ["shapes (n, d) and (n,)", "(3,)"]),
        ({"X": np.eye(3), "y": np.ones(4)}, ["shapes (n, d) and (n,)", "(4,)"]),
        ({"X": np.eye(3), "y": np.ones((3, 2))}, ["shapes (n, d) and (n,)", "(3, 2)"]),
        ({"X": np.eye(3).astype(complex), "y": np.ones(3)}, ["X of", "must hold numbers", "complex128"]),
        ({"X": np.full((3, 2), "a"), "y": np.ones(3)}, ["X of", "must hold numbers", "<U1"]),
        ({"X": np.array([[None]] * 3), "y": np.ones(3)}, ["without objects"]),
        ({"X": NAN, "y": np.ones(3)}, ["missing value in column 'x0', row 2"]),
        ({"X": np.eye(3), "y": np.array([1.0, np.nan, 2.0])}, ["missing value in column 'y', row 2"]),
        ({"X": np.empty((3, 0)), "y": np.ones(3)}, ["has no feature"]),
        ({"X": np.ones((1, 2)), "y": np.ones(1)}, ["at least 2 are needed"]),
    ],
)
def test_arrays_of_npz_that_cannot_be_used(npz, arrays, words):
    refused("solve", npz(**arrays), words=words)


def test_files_that_are_no_npz(tmp_path, npz):
    (tmp_path / "text.npz").write_text("a,y\n1,2\n")
    (tmp_path / "cut.npz").write_bytes(npz(X=np.eye(3), y=np.ones(3)).read_bytes()[:200])
    np.save(tmp_path / "one.npy", np.eye(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name in ("text", "cut", "one"):
        refused("solve", tmp_path / f"{name}.npz", words=["must be an npz file with arrays X and y"])
    refused("solve", tmp_path / "none.npz", words=["cannot read", "No such file"])
    refused("solve", npz(X=np.eye(3), y=np.ones(3)), "--target", "price", words=["no column 'price'", "'x0', 'x1'"])
