"""Two-layer ReLU and gated-ReLU networks, trained to certified global optimality by convex programs."""

from cvxrelu._version import __version__
from cvxrelu.baselines import TrainingRun, train_network
from cvxrelu.bounds import Bound, approximation_bound
from cvxrelu.certificates import Certificate, certify
from cvxrelu.checker import RejectedCertificate, Verdict
from cvxrelu.column_generation import GlobalRecord, solve_global
from cvxrelu.convex_problem import DualPoint
from cvxrelu.decomposition_blocks import ApproximateDecomposition
from cvxrelu.decompositions import decompose
from cvxrelu.enumeration import count_patterns, enumerate_patterns, iter_patterns
from cvxrelu.estimators import ConvexReLUClassifier, ConvexReLURegressor, GatedReLUClassifier, GatedReLURegressor
from cvxrelu.estimators_cv import (
    ConvexReLUClassifierCV,
    ConvexReLURegressorCV,
    GatedReLUClassifierCV,
    GatedReLURegressorCV,
)
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
from cvxrelu.gates import sample_patterns
from cvxrelu.losses import Huber, Logistic, Loss, SoftmaxCrossEntropy, Squared
from cvxrelu.minimum_norm import MinimumNorm, minimum_norm
from cvxrelu.nested import NestedValues, nested_values
from cvxrelu.network_certificates import NetworkCertificate, certify_network
from cvxrelu.network_files import load_network
from cvxrelu.network_input import from_sklearn, from_torch
from cvxrelu.networks import GatedReLUNetwork, ReLUNetwork, to_convex, to_network
from cvxrelu.onnx_export import from_onnx
from cvxrelu.operators import GatedOperator
from cvxrelu.paths import Path, regularization_path
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
from cvxrelu.portable import PortableCertificate, load_certificate
from cvxrelu.pricing import NewNeuron, find_neuron
from cvxrelu.problems import ConvexGatedReLU, ConvexReLU
from cvxrelu.programs import read_dual, read_weights
from cvxrelu.pruning import prune
from cvxrelu.scaling import ColumnScaling
from cvxrelu.solution import Solution
from cvxrelu.solve import solve
from cvxrelu.solvers.augmented_lagrangian import AugmentedLagrangian
from cvxrelu.solvers.least_squares import LeastSquares
from cvxrelu.solvers.proximal import ProximalOptions
from cvxrelu.solvers.result import Record
from cvxrelu.solvers.rfista import RFISTA
from cvxrelu.solvers.two_step import Decompose
from cvxrelu.solvers.working_set import WorkingSet
from cvxrelu.status import Status
from cvxrelu.weighted_loss import Weighted

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
