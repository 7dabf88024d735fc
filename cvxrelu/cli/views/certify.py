"""Certified networks as a table, lines of text and a JSON record."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from cvxrelu._version import __version__
from cvxrelu.analysis.network_certificate import NetworkCertificate
from cvxrelu.cli.runs.certify import Subject
from cvxrelu.cli.terminal import print_lines
from cvxrelu.cli.views.format import RIGOR_SENTENCES, finite, pairs_grid, value, written_lines
from cvxrelu.pricing.local_search import NewNeuron


def print_network(
    out: Console, found: NetworkCertificate, subject: Subject, tol: float, written: Mapping[str, str]
) -> None:
    """Print the certificate of a network, its meaning and the files written."""
    out.print(network_grid(found, tol))
    print_lines(out, [*network_lines(found, subject, tol), *written_lines(written)])


def network_grid(found: NetworkCertificate, tol: float) -> Grid:
    """Return the certificate of a network as a table."""
    problem = found.problem
    balanced = "its layers balanced" + ("" if problem.has_cones else ", neurons of one pattern merged")
    size = f"{found.network.n_neurons} neurons of {problem.d} inputs, {problem.n_outputs} output(s)"
    rows = {
        "network": f"{_kind(found)}, {size}",
        "data": f"{problem.n} rows, {problem.loss.name} loss, lam {problem.lam:.6g}",
        "objective": f"{value(found.upper)}  ({balanced}; {value(found.objective_given)} as given)",
        "lower bound": f"{value(found.lower)}  (dual objective of a feasible dual point)",
        "gap": f"{found.gap:.3e}  (relative {found.rel_gap:.1e})",
        "scope": f"{found.scope}: {_holds_for(found)}",
        "rigor": found.rigor,
    }
    if found.proof is not None:
        rows["proof"] = found.proof.method
    if found.neuron is not None:
        rows["new neuron"] = _neuron(found, found.neuron, tol)
    if found.improved is not None and found.improved_objective is not None:
        patterns = "any patterns" if found.scope == "global" else "the same patterns"
        size = f"{found.improved.n_neurons} neurons of {patterns}"
        rows["better network"] = f"{value(found.improved_objective)} with {size}"
    return pairs_grid(rows)


def network_lines(found: NetworkCertificate, subject: Subject, tol: float) -> list[str]:
    """Return lines that explain the certificate."""
    lines = ["", *_training_lines(subject)]
    if found.ones_appended:
        lines.append("A column of ones was appended to X; its weights are the biases.")
    if found.within(tol):
        verdict = "Proved" if found.rigor == "rounded" else "Estimated"
        lines.append(f"{verdict}: to a relative gap of {found.rel_gap:.1e}, the network is optimal in this scope.")
    else:
        lines.append(f"Not proved optimal: the minimum in this scope may be up to {100 * found.rel_gap:.3g} % lower.")
        if found.improved_rel_gap is not None and found.improved_rel_gap > tol:
            loose = f"Even for the best network found, the gap is {100 * found.improved_rel_gap:.3g} %."
            lines.append(loose + (" A longer --time-limit may help." if found.scope == "global" else ""))
    lines.append(RIGOR_SENTENCES[found.rigor])
    if found.scope == "patterns":
        lines.append("Networks with other patterns may do better: see --scope global, for ReLU networks of one output.")
    return lines


def network_record(found: NetworkCertificate, subject: Subject, tol: float) -> dict[str, Any]:
    """Return the certificate in JSON types."""
    problem, neuron, improved = found.problem, found.neuron, found.improved
    better = None
    if improved is not None:
        better = {"objective": found.improved_objective, "n_neurons": improved.n_neurons}
    fields = {
        "version": __version__,
        "kind": _kind(found),
        "n_neurons": found.network.n_neurons,
        "n_inputs": problem.d,
        "n_outputs": problem.n_outputs,
        "ones_appended": found.ones_appended,
        "standardized": subject.training is not None,
        "rows_of_training": subject.known_rows,
        "n": problem.n,
        "loss": problem.loss.name,
        "lam": problem.lam,
        "n_patterns": len(problem.patterns),
        "scope": found.scope,
        "rigor": found.rigor,
        "proof": None if found.proof is None else found.proof.method,
        "tol": tol,
        "proved": found.rigor == "rounded" and found.within(tol),
        "objective_given": found.objective_given,
        "objective": found.upper,
        "lower": found.lower,
        "gap": found.gap,
        "rel_gap": found.rel_gap,
        "max_violation": found.max_violation,
        "kkt_residual": found.kkt_residual,
        "new_neuron": None if neuron is None else {"value": neuron.value, "exact": neuron.exact},
        "better_network": better,
    }
    record: dict[str, Any] = finite(fields)
    return record


def _training_lines(subject: Subject) -> list[str]:
    """Return lines about the data of a network trained by `cvxrelu solve`."""
    training = subject.training
    if training is None:
        return []
    n = len(subject.y)
    lines = ["Certified as trained: columns and target standardised, a column of ones for the biases."]
    if subject.known_rows and n < subject.n_given:
        lines.append(f"Rows: the {n} of {subject.n_given} that the network was trained on.")
    elif not subject.known_rows:
        lines.append(f"Rows: not the {training.n_rows} that the network was trained on.")
    return lines


def _kind(found: NetworkCertificate) -> str:
    return "relu" if found.problem.has_cones else "gated"


def _holds_for(found: NetworkCertificate) -> str:
    if found.scope == "global":
        return "two-layer ReLU networks of any width"
    problem = found.problem
    one = " and feed one output each" if problem.has_cones and problem.n_outputs > 1 else ""
    return f"networks of its kind, of any width, whose neurons have one of its {len(problem.patterns)} patterns{one}"


def _neuron(found: NetworkCertificate, neuron: NewNeuron, tol: float) -> str:
    lam = found.problem.lam
    values = f"largest |t'(Xu)_+| {neuron.value:.4g}, lam {lam:.4g}"
    if neuron.value > lam * (1.0 + tol):
        return f"would lower the objective, at the rate {neuron.value - lam:.2e} of its size ({values})"
    known = neuron.exact or (found.scope == "global" and found.within(tol))
    claim = "none would lower it" if known else "none found that would lower it, which proves nothing"
    return f"{claim}, to the tolerance ({values})"
