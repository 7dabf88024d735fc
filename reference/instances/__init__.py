"""The instances that solvers are compared on: real, synthetic and degenerate data, each rebuilt from its name."""

from reference.instances.catalogue import CATALOGUE, select
from reference.instances.instance import Instance, Size, fingerprint

__all__ = ["CATALOGUE", "Instance", "Size", "fingerprint", "select"]
