"""The neuron that violates the dual constraint most: search, bounds and proofs."""
