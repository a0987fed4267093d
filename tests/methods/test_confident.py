"""Labels that two CRFs are sure of, against two CRFs put together pixel by pixel as the published programs do."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camkit.errors import UsageError
from camkit.methods.crf import CrfParameters, dense_crf
from camkit.methods.walk.confident import UNDECIDED, confident_labels
from camkit.settings.pairs import PUBLISHED, Confidence
from camkit.types import AffinityKind
from tests.reference.pairs import sure_of_affinitynet, sure_of_irn

KINDS: tuple[AffinityKind, ...] = ("affinitynet", "irn")
AFFINITYNET, IRN = (
    CrfParameters(
        iterations=10, gauss_sxy=3, gauss_compat=3, bilateral_sxy=sxy, bilateral_srgb=srgb, bilateral_compat=10
    )
    for sxy, srgb in ((80, 13), (50, 5))
)
SIZES = [(1, 1), (1, 17), (19, 1), (12, 15)]


def photo_of(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Flat patches with a little noise: a CRF has something to follow."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (size[0] // 5 + 1, size[1] // 5 + 1, 3))
    flat = np.repeat(np.repeat(coarse, 5, axis=0), 5, axis=1)[: size[0], : size[1]]
    return (flat + rng.integers(-4, 5, (*size, 3))).astype(np.uint8)


def maps_of(size: tuple[int, int], classes: int = 2, seed: int = 0) -> np.ndarray:
    """[C, H, W] in [0, 1], mostly low, as maps are."""
    return (np.random.default_rng(seed).random((classes, *size)) ** 3).astype(np.float32)


def labels_by_crf(image: np.ndarray, scores: np.ndarray, parameters: CrfParameters) -> np.ndarray:
    return dense_crf(image, -np.log(scores).astype(np.float32), parameters).argmax(axis=0)


def of_powers(image: np.ndarray, maps: np.ndarray, alpha: float) -> np.ndarray:
    """AffinityNet's program: background (1 − largest map)^alpha. [H, W]: 0 or place in the maps + 1."""
    background = (1 - maps.max(axis=0, keepdims=True)) ** alpha
    return labels_by_crf(image, np.clip(np.concatenate([background, maps]), 1e-5, 1), AFFINITYNET)


def of_thresholds(image: np.ndarray, maps: np.ndarray, threshold: float) -> np.ndarray:
    """IRN's program: the largest of a constant and the maps, right with probability 0.7."""
    constant = np.full_like(maps[:1], threshold)
    labels = np.concatenate([constant, maps]).argmax(axis=0)
    count = len(maps) + 1
    hard = np.where(np.arange(count)[:, None, None] == labels, 0.7, 0.3 / (count - 1))
    return labels_by_crf(image, hard, IRN)


def published(image: np.ndarray, maps: np.ndarray, kind: AffinityKind) -> np.ndarray:
    if kind == "affinitynet":
        return sure_of_affinitynet(of_powers(image, maps, 4), of_powers(image, maps, 32))
    return sure_of_irn(of_thresholds(image, maps, 0.3), of_thresholds(image, maps, 0.05))


def test_what_the_programs_are_run_with() -> None:
    psa, irn = PUBLISHED["affinitynet"], PUBLISHED["irn"]
    assert (psa.foreground, psa.background, irn.foreground, irn.background) == (4, 32, 0.3, 0.05)
    assert psa.crf.parameters == AFFINITYNET
    assert irn.crf.parameters == IRN
    assert (irn.crf.unary, irn.crf.confidence) == ("hard", 0.7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_two_crfs_put_together_as_published(kind: AffinityKind, size: tuple[int, int], classes: int) -> None:
    seen = set()
    for seed in range(4):
        image, maps = photo_of(size, seed), maps_of(size, classes, seed)
        found = confident_labels(image, maps, PUBLISHED[kind])
        np.testing.assert_array_equal(found, published(image, maps, kind))
        assert found.shape == size
        seen |= set(found.ravel().tolist())
    assert seen <= set(range(UNDECIDED, classes + 1))
    assert size == (1, 1) or len(seen) > 1


def test_a_class_that_irn_is_sure_of_is_no_background() -> None:
    """Its program takes for background what both CRFs say is. Where three classes meet they may contradict each other.

    The middle colour, without a map, is drawn to class 1 by both of its neighbours. In the CRF that sees less
    background one of them becomes class 2: what is left of class 1 draws too little.
    """
    contradictions = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        colour = rng.choice(3, (18, 18), p=[0.2, 0.4, 0.4])
        part = rng.choice(3, (18, 18), p=[0.27, 0.36, 0.37])
        image = np.full((18, 18, 3), 100, np.uint8)
        image[..., 0] = np.array([100, 91, 109])[colour]
        maps = np.zeros((2, 18, 18), np.float32)
        maps[0][(colour == 2) | ((colour == 1) & (part == 2))] = 0.9
        maps[1][(colour == 1) & (part == 1)] = 0.9
        maps[1][(colour == 1) & (part == 0)] = 0.2
        foreground, background = (of_thresholds(image, maps, threshold) for threshold in (0.3, 0.05))
        contradictions += int(((foreground > 0) & (background == 0)).sum())
        found = confident_labels(image, maps, PUBLISHED["irn"])
        np.testing.assert_array_equal(found, sure_of_irn(foreground, background))
    assert contradictions > 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_maps_that_leave_no_doubt(kind: AffinityKind, size: tuple[int, int]) -> None:
    confidence = PUBLISHED[kind]
    for image in (photo_of(size), np.full((*size, 3), 77, np.uint8), np.zeros((*size, 3), np.uint8)):
        nothing = confident_labels(image, np.zeros((3, *size), np.float32), confidence)
        assert not nothing.any()
        second = np.zeros((3, *size), np.float32)
        second[1] = 1
        assert (confident_labels(image, second, confidence) == 2).all()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_leave_nothing_but_doubt(kind: AffinityKind) -> None:
    """A map that the one sees as background and the other as a class, in a photo of one colour."""
    level = {"affinitynet": 0.2, "irn": 0.15}[kind]
    image = np.full((9, 11, 3), 130, np.uint8)
    found = confident_labels(image, np.full((1, 9, 11), level, np.float32), PUBLISHED[kind])
    assert (found == UNDECIDED).all()


def test_a_map_must_be_above_a_threshold() -> None:
    image = np.full((4, 5, 3), 9, np.uint8)
    just = np.full((1, 4, 5), np.float32(0.3))
    assert (confident_labels(image, just, PUBLISHED["irn"]) == UNDECIDED).all()
    assert (confident_labels(image, np.nextafter(just, np.float32(1)), PUBLISHED["irn"]) == 1).all()
    least = np.full((1, 4, 5), np.float32(0.05))
    assert (confident_labels(image, least, PUBLISHED["irn"]) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_is_given_stays_as_it_is(kind: AffinityKind) -> None:
    image, maps = photo_of((12, 15)), maps_of((12, 15))
    before = image.copy(), maps.copy()
    first = confident_labels(image, maps, PUBLISHED[kind])
    np.testing.assert_array_equal(confident_labels(image, maps, PUBLISHED[kind]), first)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(maps, before[1])


levels = st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
thresholds = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.5, 0.9])


