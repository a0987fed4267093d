"""Random walks against dense matrices and the published programs' numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camkit.methods.crf import with_background
from camkit.methods.walk.affinity import (
    boundary_affinity,
    cell_means,
    colour_affinity,
    colours_of_cells,
    feature_affinity,
    find_boundary,
    half_disc,
    published_pairs,
)
from camkit.methods.walk.propagation import Stencil, polynomial_weights, random_walk
from tests.reference import walk as reference

PHOTO = "2007_000001"
SIZES = [(1, 1), (1, 9), (7, 1), (2, 3), (6, 7), (9, 12)]


def as_matrix(planes: torch.Tensor, radius: int) -> np.ndarray:
    """Planes of a half disc → the dense symmetric matrix, 1 on its diagonal."""
    height, width = planes.shape[1:]
    result = np.eye(height * width)
    for plane, (dy, dx) in zip(planes.numpy(), half_disc(radius), strict=True):
        for y in range(height):
            for x in range(width):
                if y + dy < height and 0 <= x + dx < width:
                    i, j = y * width + x, (y + dy) * width + x + dx
                    result[i, j] = result[j, i] = plane[y, x]
                else:
                    assert plane[y, x] == 0
    return result


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_affinities_equal_the_slow_reference(size: tuple[int, int], radius: int) -> None:
    rng = np.random.default_rng(3)
    features, boundary = rng.standard_normal((4, *size)).astype(np.float32), rng.random(size).astype(np.float32)
    cases: list[tuple[torch.Tensor, Callable[..., float], np.ndarray]] = [
        (feature_affinity(torch.from_numpy(features), radius), reference.feature_affinity, features),
        (boundary_affinity(torch.from_numpy(boundary), radius), reference.boundary_affinity, boundary),
    ]
    for found, affinity, given_to in cases:
        slow = reference.matrix(size, radius, lambda a, b, f=affinity, g=given_to: f(g, a, b))
        np.testing.assert_allclose(as_matrix(found, radius), slow, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("radius", [1, 2, 3, 5])
@pytest.mark.parametrize("steps", [0, 1, 2, 7, 256])
def test_a_walk_is_a_power_of_the_dense_transition_matrix(size: tuple[int, int], radius: int, steps: int) -> None:
    rng = np.random.default_rng(radius)
    maps = rng.random((3, *size)).astype(np.float32)
    planes = feature_affinity(torch.from_numpy(rng.standard_normal((2, *size)).astype(np.float32)), radius)
    slow = reference.random_walk(maps, as_matrix(planes, radius), 6, steps)
    for one_by_one in (False, True):
        found = random_walk(torch.from_numpy(maps), planes**6, radius, steps, one_by_one=one_by_one)
        np.testing.assert_allclose(found.numpy(), slow, atol=1e-4)


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)), radius=st.integers(1, 7), steps=st.integers(0, 300),
    classes=st.integers(0, 4), seed=st.integers(0, 99), sparse=st.booleans(),
)  # fmt: skip
def test_fewer_products_give_the_same_and_stay_within_bounds(
    size: tuple[int, int], radius: int, steps: int, classes: int, seed: int, sparse: bool
) -> None:
    rng = np.random.default_rng(seed)
    maps = torch.from_numpy(rng.random((classes, *size)).astype(np.float32))
    boundary = rng.random(size) ** (0.1 if sparse else 4)
    planes = boundary_affinity(torch.from_numpy(boundary.astype(np.float32)), radius)
    given_maps, given_planes = maps.clone(), planes.clone()
    slow = random_walk(maps, planes, radius, steps, one_by_one=True)
    found = random_walk(maps, planes, radius, steps)
    assert torch.equal(maps, given_maps)
    assert torch.equal(planes, given_planes)
    assert found.shape == maps.shape
    torch.testing.assert_close(found, slow, atol=1e-4, rtol=0)
    if classes:
        assert float(slow.min()) >= float(maps.min()) - 1e-4
        assert float(slow.max()) <= float(maps.max()) + 1e-4


def test_kernel_and_shifts_agree() -> None:
    rng = np.random.default_rng(0)
    for size, radius in (((13, 40), 5), ((1, 5), 3), ((700, 2), 4), ((3, 600), 2)):
        planes = boundary_affinity(torch.from_numpy(rng.random(size).astype(np.float32)), radius)
        stencil = Stencil.of(planes, radius)
        values = torch.zeros(3, stencil.planes.shape[1])
        inside = stencil.shares > 0
        values[:, inside] = torch.from_numpy(rng.random((3, int(inside.sum()))).astype(np.float32))
        for factor, less in ((1, 0), (2, 1)):
            ours, other = values.flip(0), values.flip(0)
            stencil.by_kernel(ours, values, factor, less)
            stencil.by_shifts(other, values, factor, less)
            torch.testing.assert_close(ours, other, atol=1e-6, rtol=0)
            assert not ours[:, ~inside].any()


def test_constant_maps_and_closed_regions_keep_what_they_have() -> None:
    boundary = torch.zeros(12, 14)
    boundary[:, 6] = 1
    maps = torch.zeros(2, 12, 14)
    maps[0, :, :6], maps[1] = 1, 0.25
    walked = random_walk(maps, boundary_affinity(boundary, 5), 5, 256)
    torch.testing.assert_close(walked, maps, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("steps", "products"), [(0, 0), (1, 1), (5, 5), (64, 42), (256, 80), (10_000, 500)])
def test_the_number_of_products_grows_with_the_root_of_the_steps(steps: int, products: int) -> None:
    weights = polynomial_weights(steps)
    assert len(weights) - 1 <= products
    assert sum(weights) == pytest.approx(1)
    points = np.linspace(-1, 1, 41)
    np.testing.assert_allclose(np.polynomial.chebyshev.chebval(points, weights), points**steps, atol=2e-6)


def test_colours_alike_belong_together() -> None:
    photo = torch.zeros(3, 10, 11)
    photo[:, :, 4:] = 200
    cells = colours_of_cells(photo, 2)
    assert cells.shape == (3, 5, 6)
    right = colour_affinity(cells, 3)[0]
    np.testing.assert_allclose(right[0], [1, 0, 1, 1, 1, 0], atol=1e-6)


def test_cells_over_the_edge_are_filled_up_with_nothing() -> None:
    means = cell_means(torch.ones(1, 3, 5), 2)
    np.testing.assert_allclose(means[0], [[1, 1, 0.5], [0.5, 0.5, 0.25]])


@pytest.mark.parametrize(("size", "fits"), [((20, 30), 4), ((8, 30), 2), ((3, 3), 0), ((1, 40), -1)])
def test_published_pairs_are_those_whose_half_disc_fits(size: tuple[int, int], fits: int) -> None:
    kept = published_pairs(torch.ones(34, *size), 5)
    slow = np.zeros((34, *size))
    for k, (dy, dx) in enumerate(half_disc(5) if fits >= 0 else ()):
        for y in range(size[0] - fits):
            for x in range(max(fits, 0), size[1] - fits):
                slow[k, y, x] = dy * dy + dx * dx < (fits + 1) ** 2
    np.testing.assert_array_equal(kept.numpy(), slow)


def test_boundaries_of_image_and_mirror_image_are_one() -> None:
    def network(x: torch.Tensor) -> torch.Tensor:
        assert x.shape == (2, 3, 512, 528)
        return x[:, 0, ::4, ::4]

    image = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 10, 517)).astype(np.float32))
    found = find_boundary(network, image, 4, 512)
    assert found.shape == (3, 130)
    mirrored = find_boundary(network, image.flip(-1), 4, 512).flip(-1)
    torch.testing.assert_close(found, mirrored)


def test_affinitynet_gives_the_published_numbers(oracles: Path) -> None:
    known = np.load(oracles / "psa_rw.npz")
    features = torch.from_numpy(known[f"{PHOTO}_f9_elu_f16"].astype(np.float32))
    affinities = published_pairs(feature_affinity(features, 5), 5)
    np.testing.assert_allclose(
        affinities[:, :-4, 4:-4].flatten(1), known[f"{PHOTO}_aff_sparse"], atol=1e-4
    )  # the features are kept as float16
    dense = np.zeros((713, 713))
    dense[tuple(known[f"{PHOTO}_aff_dense_nz_rc"].astype(int))] = known[f"{PHOTO}_aff_dense_nz_val"]
    np.testing.assert_allclose(as_matrix(affinities, 5), dense, atol=1e-4)
    start = torch.from_numpy(known[f"{PHOTO}_cam_vec"]).view(21, 23, 31)
    found = random_walk(start, affinities**8, 5, 256)
    np.testing.assert_allclose(found.flatten(1), known[f"{PHOTO}_rw_lowres"], atol=1e-4)
    transition = random_walk(torch.eye(713).view(713, 23, 31), affinities**8, 5, 256)
    np.testing.assert_allclose(transition.flatten(1), known[f"{PHOTO}_trans_mat_f16"], atol=1e-3)


def test_maps_become_what_affinitynet_walks_with(oracles: Path) -> None:
    with Image.open(oracles / "images" / f"{PHOTO}.png") as image:
        size = image.size[::-1]
    maps = np.load(oracles / "psa_cam.npz")[f"{PHOTO}_norm_cam"]
    assert maps.shape[1:] == size
    start = cell_means(torch.from_numpy(with_background(maps, 16)), 8).flatten(1)
    expected = np.load(oracles / "psa_rw.npz")[f"{PHOTO}_cam_vec"]
    present = np.flatnonzero(expected.any(axis=1))
    np.testing.assert_allclose(start, expected[present], atol=1e-5)
