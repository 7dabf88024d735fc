"""Working sets with semismooth Newton steps."""
