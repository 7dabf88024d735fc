"""scikit-learn estimators: two-layer networks trained to certified optimality on raw data."""

from collections.abc import Mapping
from typing import Any, Self

from cvxrelu._validation import check_flag
from cvxrelu.estimators.base import ConvexNetworkEstimator, GateKind, Patterns
from cvxrelu.estimators.checks import EstimatorConvergenceWarning, check_alpha, check_outputs, shortfall
from cvxrelu.estimators.classifier import NetworkClassifier
from cvxrelu.estimators.regressor import NetworkRegressor
from cvxrelu.estimators.training import Fit
from cvxrelu.runtime.threads import warn
from cvxrelu.solvers.interface import NativeSolver


class SingleFit(ConvexNetworkEstimator):
    """Base class of the estimators with a given alpha."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Features; dense.
        y : array_like of shape (n,), or (n, c) for regressors
            Targets: numbers for regressors, labels of any kind for classifiers.
        sample_weight : array_like of shape (n,), optional
            Weights >= 0. Integer weights are equivalent to repeated rows; rows of weight zero are left out.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If data or a parameter are invalid.
        SolverError
            If the solver is not installed or cannot solve the problem.

        Warns
        -----
        ConvergenceWarning
            If the certified relative gap is above tol, with gap, tolerance and advice. Ctrl-C ends the training with
            the best network so far and this warning; a second Ctrl-C within a second raises KeyboardInterrupt.
        """
        settings = self._settings()
        alpha = check_alpha(self.alpha, settings.patterns)
        data, targets, weights = self._read(X, y, sample_weight)
        check_outputs(targets, settings.patterns)
        fit = Fit(settings, data, targets, weights)
        previous = getattr(self, "certificate_", None) if check_flag("warm_start", self.warm_start) else None
        solution = fit.solve(alpha, previous)
        self._keep(fit, solution)
        if not self.certificate_.within(settings.tol):
            warn(
                f"{type(self).__name__} ended with {shortfall(self.certificate_, solution, settings.tol)}",
                EstimatorConvergenceWarning,
                stacklevel=2,
            )
        return self


