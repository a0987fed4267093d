"""What AffinityNet and IRN learn: pairs of cells, their loss, and its gradients, against loops over all pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from camkit.methods.walk import affinity
from camkit.methods.walk.affinity import half_disc
from camkit.methods.walk.learning import (
    BACKGROUND,
    DIFFERENT,
    FOREGROUND,
    boundary_affinities,
    feature_affinities,
    kinds_of_pairs,
    labels_at_corners,
    labels_of_cells,
    sums_of_losses,
)
from tests.reference import pairs as reference
from tests.reference import walk

SIZES = [(1, 1), (1, 2), (1, 7), (6, 1), (2, 2), (3, 4), (5, 4)]
NUMBERS = {"background": BACKGROUND, "foreground": FOREGROUND, "different": DIFFERENT, None: 0}
SHARES = torch.tensor([1 / 4, 1 / 4, 1 / 2], dtype=torch.float64)
Affinities = Callable[[Tensor, int], Tensor]


def labels_of(size: tuple[int, int], photos: int = 2, classes: int = 3, seed: int = 0) -> Tensor:
    """[B, h, w] of undecided, background and classes."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-1, classes, (photos, *size)))


def embedding(size: tuple[int, int], photos: int = 2, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((photos, 3, *size)))


def boundary(size: tuple[int, int], photos: int = 2, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((photos, *size)))


def loss_of(affinities: Tensor, labels: Tensor, radius: int) -> Tensor:
    """The published loss of a whole batch, from its sums and counts."""
    sums, counts = sums_of_losses(affinities, kinds_of_pairs(labels, radius))
    return (SHARES * sums / counts.clamp(min=1)).sum()


def pair_of(k: int, y: int, x: int, radius: int) -> tuple[reference.Cell, reference.Cell]:
    """The two cells that plane k says something about at (y, x), the first one first."""
    dy, dx = half_disc(radius)[k]
    return (y, x), (y + dy, x + dx)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [1, 2, 3, 5])
def test_every_pair_within_the_radius_counts_once(size: tuple[int, int], radius: int) -> None:
    labels = labels_of(size)
    found = kinds_of_pairs(labels, radius)
    assert found.shape == (len(half_disc(radius)), 2, *size)
    for photo in range(2):
        expected = reference.kinds(labels[photo].numpy(), radius)
        seen = set()
        for k, y, x in np.ndindex(len(found), *size):
            pair = pair_of(k, y, x, radius)
            kind = int(found[k, photo, y, x])
            assert kind == NUMBERS[expected.get(pair)]  # 0 beyond the grid, where there is no pair
            seen |= {pair} & expected.keys()
        assert seen == expected.keys()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [2, 3, 5])
@pytest.mark.parametrize("network", ["affinitynet", "irn"])
def test_the_loss_is_the_published_one(size: tuple[int, int], radius: int, network: str) -> None:
    labels = labels_of(size, photos=3)
    if network == "affinitynet":
        values = embedding(size, photos=3)
        affinities, slow = feature_affinities(values, radius), walk.feature_affinity
    else:
        values = boundary(size, photos=3)
        affinities, slow = boundary_affinities(values, radius), walk.boundary_affinity
    expected, counts = reference.losses(labels.numpy(), radius, lambda n, a, b: slow(values[n].numpy(), a, b))
    sums, numbers = sums_of_losses(affinities, kinds_of_pairs(labels, radius))
    assert numbers.tolist() == [counts[name] for name in expected]
    found = SHARES * sums / (numbers + 1e-5)
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_a_batch_has_the_affinities_that_a_walk_goes_by(size: tuple[int, int]) -> None:
    """What is learned is what is used; beyond the grid too."""
    features, edges = embedding(size).float(), boundary(size).float()
    inside = kinds_of_pairs(torch.zeros(1, *size, dtype=torch.long), 4)[:, 0] > 0
    for n in range(2):
        for found, used in (
            (feature_affinities(features, 4)[:, n], affinity.feature_affinity(features[n], 4)),
            (boundary_affinities(edges, 4)[:, n], affinity.boundary_affinity(edges[n], 4)),
        ):
            torch.testing.assert_close(found[inside], used[inside], rtol=1e-6, atol=1e-6)
            assert not used[~inside].any()


def every_pair(size: tuple[int, int], radius: int) -> tuple[Tensor, Tensor]:
    """Places of both cells of each pair in the flattened grid."""
    found = walk.pairs(size, radius)
    first, second = ([y * size[1] + x for y, x in ends] for ends in zip(*found, strict=True)) if found else ([], [])
    return torch.tensor(first, dtype=torch.long), torch.tensor(second, dtype=torch.long)


def plain_features(values: Tensor, radius: int) -> Tensor:
    """Affinities [B, pairs], as torch would differentiate them."""
    first, second = every_pair((values.shape[2], values.shape[3]), radius)
    flat = values.flatten(2)
    return (-(flat[..., first] - flat[..., second]).abs().mean(dim=1)).exp()


