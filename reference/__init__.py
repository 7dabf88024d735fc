"""What the package is held against: the paper's programs written literally, instances and comparisons."""
