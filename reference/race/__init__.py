"""The race: cvxrelu against its peers, each at its fastest setting."""
