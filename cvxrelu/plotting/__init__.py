"""Figures; need matplotlib, the optional extra ``plot``. Each function returns the Axes that it draws on."""

from cvxrelu.plotting.certificates import plot_certificates
from cvxrelu.plotting.gap import plot_gap
from cvxrelu.plotting.nested import plot_nested_values
from cvxrelu.plotting.network import plot_network
from cvxrelu.plotting.path import plot_path
from cvxrelu.plotting.profile import plot_performance_profile

__all__ = [
    "plot_certificates",
    "plot_gap",
    "plot_nested_values",
    "plot_network",
    "plot_path",
    "plot_performance_profile",
]
