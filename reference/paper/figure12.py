"""Figure 12 of the paper: rules for the initial step of R-FISTA's line search, on C-GReLU."""

import argparse
from functools import partial

from cvxrelu.solvers.first_order.accelerated_gradient import ProximalOptions
from reference.paper.profiles import SUBGRADIENT
from reference.paper.proximal_methods import DEFAULT, FULL, Method, run_methods
from reference.paper.report import Figure, report
from reference.runs import add_scale_options

METHODS = (
    *(Method(f"lassplore {margin:g}", margin=margin) for margin in (2.0, 5.0, 10.0)),
    Method("keep", ProximalOptions(step_rule="keep")),
    Method("forward-track", ProximalOptions(step_rule="forward_track")),
)
_FIGURE = Figure(
    name="figure12",
    default=DEFAULT,
    full=FULL,
    work=partial(run_methods, METHODS),
    names={method.name: method.name for method in METHODS},
    claims={
        "lassplore with threshold 5, the paper's choice, ahead of keep and of forward-track": (
            ("lassplore 5", "keep"),
            ("lassplore 5", "forward-track"),
        ),
        "threshold 5 ahead of 2 and of 10": (("lassplore 5", "lassplore 2"), ("lassplore 5", "lassplore 10")),
    },
    senses=("0.1", "0.01", SUBGRADIENT),
    unit="passes over the data",
    notes=(
        "the initial step is 1.25 times the last one always (forward-track), never (keep), or if the last one was "
        "accepted with a margin (lassplore, with its threshold); passes include rejected steps",
        f"{SUBGRADIENT}: squared norm of the minimum-norm subgradient, the paper's criterion",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_scale_options(parser, DEFAULT, FULL, _FIGURE.unit)


def run(arguments: argparse.Namespace) -> str:
    """Figure 12: rules for the initial step of R-FISTA's line search, on C-GReLU."""
    return report(_FIGURE, arguments)