class _SingleRegressor(SingleFit, NetworkRegressor):
    def __init__(
        self,
        alpha: float = 1e-3,
        *,
        n_gates: int = 100,
        gate_kind: GateKind = "dense",
        gate_options: Mapping[str, Any] | None = None,
        patterns: Patterns = "sampled",
        loss: str = "squared",
        delta: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = True,
        solver: str | NativeSolver = "auto",
        tol: float = 1e-6,
        max_iter: int | None = None,
        time_limit: float | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.alpha = alpha
        self.n_gates = n_gates
        self.gate_kind = gate_kind
        self.gate_options = gate_options
        self.patterns = patterns
        self.loss = loss
        self.delta = delta
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.time_limit = time_limit
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose


class _SingleClassifier(SingleFit, NetworkClassifier):
    def __init__(
        self,
        alpha: float = 1e-3,
        *,
        n_gates: int = 100,
        gate_kind: GateKind = "dense",
        gate_options: Mapping[str, Any] | None = None,
        patterns: Patterns = "sampled",
        loss: str = "logistic",
        fit_intercept: bool = True,
        standardize: bool = True,
        solver: str | NativeSolver = "auto",
        tol: float = 1e-6,
        max_iter: int | None = None,
        time_limit: float | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.alpha = alpha
        self.n_gates = n_gates
        self.gate_kind = gate_kind
        self.gate_options = gate_options
        self.patterns = patterns
        self.loss = loss
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.time_limit = time_limit
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose


class ConvexReLURegressor(_SingleRegressor):
    """Regression by a two-layer ReLU network, trained to certified optimality.

    minimise over V, W (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} (||V_{k,i}|| + ||W_{k,i}||),
                                   f = sum_i D_i X (V_i - W_i)
    subject to                     (2 D_i - I) X V_{k,i} >= 0,  (2 D_i - I) X W_{k,i} >= 0,

    on standardised X and y with sample weights w. This is `cvxrelu.ConvexReLU` with lam = alpha: its optimum is that of
    weight decay alpha/2 (||W1||^2 + ||w2||^2) over all networks whose neurons have the patterns D. Squared loss is
    1/2 ||f_j - y_j||^2.

    Parameters
    ----------
    alpha : float >= 0
        Strength of the weight decay, for standardised data (> 0 for patterns="generate").
    n_gates : int
        Number of random gates whose patterns are used; for "generate", the initial ones.
    gate_kind : {"dense", "sparse", "convolutional"}
        Kind of the gates, as in `cvxrelu.sample_patterns`; with ``fit_intercept`` each gate also has a Gaussian bias.
    gate_options : dict, optional
        ``order`` of "sparse"; ``image_shape`` and ``kernel_size`` of "convolutional".
    patterns : {"sampled", "enumerate", "generate"}
        "sampled": the patterns of random gates. "enumerate": all patterns of X, for few rows of low rank (such as a
        hundred rows of three columns, bias included). "generate": column generation (`cvxrelu.solve_global`); the
        certificate has scope "global", over networks of any width, and reaches ``tol`` if the rank of X is at most
        about 8. One output only.
    loss : str
        "squared", "huber", or the name of any other loss of real targets.
    delta : float > 0
        For "huber", the residual beyond which the loss is linear, in standard deviations of y if ``standardize``.
    fit_intercept : bool
        Whether to append a column of ones to X: a bias for each neuron, penalised like its other weights.
    standardize : bool
        Whether to divide features and targets by their standard deviations and, with ``fit_intercept``, centre them;
        a constant neuron restores the mean of the targets. Statistics are weighted by ``sample_weight``.
    solver : str or native solver
        As in `cvxrelu.solve`.
    tol : float
        Certified relative gap at which training stops: (upper - lower) <= tol * |upper|.
    max_iter : int, optional
        Limit of the solver's iterations.
    time_limit : float, optional
        Limit of `fit` in seconds, excluding compilation at a first call.
    random_state : int, RandomState or None
        Seed of the gates only: equal ints give equal gates, whatever the rows.
    warm_start : bool
        Whether `fit` starts from the previous fit: from the neurons whose gates are the same (an int ``random_state``),
        or for "generate" from its patterns.
    verbose : bool
        Whether to print each check of the gap.

    Attributes
    ----------
    network_ : ReLUNetwork
        The network for raw data, with a column of ones appended if ``fit_intercept``.
    certificate_ : Certificate
        Bounds on the optimal value of the problem above on the given rows, standardised, without those of weight zero.
        ``certificate_.problem`` holds these rows. Its ``rigor`` is "rounded", which means that the bounds hold in spite
        of rounding; but "floating_point", estimates, for alpha = 0, for a user-defined loss, for unequal weights of
        rows unless the loss is "squared", and where rounding would lift the gap above ``tol``.
    objective_, lower_bound_, dual_gap_ : float
        Upper and lower bound of that certificate, and their difference.
    n_iter_ : int or None
        Number of iterations; None if the solver does not report it.
    n_neurons_ : int
        Number of neurons of ``network_``, including the one for the mean of y.
    n_features_in_ : int
        Number d of features.
    feature_names_in_ : ndarray of shape (d,)
        Names of the features, if X has names that are strings.

    See Also
    --------
    ConvexReLURegressorCV : alpha by cross-validation.
    GatedReLURegressor : gates stay fixed: fewer constraints, faster.

    Notes
    -----
    Before the solve, equal rows are merged, their weights added, and rows sorted: a fit does not depend on the order of
    the rows, and integer weights give the fit of repeated rows to the last bit. The certificate is recomputed on the
    given rows. All computations are in float64.

    References
    ----------
    Pilanci & Ergen, "Neural Networks are Convex Regularizers", ICML 2020. Mishkin, Sahiner & Pilanci, "Fast Convex
    Optimization for Two-Layer ReLU Networks", ICML 2022.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = cr.ConvexReLURegressor(alpha=1e-3, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> bool(model.score(X, np.abs(X[:, 0])) > 0.99)
    True
    >>> bool(model.certificate_.rel_gap <= 1e-6)
    True
    """

    _relu = True


class GatedReLURegressor(_SingleRegressor):
    """Regression by a two-layer gated-ReLU network, trained to certified optimality.

    minimise over U (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} ||U_{k,i}||,
                                f = sum_i D_i X U_i

    on standardised X and y with sample weights w: `cvxrelu.ConvexGatedReLU` with lam = alpha. The gates are fixed, so
    there are no cones and patterns cannot be generated. Parameters, attributes, notes and errors are otherwise those of
    `ConvexReLURegressor`; ``network_`` is a `GatedReLUNetwork`.

    See Also
    --------
    GatedReLURegressorCV : alpha by cross-validation.
    ConvexReLURegressor : the ReLU network.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = cr.GatedReLURegressor(alpha=1e-3, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> bool(model.score(X, np.abs(X[:, 0])) > 0.99)
    True
    """

    _relu = False


class ConvexReLUClassifier(_SingleClassifier):
    """Classification by a two-layer ReLU network, trained to certified optimality.

    minimise over V, W (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} (||V_{k,i}|| + ||W_{k,i}||),
                                   f = sum_i D_i X (V_i - W_i)
    subject to                     (2 D_i - I) X V_{k,i} >= 0,  (2 D_i - I) X W_{k,i} >= 0,

    on standardised X with sample weights w: `cvxrelu.ConvexReLU` with lam = alpha. Parameters, attributes, notes and
    errors are those of `ConvexReLURegressor` except those below.

    Parameters
    ----------
    loss : str
        "logistic": log(1 + exp(-y f)) with y = +1 for the class and -1 for the rest; one output for two classes, else
        the sum over one output per class. "softmax": cross-entropy, one output per class; for ReLU networks solved by
        CVXPY's solvers, far slower. "squared": 1/2 (f - y)^2 with the y of "logistic"; it has no probabilities.
        Or the name of any other loss of labels.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
        The sorted labels of rows of positive weight.

    See Also
    --------
    ConvexReLUClassifierCV : alpha by cross-validation.
    GatedReLUClassifier : gates stay fixed: fewer constraints, faster.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> y = np.where(np.abs(X[:, 0]) < 0.5, "in", "out")
    >>> model = cr.ConvexReLUClassifier(alpha=1e-3, random_state=0).fit(X, y)
    >>> model.score(X, y)
    1.0
    """

    _relu = True


class GatedReLUClassifier(_SingleClassifier):
    """Classification by a two-layer gated-ReLU network, trained to certified optimality.

    minimise over U (c, P, d):  sum_j w_j loss(f_j, y_j) / sum_j w_j + alpha * sum_{k,i} ||U_{k,i}||,
                                f = sum_i D_i X U_i

    on standardised X with sample weights w: `cvxrelu.ConvexGatedReLU` with lam = alpha. Parameters, attributes, notes
    and errors are those of `GatedReLURegressor` and, for loss and classes, `ConvexReLUClassifier`; "softmax" is solved
    natively, as fast as the other losses.

    See Also
    --------
    GatedReLUClassifierCV : alpha by cross-validation.
    ConvexReLUClassifier : the ReLU network.

    Examples
    --------
    >>> import numpy as np
    >>> import cvxrelu as cr
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> y = np.where(np.abs(X[:, 0]) < 0.5, "in", "out")
    >>> model = cr.GatedReLUClassifier(alpha=1e-3, random_state=0).fit(X, y)
    >>> model.score(X, y)
    1.0
    """

    _relu = False
