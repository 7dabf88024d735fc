"""Instances on which solvers are compared: real, synthetic and degenerate data, each reproducible from its name."""

from reference.instances.catalogue import CATALOGUE, select
from reference.instances.instance import Instance, Size, fingerprint

__all__ = ["CATALOGUE", "Instance", "Size", "fingerprint", "select"]
