"""Defaults that the commands' help and their functions share. Imports nothing: help must be instant."""

SCALES = (1.0, 0.5, 1.5, 2.0)
SCORE_THRESHOLD = 0.5
MASK_THRESHOLD = 0.3
SEED_MARGINS = (0.0, 0.1, 0.3, 0.5)
WORKERS = 2
LARGEST_SIDE = 1000
"""Larger photos are seen at this size unless something says otherwise."""
MAP_STRIDE = 4
"""Pixels of the photo, each way, that a value of a map stands for."""
COARSEST = 64
GPU_BATCH = 8
CPU_BATCH = 1
MIXED_BATCH = 32
MIXED_PIXELS = 8_000_000
"""Of photos that are worked on together whatever their sizes."""
SALIENT_FROM = 0.01
"""What is less salient is background."""
SWEEP_STEPS = 100
"""Thresholds of maps that are tried, from 0 on."""
INTERVAL_LEVEL = 0.95
TILE, LARGE_TILE = 240, 640
"""Longer side of a picture: of several, and of the only one."""
SHEET_LIMIT = 24
REVIEW_TOP = 200
"""Images that are told to be looked at first."""
SECONDS_BETWEEN_SAVES = 300.0
