"""At which scales photos are seen."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from camkit.defaults import SCALES
from camkit.settings.option import check, option


@dataclass(frozen=True)
class Pyramid:
    """A photo at several scales, and mirrored."""

    scales: tuple[float, ...] = option(SCALES, "Scales whose maps are summed.", low=0.01, high=16, metavar="S,S,…")
    _: KW_ONLY
    flip: bool = option(True, "Also see every photo mirrored.", flags=["--flip/--no-flip"])

    def __post_init__(self) -> None:
        check(self)


PUBLISHED = Pyramid()
ONE_SCALE = Pyramid((1.0,), flip=False)
