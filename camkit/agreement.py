"""How well saliency fits labels, photo by photo: τ of InferCam's equation 4, and how it is distributed.

A row of the learning curve has it under these names: MEAN, the SHARES of photos in each tenth of [0, 1], and by these
the quantiles TENTH and MEDIAN. None, or no such column, where no photo had saliency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PARTS = 10
MEAN, TENTH, MEDIAN = "agreement", "agreement_tenth", "agreement_median"
SHARES = tuple(f"agreement_{part / PARTS:g}_to_{(part + 1) / PARTS:g}" for part in range(PARTS))
BLOCKS = " ▁▂▃▄▅▆▇█"


def shares_of(row: Mapping[str, Any]) -> tuple[float, ...]:
    """Of a row, or of what a file says of one: [PARTS], which sum to 1; () where it says nothing, or nothing sound."""
    found = [row.get(name) for name in SHARES]
    sound = tuple(share for share in found if isinstance(share, float | int) and 0 <= share <= 1)
    return sound if len(sound) == PARTS and abs(sum(sound) - 1) < 1e-3 else ()


def quantile(shares: Sequence[float], wanted: float) -> float:
    """The τ that a share `wanted` of the photos is below, as if they lay evenly inside of each part."""
    below = 0.0
    for part, share in enumerate(shares):
        if share and below + share >= wanted - 1e-9:
            return (part + min(1.0, max(0.0, (wanted - below) / share))) / PARTS
        below += share
    return 1.0


def with_quantiles(row: Mapping[str, float | None]) -> dict[str, float | None]:
    """TENTH and MEDIAN behind MEAN."""
    if MEAN not in row:
        return dict(row)
    shares, place = shares_of(row), [*row].index(MEAN) + 1
    more = {name: quantile(shares, wanted) if shares else None for name, wanted in ((TENTH, 0.1), (MEDIAN, 0.5))}
    items = [*row.items()]
    return dict([*items[:place], *more.items(), *items[place:]])


def noted(row: Mapping[str, Any]) -> dict[str, Any]:
    """Of a row what is about agreement."""
    return {name: row.get(name) for name in (MEAN, *SHARES)}


def agreement_of_chain(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the network had learned from that a store's last such stage saw photos with; nothing where there is none."""
    own = (provenance.get("checkpoint") or {}).get("agreement")
    if isinstance(own, dict) and shares_of(own):
        return own
    of_parents = map(agreement_of_chain, provenance.get("parents") or ())
    return next((found for found in of_parents if found), {})


def agreement_words(row: Mapping[str, Any]) -> str:
    """'0.71 on average, of a tenth of the photos below 0.26, of half below 0.78'; nothing where it is not known."""
    shares, mean = shares_of(row), row.get(MEAN)
    if not shares or not isinstance(mean, float | int):
        return ""
    tenth, median = quantile(shares, 0.1), quantile(shares, 0.5)
    return f"{mean:.2f} on average, of a tenth of the photos below {tenth:.2f}, of half below {median:.2f}"


def agreement_blocks(shares: Sequence[float]) -> str:
    """A character for each share, as high as it is beside the largest; what is there at all shows."""
    highest = max(shares)
    return "".join(BLOCKS[0 if not share else max(1, round(share / highest * (len(BLOCKS) - 1)))] for share in shares)
