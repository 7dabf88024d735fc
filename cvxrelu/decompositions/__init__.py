"""Cone decompositions: gated-ReLU weights as ReLU weights."""
