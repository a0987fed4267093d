"""What methods note of an image, read from a store: nothing in it is believed before it is checked."""

from __future__ import annotations

from typing import Any


def whole_numbers(value: Any) -> list[int]:
    """The list itself if it is one of whole numbers from 0, else nothing."""
    sound = isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 30 for n in value)
    return value if sound else []


def class_scores(value: Any) -> list[tuple[int, float]]:
    """The list itself if it is one of pairs of a class and a score, else nothing."""
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        return []
    classes, scores = whole_numbers([pair[0] for pair in value]), [pair[1] for pair in value]
    sound = len(classes) == len(value) and all(isinstance(score, float | int) for score in scores)
    return list(zip(classes, scores, strict=True)) if sound else []
