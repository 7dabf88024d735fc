"""Base class of the convex programs: validated data, objective and lam_max."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import FrozenInstanceError
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from cvxrelu._validation import FloatArray, Weights, check_matrix, check_number, check_numeric, check_targets, read_only
from cvxrelu.losses.base import Loss, require_range
from cvxrelu.losses.registry import get_loss
from cvxrelu.numerics.row_space import RowSpace
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.packed_mask import take_patterns
from cvxrelu.penalties.base import NormPenalty, Penalty, homogeneous
from cvxrelu.penalties.registry import get_penalty
from cvxrelu.problems.accuracy import accurate_forward, cancelling_size
from cvxrelu.problems.cvxpy_programs import build_program
from cvxrelu.problems.dual import DualPoint, DualProgram
from cvxrelu.problems.dual_workspace import DualWorkspace
from cvxrelu.problems.normalization import Normalized, exponents, normalize, ordinary_lam
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.problems.operators.shared import Patterns
from cvxrelu.runtime.memory import require

if TYPE_CHECKING:
    import cvxpy as cp


def check_block_array(name: str, value: Any, shape: tuple[int, ...], *, copy: bool = True) -> FloatArray:
    """Return an array of blocks in float64, checked; a copy, unless that is not needed."""
    array = check_numeric(name, value).astype(np.float64, copy=copy)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape (c, P, d) = {shape}; got {array.shape}")
    return array


# The parts of a problem and, for each cached attribute, the parts that it depends on; none depends on lam.
_SOURCES = {
    **{part: {part} for part in ("X", "y", "patterns", "lam", "loss", "penalty")},
    "Y": {"y"},
    "value_at_zero": {"y", "loss"},
    "resolution": {"y", "loss"},
    "_far": {"X", "y", "loss"},
    "exponents": {"X", "y", "loss"},
    "_cancelling_size": {"X", "y"},
    "row_space": {"X"},
    "mask": {"patterns"},
    "operator": {"X", "patterns"},
    "native_operator": {"X", "patterns"},
    "cones": {"X", "patterns"},
    "at_zero": {"X", "y", "patterns", "loss"},
    "_lam_max": {"X", "y", "patterns", "loss", "penalty"},
    "normal_data": {"X", "y", "patterns", "loss", "penalty"},
    "reduced_data": {"X", "y", "patterns", "loss", "penalty"},
    "normal": {"X", "y", "patterns", "lam", "loss", "penalty"},
}
_CLASS_SPECIFIC = {"row_space", "cones", "_lam_max", "normal_data", "reduced_data", "normal"}
_WEIGHT_ARRAYS, _REMEDY = 6, "take fewer gates"
_SAFE_EXPONENT = 160  # binary exponent of X and y up to which products of their fourth powers stay normal numbers


@lru_cache
def _kept(changed: frozenset[str]) -> tuple[str, ...]:
    """Return the names of the attributes that are independent of the changed ones."""
    return tuple(name for name, parts in _SOURCES.items() if changed.isdisjoint(parts))


class ConvexProblem(DualProgram):
    """Base class of `ConvexGatedReLU` and `ConvexReLU`; see there."""

    def __init__(
        self,
        X: Any,
        y: Any,
        patterns: ActivationPatterns,
        lam: float = 1e-3,
        loss: str | Loss = "squared",
        penalty: str | Penalty = "group_l1",
    ) -> None:
        data = check_matrix("X", X)
        if not isinstance(patterns, ActivationPatterns):
            raise TypeError(
                "patterns must be an ActivationPatterns, from sample_patterns(X, n_gates) or "
                f"ActivationPatterns(D, G); got {type(patterns).__name__}"
            )
        targets = check_targets(y, len(data))
        patterns.check_matches(data)
        self._set("X", read_only(data))
        self._set("y", read_only(targets[:, 0] if np.ndim(y) == 1 else targets))
        self._set("patterns", patterns)
        self._set("lam", check_number("lam", lam, minimum=0.0))
        self._set("loss", get_loss(loss))
        self._set("penalty", get_penalty(penalty))
        self.loss.check_targets(targets)
        self._check_penalty()

    X: FloatArray
    y: FloatArray
    patterns: ActivationPatterns
    lam: float
    loss: Loss
    penalty: Penalty
    has_cones: ClassVar[bool]  # whether blocks are pairs in the cones of their patterns
    normal_data: Normalized[Any] | None = None  # normalized problem at the last lam, cached by `normalize` for all lam
    normal: Normalized[Any] | None = None  # the same at lam, so that solver and certificate share its products
    reduced_data: ConvexProblem | None = None  # the same in the row space, cached by `rotate`

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to {name!r}: problems are frozen; build a new one")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(n={self.n}, d={self.d}, n_outputs={self.n_outputs}, "
            f"n_patterns={len(self.patterns)}, lam={self.lam:g}, loss={self.loss!r}, penalty={self.penalty!r})"
        )

    @property
    def n(self) -> int:
        """Number of rows of X."""
        return int(self.X.shape[0])

    @property
    def d(self) -> int:
        """Number of features."""
        return int(self.X.shape[1])

    @property
    def n_outputs(self) -> int:
        """Number c of outputs."""
        return int(self.Y.shape[1])

    @property
    def solved_columns(self) -> int:
        """Number of columns in solvers: min(n, d) if the penalty is rotation invariant, else d; see `rotation`."""
        return min(self.n, self.d) if self.penalty.rotation_invariant or self.lam == 0.0 else self.d

    @cached_property
    def Y(self) -> FloatArray:
        """Targets as a float64 array (n, c)."""
        Y = self.y.reshape(self.n, -1).astype(np.float64, copy=False)
        Y.flags.writeable = False
        return Y

    @cached_property
    def operator(self) -> GatedOperator:
        """A on (X, D) in float64, used for all reported values whatever the precision of X."""
        X = self.X.astype(np.float64, copy=False)
        X.flags.writeable = False
        return GatedOperator(X, self.mask)

    @cached_property
    def mask(self) -> Patterns:
        """The patterns in the forms that products take, shared with problems on other data."""
        return Patterns(self.patterns.D)

    @cached_property
    def native_operator(self) -> GatedOperator:
        """A on (X, D) in the precision of X, for the iterations of solvers."""
        return self.operator if self.X.dtype == np.float64 else self.operator.on_data(self.X)

    @cached_property
    def at_zero(self) -> tuple[FloatArray, FloatArray]:
        """The gradient t of F at zero (n, c) and A't (c, P, d), from which solvers start; independent of lam."""
        t = self.loss.gradient(np.zeros(self.Y.shape), self.Y)
        products = self.operator.adjoint(t)
        t.flags.writeable = products.flags.writeable = False
        return t, products

    @cached_property
    def value_at_zero(self) -> float:
        """F(0), the objective of zero weights."""
        if (ordinary := self._ordinary) is not None:
            return ordinary.value(ordinary.problem.value_at_zero)
        return self.loss.value(np.zeros(self.Y.shape), self.Y)

    @cached_property
    def _cancelling_size(self) -> float:
        """Size of weights above which predictions in float64 are too inaccurate; see `accuracy`."""
        return cancelling_size(self.operator.X, self.Y)

    @cached_property
    def resolution(self) -> float:
        """Objective that float64 cannot distinguish from 0; see `Loss.resolution`."""
        return self.loss.resolution(self.Y)

    @cached_property
    def _lam_max(self) -> float:
        if (normal := normalize(self)).problem is not self:
            return normal.lam(normal.problem._lam_max)
        if not isinstance(self.penalty, NormPenalty):
            return np.inf if np.any(self.at_zero[1]) else 0.0
        return float(homogeneous(self.penalty.dual_norm, self._argument_at_zero()))

    def _argument_at_zero(self) -> FloatArray:
        """Return the argument of the penalty's conjugate at `at_zero`."""
        return self.with_lam(0.0).conjugate_argument(self.at_zero[0], None, workspace=self.workspace_at_zero())[0]

    def workspace_at_zero(self) -> DualWorkspace:
        """Return a new workspace that holds the products of zero weights."""
        workspace = DualWorkspace()
        workspace.remember(self.operator, *self.at_zero)
        return workspace

    @cached_property
    def row_space(self) -> RowSpace | None:
        """Coordinates in the row space of X; None if n >= d."""
        return RowSpace.of(self.operator.X)

    @classmethod
    def of(cls, problem: ConvexProblem) -> Self:
        """Return the program of this class with the data of another problem, sharing its validated arrays.

        Raises
        ------
        ValueError
            If the class does not support the penalty.
        """
        if isinstance(problem, cls):
            return problem
        other = object.__new__(cls)
        _ = problem.operator  # compute now, to share it
        other.__dict__.update(
            {name: value for name, value in dict(vars(problem)).items() if name not in _CLASS_SPECIFIC}
        )
        other._check_penalty()
        return other

    def with_lam(self, lam: float) -> Self:
        """Return the same problem with another regularization strength, sharing the validated data."""
        return self.replace(lam=check_number("lam", lam, minimum=0.0))

    def replace(self, **changes: Any) -> Self:
        """Return the problem with some parts replaced, without checks; cached attributes that stay valid are shared.

        Parameters
        ----------
        **changes
            New values of ``X``, ``y`` (both copied, read-only), ``patterns``, ``lam``, ``loss`` or ``penalty``, or of
            attributes computed from them.

        Returns
        -------
        ConvexGatedReLU or ConvexReLU
            A problem of the same class.
        """
        return self._changed(**changes | {name: read_only(changes[name]) for name in {"X", "y"} & changes.keys()})

    def _changed(self, **changes: Any) -> Self:
        """Return the problem with some parts replaced, whose arrays are not copied."""
        other = object.__new__(type(self))
        cached = dict(vars(self))  # an atomic copy, as other threads may add to it
        other.__dict__.update({name: cached[name] for name in _kept(frozenset(changes)) if name in cached} | changes)
        return other

    def restrict(self, index: NDArray[np.intp]) -> Self:
        """Return the problem restricted to the patterns in ``index``."""
        gates = None if self.patterns.G is None else self.patterns.G[:, index]
        return self.replace(patterns=ActivationPatterns(take_patterns(self.patterns.D, index), gates))

    def on_data(self, X: FloatArray, y: FloatArray, lam: float, loss: Loss) -> Self:
        """Return the same kind of problem on normalized data with the same patterns, without checks or copies."""
        X.flags.writeable = y.flags.writeable = False
        changes: dict[str, Any] = {"y": y, "lam": lam, "loss": loss, "exponents": (0, 0), "_far": False}
        if X is self.X:
            self._share()
            return self._changed(**changes)
        other = self._changed(X=X, mask=self.mask, **changes)
        other._share()
        return other

    def _share(self) -> None:
        """Compute attributes of X and the patterns now, to share them between all lam."""
        _ = self.operator

    @cached_property
    def exponents(self) -> tuple[int, int]:
        """Exponents of two nearest to the sizes of X and y; see `normalization`."""
        return exponents(self)

    @cached_property
    def _far(self) -> bool:
        return max(map(abs, self.exponents)) > _SAFE_EXPONENT

    def require_ordinary_size(self) -> None:
        """Raise ValueError if squares of entries of X or y would over- or underflow in a search over all neurons."""
        if self._far:
            x_exponent, y_exponent = self.exponents
            raise ValueError(
                f"X and y have entries of about 2^{x_exponent} and 2^{y_exponent}, too far from 1 for a search over "
                "all neurons; divide X, y and lam by powers of two a, s and a s: the weights are then those of the "
                "same network over s / a"
            )

    @property
    def _ordinary(self) -> Normalized[Self] | None:
        """The normalized problem if squares would over- or underflow in this one; else None."""
        normal = normalize(self) if self._far else None
        return None if normal is None or normal.problem is self else normal

    @abstractmethod
    def blocks(self, weights: Weights) -> FloatArray:
        """Validate weights and return them as one float64 array of blocks: (c, P, d) or (2, c, P, d)."""

    @abstractmethod
    def weights(self, blocks: FloatArray) -> Weights:
        """Return an array of blocks as weights: the inverse of `blocks`."""

    @abstractmethod
    def _combined(self, blocks: FloatArray) -> FloatArray:
        """Return the gated weights (c, P, d) with the same prediction."""

    @abstractmethod
    def violation(self, weights: Weights) -> float:
        """Return the largest violation of a cone constraint, max (-(2 D - I) X w)_+, in units of activation."""

    @abstractmethod
    def repair(self, weights: Weights) -> Weights:
        """Return feasible weights near the given ones."""

    @abstractmethod
    def shortfall(self, weights: Weights, dual: DualPoint) -> float:
        """Return a bound of how far cone violations from rounding put the objective below the optimal value."""

    @abstractmethod
    def program_entries(self) -> int:
        """Return the number of non-zeros of the matrices of the CVXPY program, for dense X."""

    @abstractmethod
    def _check_penalty(self) -> None: ...

    def require_memory(self) -> None:
        """Raise InsufficientMemoryError if weights and arrays of their size do not fit in the free memory."""
        shape = self._blocks_shape()
        require(_WEIGHT_ARRAYS * 8.0 * math.prod(shape), f"Weights of shape {shape} and a few more arrays", _REMEDY)

    def require_range(self) -> None:
        """Raise ValueError if the objective, or lam after normalization of the data, leaves the range of float64."""
        require_range(self.loss, self.Y)
        if self._far and self.regularised:
            lam = ordinary_lam(self.lam, self.penalty, *self.exponents)
            if lam < min(self.lam, float(np.finfo(np.float64).tiny)):
                raise ValueError(
                    f"lam = {self.lam:g} is {lam:g} for normalized X and y, beyond the range of float64: rescale X or "
                    "y, or use lam = 0"
                )

    def zero_weights(self) -> Weights:
        """Return the weights of the empty network."""
        return self.weights(np.zeros(self._blocks_shape()))

    @abstractmethod
    def _blocks_shape(self) -> tuple[int, ...]: ...

    def predict(self, weights: Weights) -> FloatArray:
        """Return the prediction A u (n, c) on the rows of X."""
        return self.operator.forward(self._combined(self.blocks(weights)))

    def objective(self, weights: Weights) -> float:
        """Return F(A u) + lam * Omega(u); feasibility is not checked, see `violation`."""
        if (ordinary := self._ordinary) is not None:
            return ordinary.value(ordinary.problem.objective(ordinary.start(weights)))
        return self._value_and_prediction(weights)[0]

    def gradient_point(self, weights: Weights) -> FloatArray:
        """Return t = grad F(A u) (n, c), the dual variable of the weights."""
        return self.loss.gradient(self.predict(weights), self.Y)

    def objective_and_gradient(self, weights: Weights) -> tuple[float, FloatArray]:
        """Return `objective` and `gradient_point`, from one product."""
        if self._ordinary is not None:
            return self.objective(weights), self.gradient_point(weights)
        value, prediction = self._value_and_prediction(weights)
        return value, self.loss.gradient(prediction, self.Y)

    def _value_and_prediction(self, weights: Weights) -> tuple[float, FloatArray]:
        """Return the objective in the given units, and A u (n, c)."""
        blocks = self.blocks(weights)
        if not np.count_nonzero(blocks):
            return self.value_at_zero, np.zeros(self.Y.shape)
        prediction = accurate_forward(self.operator, self._combined(blocks), self._cancelling_size)
        regulariser = self.lam * self.penalty.value(blocks) if self.lam > 0.0 else 0.0
        return self.loss.value(prediction, self.Y) + regulariser, prediction

    def lam_max(self) -> float:
        """Return the smallest lam at which zero weights are optimal.

        It is the dual norm of A' grad F(0), over the cones for C-ReLU (exact, except for feature_group_l1 with cones:
        the upper end of an interval of relative width 1e-6). Infinite for penalties that are not norms, unless the
        gradient vanishes.
        """
        return self._lam_max

    def zero_is_optimal(self) -> bool:
        """Return whether lam is at least `lam_max`."""
        problem = normalize(self).problem
        return problem.lam >= problem._lam_max

    def to_cvxpy(self, form: Literal["primal", "dual"] = "primal") -> cp.Problem:
        """Return the program as a `cvxpy.Problem`; see `cvxrelu.problems.cvxpy_programs.build_program`.

        Examples
        --------
        >>> import numpy as np
        >>> import cvxrelu as cr
        >>> X = np.column_stack([np.linspace(-1, 1, 8), np.ones(8)])  # one feature, and the bias
        >>> y = np.abs(X[:, 0])
        >>> import cvxpy as cp
        >>> problem = cr.ConvexReLU(X, y, cr.enumerate_patterns(X), lam=0.01)
        >>> program = problem.to_cvxpy()
        >>> [constraint.label for constraint in program.constraints]
        ['prediction', 'cone_V', 'cone_W']
        >>> V, W = program.var_dict["V"], program.var_dict["W"]
        >>> rising = cp.Problem(program.objective, [*program.constraints, V[:, 0] >= 0, W[:, 0] <= 0])
        >>> bool(rising.solve(solver="CLARABEL") > cr.solve(problem).objective)  # |x| falls at first
        True
        """
        return build_program(self, form)


def check_problem(value: Any) -> ConvexProblem:
    """Return a problem unchanged; raise TypeError for anything else."""
    if not isinstance(value, ConvexProblem):
        raise TypeError(f"problem must be a ConvexGatedReLU or ConvexReLU; got {type(value).__name__}")
    return value


def as_weights(solution_or_weights: Any) -> Any:
    """Return the weights of a solution, or weights unchanged, without checks."""
    return getattr(solution_or_weights, "weights", solution_or_weights)