def plain_boundaries(values: Tensor, radius: int) -> Tensor:
    found = []
    for (top, left), (bottom, right) in walk.pairs((values.shape[1], values.shape[2]), radius):
        down, across = bottom - top, right - left
        met = [
            values[:, y, x]
            for y in range(min(top, bottom), max(top, bottom) + 1)
            for x in range(min(left, right), max(left, right) + 1)
            if abs(down * (x - left) - across * (y - top)) < np.hypot(down, across)
        ]
        found.append(1 - torch.stack(met).amax(dim=0))
    return torch.stack(found, dim=1) if found else values.flatten(1)[:, :0]


def plain_loss(affinities: Tensor, labels: Tensor, radius: int) -> Tensor:
    first, second = every_pair((labels.shape[1], labels.shape[2]), radius)
    here, there = labels.flatten(1)[:, first], labels.flatten(1)[:, second]
    known = (here != -1) & (there != -1)
    alike = known & (here == there)
    terms = [
        (alike & (here == 0), -(affinities + 1e-5).log() / 4),
        (alike & (here > 0), -(affinities + 1e-5).log() / 4),
        (known & (here != there), -(1 + 1e-5 - affinities).log() / 2),
    ]
    return sum(((of * loss).sum() / of.sum().clamp(min=1) for of, loss in terms), affinities.new_zeros(()))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [2, 4])
@pytest.mark.parametrize(
    ("ours", "plain", "draw"),
    [(feature_affinities, plain_features, embedding), (boundary_affinities, plain_boundaries, boundary)],
    ids=["affinitynet", "irn"],
)
def test_gradients_are_those_of_the_plain_formula(
    size: tuple[int, int], radius: int, ours: Affinities, plain: Affinities, draw: Callable[..., Tensor]
) -> None:
    labels = labels_of(size)
    gradients = []
    for affinities, loss in ((ours, loss_of), (plain, plain_loss)):
        values = draw(size).requires_grad_()
        loss(affinities(values, radius), labels, radius).backward()
        gradients.append(torch.zeros_like(values) if values.grad is None else values.grad)
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
    several = size[0] * size[1] > 4
    assert bool(gradients[0].any()) >= several


@pytest.mark.parametrize(("size", "radius"), [((1, 1), 3), ((1, 4), 4), ((4, 1), 2), ((3, 3), 3)])
def test_gradients_are_slopes(size: tuple[int, int], radius: int) -> None:
    """Of what leads to affinities and of what becomes of them too."""
    for function, values in (
        (feature_affinities, embedding(size).requires_grad_()),
        (boundary_affinities, boundary(size).requires_grad_()),
    ):
        assert torch.autograd.gradcheck(lambda v, f=function: f(v.sin() ** 2, radius) ** 3, (values,))


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_where_a_way_has_several_largest_one_of_them_learns(level: float) -> None:
    edges = torch.full((2, 5, 6), level, dtype=torch.float64, requires_grad=True)
    weights = torch.from_numpy(np.random.default_rng(0).random((len(half_disc(4)), 2, 5, 6)))
    inside = kinds_of_pairs(torch.zeros(2, 5, 6, dtype=torch.long), 4) > 0
    (boundary_affinities(edges, 4) * weights).sum().backward()
    assert edges.grad is not None
    torch.testing.assert_close(-edges.grad.sum(), weights[inside].sum())
    assert (edges.grad <= 0).all()


def test_equal_embeddings_do_not_pull() -> None:
    features = torch.ones(1, 3, 4, 4, requires_grad=True)
    feature_affinities(features, 3).sum().backward()
    assert features.grad is not None
    assert not features.grad.any()


