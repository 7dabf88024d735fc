"""Figure 9 of the paper: effect of acceleration, restarts and line search on C-GReLU."""

import argparse
from functools import partial

from cvxrelu.solvers.first_order.accelerated_gradient import ProximalOptions
from reference.paper.profiles import SUBGRADIENT
from reference.paper.proximal_methods import DEFAULT, FULL, Method, run_methods
from reference.paper.report import Figure, report
from reference.runs import add_scale_options

_PLAIN = ProximalOptions(accelerate=False, line_search=False)
_STEPS = (10.0, 1.0, 0.1, 0.01)
METHODS = (
    Method("R-FISTA"),
    Method("FISTA", ProximalOptions(restart="none")),
    Method("PGD-LS", ProximalOptions(accelerate=False), step=1e-2),
    *(Method(f"PGD {step:g}", _PLAIN, step) for step in _STEPS),
    Method("PGD 1/L", _PLAIN, step=None),
)
_FIGURE = Figure(
    name="figure9",
    default=DEFAULT,
    full=FULL,
    work=partial(run_methods, METHODS),
    names={method.name: method.name for method in METHODS} | {f"PGD {step:g}": "PGD" for step in _STEPS},
    claims={
        "R-FISTA ahead of FISTA ahead of PGD-LS ahead of PGD": (
            ("R-FISTA", "FISTA"),
            ("FISTA", "PGD-LS"),
            ("PGD-LS", "PGD"),
        )
    },
    senses=("0.1", "0.01", SUBGRADIENT),
    unit="passes over the data",
    notes=(
        "FISTA: without restarts; PGD: without acceleration; LS: line search; PGD: the best on each problem of the "
        "fixed steps 10, 1, 0.1, 0.01, as in the paper; PGD 1/L: the theoretical step",
        f"{SUBGRADIENT}: squared norm of the minimum-norm subgradient, the paper's criterion",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_scale_options(parser, DEFAULT, FULL, _FIGURE.unit)


def run(arguments: argparse.Namespace) -> str:
    """Figure 9: R-FISTA, FISTA and proximal gradient with and without line search, on C-GReLU."""
    return report(_FIGURE, arguments)
