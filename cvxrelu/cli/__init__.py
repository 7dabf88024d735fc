"""The command line: one module for each command, with shared code in `options` and `terminal`.

The commands import the rest of the package when they run, so that the help is quick.
"""

from typing import Annotated

import typer

from cvxrelu._version import __version__
from cvxrelu.cli.commands import certify, compare, demo, info, path, solve, verify
from cvxrelu.cli.terminal import block, paragraphs

_CODES = block(
    "Exit codes:",
    "0  gap within the tolerance (verify: verified; info: always)",
    "1  verify only: rejected",
    "2  invalid input, with an error message on stderr",
    "3  results shown, but with a larger gap; verify: failure of the machine",
    "130  interrupted",
)
_EXAMPLES = block(
    "Examples:",
    "cvxrelu demo",
    "cvxrelu solve houses.csv --target price --save-network net.npz",
    "cvxrelu path houses.csv --target price --plot path.png",
    "cvxrelu certify net.npz --data train.npz --lam 0.01",
    "cvxrelu solve --help",
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"cvxrelu {__version__}")
        raise typer.Exit


@app.callback(epilog=f"{_EXAMPLES}\n\n{_CODES}")
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Two-layer ReLU networks, trained to certified optimality by convex programs."""


_PANELS = {
    "Train, with a certificate": (demo, solve, path),
    "Certify and verify": (certify, verify),
    "Solvers": (compare, info),
}
for _panel, _modules in _PANELS.items():
    for _module in _modules:
        _name = _module.__name__.rpartition(".")[2]
        _command = getattr(_module, _name)
        app.command(_name, rich_help_panel=_panel, epilog=_module.EPILOG, help=paragraphs(_command.__doc__))(_command)
