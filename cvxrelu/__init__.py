"""Two-layer ReLU and gated-ReLU networks, trained to certified global optimality by convex programs."""

from cvxrelu._version import __version__
from cvxrelu.certificates import Certificate, certify
from cvxrelu.convex_problem import DualPoint
from cvxrelu.exceptions import (
    CertificateError,
    ConvergenceWarning,
    ProgramSizeWarning,
    SolverError,
    SolverNotAvailableError,
    UnsupportedOptionWarning,
)
from cvxrelu.gates import sample_patterns
from cvxrelu.losses import Huber, Logistic, Loss, SoftmaxCrossEntropy, Squared
from cvxrelu.networks import GatedReLUNetwork, ReLUNetwork, to_convex, to_network
from cvxrelu.operators import GatedOperator
from cvxrelu.patterns import ActivationPatterns
from cvxrelu.penalties import (
    L1,
    FeatureGroupL1,
    GroupL1,
    NoPenalty,
    Nuclear,
    Penalty,
    SquaredL2,
)
from cvxrelu.problems import ConvexGatedReLU, ConvexReLU
from cvxrelu.programs import read_dual, read_weights
from cvxrelu.solution import Solution
from cvxrelu.solve import solve
from cvxrelu.status import Status

__all__ = [
    "L1",
    "ActivationPatterns",
    "Certificate",
    "CertificateError",
    "ConvergenceWarning",
    "ConvexGatedReLU",
    "ConvexReLU",
    "DualPoint",
    "FeatureGroupL1",
    "GatedOperator",
    "GatedReLUNetwork",
    "GroupL1",
    "Huber",
    "Logistic",
    "Loss",
    "NoPenalty",
    "Nuclear",
    "Penalty",
    "ProgramSizeWarning",
    "ReLUNetwork",
    "SoftmaxCrossEntropy",
    "Solution",
    "SolverError",
    "SolverNotAvailableError",
    "Squared",
    "SquaredL2",
    "Status",
    "UnsupportedOptionWarning",
    "__version__",
    "certify",
    "read_dual",
    "read_weights",
    "sample_patterns",
    "solve",
    "to_convex",
    "to_network",
]
