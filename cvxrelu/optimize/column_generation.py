"""Column generation over activation patterns: a master program that grows, and bounds for networks of any width."""

import time as clock
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights
from cvxrelu.certificates.certificate import Certificate, Rigor, certify, over_all_networks
from cvxrelu.certificates.rounded_certificate import choose, rounded_over_all_networks
from cvxrelu.exceptions import ConvergenceWarning
from cvxrelu.numerics.active_set import project_blocks
from cvxrelu.numerics.rounding import TINY
from cvxrelu.numerics.rows import row_norms
from cvxrelu.optimize.global_record import GlobalRecord
from cvxrelu.optimize.solve import solve
from cvxrelu.patterns.activation_patterns import ActivationPatterns, unique_columns
from cvxrelu.pricing.bounds import EXACT_RANK, LOOSER, SEARCH_RANK, bound_neurons, compile_search, feasible_multiple
from cvxrelu.pricing.local_search import NewNeuron, local_maxima, new_neuron
from cvxrelu.pricing.neuron_problem import NeuronBound, RowLines
from cvxrelu.pricing.relaxation import ascended_bound, relaxed_point, within_reach
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.runtime.interrupts import interrupts_noted, note_interrupt
from cvxrelu.runtime.threads import silenced
from cvxrelu.status import Status

_ADDED = 50  # most neurons added in a round
_IDLE = 3  # rounds that a pattern stays without a neuron
_STARTS, _MANY_STARTS = 100, 1_000  # of the ascent: random ones, and as many of the largest neurons
_LOW_RANK = 5  # up to this rank, branch and bound is faster than an ascent from more starts
_LOOSEST, _TIGHTEST = 1e-3, 1e-13  # relative gap of a master program
_TOL_FRACTION = 0.1  # relative gap of a master program, over the violation or tol
_NODES_PER_ROUND = 5_000  # cones of intermediate bounds: about a fifth of the time of a round, measured
_ZERO = 1e-9  # cosine of a row and a neuron taken as zero: both sides of the row are tried
_SET_UP = 5e-6  # set-up time of the relaxation, for each of K r^2 products, measured
_NEAR, _RELAXATION_AFTER = 1e-2, 1 / 3  # violation, or fraction of the time limit, at which the relaxation is solved


class _Master(NamedTuple):
    """A master program, its best weights, and the number of rounds that each pattern has been idle."""

    problem: ConvexReLU
    weights: Weights
    idle: NDArray[np.int64]


class _Proven(NamedTuple):
    """The best dual point, a multiple of t (n,), and the bound that makes it feasible; None for zero."""

    point: DualPoint
    t: FloatArray
    bound: NeuronBound | None


class _MasterInterruptedError(Exception):
    """Ctrl-C ended the solve of a master program; its best weights are kept."""


