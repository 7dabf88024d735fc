import dataclasses
import sys

import numpy as np
import pytest

from cvxrelu.cli.data.table_files import TableError
from cvxrelu.cli.data.tables import Table, read_table, split_table
from cvxrelu.cli.settings import Task
from tests.helpers.command import refused


@pytest.fixture
def write(tmp_path):
    def write_text(text, encoding="utf-8"):
        path = tmp_path / "data.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write_text


def make_table(n=20, classes=False, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)) * [1e-3, 1.0, 1e5] + [0.0, 5.0, -1e6]
    y = np.where(np.arange(n) % 4 == 0, 1.0, -1.0) if classes else 7.0 + 3.0 * rng.standard_normal(n)
    task = Task.CLASSIFICATION if classes else Task.REGRESSION
    return Table(X, y, ("a", "b", "c"), task, ("no", "yes") if classes else ())


def test_numbers_are_read_as_written(write):
    table = read_table(write("a, b ,y\n1,2.5,3\n-1e3, 4 ,0.1\n7,8,9\n"), "y")
    np.testing.assert_array_equal(table.X, [[1, 2.5], [-1e3, 4], [7, 8]])
    np.testing.assert_array_equal(table.y, [3, 0.1, 9])
    assert table.features == ("a", "b")
    assert table.task is Task.REGRESSION
    assert table.labels == ()


def test_the_extra_is_named_where_pandas_is_missing(write, monkeypatch):
    path = write("a,y\n1,2\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(TableError, match=r"pandas is needed to read tables: pip install 'cvxrelu\[tables\]'"):
        read_table(path, "y")
    refused("solve", path, "--target", "y", words=["pip install 'cvxrelu[tables]'"])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_dialects(write, separator, end, encoding):
    lines = ["größe,y", "1,2", "", '"3","4"', "5,6", ""]
    table = read_table(write(end.join(lines).replace(",", separator), encoding), "y")
    np.testing.assert_array_equal(table.X, [[1], [3], [5]])
    assert table.features == ("größe",)
    assert table.blank_lines == 1


@pytest.mark.parametrize(
    ("values", "labels", "y"),
    [
        (["b", "a", "b"], ("a", "b"), [1, -1, 1]),
        (["1", "0", "1.0"], ("0", "1"), [1, -1, 1]),
        (["10", "9", "10"], ("9", "10"), [1, -1, 1]),
        (["True", "False", "True"], ("False", "True"), [1, -1, 1]),
        ([" yes", "yes ", "1"], ("1", "yes"), [1, 1, -1]),
    ],
)
@pytest.mark.parametrize("task", [Task.AUTO, Task.CLASSIFICATION])
def test_two_values_are_classes_in_order(write, values, labels, y, task):
    path = write("a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values)))
    table = read_table(path, "y", task)
    assert table.task is Task.CLASSIFICATION
    assert table.labels == labels
    np.testing.assert_array_equal(table.y, y)


def test_two_numbers_may_be_a_regression(write):
    table = read_table(write("a,y\n1,0\n2,1\n"), "y", Task.REGRESSION)
    assert table.task is Task.REGRESSION
    np.testing.assert_array_equal(table.y, [0, 1])


BAD_TEXT = {
    "empty": ("", ["is empty"]),
    "blank": ("\n \n", ["is empty"]),
    "no target": ("a,b\n1,2\n3,4\n", ["no column 'y'", "'a', 'b'"]),
    "no feature": ("y\n1\n2\n", ["no feature", "'y'"]),
    "no row": ("a,y\n", ["0 row(s)", "at least 2"]),
    "one row": ("a,y\n1,2\n", ["1 row(s)", "at least 2"]),
    "missing": ("a,b,y\n1,2,3\n\n4,NA,\n7,,9\n", ["missing value", "'b'", "line 4", "3 in all"]),
    "missing target": ("a,y\n1,2\n3,\n", ["missing value", "'y'", "line 3", "1 in all"]),
    "short line": ("a,b,y\n1,2,3\n4,5\n", ["missing value", "'y'", "line 3"]),
    "long line": ("a,y\n1,2\n3,4,5\n", ["not a table", "line 3", "saw 3"]),
    "open quote": ('a,y\n1,"2\n3,4\n', ["not a table"]),
    "text feature": ("a,y\n1,2\n\nred,4\nblue,5\n", ["'a'", "text, 'red'", "line 4", "2 in all"]),
    "infinite": ("a,y\n1,2\n-inf,4\n", ["'a'", "infinite", "'-inf'", "line 3"]),
    "overflow": ("a,y\n1,2\n3,1e999\n", ["'y'", "infinite", "'1e999'", "line 3"]),
    "duplicate": ("a,y,a\n1,2,3\n4,5,6\n", ["more than one column 'a'"]),
    "duplicate target": ("a,y,y\n1,2,3\n4,5,6\n", ["more than one column 'y'"]),
    "unnamed": (",a,y\n0,1,2\n1,3,4\n", ["column 1", "no name in line 1"]),
    "unnamed and empty": ("a,y,\n0,1,\n1,3,\n", ["column 3", "no name in line 1"]),
    "text of three": ("a,y\n1,r\n2,g\n3,b\n", ["'y'", "3 distinct", "'b', 'g', 'r'", "two classes"]),
    "text of one": ("a,y\n1,r\n2,r\n", ["'y'", "1 distinct", "two classes"]),
}


@pytest.mark.parametrize(("text", "words"), BAD_TEXT.values(), ids=BAD_TEXT)
def test_bad_tables_say_what_and_where(write, text, words):
    with pytest.raises(TableError) as caught:
        read_table(write(text), "y")
    for word in words:
        assert word in str(caught.value)


def test_classification_of_numbers_needs_two(write):
    with pytest.raises(TableError, match="3 distinct value.*1, 2, 3.*two classes"):
        read_table(write("a,y\n1,1\n2,2\n3,3\n"), "y", Task.CLASSIFICATION)


def test_regression_of_text_says_where(write):
    with pytest.raises(TableError, match="'y' must hold finite numbers; got text, 'b', in line 3"):
        read_table(write("a,y\n1,1\n2,b\n"), "y", Task.REGRESSION)


def test_long_listings_are_cut(write):
    names = ",".join(f"c{i}" for i in range(30))
    with pytest.raises(TableError, match=r"'c19', \.\.\. \(30 in all\)"):
        read_table(write(f"{names}\n{names}\n"), "y")


def test_unreadable_files(tmp_path):
    with pytest.raises(TableError, match="cannot read .*none.csv: No such file"):
        read_table(tmp_path / "none.csv", "y")
    with pytest.raises(TableError, match="cannot read .*: Is a directory"):
        read_table(tmp_path, "y")
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(TableError, match="not text in UTF-8"):
        read_table(tmp_path / "book.xlsx", "y")


@pytest.mark.parametrize("classes", [False, True])
def test_rows_are_split_as_they_are(classes):
    table = make_table(classes=classes)
    split = split_table(table, 0.25, seed=1)
    assert split.X_train.shape == (15, 3)
    assert split.X_test.shape == (5, 3)
    rows = np.column_stack([np.vstack([split.X_train, split.X_test]), np.append(split.y_train, split.y_test)])
    given = np.column_stack([table.X, table.y])
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], given[np.argsort(given[:, 0])])  # each row once
    if classes:
        assert (split.y_train == 1.0).mean() == pytest.approx(0.25, abs=0.05)


