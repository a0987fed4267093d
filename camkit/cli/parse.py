"""Option values that need more than one word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from camkit.errors import InputError, UsageError
from camkit.settings.option import Option, item_of


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


def pixels(option: str, text: str, word: str, *, most: int = 10_000) -> int:
    """A number of pixels, where the text is not the word that may stand in its place."""
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise UsageError(f"{option} {text}: give a number of pixels up to {most:,}, or {word}")
    return int(text)


def is_text(about: Option, kind: Any) -> bool:
    """Whether the values of a setting come as text that has to be read."""
    return about.nothing is not None or item_of(kind) is not None


def setting(option: str, value: Any, about: Option, kind: Any) -> Any:
    """The value of a setting: several are written with commas, and a word may stand for None."""
    item = item_of(kind)
    if about.nothing is not None and value == about.nothing:
        return None
    if item is str:
        return tuple(name.strip() for name in value.split(",") if name.strip())
    if item is not None:
        count = None if get_args(kind)[-1] is Ellipsis else len(get_args(kind))
        return tuple(map(item, numbers(option, value, low=about.low, high=about.high, count=count)))
    return value if about.nothing is None else pixels(option, value, about.nothing)


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
