"""The catalogue of instances: names, sizes, and problems that are reproducible bit for bit."""

from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reference.datasets import openml
from reference.datasets.real import SCIKIT_LEARN, load_table
from reference.datasets.synthetic import SYNTHETIC, paper_classification
from reference.instances import CATALOGUE, fingerprint, select
from reference.instances.catalogue import ONLINE
from reference.instances.instance import Instance, on_grid
from reference.instances.optima import read
from tests.helpers.needs import needs_keel

HERE = [each for each in CATALOGUE if each.data in (*SCIKIT_LEARN, *SYNTHETIC) and each.size != "large"]


def test_there_is_something_of_everything():
    assert len(CATALOGUE) >= 60
    assert len({each.name for each in CATALOGUE + ONLINE}) == len(CATALOGUE) + len(ONLINE)
    for kind in ("gated", "relu"):
        assert {each.loss for each in CATALOGUE if each.kind == kind} == {"squared", "huber", "logistic", "softmax"}


@pytest.mark.parametrize("instance", HERE, ids=lambda each: each.name)
def test_rebuilt_bit_for_bit(instance):
    """Fingerprint, sizes and lam are those stored."""
    problem, stored = instance.problem(), read()[instance.name]
    assert fingerprint(problem) == stored.sha256
    assert problem.lam == stored.lam
    assert (problem.n, problem.d, len(problem.patterns), problem.n_outputs) == (
        stored.n,
        stored.d,
        stored.n_patterns,
        stored.n_outputs,
    )


@needs_keel
@pytest.mark.parametrize("name", ["sonar/relu/squared/P6/0.1", "hayes-roth/relu/softmax/P10/0.1", "german/*"])
def test_keel_files_are_rebuilt_bit_for_bit(name):
    (instance,) = select([name])
    assert fingerprint(instance.problem()) == read()[instance.name].sha256


@pytest.mark.parametrize("name", ["wine/gated/squared/P20/0.1", "ill_conditioned/gated/squared/P30/0.05", "spiked/*"])
def test_products_with_gates_are_exact(name):
    """Compared in integers: no rounding, hence no dependence on the order of summation."""
    (instance,) = select([name])
    problem = instance.problem()
    G = np.asarray(problem.patterns.G)
    for j in range(0, problem.n, 17):
        x = [int(value) for value in np.ldexp(problem.X[j], 60)]
        for i in range(G.shape[1]):
            exact = sum(a * int(b) for a, b in zip(x, np.ldexp(G[:, i], 12), strict=True))
            assert int(np.ldexp(problem.X[j] @ G[:, i], 40)) * 2**32 == exact
            assert problem.patterns.D[j, i] == (exact >= 0)


def test_the_fingerprint_sees_every_part():
    problem = Instance("wide", "gated", 4, 0.1, "small").problem()
    same = Instance("wide", "gated", 4, 0.1, "small").problem()
    assert fingerprint(problem) == fingerprint(same)
    X, y, patterns, lam = np.array(problem.X), np.array(problem.y), problem.patterns, problem.lam
    X[3, 4] = np.nextafter(X[3, 4], 1.0)
    assert fingerprint(type(problem)(X, problem.y, patterns, lam)) != fingerprint(problem)
    y[5] = np.nextafter(y[5], 9.0)
    assert fingerprint(type(problem)(problem.X, y, patterns, lam)) != fingerprint(problem)
    other = Instance("wide", "gated", 4, 0.1, "small", seed=1).problem()
    assert fingerprint(type(problem)(problem.X, problem.y, other.patterns, lam)) != fingerprint(problem)


@given(arrays(np.float64, (5, 2), elements=st.floats(-1e6, 1e6)))
def test_the_grid_is_fine_and_kept(values):
    rounded = on_grid(values)
    assert np.array_equal(on_grid(rounded), rounded)
    assert np.all(np.abs(rounded - values) <= 2.0**-22 * np.abs(values).max(axis=0))


def test_select():
    assert select(["small", "medium", "large"]) == list(CATALOGUE)
    assert [each.data for each in select(["wide/*"])] == ["wide", "wide"]
    assert select(["openml_eeg*"]) == [ONLINE[-1]]
    with pytest.raises(ValueError, match="there is no instance 'tiny'; choose from the sizes small, medium, large"):
        select(["small", "tiny"])


def test_paper_data():
    X, y = paper_classification(4000, 5, kappa=10.0)
    eigenvalues = np.linalg.eigvalsh(X.T @ X / len(X))
    assert eigenvalues[-1] / eigenvalues[0] == pytest.approx(10.0, rel=0.15)
    assert 0.3 < np.mean(y > 0) < 0.7
    _, published = paper_classification(4000, 50, kappa=10.0, as_published=True)
    assert np.mean(published > 0) > 0.9


@needs_keel
def test_nominal_columns_become_indicators():
    X, classes = load_table("tic-tac-toe")
    assert X.shape == (958, 27)  # three values in each of nine fields
    assert set(np.unique(X)) == {0.0, 1.0}
    assert np.bincount(classes).tolist() == [332, 626]
    with pytest.raises(ValueError, match="there is no data set 'nothing'; choose from"):
        load_table("nothing")


# --- OpenML ---------------------------------------------------------------------------------------------------------


class Bunch:
    def __init__(self, values):
        self.data, self.target = pd.DataFrame({"a": values}), pd.Series(["x", "y", "x"])


def test_offline(monkeypatch, tmp_path):
    def fail(**_):
        raise URLError("no network")

    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr(openml, "fetch_openml", fail)
    with pytest.raises(ConnectionError, match="openml_eeg .UCI EEG Eye State, number 1471.* go online once"):
        select(["openml_eeg*"])[0].problem()


def test_another_table_than_the_first_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr(openml, "fetch_openml", lambda **_: Bunch([1.0, 2.0, np.nan]))
    features, target = openml.fetch("openml_eeg")
    assert features["a"].tolist() == [1.0, 2.0]
    assert target.tolist() == ["x", "y"]
    openml.fetch("openml_eeg")
    monkeypatch.setattr(openml, "fetch_openml", lambda **_: Bunch([1.0, 2.5, np.nan]))
    with pytest.raises(ValueError, match="not the table that was downloaded first"):
        openml.fetch("openml_eeg")
