"""The command line: ``cvxrelu demo``, ``cvxrelu solve`` and ``cvxrelu verify``."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cvxrelu._version import __version__
from cvxrelu.settings import Kind, LossName, Settings, Task

# What the commands need of the package is imported inside them, so that the help is quick.

BAD_INPUT = 2
NOT_PROVED = 3
_STYLES = {"error": "red", "warning": "yellow", "check failed": "red"}
_EXIT_CODES = "Exit codes: 0 proved to the tolerance; 2 bad input; 3 shown, but not proved."

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: narrow terminals keep its lines whole
    context_settings={"help_option_names": ["-h", "--help"]},
)

Lam = Annotated[float, typer.Option(help="Strength of the weight decay.")]
Seed = Annotated[int, typer.Option(min=0, metavar="<int>", help="Of the split and the gates.")]
Solver = Annotated[str, typer.Option(help="WorkingSet, RFISTA, CLARABEL, ECOS, ...: native, or those of CVXPY.")]
Tol = Annotated[float, typer.Option(help="Relative gap that counts as proved.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cvxrelu {__version__}")
        raise typer.Exit


@app.callback(epilog=_EXIT_CODES)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Two-layer ReLU networks, trained to certified optimality by convex programs."""


@app.command(epilog=f"Example: cvxrelu demo --relu-patterns 10\n\n{_EXIT_CODES}")
def demo(
    gated_patterns: Annotated[int, typer.Option(min=1, metavar="<int>", help="Gates of the gated network.")] = 100,
    relu_patterns: Annotated[int, typer.Option(min=1, metavar="<int>", help="Gates of the ReLU network.")] = 25,
    lam: Lam = 1e-3,
    seed: Seed = 0,
    solver: Solver = "CLARABEL",
    tol: Tol = 1e-6,
) -> None:
    """Prove two networks optimal on real data, in under a minute.

    The convex programs of a gated ReLU and a ReLU network and their duals are solved on scikit-learn's
    breast-cancer data, and by the native solvers beside. The answers become networks, and all values must
    agree.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with errors.status("loading") as status, _reported(errors):
        from cvxrelu import demo as demonstration
        from cvxrelu.report import data_lines, results_grid

        split = demonstration.load_demo_split(seed)
        settings = [
            Settings(kind, gates, lam, seed=seed, solver=solver, tol=tol)
            for kind, gates in ((Kind.GATED, gated_patterns), (Kind.RELU, relu_patterns))
        ]
        outcomes = demonstration.run_demo(split, settings, status.update)
    runs = [outcome.run for outcome in outcomes]
    duals, natives = [outcome.dual for outcome in outcomes], [outcome.native for outcome in outcomes]
    _print_lines(out, ["Breast-cancer data, squared loss.", *data_lines(split)])
    out.print(results_grid(runs, duals, natives))
    failures = [sentence for outcome in outcomes for sentence in demonstration.failed_checks(outcome)]
    verdicts = demonstration.check_elsewhere(runs)
    if not all(verdicts):
        failures.append("the stand-alone checker did not verify a saved certificate")
    for sentence in failures:
        _print_message(errors, "check failed", sentence)
    if failures:
        raise typer.Exit(NOT_PROVED)
    _print_lines(out, [*demonstration.conclusions(runs), *verdicts])


@app.command(epilog=f"Example: cvxrelu solve houses.csv --target price --lam-ratio 0.05\n\n{_EXIT_CODES}")
def solve(
    data: Annotated[Path, typer.Argument(help="CSV file with a header and numeric features.")],
    target: Annotated[str, typer.Option(help="Column to predict: numbers, or two labels.")],
    kind: Annotated[Kind, typer.Option(metavar="<name>", help="gated or relu.")] = Kind.GATED,
    task: Annotated[
        Task,
        typer.Option(
            metavar="<name>", help="regression or classification; auto takes two distinct values for classes."
        ),
    ] = Task.AUTO,
    lam: Annotated[float | None, typer.Option(help="Strength of the weight decay; 0.01 if not given.")] = None,
    lam_ratio: Annotated[
        float | None, typer.Option(help="lam as a share of lam_max, at which no neuron is left.")
    ] = None,
    gates: Annotated[int, typer.Option(min=1, metavar="<int>", help="Random gates to sample.")] = 100,
    loss: Annotated[
        LossName, typer.Option(metavar="<name>", help="squared, huber, or logistic (for classes).")
    ] = LossName.SQUARED,
    test_size: Annotated[float, typer.Option(help="Share of the rows to test on; 0 for none.")] = 0.2,
    seed: Seed = 0,
    solver: Solver = "auto",
    tol: Tol = 1e-6,
    max_iter: Annotated[int | None, typer.Option(help="Iterations of the solver, at most.")] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds in the solver, at most.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Train a network on your own table, with a certificate.

    Scales the columns, samples gates, solves the convex program and maps its answer to a network; says how far
    from optimal that can be at most.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    with errors.status("loading") as status, _reported(errors):
        from cvxrelu.experiments import run_experiment
        from cvxrelu.report import data_lines, record, result_lines, results_grid
        from cvxrelu.tables import read_table, split_table

        if lam is not None and lam_ratio is not None:
            raise ValueError("give --lam or --lam-ratio, not both")
        split = split_table(read_table(data, target, task), test_size, seed)
        status.update("solving")
        run = run_experiment(
            split,
            Settings(
                kind=kind,
                gates=gates,
                lam=0.01 if lam is None else lam,
                lam_ratio=lam_ratio,
                loss=loss,
                seed=seed,
                solver=solver,
                tol=tol,
                max_iter=max_iter,
                time_limit=time_limit,
            ),
        )
    if as_json:
        typer.echo(json.dumps({"file": str(data), "target": target} | record(run), allow_nan=False, indent=2))
    else:
        _print_lines(out, data_lines(split))
        out.print(results_grid([run]))
        _print_lines(out, result_lines(run))
    if run.solution.status != "optimal":
        raise typer.Exit(NOT_PROVED)


@app.command(
    epilog="Example: cvxrelu verify network.cert --data train.npz\n\n"
    "Exit codes: 0 verified; 1 rejected; 2 bad input, or out of reach of --exact."
)
def verify(
    certificate: Annotated[Path, typer.Argument(help="File written by Certificate.save.")],
    data: Annotated[Path, typer.Option(help="npz file with the arrays X and y.")],
    exact: Annotated[
        bool, typer.Option("--exact", help="In rational arithmetic too: squared and Huber loss, small problems.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check a saved certificate against the data.

    Derives both bounds anew from weights, dual point and data, and rejects claims that are better. The same as the
    stand-alone file cvxrelu/checker.py, which needs NumPy alone.
    """
    from cvxrelu import checker

    raise typer.Exit(checker.run(certificate, data, exact, as_json))


@contextmanager
def _reported(errors: Console) -> Iterator[None]:
    """Turn the package's errors and warnings into lines on stderr."""
    from cvxrelu.exceptions import SolverError

    def show(message: Warning | str, *details: Any, **more: Any) -> None:
        _print_message(errors, "warning", message)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other libraries' deprecations
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        try:
            yield
        except (TypeError, ValueError, SolverError) as error:
            _print_message(errors, "error", error)
            raise typer.Exit(BAD_INPUT) from error


def _print_message(console: Console, word: str, message: object) -> None:
    line = " ".join(str(message).split())
    console.print(f"{word}: {line}", style=_STYLES[word], markup=False, highlight=False, soft_wrap=True)


def _print_lines(console: Console, lines: list[str]) -> None:
    console.print(*lines, sep="\n", markup=False)
