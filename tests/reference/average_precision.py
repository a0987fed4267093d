"""Average precision from the whole ranking: sort, walk down, sample precision wherever recall has moved."""

from __future__ import annotations

import math


def average_precision(scores: list[float], truth: list[bool]) -> float:
    """Equal scores are one step; nan without positives."""
    total = sum(truth)
    if total == 0:
        return math.nan
    ranking = sorted(zip(scores, truth, strict=True), key=lambda pair: -pair[0])
    area, found, found_before = 0.0, 0, 0
    for taken, (score, positive) in enumerate(ranking, start=1):
        found += positive
        last_of_score = taken == len(ranking) or ranking[taken][0] != score
        if last_of_score:
            area += (found - found_before) / total * (found / taken)
            found_before = found
    return area
