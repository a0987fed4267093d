"""Samples do not depend on order, nor on how the images are dealt out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.methods.sampling import ALL, Reservoir, priorities, water_level

Counts = st.lists(st.integers(0, 40), max_size=8)


@given(Counts, st.integers(0, 120), st.integers(1, 60))
def test_the_level_is_the_largest_that_fits(counts: list[int], budget: int, most: int) -> None:
    level = water_level(counts, budget, most)
    if level == ALL:
        assert sum(counts) <= budget
        assert max(counts, default=0) <= most
        return
    assert level <= most
    assert sum(min(count, level) for count in counts) <= budget
    assert level == most or sum(min(count, level + 1) for count in counts) > budget


@given(Counts, Counts, st.integers(0, 120), st.integers(1, 60))
def test_the_level_never_rises(counts: list[int], more: list[int], budget: int, most: int) -> None:
    grown = [a + b for a, b in zip(counts, more, strict=False)] + counts[len(more) :] + more[len(counts) :]
    assert water_level(grown, budget, most) <= water_level(counts, budget, most)


def test_priorities_are_spread_evenly_and_are_the_image_s_own() -> None:
    found = priorities(0, "2007_000032", 3, 100_000)
    assert len(np.unique(found)) == len(found)
    shares = np.histogram(found.astype(float) / 2.0**64, 10, (0, 1))[0] / len(found)
    assert np.abs(shares - 0.1).max() < 0.005
    assert np.array_equal(found[:7], priorities(0, "2007_000032", 3, 7))
    for other in (priorities(1, "2007_000032", 3, 7), priorities(0, "2007_000033", 3, 7), priorities(0, "ü", 2, 7)):
        assert not np.intersect1d(found, other).size


def everything(images: int) -> dict[tuple[int, int], np.ndarray]:
    """(image, group) → priorities of its cells; group 0 is in every image, group 2 in few."""
    draw = np.random.default_rng(images)
    return {
        (n, group): priorities(0, str(n), group, int(draw.integers(0, 30)))
        for n in range(images)
        for group in range(3)
        if n % (1 + 3 * group) == 0
    }


def sampled(cells: dict[tuple[int, int], np.ndarray], order: list[tuple[int, int]], budget: int) -> Reservoir:
    reservoir = Reservoir(budget)
    for key in order:
        reservoir.see({key[1]: len(cells[key])})
        reservoir.offer(key[1], cells[key])
        reservoir.limit(key[1])  # at any time it may be asked, and then drops rows
    return reservoir


@pytest.mark.parametrize("budget", [3, 50, 200, 10_000])
@given(st.randoms(use_true_random=False))
def test_what_is_dropped_early_is_never_wanted(budget: int, random: object) -> None:
    cells = everything(20)
    order = list(cells)
    random.shuffle(order)  # type: ignore[attr-defined]
    reservoir = sampled(cells, order, budget)
    for group in range(3):
        of_group = np.sort(np.concatenate([found for key, found in cells.items() if key[1] == group]))
        level = water_level(reservoir.seen.values(), budget)
        expected = of_group[: min(level, len(of_group))]
        limit = reservoir.limit(group)
        held = np.concatenate(reservoir._held[group])
        assert np.array_equal(np.sort(held[held <= limit]), expected)


def test_shares_of_the_images_hold_the_sample_of_all() -> None:
    cells = everything(40)
    whole = sampled(cells, list(cells), 90)
    shares = [sampled(cells, [key for key in cells if key[0] % 3 == rank], 90) for rank in range(3)]
    for group in range(3):
        limit = whole.limit(group)
        wanted = np.sort(np.concatenate([p[p <= limit] for key, p in cells.items() if key[1] == group]))
        held = np.concatenate([np.concatenate(share._held[group]) for share in shares])
        assert np.isin(wanted, held).all()
