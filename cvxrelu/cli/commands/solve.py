"""The command ``cvxrelu solve``."""

import pathlib
from typing import Annotated

import typer
from rich.console import Console

from cvxrelu.cli import options
from cvxrelu.cli.settings import Kind, Task
from cvxrelu.cli.terminal import ABOVE_TOLERANCE, check_outputs, epilog, print_json, working

EPILOG = epilog(
    "cvxrelu solve houses.csv --target price",
    "cvxrelu solve houses.csv --target price --kind relu --lam-ratio 0.05",
    "cvxrelu solve train.npz --loss logistic --json",
    "cvxrelu solve houses.csv --target price --save-network net.npz \\",
    "    --save-certificate net.cert --save-data train.npz",
    "cvxrelu verify net.cert --data train.npz",
)


def solve(
    data: options.Data,
    target: options.Target = None,
    task: options.Task = Task.AUTO,
    test_size: options.TestSize = 0.2,
    seed: options.Seed = 0,
    kind: options.Kind = Kind.GATED,
    gates: options.Gates = 100,
    loss: options.Loss = "squared",
    lam: options.Lam = None,
    lam_ratio: options.LamRatio = None,
    solver: options.Solver = "auto",
    tol: options.Tol = 1e-6,
    max_iter: options.MaxIter = None,
    time_limit: options.TimeLimit = None,
    save_network: Annotated[
        pathlib.Path | None,
        options.output("Write the network, for raw columns and a column of ones, as an npz file."),
    ] = None,
    save_certificate: Annotated[
        pathlib.Path | None, options.output("Write the certificate, for cvxrelu verify and for others to check.")
    ] = None,
    save_data: Annotated[
        pathlib.Path | None,
        options.output(
            "Write the standardised rows of training and certificate as an npz file: X, y, X_test, y_test and the "
            "standardisation."
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a network on your own table, with a certificate.

    Standardises the columns, samples gates, solves the convex program, maps its answer to a network and bounds how far
    it is from optimal, like the package's estimators in Python.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    outputs = {"network": save_network, "certificate": save_certificate, "data": save_data}
    with working(errors, "loading") as status:
        from cvxrelu.cli.data.network_files import check_network_file, save_rows, save_trained
        from cvxrelu.cli.data.tables import read_table, split_table
        from cvxrelu.cli.runs.solve import train_on_split
        from cvxrelu.cli.views.format import progress_line
        from cvxrelu.cli.views.solve import print_run, record

        check_outputs(list(outputs.values()), force)
        check_network_file(save_network)
        split = split_table(read_table(data, target, task), test_size, seed)
        settings = options.settings_of(
            kind, gates, loss, seed, tol, max_iter, time_limit, lam=lam, lam_ratio=lam_ratio, solver=solver
        )
        status.update("solving")
        run = train_on_split(split, settings, lambda step: status.update(f"solving: {progress_line(step)}"))
        if save_network is not None:
            save_trained(run.network, run.training, save_network, overwrite=force)
        if save_certificate is not None:
            run.certificate.save(save_certificate, overwrite=force)
        if save_data is not None:
            problem = run.certificate.problem
            save_rows(save_data, problem.X, problem.y, run.training, split, overwrite=force)
    written = {name: str(file) for name, file in outputs.items() if file is not None}
    if as_json:
        print_json({"file": str(data), "target": split.table.target} | record(run) | {"written": written})
    else:
        print_run(out, run, written)
    if not run.certificate.within(tol):
        raise typer.Exit(ABOVE_TOLERANCE)
