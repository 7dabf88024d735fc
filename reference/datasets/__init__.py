"""Data sets: real, downloaded, synthetic, and prepared as in the paper."""
