"""Option values that need more than one word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from camkit.errors import InputError, UsageError


def numbers(option: str, text: str, *, low: float, high: float, count: int | None = None) -> list[float]:
    """'1,0.5,1.5' → [1.0, 0.5, 1.5], each within low … high; `count` of them, if that is given."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}: give numbers with commas between them") from None
    if not all(low <= value <= high for value in values):
        raise UsageError(f"{option} {text}: values must lie in {low:g} … {high:g}")
    if count is not None and len(values) != count:
        raise UsageError(f"{option} {text}: give {count} numbers with a comma between them")
    return values


def side(option: str, text: str, nothing: str) -> int | None:
    """A number of pixels, or the word for leaving it as it is → None."""
    if text == nothing:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise UsageError(f"{option} {text}: give a number of pixels, or {nothing}")
    return int(text)


def fraction(value: float) -> float:
    """People write 43.5 or 0.435; what is above 1 is percent."""
    return value / 100 if value > 1 else value


def baseline(text: str) -> tuple[dict[str, Any], float]:
    """'report.json:0.5' → the parsed report and the fraction by which mIoU may fall (0.005)."""
    name, colon, points = text.rpartition(":")
    if not colon or not _is_number(points):
        name, points = text, "0"
    try:
        report = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--max-drop: cannot read {name}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InputError(f"--max-drop: {name} is not JSON; make it with camkit evaluate --json") from None
    return report, float(points) / 100


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
