"""What is told of how well saliency fits labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.agreement import (
    MEAN,
    MEDIAN,
    PARTS,
    SHARES,
    TENTH,
    agreement_blocks,
    agreement_of_chain,
    agreement_words,
    quantile,
    shares_of,
    with_quantiles,
)


def row_of(values: np.ndarray) -> dict[str, float | None]:
    parts = np.minimum((values * PARTS).astype(int), PARTS - 1)
    return {
        "loss": 1.0,
        MEAN: float(values.mean()),
        **dict(zip(SHARES, np.bincount(parts, minlength=PARTS) / len(values), strict=True)),
    }


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.sampled_from([0.1, 0.5, 0.9]))
def test_quantiles_are_those_of_the_photos_to_a_part(found: list[float], wanted: float) -> None:
    values = np.array(found)
    true = float(np.quantile(values, wanted, method="inverted_cdf"))
    assert quantile(shares_of(row_of(values)), wanted) == pytest.approx(true, abs=1 / PARTS + 1e-9)


def test_a_row_tells_them_behind_the_mean_and_in_words() -> None:
    row = row_of(np.array([0.15] + [0.85] * 9))
    more = with_quantiles(row)
    assert [*more][:4] == ["loss", MEAN, TENTH, MEDIAN]
    assert (more[TENTH], more[MEDIAN]) == (pytest.approx(0.2), pytest.approx(0.8 + 0.4 / 9))
    assert agreement_words(row) == "0.78 on average, of a tenth of the photos below 0.20, of half below 0.84"
    assert agreement_blocks(shares_of(row)) == " ▁      █ "


@pytest.mark.parametrize("change", [{SHARES[3]: None}, {SHARES[3]: "x"}, {SHARES[3]: 0.5}, {SHARES[3]: -1.0}])
def test_what_is_not_known_or_not_sound_is_not_told(change: dict[str, float | None]) -> None:
    row = row_of(np.array([0.85])) | change
    assert shares_of(row) == ()
    assert agreement_words(row) == ""
    assert with_quantiles(row)[TENTH] is None
    assert with_quantiles({"loss": 1.0}) == {"loss": 1.0}
    assert agreement_of_chain({"checkpoint": {"agreement": row}}) == {}


def test_a_store_made_from_one_of_the_network_tells_it_too() -> None:
    row = row_of(np.array([0.85]))
    seen = {"command": "segment", "checkpoint": {"name": "s", "agreement": row}}
    assert agreement_of_chain({"command": "crf", "checkpoint": None, "parents": [{"command": "cam"}, seen]}) == row
