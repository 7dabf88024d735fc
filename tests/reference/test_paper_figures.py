"""Figures 9, 12 and 15 of the paper at a toy scale: methods, profiles, results file."""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.needs import reason

pytest.importorskip("matplotlib", reason=reason("matplotlib"), exc_type=ImportError)

import cvxrelu as cr
from cvxrelu.solvers.first_order import accelerated_gradient as proximal
from cvxrelu.solvers.first_order import augmented_lagrangian
from cvxrelu.solvers.first_order.accelerated_gradient import ProximalOptions, iterate
from reference.paper import commands, figure9, figure12, figure15
from reference.paper.profiles import SUBGRADIENT, ahead, criterion_accuracy, solved_at, spread, verdict
from reference.paper.proximal_methods import CountedModel, Method, run_methods, squared_subgradient, trace_method
from reference.paper.traces import TAUS, Trace, paper_problem, proven_lower
from reference.runs import run_all

ADAPTIVE = [method for method in (*figure9.METHODS, *figure12.METHODS) if method.options.line_search]


def run(name, *options):
    parser = argparse.ArgumentParser()
    commands.configure(parser)
    return commands.run(parser.parse_args([name, *options, "--n-jobs", "1"]))


@pytest.fixture(scope="module")
def gated():
    return paper_problem(cr.ConvexGatedReLU, "wine", 0.03, 20)


@pytest.fixture(scope="module")
def lower(gated):
    return proven_lower(gated)[0]


def test_the_problem_is_the_papers_times_its_outputs(gated):
    assert (gated.n, gated.d, gated.n_outputs) == (143, 14, 3)
    assert gated.lam == pytest.approx(0.09)


@pytest.mark.parametrize("method", ADAPTIVE, ids=lambda method: method.name)
def test_methods_with_line_search_reach_the_certified_optimum(gated, lower, method):
    trace = Trace("wine", 0.03, method.name, 0.0)
    trace_method(gated, method, lower, 3000, trace)
    assert 0.0 <= trace.accuracy[-1] <= TAUS[-1]
    assert trace.kkt[-1] <= 1e-6
    assert trace.accuracy == sorted(trace.accuracy, reverse=True)
    assert trace.effort == sorted(set(trace.effort))
    assert proximal._MARGIN == 5.0


def test_a_fixed_step_of_1_over_L_is_that_of_the_theory(gated, lower):
    plain = ProximalOptions(accelerate=False, line_search=False)
    reference = 1.0 / CountedModel(gated, None).lipschitz()
    traces = []
    for step in (None, reference * gated.n_outputs):
        traces.append(Trace("wine", 0.03, "PGD", 0.0))
        trace_method(gated, Method("PGD", plain, step), lower, 60, traces[-1])
    np.testing.assert_allclose(traces[0].accuracy, traces[1].accuracy, rtol=1e-9)


def test_every_product_with_the_data_is_a_pass(gated):
    model = CountedModel(gated, None)
    points = iterate(model, gated.blocks(gated.zero_weights()), None, ProximalOptions(line_search=False))
    for _ in range(20):
        next(points)
    assert model.passes == 21  # the start, and one for each step
    searching = CountedModel(gated, 1e3)
    next(iterate(searching, gated.blocks(gated.zero_weights()), 1e3, ProximalOptions()))
    assert searching.passes > 5


def test_a_method_that_diverges_is_stopped(gated, lower):
    trace = Trace("wine", 0.03, "PGD", 0.0)
    trace_method(gated, Method("PGD", ProximalOptions(accelerate=False, line_search=False), 1e6), lower, 2000, trace)
    assert len(trace.effort) < 10
    assert min(trace.accuracy, default=np.inf) > 1.0


def test_the_least_subgradient_is_zero_at_the_optimum_alone(gated):
    solution = cr.solve(gated, "WorkingSet", tol=1e-11)
    gradient = gated.operator.adjoint(gated.gradient_point(solution.weights))
    assert squared_subgradient(solution.weights, gradient, gated.lam) <= 1e-10
    assert squared_subgradient(1.01 * solution.weights, gradient, 1.1 * gated.lam) >= 1e-5
    zero = np.zeros((1, 2, 2))
    slopes = np.array([[[3.0, 4.0], [0.0, 0.5]]])
    assert squared_subgradient(zero, slopes, 1.0) == pytest.approx(16.0)


def test_the_paper_leaves_out_problems_whose_optimum_is_zero():
    assert run_methods(figure12.METHODS, "iris", 100.0, 5, 10) == []
    assert figure15.run_deltas("iris", 100.0, 5, 10) == []
    with pytest.raises(SystemExit, match="choose smaller values with --lams"):
        run("figure9", "--data", "iris", "--lams", "100", "--gates", "5")


def test_the_augmented_lagrangian_comes_to_the_optimum_from_every_first_delta():
    records = [Trace(**record) for record in figure15.run_deltas("wine", 0.05, 8, 4000)]
    assert [trace.method for trace in records] == [name for pair in zip(*figure15._PAIRS, strict=True) for name in pair]
    for trace in records:
        assert 0.0 <= trace.accuracy[-1] <= 1e-2, trace.method
    assert len({tuple(trace.effort) for trace in records}) == len(records)
    assert augmented_lagrangian._FIRST_DELTA == 100.0


def trace(method, efforts, accuracy, lam=1.0, kkt=()):
    return Trace("d", lam, method, 0.0, list(efforts), [0.1 * effort for effort in efforts], list(accuracy), list(kkt))


