"""Estimators for scikit-learn: two-layer networks trained to certified optimality on data as they come."""

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
    """`fit` of the estimators with one alpha."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Features; dense.
        y : array_like of shape (n,), or (n, c) for regressors
            Targets: numbers for regressors, labels of any kind for classifiers.
        sample_weight : array_like of shape (n,), optional
            Weights >= 0. They are as good as repeated rows; rows of weight zero are left out.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If data or a parameter are not understood; nothing is solved.
        SolverError
            If the solver is not installed or cannot take the problem.

        Warns
        -----
        ConvergenceWarning
            If the certified relative gap is above tol, with gap, tolerance and advice: after Ctrl-C too, which ends
            the training with the best network so far. The second Ctrl-C within a second is raised.
        """
        plan = self._plan()
        alpha = check_alpha(self.alpha, plan.patterns)
        data, targets, weights = self._read(X, y, sample_weight)
        check_outputs(targets, plan.patterns)
        training = Fit(plan, data, targets, weights)
        previous = getattr(self, "certificate_", None) if check_flag("warm_start", self.warm_start) else None
        solution = training.solve(alpha, previous)
        self._keep(training, solution)
        if not self.certificate_.within(plan.tol):
            warn(
                f"{type(self).__name__} ended with {shortfall(self.certificate_, solution, plan.tol)}",
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

    on standardised X and y, w the sample weights: `cvxrelu.ConvexReLU` with lam = alpha, whose optimum is that of the
    network with weight decay alpha/2 (||W1||^2 + ||w2||^2) among all networks whose neurons have the patterns D.
    Squared loss is 1/2 ||f_j - y_j||^2.

    Parameters
    ----------
    alpha : float >= 0
        Strength of the weight decay, for standardised data (> 0 for patterns="generate").
    n_gates : int
        Number of random gates, whose patterns are used; of "generate", those that it starts from.
    gate_kind : {"dense", "sparse", "convolutional"}
        Kind of the gates, as in `cvxrelu.sample_patterns`, but for the bias: each gate has a Gaussian one.
    gate_options : dict, optional
        ``order`` of "sparse"; ``image_shape`` and ``kernel_size`` of "convolutional".
    patterns : {"sampled", "enumerate", "generate"}
        "sampled": those of random gates. "enumerate": all patterns of X, where rank and rows are few (three features
        with the bias and a hundred rows, say). "generate": column generation (`cvxrelu.solve_global`): the certificate
        is of scope "global", over networks of any width, and proven to ``tol`` where the rank of X is at most about 8.
        One output only.
    loss : str
        "squared", "huber", or any other loss of real targets, by its name.
    delta : float > 0
        Of "huber": the residual, in standard deviations of y, beyond which the loss is linear (if ``standardize``).
    fit_intercept : bool
        Whether X gets a column of ones: a bias for each neuron, penalised like its other weights.
    standardize : bool
        Whether features and targets are divided by their standard deviations and, with ``fit_intercept``, centred. The
        targets' mean is given back by a neuron that is one everywhere. Sample weights count in both.
    solver : str or native solver
        As in `cvxrelu.solve`.
    tol : float
        Relative certified gap that is asked for: (upper - lower) <= tol * |upper|.
    max_iter : int, optional
        Limit of the solver's iterations.
    time_limit : float, optional
        Limit of the seconds of `fit`, without those of compilation at a first call.
    random_state : int, RandomState or None
        Seeds the gates and nothing else: the same int, the same gates, whatever the rows.
    warm_start : bool
        Whether `fit` starts from the last fit, where gates are the same (an int ``random_state``): the neurons of
        those gates, or for "generate" the patterns.
    verbose : bool
        Print each check of the gap.

    Attributes
    ----------
    network_ : ReLUNetwork
        The network for raw data, a column of ones appended to them if ``fit_intercept``.
    certificate_ : Certificate
        Bounds of the optimum of the problem above: on the rows given, standardised, those of weight zero left out.
        ``certificate_.problem`` holds them.
    objective_, lower_bound_, dual_gap_ : float
        Upper and lower bound of that certificate, and their difference.
    n_iter_ : int or None
        Iterations; None where the solver does not say.
    n_neurons_ : int
        Number of neurons of ``network_``, with the one for the mean of y.
    n_features_in_ : int
        Number d of features.
    feature_names_in_ : ndarray of shape (d,)
        Their names, where X has names that are strings.

    See Also
    --------
    ConvexReLURegressorCV : alpha by cross-validation.
    GatedReLURegressor : gates stay fixed: fewer constraints, faster.

    Notes
    -----
    Equal rows are merged and their weights added before the solve, and rows sorted: a fit does not depend on the order
    of the rows, and integer weights give the fit of repeated rows to the last bit. The certificate is made anew on the
    rows given. Computed in float64, whatever the precision of X.

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

    on standardised X and y, w the sample weights: `cvxrelu.ConvexGatedReLU` with lam = alpha. The gates stay as they
    are drawn: there are no cones, and patterns cannot be generated. Parameters, attributes, notes and errors are else
    those of `ConvexReLURegressor`; ``network_`` is a `GatedReLUNetwork`.

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

    on standardised X, w the sample weights: `cvxrelu.ConvexReLU` with lam = alpha. Parameters, attributes, notes and
    errors are those of `ConvexReLURegressor` but for what follows.

    Parameters
    ----------
    loss : str
        "logistic": log(1 + exp(-y f)) with y = +1 for the class and -1 for the rest; of two classes one output, of
        more the sum over one output each. "softmax": cross-entropy, one output for each class; for ReLU networks by
        CVXPY's solvers, far slower. "squared": 1/2 (f - y)^2 with the y of "logistic"; it has no probabilities.
        Or any other loss of labels, by its name.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
        The labels, sorted; those of rows of positive weight.

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

    on standardised X, w the sample weights: `cvxrelu.ConvexGatedReLU` with lam = alpha. Parameters, attributes, notes
    and errors are those of `GatedReLURegressor` and, for loss and classes, `ConvexReLUClassifier`; "softmax" is as fast
    as the others here.

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
