"""Certified networks: a table, sentences, a record for machines."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from cvxrelu._version import __version__
from cvxrelu.cli.runs.certify import CertifiedNetwork
from cvxrelu.cli.terminal import print_lines
from cvxrelu.cli.views.format import finite, pairs_grid, value, written_lines


def print_network(out: Console, found: CertifiedNetwork, written: Mapping[str, str]) -> None:
    """Print what is proven of a network and what that means, and the files written, by what they hold."""
    out.print(network_grid(found))
    print_lines(out, [*network_lines(found), *written_lines(written)])


def network_grid(found: CertifiedNetwork) -> Grid:
    """Return what is proven of a network."""
    problem = found.certificate.problem
    balanced = "its layers balanced" + (", neurons of one pattern merged" if found.kind == "gated" else "")
    rows = {
        "network": f"{found.kind}, {found.n_neurons} neurons of {found.n_inputs} inputs, {found.n_outputs} output(s)",
        "data": f"{problem.n} rows, {problem.loss.name} loss, lam {problem.lam:.6g}",
        "objective": f"{value(found.upper)}  ({balanced}; {value(found.given)} as given)",
        "lower bound": f"{value(found.lower)}  (dual objective of a feasible dual point)",
        "gap": f"{found.upper - found.lower:.3e}  (relative {found.rel_gap:.1e})",
        "scope": f"{found.certificate.scope}: {_holds_for(found)}",
        "rigor": found.certificate.rigor,
    }
    if found.certificate.proof is not None:
        rows["proof"] = found.certificate.proof.method
    if found.neuron is not None:
        rows["new neuron"] = _neuron(found)
    patterns = "any patterns" if found.certificate.scope == "global" else "the same patterns"
    rows["better network"] = f"{value(found.improved_objective)} with {found.improved.n_neurons} neurons of {patterns}"
    return pairs_grid(rows)


def network_lines(found: CertifiedNetwork) -> list[str]:
    """Return what that means, a sentence a line."""
    lines = [""]
    if found.ones_appended:
        lines.append("X was given a column of ones: the biases are the weights of that column.")
    if found.proved:
        lines.append(f"Proved: to a relative gap of {found.rel_gap:.1e}, the network is optimal in this scope.")
    else:
        lines.append(
            f"Not proved optimal: the least objective in this scope may be up to {100 * found.rel_gap:.3g} % lower."
        )
        if found.bound_gap > found.tol:
            loose = f"The bound itself is loose by up to {100 * found.bound_gap:.3g} %, for the best network found."
            longer = " A longer --time-limit may help." if found.certificate.scope == "global" else ""
            lines.append(loose + longer)
    if found.certificate.scope == "patterns":
        lines.append("Networks with other patterns may do better: see --scope global, for ReLU networks of one output.")
    return lines


def network_record(found: CertifiedNetwork) -> dict[str, Any]:
    """Return the same in JSON's types."""
    certificate, neuron = found.certificate, found.neuron
    fields = {
        "version": __version__,
        "kind": found.kind,
        "n_neurons": found.n_neurons,
        "n_inputs": found.n_inputs,
        "n_outputs": found.n_outputs,
        "ones_appended": found.ones_appended,
        "n": certificate.problem.n,
        "loss": certificate.problem.loss.name,
        "lam": certificate.problem.lam,
        "n_patterns": len(certificate.problem.patterns),
        "scope": certificate.scope,
        "rigor": certificate.rigor,
        "proof": None if certificate.proof is None else certificate.proof.method,
        "tol": found.tol,
        "proved": found.proved,
        "objective_given": found.given,
        "objective": found.upper,
        "lower": found.lower,
        "gap": found.upper - found.lower,
        "rel_gap": found.rel_gap,
        "max_violation": certificate.max_violation,
        "kkt_residual": certificate.kkt_residual,
        "new_neuron": None if neuron is None else {"value": neuron.value, "exact": neuron.exact},
        "better_network": {"objective": found.improved_objective, "n_neurons": found.improved.n_neurons},
    }
    record: dict[str, Any] = finite(fields)
    return record


def _holds_for(found: CertifiedNetwork) -> str:
    if found.certificate.scope == "global":
        return "two-layer ReLU networks of any width"
    n_patterns = len(found.certificate.problem.patterns)
    one = " and feed one output each" if found.kind == "relu" and found.n_outputs > 1 else ""
    return f"networks of its kind, of any width, whose neurons have one of its {n_patterns} patterns{one}"


def _neuron(found: CertifiedNetwork) -> str:
    lam, neuron = found.certificate.problem.lam, found.neuron
    if neuron is None:
        return "not sought"
    share = f"largest |t'(Xu)_+| {neuron.value:.4g}, lam {lam:.4g}"
    if neuron.value > lam * (1.0 + found.tol):
        return f"would lower the objective, at the rate {neuron.value - lam:.2e} of its size ({share})"
    proven = neuron.exact or (found.certificate.scope == "global" and found.proved)
    sure = "none would lower it" if proven else "none found that would lower it, which proves nothing"
    return f"{sure}, to the tolerance ({share})"
