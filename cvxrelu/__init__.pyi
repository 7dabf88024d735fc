"""Two-layer ReLU and gated-ReLU networks, trained to certified global optimality by convex programs."""

from cvxrelu._version import __version__

# Data and patterns
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.sampling import sample_patterns
from cvxrelu.patterns.enumeration import enumerate_patterns, iter_patterns, count_patterns
from cvxrelu.preprocessing.columns import ColumnScaling

# Problems, losses, penalties
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.losses.squared import Squared
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from cvxrelu.losses.weighted import Weighted
from cvxrelu.losses.base import Loss
from cvxrelu.penalties.group_norms import GroupL1, FeatureGroupL1, L1
from cvxrelu.penalties.quadratic import SquaredL2, NoPenalty
from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.base import Penalty
from cvxrelu.problems.cvxpy_values import read_weights, read_dual

# Solve
from cvxrelu.optimize.solve import solve
from cvxrelu.solvers.working_set.solver import WorkingSet
from cvxrelu.solvers.first_order.rfista import RFISTA
from cvxrelu.solvers.first_order.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.decompose import Decompose
from cvxrelu.solvers.first_order.accelerated_gradient import ProximalOptions

# Certificates
from cvxrelu.certificates.certificate import certify
from cvxrelu.analysis.certify_network import certify_network
from cvxrelu.certificates.portable import load_certificate

# Networks
from cvxrelu.networks.network import ReLUNetwork, GatedReLUNetwork
from cvxrelu.networks.convert import to_network, to_convex
from cvxrelu.networks.pruning import prune
from cvxrelu.analysis.polish import polish
from cvxrelu.networks.loading import load_network, from_torch, from_sklearn, from_onnx
from cvxrelu.networks.baselines import train_network

# From gated to ReLU
from cvxrelu.decompositions.decompose import decompose
from cvxrelu.analysis.approximation_bound import approximation_bound
from cvxrelu.analysis.minimum_norm import minimum_norm

# All networks
from cvxrelu.optimize.solve_global import solve_global
from cvxrelu.pricing.local_search import find_neuron

# Paths
from cvxrelu.optimize.path import regularization_path
from cvxrelu.analysis.nested_values import nested_values

# Estimators
from cvxrelu.estimators.single import ConvexReLURegressor, ConvexReLUClassifier, GatedReLURegressor, GatedReLUClassifier
from cvxrelu.estimators.cross_validated import (
    ConvexReLURegressorCV,
    ConvexReLUClassifierCV,
    GatedReLURegressorCV,
    GatedReLUClassifierCV,
)

# Results
from cvxrelu.optimize.solution import Solution
from cvxrelu.status import Status
from cvxrelu.solvers.interface import Record
from cvxrelu.certificates.certificate import Certificate
from cvxrelu.analysis.network_certificate import NetworkCertificate
from cvxrelu.certificates.portable import PortableCertificate
from cvxrelu.certificates.portable import Verdict
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.operators.gated_operator import GatedOperator
from cvxrelu.decompositions.native import ApproximateDecomposition
from cvxrelu.analysis.approximation_bound import Bound
from cvxrelu.analysis.minimum_norm import MinimumNorm
from cvxrelu.optimize.global_record import GlobalRecord
from cvxrelu.pricing.local_search import NewNeuron
from cvxrelu.optimize.path import Path
from cvxrelu.analysis.nested_values import NestedValues
from cvxrelu.networks.baselines import TrainingRun

# Errors and warnings
from cvxrelu.exceptions import (
    SolverError,
    SolverNotAvailableError,
    InsufficientMemoryError,
    CertificateError,
    ConvergenceWarning,
    ProgramSizeWarning,
    UnsupportedOptionWarning,
    CompilationCacheWarning,
)
from cvxrelu.certificates.checker import RejectedCertificate

__all__ = [
    "__version__",
    # Data and patterns
    "ActivationPatterns",
    "sample_patterns",
    "enumerate_patterns",
    "iter_patterns",
    "count_patterns",
    "ColumnScaling",
    # Problems, losses, penalties
    "ConvexReLU",
    "ConvexGatedReLU",
    "Squared",
    "Huber",
    "Logistic",
    "SoftmaxCrossEntropy",
    "Weighted",
    "Loss",
    "GroupL1",
    "FeatureGroupL1",
    "L1",
    "SquaredL2",
    "Nuclear",
    "NoPenalty",
    "Penalty",
    "read_weights",
    "read_dual",
    # Solve
    "solve",
    "WorkingSet",
    "RFISTA",
    "AugmentedLagrangian",
    "LeastSquares",
    "Decompose",
    "ProximalOptions",
    # Certificates
    "certify",
    "certify_network",
    "load_certificate",
    # Networks
    "ReLUNetwork",
    "GatedReLUNetwork",
    "to_network",
    "to_convex",
    "prune",
    "polish",
    "load_network",
    "from_torch",
    "from_sklearn",
    "from_onnx",
    "train_network",
    # From gated to ReLU
    "decompose",
    "approximation_bound",
    "minimum_norm",
    # All networks
    "solve_global",
    "find_neuron",
    # Paths
    "regularization_path",
    "nested_values",
    # Estimators
    "ConvexReLURegressor",
    "ConvexReLUClassifier",
    "ConvexReLURegressorCV",
    "ConvexReLUClassifierCV",
    "GatedReLURegressor",
    "GatedReLUClassifier",
    "GatedReLURegressorCV",
    "GatedReLUClassifierCV",
    # Results
    "Solution",
    "Status",
    "Record",
    "Certificate",
    "NetworkCertificate",
    "PortableCertificate",
    "Verdict",
    "DualPoint",
    "GatedOperator",
    "ApproximateDecomposition",
    "Bound",
    "MinimumNorm",
    "GlobalRecord",
    "NewNeuron",
    "Path",
    "NestedValues",
    "TrainingRun",
    # Errors and warnings
    "SolverError",
    "SolverNotAvailableError",
    "InsufficientMemoryError",
    "CertificateError",
    "RejectedCertificate",
    "ConvergenceWarning",
    "ProgramSizeWarning",
    "UnsupportedOptionWarning",
    "CompilationCacheWarning",
]
