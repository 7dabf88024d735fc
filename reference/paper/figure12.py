"""Figure 12 of the paper: rules for the next first step of R-FISTA's line search, on C-GReLU."""

import argparse
from functools import partial

from cvxrelu.solvers.first_order.accelerated_gradient import ProximalOptions
from reference.paper.profiles import SUBGRADIENT
from reference.paper.proximal_methods import DEFAULT, FULL, Method, run_methods
from reference.paper.report import Figure, tell
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
        "its threshold 5 ahead of 2 and of 10": (("lassplore 5", "lassplore 2"), ("lassplore 5", "lassplore 10")),
    },
    senses=("0.1", "0.01", SUBGRADIENT),
    unit="passes over the data",
    notes=(
        "the next step tried is 1.25 times the last one always (forward-track), never (keep), or where that was "
        "accepted with a margin (lassplore, with its threshold); passes count rejected steps too",
        f"{SUBGRADIENT}: squared norm of the least subgradient, the paper's measure",
    ),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_scale_options(parser, DEFAULT, FULL, _FIGURE.unit)


def run(arguments: argparse.Namespace) -> str:
    """Figure 12: rules for the step of R-FISTA's line search, on C-GReLU."""
    return tell(_FIGURE, arguments)
