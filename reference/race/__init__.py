"""Race between cvxrelu and its peers, each at its fastest setting."""
