"""Reference suite: the paper's programs written literally, instances with proven optima, benchmarks and comparisons."""
