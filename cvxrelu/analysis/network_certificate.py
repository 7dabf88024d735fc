"""The certificate of a network trained elsewhere."""

import os
from dataclasses import dataclass
from typing import Literal

from cvxrelu.certificates.certificate import RIGORS, Certificate, Rigor
from cvxrelu.networks.network import Network
from cvxrelu.numerics.gaps import relative_gap
from cvxrelu.pricing.local_search import NewNeuron
from cvxrelu.pricing.neuron_problem import NeuronBound
from cvxrelu.problems.base import ConvexProblem
from cvxrelu.problems.dual import DualPoint

Scope = Literal["patterns", "global"]


@dataclass(frozen=True, eq=False)
class NetworkCertificate:
    """Bounds on the suboptimality of a network, and a better network.

    Attributes
    ----------
    objective_given : float
        F + lam/2 (||W1||^2 + ||w2||^2) of the network as given, its biases as weights of the column of ones (an
        output bias b2 counts as lam |b2|). Infinite if the squares overflow.
    upper : float
        Objective of ``network``, which has the same predictions on X and is never worse; an upper bound of it for rigor
        "rounded".
    lower : float
        Lower bound on the objective of all networks in ``scope``.
    scope : str
        "patterns": all networks of the same kind whose neurons have the patterns of ``problem`` (and, for ReLU
        networks with several outputs, feed one output each). "global": all two-layer ReLU networks of any width, on
        the same X.
    rigor : str
        "rounded": ``upper``, ``improved_objective`` and ``lower`` account for all rounding errors, for the networks and
        data as stored in float64. "floating_point": they are estimates, computed in float64 without bounds of rounding
        errors.
    network : ReLUNetwork or GatedReLUNetwork
        The given network for ``problem.X``: layers balanced, no biases, gated neurons of equal pattern merged.
    dual : DualPoint
        The dual point whose objective is ``lower``. Its multipliers are those of the cones of ``problem``; none for
        scope "global", where feasible means that the maximum over ||u|| <= 1 of |t'(Xu)_+| is at most lam.
    certificate : Certificate
        Certificate of the convex program with the network's patterns, with the same scope, at the network's neurons
        summed by pattern and sign. `save` writes it.
    neuron : NewNeuron or None
        The new neuron that lowers the objective of ``network`` most, to first order: at the rate ``neuron.value -
        lam``, if that is positive. Found by local search, hence evidence only, unless ``neuron.exact``. None for gated
        networks, whose gates are fixed.
    improved : ReLUNetwork or GatedReLUNetwork or None
        The best network found, with the same patterns (any patterns for scope "global"), without dead and duplicate
        neurons; None with ``solve=False``.
    improved_objective : float or None
        Its objective, at most ``upper`` to rounding. ``lower`` holds for it too.
    improved_neuron : NewNeuron or None
        The new neuron that lowers the objective of ``improved`` most: a value above lam reveals a missing pattern.
    ones_appended : bool
        Whether ``problem.X`` is X with a column of ones appended, whose weights are the biases.
    proof : NeuronBound or None
        For scope "global": the proof that no neuron violates the dual constraint at ``dual``.
    """

    objective_given: float
    upper: float
    lower: float
    scope: Scope
    network: Network
    dual: DualPoint
    certificate: Certificate
    neuron: NewNeuron | None
    improved: Network | None
    improved_objective: float | None
    improved_neuron: NewNeuron | None
    ones_appended: bool
    proof: NeuronBound | None = None
    rigor: Rigor = "floating_point"

    @property
    def problem(self) -> ConvexProblem:
        """The convex program with the network's and the given patterns; its X includes the column of ones, if any."""
        return self.certificate.problem

    @property
    def gap(self) -> float:
        """``upper`` minus ``lower``: the largest possible suboptimality of the network within the scope."""
        return self.upper - self.lower

    @property
    def rel_gap(self) -> float:
        """``gap`` over the absolute value of ``upper``; 0 if the gap is 0."""
        return relative_gap(self.lower, self.upper)

    @property
    def improved_rel_gap(self) -> float | None:
        """Relative gap of ``improved``; None without one."""
        if self.improved_objective is None:
            return None
        return relative_gap(self.lower, self.improved_objective)

    def within(self, tol: float) -> bool:
        """Return whether the bounds show the network optimal to a relative gap of tol; see `Certificate.within`."""
        return self.rel_gap <= tol or self.gap <= self.problem.resolution

    @property
    def max_violation(self) -> float:
        """Largest violation of a cone by the network's neurons, in units of activation; rounding only."""
        return self.certificate.max_violation

    @property
    def kkt_residual(self) -> float:
        """KKT residual of the convex program at the network; see `Certificate`."""
        return self.certificate.kkt_residual

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the proof to a file that `load_certificate` and the checker read; see `Certificate.save`."""
        self.certificate.save(path, overwrite=overwrite)

    def __str__(self) -> str:
        problem = self.problem
        kind = "ReLU" if problem.has_cones else "gated ReLU"
        holds_for = (
            "two-layer ReLU networks of any width"
            if self.scope == "global"
            else f"{kind} networks whose neurons have one of {len(problem.patterns)} patterns"
            + (" and feed one output each" if problem.has_cones and problem.n_outputs > 1 else "")
        )
        inputs = f"{problem.d} inputs" + (" (a column of ones was appended to X)" if self.ones_appended else "")
        patterns = "any patterns" if self.scope == "global" else "same patterns"
        lines = [
            ("network", f"{kind}, {self.network.n_neurons} neurons of {inputs}, {problem.n_outputs} output(s)"),
            ("objective", f"{self.upper:.10g}  (layers balanced; {self.objective_given:.10g} as given)"),
            ("lower bound", f"{self.lower:.10g}  (dual objective of a feasible dual point)"),
            ("gap", f"{self.gap:.3e}  (relative {self.rel_gap:.3e})"),
            ("scope", f"{self.scope}: {holds_for}"),
            ("rigor", f"{self.rigor}: {RIGORS[self.rigor]}"),
            *([("proof", self.proof.method)] if self.proof is not None else []),
            *([("new neuron", _verdict(self.neuron, problem.lam))] if self.neuron is not None else []),
        ]
        if self.improved is not None:
            lines.append(
                ("improved", f"{self.improved_objective:.10g} with {self.improved.n_neurons} neurons, {patterns}")
            )
        if self.improved_neuron is not None:
            lines.append(("  new neuron", _verdict(self.improved_neuron, problem.lam)))
        return "\n".join(f"{name:<15} {value}" for name, value in lines)


def _verdict(neuron: NewNeuron, lam: float) -> str:
    values = f"largest |t'(Xu)_+| {neuron.value:.6g}, lam {lam:.6g}"
    if neuron.value > lam:
        return f"lowers the objective at the rate {neuron.value - lam:.3e} of its size ({values})"
    if neuron.exact:
        return f"none lowers the objective ({values}, exact)"
    return f"no better neuron found from {neuron.n_starts} starts: evidence, not a bound ({values})"
