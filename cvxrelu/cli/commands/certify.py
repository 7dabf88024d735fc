"""The command ``cvxrelu certify``."""

import pathlib
from typing import Annotated

import typer
from rich.console import Console

from cvxrelu.cli import options
from cvxrelu.cli.settings import Scope
from cvxrelu.cli.terminal import ABOVE_TOLERANCE, check_outputs, epilog, print_json, working

EPILOG = epilog(
    "cvxrelu certify net.npz --data train.npz --lam 0.01",
    "cvxrelu certify net.npz --data train.npz --lam 0.01 --scope global",
    "cvxrelu certify net.onnx --data houses.csv --target price --lam 0.1 \\",
    "    --save-network better.npz",
)


def certify(
    network: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="NETWORK",
            help="npz file of --save-network or network.save; npz file with arrays W1 (m, d) and w2 (m,), and b1 (m,) "
            "and b2 if there are biases; or ONNX file.",
        ),
    ],
    data: Annotated[
        pathlib.Path,
        typer.Option(
            metavar="FILE",
            help="npz file with arrays X and y, or a table; columns as the network takes them, without the column of "
            "ones.",
        ),
    ],
    lam: Annotated[float, typer.Option(help="Strength of the weight decay in the objective.")],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Column to predict, if the data are a table; by default that of a network of solve."
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="<name>",
            help="squared, huber, logistic or softmax. Default: that of the training by solve, else squared.",
        ),
    ] = None,
    scope: Annotated[
        Scope,
        typer.Option(
            metavar="<name>",
            help="What the bound holds for. patterns: networks with its activation patterns; global: all networks.",
        ),
    ] = Scope.PATTERNS,
    tol: Annotated[float, typer.Option(help="Relative gap at which the network counts as optimal.")] = 1e-6,
    time_limit: Annotated[float, typer.Option(help="Time limit in seconds for scope global.")] = 300.0,
    save_network: Annotated[pathlib.Path | None, options.output("Write the better network certificate.")] = None,
    save_certificate: Annotated[
        pathlib.Path | None, options.output("Write the certificate, for cvxrelu verify.")
    ] = None,
    save_data: Annotated[
        pathlib.Path | None, options.output("Write the certified X, including its column of ones, and y.")
    ] = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Bound how far a trained network is from optimal.

    The network may come from any trainer. Its objective, with weight decay lam/2 of all squared weights and biases, is
    compared with a lower bound, and a better network with the same patterns (scope global: any) is trained.

    A network of cvxrelu solve is certified as it was trained: on standardised columns, and on its training rows if the
    table holds them.
    """
    out, errors = Console(highlight=False), Console(stderr=True)
    outputs = {"network": save_network, "certificate": save_certificate, "data": save_data}
    with working(errors, "loading") as status:
        from cvxrelu._files import write_arrays
        from cvxrelu.cli.data.network_files import check_network_file, save_rows, save_trained
        from cvxrelu.cli.runs.certify import certify_file, read_subject
        from cvxrelu.cli.views.certify import network_record, print_network

        check_outputs(list(outputs.values()), force)
        check_network_file(save_network)
        subject = read_subject(network, data, target)
        status.update("certifying")
        certificate = certify_file(subject, lam, loss, scope, tol=tol, time_limit=time_limit)
        training = subject.training
        if save_network is not None and certificate.improved is not None:
            better = subject.raw(certificate.improved)
            if training is None:
                better.save(save_network, overwrite=force)
            else:
                save_trained(better, training, save_network, overwrite=force)
        if save_certificate is not None:
            certificate.save(save_certificate, overwrite=force)
        if save_data is not None:
            X, y = certificate.problem.X, certificate.problem.y
            if training is None:
                write_arrays(save_data, {"X": X, "y": y}, overwrite=force)
            else:
                save_rows(save_data, X, y, training, overwrite=force)
    written = {name: str(file) for name, file in outputs.items() if file is not None}
    if as_json:
        print_json(
            {"network": str(network), "data": str(data)}
            | network_record(certificate, subject, tol)
            | {"written": written}
        )
    else:
        print_network(out, certificate, subject, tol, written)
    if not certificate.within(tol):
        raise typer.Exit(ABOVE_TOLERANCE)
