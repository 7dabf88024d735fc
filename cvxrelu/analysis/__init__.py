"""Analysis of networks and of families of problems."""
