"""Pricing, the search for the neuron that violates the dual constraint most: local search, bounds and proofs."""