@pytest.mark.parametrize("size", [(1, 1), (4, 5)])
@pytest.mark.parametrize("label", [-1, 0, 2])
def test_labels_of_one_kind_alone(size: tuple[int, int], label: int) -> None:
    """Nothing is different, and undecided cells teach nothing: the loss is 0, and a number."""
    labels = torch.full((2, *size), label)
    kinds = kinds_of_pairs(labels, 3)
    pairs = 2 * len(walk.pairs(size, 3))
    expected = {-1: [0, 0, 0], 0: [pairs, 0, 0], 2: [0, pairs, 0]}[label]
    for affinities, values in (
        (feature_affinities, embedding(size).requires_grad_()),
        (boundary_affinities, boundary(size).requires_grad_()),
    ):
        sums, counts = sums_of_losses(affinities(values, 3), kinds)
        assert counts.tolist() == expected
        loss = loss_of(affinities(values, 3), labels, 3)
        loss.backward()
        assert values.grad is not None
        learns = label >= 0 and size != (1, 1)
        assert bool(loss > 0) == bool(values.grad.any()) == learns
        assert values.grad.isfinite().all()
        assert sums.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_certainty_costs_a_number_even_where_it_is_wrong(dtype: torch.dtype, level: float) -> None:
    """Boundaries of 0 and 1 everywhere, embeddings all the same or far apart: sigmoids do get there."""
    labels = labels_of((5, 6))
    edges = torch.full((2, 5, 6), level, dtype=dtype, requires_grad=True)
    features = (embedding((5, 6)) * 1e4 * level).to(dtype).requires_grad_()
    for affinities in (boundary_affinities(edges, 3), feature_affinities(features, 3)):
        loss = loss_of(affinities, labels, 3)
        loss.backward()
        assert loss.isfinite()
        assert 1 < loss.item() < -np.log(0.9e-5)
    for values in (edges, features):
        assert values.grad is not None
        assert values.grad.isfinite().all()


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)), radius=st.integers(1, 6), seed=st.integers(0, 999),
    order=st.permutations([1, 2, 3, 4]),
)  # fmt: skip
def test_what_classes_are_called_does_not_matter(
    size: tuple[int, int], radius: int, seed: int, order: list[int]
) -> None:
    labels = labels_of(size, classes=5, seed=seed)
    renamed = torch.tensor([0, *[10 * number for number in order], -1])[labels]
    assert torch.equal(kinds_of_pairs(labels, radius), kinds_of_pairs(renamed, radius))
    background = torch.tensor([1, 0, 2, 3, 4, -1])[labels]  # that of the background does
    swapped, kinds = kinds_of_pairs(background, radius), kinds_of_pairs(labels, radius)
    assert torch.equal(swapped == DIFFERENT, kinds == DIFFERENT)
    assert torch.equal(swapped == 0, kinds == 0)


@settings(max_examples=25)
@given(size=st.tuples(st.integers(1, 8), st.integers(1, 8)), radius=st.integers(1, 5), seed=st.integers(0, 999))
def test_a_mirrored_or_turned_photo_has_the_same_loss(size: tuple[int, int], radius: int, seed: int) -> None:
    """Each pair counts once, whichever of its cells comes first."""
    labels, features, edges = labels_of(size, seed=seed), embedding(size, seed=seed), boundary(size, seed=seed)
    known = [loss_of(feature_affinities(features, radius), labels, radius)]
    known += [loss_of(boundary_affinities(edges, radius), labels, radius)]
    for turned in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-1, -2).contiguous()):
        found = [loss_of(feature_affinities(turned(features), radius), turned(labels), radius)]
        found += [loss_of(boundary_affinities(turned(edges), radius), turned(labels), radius)]
        torch.testing.assert_close(found, known)


@settings(max_examples=80)
@given(
    size=st.tuples(st.integers(1, 21), st.integers(1, 21)), stride=st.sampled_from([1, 2, 3, 4, 8]),
    labels=st.sampled_from([[0], [-1], [0, 1], [-1, 0, 7], [0, 1, 2, 3]]), seed=st.integers(0, 999),
)  # fmt: skip
def test_a_cell_is_what_more_than_half_of_it_is(
    size: tuple[int, int], stride: int, labels: list[int], seed: int
) -> None:
    pixels = np.random.default_rng(seed).choice(labels, (2, *size))
    given_pixels = torch.from_numpy(pixels)
    found = labels_of_cells(given_pixels, stride)
    np.testing.assert_array_equal(found, [reference.majorities(plane, stride) for plane in pixels])
    assert found.dtype == given_pixels.dtype
    np.testing.assert_array_equal(given_pixels, pixels)


def test_half_of_a_cell_is_not_enough() -> None:
    cell = torch.zeros(1, 8, 8, dtype=torch.long)
    cell[:, :, 4:] = 3
    assert labels_of_cells(cell, 8).item() == -1
    cell[0, 0, 3] = 3
    assert labels_of_cells(cell, 8).item() == 3
    narrow = torch.full((1, 8, 12), 2)  # of the second cell one half lies in the photo
    assert labels_of_cells(narrow, 8).tolist() == [[[2, -1]]]
    assert labels_of_cells(torch.full((1, 8, 13), 2), 8).tolist() == [[[2, 2]]]


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9), (16, 3)])
def test_at_a_corner_stands_the_label_of_one_pixel(size: tuple[int, int]) -> None:
    labels = torch.arange(2 * size[0] * size[1]).view(2, *size)
    found = labels_at_corners(labels, 4)
    assert found.shape == (2, -(-size[0] // 4), -(-size[1] // 4))
    for n, y, x in np.ndindex(*found.shape):
        assert found[n, y, x] == labels[n, 4 * y, 4 * x]


def test_pairs_of_a_square_by_hand() -> None:
    """2 × 2 cells: background, class, class, undecided. Radius 2: four pairs at distance 1, and two diagonals."""
    labels = torch.tensor([[[0, 5], [5, -1]]])
    kinds = kinds_of_pairs(labels, 2)
    assert Counter(kinds.flatten().tolist()) == {0: kinds.numel() - 3, DIFFERENT: 2, FOREGROUND: 1}
