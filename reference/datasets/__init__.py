"""Data sets: real, downloaded, synthetic, and prepared as the paper does."""
