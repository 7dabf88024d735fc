"""How near Newton steps on the dual come to the boundary of the domain of F*, in NumPy and in kernels."""

TO_BOUNDARY = 0.9  # largest fraction of the distance to the boundary
# Replacements of zeros when t has rounded to the boundary: probabilities near 0 are accurate to their own rounding,
# except that of the label's class, which is accurate to the rounding of 1.
MIN_PROBABILITY, MIN_LABEL_PROBABILITY = 1e-300, 2.0**-53
SHORTENINGS, SHORTER = 20, 0.25  # of a step until it descends
