"""Two-layer ReLU and gated-ReLU networks, trained to certified global optimality by convex programs."""

from cvxrelu._version import __version__
from cvxrelu.analysis.approximation_bound import Bound, approximation_bound
from cvxrelu.analysis.certify_network import certify_network
from cvxrelu.analysis.minimum_norm import MinimumNorm, minimum_norm
from cvxrelu.analysis.nested_values import NestedValues, nested_values
from cvxrelu.analysis.network_certificate import NetworkCertificate
from cvxrelu.certificates.certificate import Certificate, certify
from cvxrelu.certificates.checker import RejectedCertificate, Verdict
from cvxrelu.certificates.portable import PortableCertificate, load_certificate
from cvxrelu.decompositions.decompose import decompose
from cvxrelu.decompositions.native import ApproximateDecomposition
from cvxrelu.estimators.cross_validated import (
    ConvexReLUClassifierCV,
    ConvexReLURegressorCV,
    GatedReLUClassifierCV,
    GatedReLURegressorCV,
)
from cvxrelu.estimators.single import ConvexReLUClassifier, ConvexReLURegressor, GatedReLUClassifier, GatedReLURegressor
from cvxrelu.exceptions import (
    CertificateError,
    CompilationCacheWarning,
    ConvergenceWarning,
    InsufficientMemoryError,
    ProgramSizeWarning,
    SolverError,
    SolverNotAvailableError,
    UnsupportedOptionWarning,
)
from cvxrelu.losses.base import Loss
from cvxrelu.losses.huber import Huber
from cvxrelu.losses.logistic import Logistic
from cvxrelu.losses.softmax import SoftmaxCrossEntropy
from cvxrelu.losses.squared import Squared
from cvxrelu.losses.weighted import Weighted
from cvxrelu.networks.baselines import TrainingRun, train_network
from cvxrelu.networks.convert import to_convex, to_network
from cvxrelu.networks.loading import from_onnx, from_sklearn, from_torch, load_network
from cvxrelu.networks.network import GatedReLUNetwork, ReLUNetwork
from cvxrelu.networks.pruning import prune
from cvxrelu.optimize.path import Path, regularization_path
from cvxrelu.optimize.solution import Solution
from cvxrelu.optimize.solve import solve
from cvxrelu.optimize.solve_global import GlobalRecord, solve_global
from cvxrelu.patterns.activation_patterns import ActivationPatterns
from cvxrelu.patterns.enumeration import count_patterns, enumerate_patterns, iter_patterns
from cvxrelu.patterns.sampling import sample_patterns
from cvxrelu.penalties.base import Penalty
from cvxrelu.penalties.group_norms import L1, FeatureGroupL1, GroupL1
from cvxrelu.penalties.nuclear import Nuclear
from cvxrelu.penalties.quadratic import NoPenalty, SquaredL2
from cvxrelu.preprocessing.columns import ColumnScaling
from cvxrelu.pricing.local_search import NewNeuron, find_neuron
from cvxrelu.problems.cvxpy_values import read_dual, read_weights
from cvxrelu.problems.dual import DualPoint
from cvxrelu.problems.gated_relu import ConvexGatedReLU
from cvxrelu.problems.operator import GatedOperator
from cvxrelu.problems.relu import ConvexReLU
from cvxrelu.solvers.decompose import Decompose
from cvxrelu.solvers.first_order.accelerated_gradient import ProximalOptions
from cvxrelu.solvers.first_order.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.first_order.rfista import RFISTA
from cvxrelu.solvers.interface import Record
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.working_set.solver import WorkingSet
from cvxrelu.status import Status

__all__ = [
    "L1",
    "RFISTA",
    "ActivationPatterns",
    "ApproximateDecomposition",
    "AugmentedLagrangian",
    "Bound",
    "Certificate",
    "CertificateError",
    "ColumnScaling",
    "CompilationCacheWarning",
    "ConvergenceWarning",
    "ConvexGatedReLU",
    "ConvexReLU",
    "ConvexReLUClassifier",
    "ConvexReLUClassifierCV",
    "ConvexReLURegressor",
    "ConvexReLURegressorCV",
    "Decompose",
    "DualPoint",
    "FeatureGroupL1",
    "GatedOperator",
    "GatedReLUClassifier",
    "GatedReLUClassifierCV",
    "GatedReLUNetwork",
    "GatedReLURegressor",
    "GatedReLURegressorCV",
    "GlobalRecord",
    "GroupL1",
    "Huber",
    "InsufficientMemoryError",
    "LeastSquares",
    "Logistic",
    "Loss",
    "MinimumNorm",
    "NestedValues",
    "NetworkCertificate",
    "NewNeuron",
    "NoPenalty",
    "Nuclear",
    "Path",
    "Penalty",
    "PortableCertificate",
    "ProgramSizeWarning",
    "ProximalOptions",
    "ReLUNetwork",
    "Record",
    "RejectedCertificate",
    "SoftmaxCrossEntropy",
    "Solution",
    "SolverError",
    "SolverNotAvailableError",
    "Squared",
    "SquaredL2",
    "Status",
    "TrainingRun",
    "UnsupportedOptionWarning",
    "Verdict",
    "Weighted",
    "WorkingSet",
    "__version__",
    "approximation_bound",
    "certify",
    "certify_network",
    "count_patterns",
    "decompose",
    "enumerate_patterns",
    "find_neuron",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "iter_patterns",
    "load_certificate",
    "load_network",
    "minimum_norm",
    "nested_values",
    "prune",
    "read_dual",
    "read_weights",
    "regularization_path",
    "sample_patterns",
    "solve",
    "solve_global",
    "to_convex",
    "to_network",
    "train_network",
]
