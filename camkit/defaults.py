"""Defaults that the commands' help and their functions share. Imports nothing: help must be instant."""

SCALES = (1.0, 0.5, 1.5, 2.0)
SCORE_THRESHOLD = 0.5
MASK_THRESHOLD = 0.3
SEED_MARGINS = (0.0, 0.1, 0.3, 0.5)
WORKERS = 2
LARGEST_SIDE = 1000
"""Larger photos are seen at this size unless something says otherwise."""
