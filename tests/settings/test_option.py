"""A setting is spelled once: bounds, choices and the numbers in its help derive from its field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from camkit.errors import UsageError
from camkit.settings.option import changed, check, flag_of, help_of, option, options_of, preset_of


@dataclass(frozen=True)
class Numbers:
    count: int = option(3, "So many: {default}; {least} at least.", low=1, facts={"least": 1})
    share: float = option(0.5, "Of all.", low=0, high=1, outside="both", what="a share")
    steps: tuple[float, ...] = option((1.0, 0.5), "{presets}.", low=0.1, high=16)
    way: Literal["up", "down"] = option("up", "{b} in b.", flags=["--the-way"])
    both: bool = option(True, "", flags=["--both/--one"])
    hidden: int = 7

    def __post_init__(self) -> None:
        check(self)


PRESETS = {"a": Numbers(), "b": Numbers(count=5, way="down"), "c": Numbers(count=5)}


def test_help_tells_the_numbers_of_the_presets() -> None:
    told = {name: help_of(name, about, PRESETS) for name, (about, _) in options_of(Numbers).items()}
    assert told == {
        "count": "So many: 3 (b 5, c 5); 1 at least.", "share": "Of all. Default: 0.5.", "steps": "1,0.5.",
        "way": "down in b.", "both": "Default: on.",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "told"), [("count", True), ("share", False), ("steps", True), ("way", True)])
def test_whether_help_tells_the_default(name: str, told: bool) -> None:
    assert options_of(Numbers)[name][0].tells_default is told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "--count 0: give at least 1"),
        ({"share": 1.0}, "--share 1.0: give a share between 0 and 1"),
        ({"share": float("nan")}, "--share nan: give a share between 0 and 1"),
        ({"steps": (1.0, 99.0)}, "--steps 99.0: give a number from 0.1 to 16"),
        ({"steps": ()}, "--steps: give at least one"),
        ({"way": "left"}, "--the-way left is not known; known are up, down"),
        ({"cuont": 4}, "cuont is not among the settings, which are both, count, hidden, share, steps, way"),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        changed(Numbers(), changes)
    assert str(error.value) == message


def test_changes_of_two_classes_at_once() -> None:
    @dataclass(frozen=True)
    class Other:
        depth: int = 1

    changes = {"count": 9, "depth": 2}
    assert changed(Numbers(), changes, Other) == Numbers(count=9)
    assert changed(Other(), changes, Numbers) == Other(2)


def test_names() -> None:
    options = options_of(Numbers)
    assert [flag_of(name, options[name][0]) for name in ("count", "way", "both")] == ["--count", "--the-way", "--both"]
    assert preset_of(PRESETS, "c") is PRESETS["c"]
    with pytest.raises(UsageError, match="--mode d is not known; known are a, b, c"):
        preset_of(PRESETS, "d", "--mode")