def test_a_problem_is_solved_at_its_first_check_within_the_limit():
    traces = [
        trace("a", [10, 20, 40], [0.6, 0.05, 0.001], kkt=[1.0, 1e-7, 1e-7]),
        trace("b 1", [30], [0.4], kkt=[1.0]),
        trace("b 2", [5, 90], [0.9, 1e-9], kkt=[1.0, 0.0]),
    ]
    solved = solved_at(traces, {"a": "a", "b 1": "b", "b 2": "b"}, limit=50).set_index(["method", "sense"])
    assert solved.effort["a", "1"] == 10
    assert solved.effort["a", "0.1"] == 20
    assert solved.seconds["a", "0.01"] == pytest.approx(4.0)
    assert solved.effort["a", "0.0001"] == np.inf
    assert solved.effort["a", SUBGRADIENT] == 20
    assert solved.effort["b", "1"] == 5
    assert solved.effort["b", "0.5"] == 30
    assert solved.effort["b", "0.1"] == np.inf


def test_the_range_of_percentages_is_told():
    traces = [
        trace(method, [10], [accuracy], lam) for lam in (1.0, 2.0) for method, accuracy in (("a", 0.05), ("b", lam))
    ]
    solved = solved_at(traces, {"a": "a", "b": "b"}, limit=100)
    told = spread(solved, {"both": ["a", "b"], "b": ["b"]}, ["1", "0.1"])
    assert told == [
        "solved by both: 50 to 100 % to 1, 0 to 100 % to 0.1",
        "solved by b: 50 to 50 % to 1, 0 to 0 % to 0.1",
    ]


def test_what_the_papers_measure_means_is_told():
    runs = [trace("a", [1, 2], [0.5, 0.04], kkt=[1e-5, 1e-7]), trace("b", [1, 2], [0.002, 0.001], kkt=[1e-6, 1e-7])]
    assert criterion_accuracy([*runs, trace("c", [1], [0.9], kkt=[1.0])]) == [
        "kkt 1e-06 is first met in 2 runs: (objective - bound) / bound is then 2.1e-02 in the median, 4.0e-02 at most, "
        "and more than 0.01 in 1 of them"
    ]
    assert criterion_accuracy([trace("c", [1], [0.9])]) == []


@pytest.mark.parametrize(
    ("second", "counts", "told"),
    [
        ([50, 50, 50], (3, 0, 0), "holds at 0.1; open at 0.01"),
        ([10, 5, 50], (1, 1, 1), "open at 0.1, 0.01"),
        ([5, 5, 50], (1, 2, 0), "open at 0.01; does NOT hold at 0.1"),
    ],
)
def test_a_claim_holds_is_open_or_does_not_hold(second, counts, told):
    traces = [trace("a", [10], [0.05], lam) for lam in (1.0, 2.0, 3.0)]
    traces += [trace("b", [effort], [0.05], lam) for lam, effort in zip((1.0, 2.0, 3.0), second, strict=True)]
    solved = solved_at(traces, {"a": "a", "b": "b"}, limit=100)
    assert ahead(solved, "a", "b", "0.1") == counts
    assert verdict(solved, "a ahead of b", [("a", "b")], ["0.1", "0.01"])[-1] == f"a ahead of b: {told}"


@pytest.mark.parametrize("name", ["figure9", "figure12", "figure15"])
def test_a_figure_is_run_told_drawn_and_resumed(tmp_path, capsys, name):
    options = f"--data wine --lams 0.01 0.02 --gates 6 --limit 60 --out {tmp_path}".split()
    told = run(name, *options)
    assert told.startswith("2 problems: 1 data sets, 1 of them copies of the paper's 73, with 2 lam")
    assert "at most 60" in told
    assert "ahead, behind, level" in told
    module = commands.COMMANDS[name]
    for method in dict.fromkeys(module._FIGURE.names.values()):
        assert told.count(f"\n{method} ") >= 3
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert capsys.readouterr().out.count("done") == 2
    assert run(name, *options) == told
    assert capsys.readouterr().out == ""


def square(name, number):
    return [{"name": name, "square": number**2}]


def test_runs_go_on_from_a_line_that_was_not_finished(tmp_path, capsys):
    path, settings = tmp_path / "deep" / "runs.jsonl", {"gates": 5}
    keys = [("a", 0.1), ("a", 3.0), ("b", 2.0)]
    records = run_all(path, settings, keys, square, 1)
    assert [record["square"] for record in records] == [0.1**2, 9.0, 4.0]
    whole = path.read_text()
    path.write_text(whole[:-10])
    capsys.readouterr()
    assert run_all(path, settings, keys[::-1], square, 1) == records[::-1]
    assert capsys.readouterr().out == "b 2: done, 1 of 1\n"
    assert path.read_text() == whole
    assert all(json.loads(line) for line in whole.splitlines())


def test_other_settings_are_refused(tmp_path):
    path = tmp_path / "runs.jsonl"
    run_all(path, {"gates": 5}, [("a", 1.0)], square, 1)
    with pytest.raises(SystemExit, match=r"holds runs with other settings .*'gates': 5.*--out"):
        run_all(path, {"gates": 6}, [("a", 1.0)], square, 1)


def test_the_full_scale_is_the_papers():
    parser = argparse.ArgumentParser()
    figure15.configure(parser)
    assert "full: 10000" in parser.format_help()
    full = figure15._FIGURE.full
    assert replace(full, data=()) == replace(figure9._FIGURE.full, data=(), gates=500, limit=10_000)
    assert len(full.data) == 30
    np.testing.assert_allclose(full.lams, [1e-5, 6.3096e-5, 3.9811e-4, 2.5119e-3, 1.5849e-2, 0.1], rtol=1e-4)