def test_the_seed_decides_the_split():
    table = make_table()
    first, again, other = (split_table(table, 0.25, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.X_test, again.X_test)
    assert not np.array_equal(first.y_test, other.y_test)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e8])
def test_constant_columns_are_told(size):
    table = make_table()
    X = np.column_stack([table.X[:, 0], np.full(20, 0.1 * size), np.zeros(20), size + 1e-6 * size * np.arange(20)])
    split = split_table(Table(X, table.y, ("a", "k", "zero", "slow"), Task.REGRESSION), 0.0, seed=0)
    assert split.constant == ("k", "zero")
    np.testing.assert_array_equal(split.X_train, X)
    assert split.X_test.shape == (0, 4)


def test_the_hash_is_of_the_training_rows():
    table = make_table()
    first, again, other = (split_table(table, size, seed=0).rows_sha256 for size in (0.25, 0.25, 0.5))
    assert first == again != other
    assert split_table(dataclasses.replace(table, y=-table.y), 0.25, seed=0).rows_sha256 != first


@pytest.mark.parametrize("test_size", [-0.1, 1.0, 2.0, float("nan")])
def test_bad_test_sizes(test_size):
    with pytest.raises(ValueError, match="test size must be"):
        split_table(make_table(), test_size, seed=0)


def test_too_few_rows_of_a_class():
    table = make_table(n=4, classes=True)
    with pytest.raises(TableError, match="4 rows cannot be split with test size 0.2.*0 trains on all"):
        split_table(table, 0.2, seed=0)
    assert len(split_table(table, 0.0, seed=0).y_train) == 4


def test_values_too_large_to_scale():
    table = make_table()
    with pytest.raises(TableError, match="'b' are too large to standardise"):
        split_table(Table(table.X * [1, 1e300, 1], table.y, table.features, table.task), 0.2, seed=0)
    with pytest.raises(TableError, match="'the target' are too large to standardise"):
        split_table(Table(table.X, table.y * 1e300, table.features, table.task), 0.2, seed=0)
