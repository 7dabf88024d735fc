"""General numerical routines on arrays, independent of networks."""
