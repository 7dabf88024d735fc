"""Local training of two-layer ReLU networks: good networks fast, without a bound."""
