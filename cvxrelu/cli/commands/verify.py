"""The command ``cvxrelu verify``."""

import pathlib
from typing import Annotated

import typer

from cvxrelu.cli.terminal import epilog

EPILOG = epilog(
    "cvxrelu verify net.cert --data train.npz",
    "cvxrelu verify net.cert --data train.npz --exact",
    codes="Exit codes: 0 verified; 1 rejected; 2 invalid input, or --exact is not available.",
)


def verify(
    certificate: Annotated[
        pathlib.Path,
        typer.Argument(metavar="CERTIFICATE", help="File written by --save-certificate or Certificate.save."),
    ],
    data: Annotated[pathlib.Path, typer.Option(metavar="FILE", help="npz file with the arrays X and y.")],
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Also verify in rational arithmetic: squared and Huber loss, small problems."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a single JSON object.")] = False,
) -> None:
    """Check a saved certificate against the data.

    Derives both bounds from weights, dual point and data, and rejects claims that they do not support, like the
    stand-alone file cvxrelu/certificates/checker.py, which needs only NumPy.
    """
    from cvxrelu.certificates import checker

    raise typer.Exit(checker.run(certificate, data, exact, as_json))