class ColumnGeneration:
    """State of column generation: master program with weights, best lower bound, and parameters of the next round."""

    def __init__(
        self,
        problem: ConvexReLU,
        lines: RowLines,
        weights: Weights,
        tol: float,
        rng: np.random.Generator,
        started: float,
        time_limit: float | None,
    ) -> None:
        # Related values are replaced together, as Ctrl-C may come at any time.
        self._master = _Master(problem, weights, np.zeros(len(problem.patterns), dtype=np.int64))
        self._proven = _Proven(self._scaled(np.zeros(problem.n), 0.0), np.zeros(problem.n), None)
        self.history: list[GlobalRecord] = []
        self._lines = lines
        if time_limit is not None:
            entered = clock.perf_counter()
            project_blocks.compile()
            compile_search(self._lines.rank)
            started += clock.perf_counter() - entered  # compilation is not counted
        self._tol, self._rng, self._started = tol, rng, started
        self._deadline = np.inf if time_limit is None else started + time_limit
        self._master_tol = _LOOSEST
        self._nodes = 0  # of intermediate bounds
        self._relaxed = False

    def run(self, callback: Callable[[GlobalRecord], Any] | None, verbose: bool) -> Status:
        """Run rounds until the gap is within tol or no progress is possible; return the status."""
        try:
            while True:
                status = self._round()
                record = self.history[-1]
                if verbose:
                    print(
                        f"round {record.n_iter:>4} {record.time:9.2f} s  objective {record.objective:.10g}  "
                        f"lower {record.lower:.10g}  {record.n_patterns} patterns  violation {record.violation:.1e}"
                    )
                stopped = callback is not None and callback(record)
                if status is not None:
                    return status
                if stopped:
                    return Status.STOPPED
        except _MasterInterruptedError:
            return Status.INTERRUPTED
        except KeyboardInterrupt:
            note_interrupt()
            return Status.INTERRUPTED

    @property
    def problem(self) -> ConvexReLU:
        """The master program."""
        return self._master.problem

    @property
    def weights(self) -> Weights:
        """Its best weights."""
        return self._master.weights

    def certificates(self, rigor: Rigor | None) -> tuple[Certificate, Certificate]:
        """Return the certificate of the weights computed in float64, with the best bound, and that of the rigor."""
        try:
            return self._certificates(rigor)
        except KeyboardInterrupt:
            note_interrupt()
            return self._certificates(rigor)  # start again

    def _certificates(self, rigor: Rigor | None) -> tuple[Certificate, Certificate]:
        point, t, proof = self._proven
        estimate = over_all_networks(certify(self.problem, self.weights), point, proof)
        return estimate, choose(
            estimate, lambda: rounded_over_all_networks(estimate, t, self._lines, proof), rigor, self._tol
        )

    def _round(self) -> Status | None:
        """Solve the master program, price, bound and add patterns; return a status if the search has ended."""
        lam = self.problem.lam
        t, gap = self._solve_master()
        if self._lines.rank <= EXACT_RANK:
            neurons = self._prove(t, [lam])
        else:
            neurons = self._price(t)
            neurons += self._prove(t, self._thresholds(neurons[0].value, gap))
            neurons.sort(key=lambda neuron: -neuron.value)
        violation = neurons[0].value / lam - 1.0
        if self._lines.rank > _LOW_RANK:
            self._update_bound(t, ascended_bound(self._lines, t))
        spent = (clock.perf_counter() - self._started) / (self._deadline - self._started)
        if self._lines.rank > SEARCH_RANK and (violation <= _NEAR or spent > _RELAXATION_AFTER):
            self._relax()
        upper = self.problem.objective(self.weights)
        self.history.append(
            GlobalRecord(
                n_iter=len(self.history) + 1,
                time=clock.perf_counter() - self._started,
                objective=upper,
                lower=min(self._proven.point.value, upper),
                violation=violation,
                n_patterns=len(self.problem.patterns),
            )
        )
        if upper - self._proven.point.value <= self._tol * abs(upper):
            return Status.OPTIMAL
        if clock.perf_counter() >= self._deadline:
            return Status.TIME_LIMIT
        n_added = self._add([neuron for neuron in neurons if neuron.value > lam * (1.0 + _TOL_FRACTION * self._tol)])
        tolerance = float(np.clip(_TOL_FRACTION * max(violation, self._tol), _TIGHTEST, self._master_tol))
        if n_added == 0:
            if self._lines.rank > SEARCH_RANK and violation <= self._tol and gap <= self._tol:
                return Status.UNPROVEN
            tolerance = _TOL_FRACTION * self._master_tol
            if tolerance < _TIGHTEST:
                return Status.STALLED
        self._master_tol = tolerance
        return None

    def _solve_master(self) -> tuple[FloatArray, float]:
        """Solve the master program; return the dual variable (n,) and the relative gap."""
        entered = interrupts_noted()
        solution = silenced(solve, ConvergenceWarning)(
            self.problem,
            "WorkingSet",
            tol=self._master_tol,
            start=self.weights,
            time_limit=self._time_left(),
        )
        problem = self.problem
        interrupted = interrupts_noted() > entered
        if not interrupted or solution.objective < problem.objective(self.weights):
            active = np.any(problem.blocks(solution.weights), axis=(0, 1, 3))
            self._master = _Master(problem, solution.weights, np.where(active, 0, self._master.idle + 1))
        if interrupted:
            raise _MasterInterruptedError
        return solution.dual.t[:, 0], solution.certificate.rel_gap

    def _time_left(self) -> float | None:
        return None if np.isinf(self._deadline) else max(self._deadline - clock.perf_counter(), 1e-3)

    def _price(self, t: FloatArray) -> list[NewNeuron]:
        """Return the best neurons of the ascent, with more starts if the first ones find none above lam."""
        blocks = self.problem.blocks(self.weights).reshape(-1, self.problem.d)
        sizes = row_norms(blocks)
        largest = np.argsort(-sizes, kind="stable")[:_STARTS]
        active = blocks[largest[sizes[largest] > 0.0]]
        ascend = partial(local_maxima, self.problem.X, t, active, rng=self._rng, deadline=self._deadline)
        neurons = ascend(n_starts=_STARTS)
        found = neurons[0].value > self.problem.lam * (1.0 + self._tol)
        if self._lines.rank > _LOW_RANK and not found and clock.perf_counter() < self._deadline:
            neurons = ascend(n_starts=_MANY_STARTS)
        return neurons

    def _thresholds(self, found: float, gap: float) -> list[float]:
        """Return the thresholds to prove for the maximum: multiples of the value found, and lam if within reach."""
        lam = self.problem.lam
        if self._lines.rank > SEARCH_RANK:
            return []
        thresholds = [factor * max(found, lam) for factor in LOOSER]
        last = lam * (1.0 + 0.5 * self._tol)
        return [*thresholds, last] if found <= last and gap <= 0.5 * self._tol else thresholds

    def _prove(self, t: FloatArray, thresholds: list[float]) -> list[NewNeuron]:
        """Bound the maximum of |t'(Xu)_+|, intermediate thresholds with limited work; return the neurons found.

        Work is counted in cones, not seconds, so that results are bitwise reproducible.
        """
        neurons = []
        for threshold in thresholds:
            intermediate = threshold >= LOOSER[-1] * self.problem.lam
            budget = _NODES_PER_ROUND * (len(self.history) + 1) - self._nodes if intermediate else None
            over = clock.perf_counter() >= self._deadline or (budget is not None and budget <= 0)
            if self._lines.rank > EXACT_RANK and (over or self._scaled(t, threshold).value <= self._proven.point.value):
                continue
            bound = bound_neurons(
                self.problem.X,
                self._lines,
                t,
                threshold,
                deadline=self._deadline,
                max_nodes=budget,
            )
            self._nodes += bound.n_nodes if intermediate else 0
            self._update_bound(t, bound)
            neurons += [new_neuron(self.problem.X, t, u, 0) for u in bound.candidates[:_ADDED]]
        return neurons

    def _relax(self) -> None:
        """Solve the relaxation, once, and keep its bound if it is the best so far."""
        left, (K, r) = self._time_left(), self._lines.E.shape
        if self._relaxed or not within_reach(self._lines) or (left is not None and left < _SET_UP * K * r**2):
            return
        self._relaxed = True
        problem = self.problem
        relaxed = relaxed_point(self._lines, problem.Y, problem.lam, problem.loss, time_limit=left)
        if relaxed is not None:
            self._update_bound(*relaxed)

    def _update_bound(self, t: FloatArray, bound: NeuronBound) -> None:
        """Keep the multiple of t made feasible by the bound, if its value is the best so far."""
        point = self._scaled(t, bound.upper)
        if point.value > self._proven.point.value or self._proven.bound is None:
            self._proven = _Proven(point, t, bound)

    def _scaled(self, t: FloatArray, upper: float) -> DualPoint:
        return feasible_multiple(self.problem.loss, self.problem.Y, self.problem.lam, t, upper)

    def _add(self, neurons: list[NewNeuron]) -> int:
        """Add the patterns of the best neurons, drop the idle ones, and return how many are new."""
        problem, patterns = self.problem, self.problem.patterns
        if not neurons:
            return 0  # dropping idle patterns alone could leave none
        kept = np.flatnonzero(self._master.idle <= _IDLE)
        new = np.column_stack([self._gates(neuron.u) for neuron in neurons[:_ADDED]])
        D = np.column_stack([np.asarray(patterns.D)[:, kept], problem.X @ new >= 0.0])
        first = unique_columns(D)  # without the zero pattern, with which X = 0 starts
        old = kept[first[first < len(kept)]]
        n_added = len(first) - len(old)
        if n_added == 0:
            return 0
        gates = None if patterns.G is None else np.column_stack([patterns.G[:, kept], new])[:, first]
        patterns = ActivationPatterns(D[:, first], gates)
        grown = problem.replace(patterns=patterns)
        blocks = problem.blocks(self.weights)[:, :, old]
        blocks = np.concatenate([blocks, np.zeros((2, 1, n_added, problem.d))], axis=2)
        idle = np.concatenate([self._master.idle[old], np.zeros(n_added, dtype=np.int64)])
        self._master = _Master(grown, grown.weights(blocks), idle)
        return n_added

    def _gates(self, u: FloatArray) -> FloatArray:
        """Return gates (d, k) of patterns whose cones contain u, with rows orthogonal to u on either side."""
        z, E = u @ self._lines.basis, self._lines.E
        products = E @ z
        zero = np.abs(products) <= _ZERO
        if not zero.any():
            return u[:, None]
        across = np.linalg.lstsq(E[zero], np.ones(int(zero.sum())), rcond=None)[0]
        moved = E[~zero] @ across
        ratios = np.abs(products[~zero]) / np.maximum(np.abs(moved), TINY)
        step = 0.5 * float(ratios.min(initial=1.0))
        gates: FloatArray = self._lines.basis @ np.column_stack([z + step * across, z - step * across])
        return gates
