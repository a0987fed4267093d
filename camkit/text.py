"""Text that others wrote, such as ids and notes, as a terminal and a table may have it."""

from __future__ import annotations

import json


def line_of(text: str, but: str = "") -> str:
    """On one line, without what a terminal would obey: line ends, tabs, escape codes are written as JSON has them.

    but  characters that stay
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in but else json.dumps(one)[1:-1] for one in text)


def lines_of(text: str) -> str:
    """The same of each line; columns stay apart."""
    return line_of(text, but="\n\t")