def with_levels(kind: AffinityKind, one: float, other: float) -> Confidence:
    low, high = sorted((one, other))
    return replace(
        PUBLISHED[kind],
        foreground=low if kind == "affinitynet" else high,
        background=high if kind == "affinitynet" else low,
    )


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS), size=st.tuples(st.integers(1, 12), st.integers(1, 12)), classes=st.integers(1, 3),
    seed=st.integers(0, 999), data=st.data(),
)  # fmt: skip
def test_the_level_of_the_background_makes_no_class_another(
    kind: AffinityKind, size: tuple[int, int], classes: int, seed: int, data: st.DataObject
) -> None:
    """The classes are those of one CRF, whatever the other says: that only tells background from undecided.

    Where both CRFs are the same nothing is undecided.
    """
    level = levels if kind == "affinitynet" else thresholds
    low, middle, high = sorted(data.draw(st.tuples(level, level, level)))
    shared, others = (low, (middle, high)) if kind == "affinitynet" else (high, (low, middle))
    image, maps = photo_of(size, seed), maps_of(size, classes, seed)
    one, other = (confident_labels(image, maps, with_levels(kind, shared, background)) for background in others)
    sure = (one > 0) & (other > 0)
    np.testing.assert_array_equal(one[sure], other[sure])
    same = confident_labels(image, maps, with_levels(kind, shared, shared))
    assert (same != UNDECIDED).all()
    for found in (one, other):
        np.testing.assert_array_equal(found[found > 0], same[found > 0])
        assert not same[found == UNDECIDED].any()


@settings(max_examples=40)
@given(size=st.tuples(st.integers(1, 12), st.integers(1, 12)), seed=st.integers(0, 999), data=st.data())
def test_affinitynets_background_is_that_of_one_crf(size: tuple[int, int], seed: int, data: st.DataObject) -> None:
    """Whatever the other is sure of: another power for classes leaves it where it is."""
    low, middle, high = sorted(data.draw(st.tuples(levels, levels, levels)))
    image, maps = photo_of(size, seed), maps_of(size, 2, seed)
    one, other = (confident_labels(image, maps, with_levels("affinitynet", power, high)) for power in (low, middle))
    np.testing.assert_array_equal(one == 0, other == 0)


@pytest.mark.parametrize(
    ("kind", "foreground", "background"),
    [
        *(("affinitynet", *pair) for pair in ((32, 4), (0, 4), (-1, 4), (4, inf), (nan, 4), (4, nan), (inf, inf))),
        *(("irn", *pair) for pair in ((0.05, 0.3), (1.1, 0.05), (0.3, -0.1), (nan, 0.05), (0.3, nan), (inf, 0.05))),
    ],
)
def test_levels_that_cannot_be_are_refused(kind: AffinityKind, foreground: float, background: float) -> None:
    options = {"affinitynet": ("--low-alpha", "--high-alpha"), "irn": ("--foreground", "--background")}[kind]
    with pytest.raises(UsageError) as caught:
        replace(PUBLISHED[kind], foreground=foreground, background=background)
    assert all(option in str(caught.value) for option in options)
    assert str(caught.value).count("\n") <= 1


@pytest.mark.parametrize(
    ("kind", "foreground", "background"),
    [("affinitynet", 4, 4), ("affinitynet", 0.01, 1000), ("irn", 0.2, 0.2), ("irn", 1, 0)],
)
def test_levels_at_their_bounds_are_taken(kind: AffinityKind, foreground: float, background: float) -> None:
    chosen = replace(PUBLISHED[kind], foreground=foreground, background=background)
    found = confident_labels(photo_of((6, 7)), maps_of((6, 7)), chosen)
    assert set(np.unique(found)) <= {UNDECIDED, 0, 1, 2}
