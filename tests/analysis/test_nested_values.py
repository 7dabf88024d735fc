"""Bounds on nested sets of patterns hold Clarabel's values, are monotone and ordered, and hold without convergence."""

from dataclasses import replace

import numpy as np
import pytest

import cvxrelu as cr
from cvxrelu.analysis import nested_values as nested
from cvxrelu.analysis.nested_values import NestedValues, nested_values
from tests.helpers.cases import make_problem

SIZES = [1, 3, 6, 9]
PROBLEM = make_problem("gated", shape="collinear", n_gates=12)


def interval(solver, kind, size, problem):
    arguments = (problem.X, problem.y, problem.patterns, problem.lam, problem.loss, problem.penalty)
    cls = cr.ConvexReLU if kind == "relu" else cr.ConvexGatedReLU
    solution = cr.solve(cls(*arguments).restrict(np.arange(size)), solver, tol=1e-7)
    return solution.lower, solution.objective


def bounds(result):
    return (result.gated_lower, result.gated_upper), (result.relu_lower, result.relu_upper)


@pytest.mark.parametrize("kind", ["gated", "relu"])
@pytest.mark.parametrize("penalty", ["group_l1", "l1", "feature_group_l1", "squared_l2"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_intervals_contain_clarabels_values(kind, penalty, loss):
    problem = make_problem(kind, loss, penalty, shape="collinear", n_gates=12)
    result = nested_values(problem, SIZES)
    assert result.complete
    for name, (lower, upper) in zip(("gated", "relu"), bounds(result), strict=True):
        assert np.all(np.diff(lower) <= 0.0)
        assert np.all(np.diff(upper) <= 0.0)
        assert np.all(lower <= upper)
        assert np.all(upper - lower <= 1e-4 * upper)
        for j, size in enumerate(SIZES):
            below, above = interval("CLARABEL", name, size, problem)
            assert max(below, lower[j]) <= min(above, upper[j]) + 1e-12
    if penalty in ("group_l1", "l1"):
        assert np.all(result.gated_upper <= result.relu_upper)
        assert np.all(result.gated_lower <= result.relu_lower)


def test_columns_of_the_result():
    result = nested_values(PROBLEM, np.array(SIZES))
    np.testing.assert_array_equal(result.sizes, SIZES)
    np.testing.assert_array_equal(result.requested, SIZES)
    for array in (result.gated_active, result.relu_active, result.gated_seconds, result.relu_seconds):
        assert array.shape == (4,)
        assert np.all(array > 0)
    assert np.all(result.gated_active <= SIZES)
    assert result.gated_lower[-1] > 0.0


def test_gated_and_relu_problems_give_equal_results():
    first, second = (nested_values(make_problem(kind).with_lam(0.05), [2, 4]) for kind in ("gated", "relu"))
    for a, b in zip(bounds(first), bounds(second), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def solved(monkeypatch):
    """Record the arguments (problem, start) of each call of `solve`."""
    calls = []

    def count(problem, *args, **keywords):
        calls.append((problem, keywords["start"]))
        return cr.solve(problem, *args, **keywords)

    monkeypatch.setattr(nested, "solve", count)
    return calls


def test_each_size_starts_from_the_one_before_with_zeros(solved):
    result = nested_values(PROBLEM, [3, 7])
    (_, first), _, (gated, gated_start), (relu, relu_start) = solved
    assert first is None
    assert len(gated.patterns) == 7
    np.testing.assert_array_equal(gated.patterns.D, PROBLEM.patterns.D[:, :7])
    for problem, start, upper in ((gated, gated_start, result.gated_upper), (relu, relu_start, result.relu_upper)):
        blocks = problem.blocks(start)
        assert blocks[..., :3, :].any()
        assert not blocks[..., 3:, :].any()
        assert problem.objective(start) == pytest.approx(upper[0], rel=1e-12)


def patch_bounds(monkeypatch, changes):
    """Change the bounds that the solve of (kind, size) reports."""

    def solve(problem, *args, **keywords):
        solution = cr.solve(problem, *args, **keywords)
        change = changes.get((type(problem).__name__, len(problem.patterns)))
        return solution if change is None else replace(solution, certificate=change(solution.certificate))

    monkeypatch.setattr(nested, "solve", solve)


def test_loose_bounds_are_tightened_by_the_other_sizes_and_the_other_kind(monkeypatch):
    sharp = nested_values(PROBLEM, [2, 5, 8])
    patch_bounds(
        monkeypatch,
        {
            ("ConvexGatedReLU", 2): lambda certificate: replace(certificate, lower=0.0),
            ("ConvexGatedReLU", 8): lambda certificate: replace(certificate, upper=10 * certificate.upper),
            ("ConvexReLU", 5): lambda certificate: replace(certificate, lower=0.0, upper=10 * certificate.upper),
            ("ConvexReLU", 8): lambda certificate: replace(certificate, lower=0.0),
        },
    )
    loose = nested_values(PROBLEM, [2, 5, 8])
    assert loose.gated_lower[0] == sharp.gated_lower[1]
    assert loose.gated_upper[2] == min(sharp.gated_upper[1], sharp.relu_upper[2])
    assert loose.relu_upper[1] == sharp.relu_upper[0]
    assert loose.relu_lower[1] == sharp.gated_lower[1]
    assert loose.relu_lower[2] == sharp.gated_lower[2]


def test_kinds_are_not_compared_if_their_penalties_are_not_comparable(monkeypatch):
    problem = make_problem("gated", penalty="squared_l2", n_gates=12)
    patch_bounds(monkeypatch, {("ConvexReLU", 5): lambda certificate: replace(certificate, lower=0.0)})
    assert nested_values(problem, [2, 5]).relu_lower[1] == 0.0
    without = nested_values(problem.with_lam(0.0), [2, 5], tol=1e-3)
    assert np.all(without.relu_lower >= without.gated_lower)


@pytest.mark.parametrize(
    ("case", "name"),
    [(("ConvexGatedReLU", 8), "C-GReLU"), (("ConvexReLU", 8), "C-ReLU")],
)
def test_bounds_that_contradict_nesting_are_rejected(monkeypatch, case, name):
    def too_high(certificate):
        return replace(certificate, lower=100.0, upper=100.0)

    patch_bounds(monkeypatch, {case: too_high})
    with pytest.raises(cr.CertificateError, match=rf"exceeds upper bound .* of {name} on pattern set 1 of 2"):
        nested_values(PROBLEM, [2, 8])


def test_a_gated_value_above_the_relu_value_is_rejected(monkeypatch):
    patch_bounds(
        monkeypatch, {("ConvexGatedReLU", 2): lambda certificate: replace(certificate, lower=100.0, upper=100.0)}
    )
    with pytest.raises(cr.CertificateError, match="C-GReLU on pattern set 1 of 1"):
        nested_values(PROBLEM, [2])


def test_ctrl_c_keeps_the_finished_sizes(monkeypatch):
    def solve(problem, *args, **keywords):
        def stop(record):
            raise KeyboardInterrupt

        late = len(problem.patterns) == 6 and isinstance(problem, cr.ConvexReLU)
        return cr.solve(problem, *args, **keywords, callback=stop if late else None)

    monkeypatch.setattr(nested, "solve", solve)
    result = nested_values(PROBLEM, SIZES)
    assert not result.complete
    np.testing.assert_array_equal(result.sizes, SIZES[:2])
    np.testing.assert_array_equal(result.requested, SIZES)
    assert len(result.relu_upper) == len(result.gated_seconds) == 2
    assert repr(result) == "NestedValues(2 of 4 sizes)"


def test_ctrl_c_before_the_first_size_gives_an_empty_result(monkeypatch):
    def solve(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(nested, "solve", solve)
    result = nested_values(PROBLEM, SIZES)
    assert len(result) == len(result.gated_lower) == 0
    assert len(str(result).splitlines()) == 2


def test_missed_tolerances_give_one_warning_and_valid_bounds():
    sharp = nested_values(PROBLEM, SIZES)
    with pytest.warns(cr.ConvergenceWarning, match=r"of 8 solves .* above tol = 1\.00e-15") as caught:
        result = nested_values(PROBLEM, SIZES, solver="WorkingSet", tol=1e-15)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for (lower, upper), (sharp_lower, sharp_upper) in zip(bounds(result), bounds(sharp), strict=True):
        assert np.all(np.maximum(lower, sharp_lower) <= np.minimum(upper, sharp_upper) + 1e-12)


def test_a_cvxpy_solver_and_many_outputs():
    problem = make_problem("relu", c=3)
    result = nested_values(problem, [1, 4], solver="CLARABEL", tol=1e-6)  # a warning would be an error
    assert np.all(result.relu_upper - result.relu_lower <= 1e-6 * result.relu_upper)


def test_the_table_has_a_line_for_each_size():
    result = nested_values(PROBLEM, SIZES)
    lines = str(result).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [int(line.split("|")[0]) for line in lines[2:]] == SIZES
    gated, relu = (line.split() for line in lines[-1].split("|")[1:])
    assert float(gated[0]) == pytest.approx(result.gated_lower[-1], rel=1e-7)
    assert float(relu[1]) == pytest.approx(result.relu_upper[-1], rel=1e-7)
    assert int(relu[2]) == result.relu_active[-1]


def test_verbose_prints_a_line_for_each_solve(capsys):
    nested_values(PROBLEM, [2, 5], verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "2 patterns, gated" in lines[0]
    assert "5 patterns, ReLU" in lines[3]


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ([2, 2], ValueError, r"got \[2, 2\]"),
        ([3, 2], ValueError, r"got \[3, 2\]"),
        ([0, 2], ValueError, r"got \[0, 2\]"),
        ([2, 1000], ValueError, f"from 1 to {len(PROBLEM.patterns)}, the number of patterns"),
        (5, ValueError, r"got shape \(\)"),
        ([[1, 2]], ValueError, r"got shape \(1, 2\)"),
        ([], ValueError, "sizes must not be empty"),
        ([1.0, 2.0], TypeError, "dtype float64"),
        ([True], TypeError, "dtype bool"),
        (["a"], TypeError, "sizes must hold real numbers"),
    ],
)
def test_sizes_are_checked(sizes, error, message, solved):
    with pytest.raises(error, match=message):
        nested_values(PROBLEM, sizes)
    assert not solved


def test_other_arguments_are_checked(solved):
    with pytest.raises(TypeError, match="problem must be"):
        nested_values("problem", [1])
    with pytest.raises(ValueError, match="tol"):
        nested_values(PROBLEM, [1], tol=0.0)
    with pytest.raises(ValueError, match="'nuclear' is for ConvexGatedReLU"):
        nested_values(make_problem("gated", penalty="nuclear", c=3), [1])
    assert not solved


def test_results_are_frozen():
    assert NestedValues.__dataclass_params__.frozen
