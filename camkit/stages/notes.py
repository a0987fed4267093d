"""What methods note of an image, read from a store: nothing in it is believed before it is checked."""

from __future__ import annotations

from typing import Any


def whole_numbers(value: Any) -> list[int]:
    """The list itself if it is one of whole numbers from 0, else nothing."""
    sound = isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 30 for n in value)
    return value if sound else []
