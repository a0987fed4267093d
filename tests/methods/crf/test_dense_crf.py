from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import ImageError, UsageError
from camkit.methods.crf import CrfParameters, dense_crf
from camkit.methods.crf.native import Lattices, mean_field
from tests.reference import crf as reference

STRONG = CrfParameters()
GENTLE = CrfParameters(iterations=3, gauss_compat=1, bilateral_sxy=30, bilateral_srgb=10, bilateral_compat=1)


def noise(rng: np.random.Generator, labels: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.normal(0, 1.5, (labels, height, width)).astype(np.float32)


def kernels(
    image: np.ndarray, parameters: CrfParameters, filter: Callable[[np.ndarray], reference.Filter]
) -> list[tuple[float, reference.Filter]]:
    pixels = image.shape[0] * image.shape[1]
    near = reference.features_of(image, parameters.gauss_sxy, None)
    alike = reference.features_of(image, parameters.bilateral_sxy, parameters.bilateral_srgb)
    return [
        (parameters.gauss_compat, reference.normalised(filter(near), pixels)),
        (parameters.bilateral_compat, reference.normalised(filter(alike), pixels)),
    ]


@pytest.mark.parametrize("parameters", [STRONG, GENTLE])
@pytest.mark.parametrize(("labels", "height", "width"), [(2, 9, 11), (3, 8, 5), (6, 5, 7), (2, 1, 1), (5, 1, 13)])
def test_it_is_the_slow_lattice(labels: int, height: int, width: int, parameters: CrfParameters) -> None:
    image, unary = noise(np.random.default_rng(labels), labels, height, width)
    slow = kernels(image, parameters, reference.lattice_filter)
    expected = reference.mean_field(unary.reshape(labels, -1), slow, parameters.iterations)
    found = dense_crf(image, unary, parameters)
    np.testing.assert_allclose(found.reshape(labels, -1), expected, atol=2e-5)


def test_it_goes_where_the_exact_kernels_go() -> None:
    """A disc on another ground, and energies that tell them apart badly: both find the disc."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :30]
    disc = (y - 11) ** 2 + (x - 13) ** 2 < 60
    image = np.clip(np.where(disc[..., None], [200, 90, 40], [60, 120, 160]) + rng.normal(0, 6, (24, 30, 3)), 0, 255)
    image = image.astype(np.uint8)
    unary = np.where([~disc, disc], 0.0, 0.6) + rng.normal(0, 0.6, (2, 24, 30))
    exact = reference.mean_field(unary.reshape(2, -1), kernels(image, STRONG, reference.exact_filter), 10)
    found = dense_crf(image, unary, STRONG)
    assert (unary.argmin(axis=0) == disc).mean() < 0.8
    assert (exact.argmax(axis=0) == disc.ravel()).mean() > 0.99
    assert (found.argmax(axis=0) == disc).mean() > 0.99
    assert np.abs(found.reshape(2, -1) - exact).mean() < 0.01


@given(
    seed=st.integers(0, 2**32 - 1),
    labels=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    spread=st.sampled_from([0.0, 1.0, 30.0, 1e6]),
    levels=st.sampled_from([1, 2, 256]),
    parameters=st.builds(
        CrfParameters,
        iterations=st.integers(0, 4),
        gauss_sxy=st.floats(0.3, 100),
        gauss_compat=st.floats(0, 50),
        bilateral_sxy=st.floats(0.5, 1000),
        bilateral_srgb=st.floats(0.5, 1000),
        bilateral_compat=st.floats(0, 50),
    ),
)
def test_probabilities_whatever_the_image(
    seed: int, labels: int, height: int, width: int, spread: float, levels: int, parameters: CrfParameters
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, (height, width, 3)).astype(np.uint8) * (255 // max(levels - 1, 1))
    unary = spread * rng.standard_normal((labels, height, width)).astype(np.float32)
    Q = dense_crf(image, unary, parameters)
    assert Q.shape == unary.shape
    assert Q.dtype == np.float32
    assert Q.min() >= 0
    assert Q.max() <= 1 + 1e-6
    np.testing.assert_allclose(Q.sum(axis=0), 1, atol=1e-5)
    if spread == 0:
        np.testing.assert_allclose(Q, 1 / labels, atol=1e-5)


@given(seed=st.integers(0, 2**32 - 1), labels=st.integers(2, 7))
def test_labels_have_no_order(seed: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    image, unary = noise(rng, labels, 7, 8)
    order = rng.permutation(labels)
    np.testing.assert_allclose(
        dense_crf(image, unary[order], GENTLE), dense_crf(image, unary, GENTLE)[order], atol=1e-4
    )


@given(seed=st.integers(0, 2**32 - 1), labels=st.integers(2, 6))
def test_a_label_that_never_is_changes_nothing(seed: int, labels: int) -> None:
    image, unary = noise(np.random.default_rng(seed), labels, 6, 7)
    never = np.full((1, 6, 7), 1e4, np.float32)
    with_it = dense_crf(image, np.concatenate([unary, never]), GENTLE)
    assert with_it[-1].max() < 1e-30
    np.testing.assert_allclose(with_it[:-1], dense_crf(image, unary, GENTLE), atol=1e-4)


@pytest.mark.parametrize("labels", [2, 3, 8])
def test_without_iterations_or_kernels_it_is_the_softmax(labels: int) -> None:
    image, unary = noise(np.random.default_rng(3), labels, 20, 31)
    unary *= 10
    energies = unary.astype(np.float64) - unary.min(axis=0)
    expected = np.exp(-energies) / np.exp(-energies).sum(axis=0)
    for parameters in (replace(STRONG, iterations=0), replace(STRONG, gauss_compat=0, bilateral_compat=0)):
        np.testing.assert_allclose(dense_crf(image, unary, parameters), expected, rtol=1e-5, atol=1e-30)


def test_lattices_serve_many_energies_and_weights() -> None:
    image, unary = noise(np.random.default_rng(4), 3, 33, 300)
    lattices = Lattices.of(image, STRONG)
    for parameters in (STRONG, replace(STRONG, iterations=2, gauss_compat=0.5, bilateral_compat=4)):
        for energies in (unary, unary[:2], -unary):
            found = mean_field(lattices, energies, parameters)
            np.testing.assert_array_equal(found, dense_crf(image, energies, parameters))


def test_many_points_make_the_table_grow() -> None:
    """90,000 points of noise with small sigmas against the C++ library."""
    pytest.importorskip("pydensecrf")
    image, unary = noise(np.random.default_rng(5), 2, 150, 301)
    parameters = replace(STRONG, bilateral_srgb=3, gauss_sxy=1)
    assert Lattices.of(image, parameters).points > 90_000
    library = dense_crf(image, unary, parameters, engine="pydensecrf")
    np.testing.assert_allclose(dense_crf(image, unary, parameters), library, atol=1e-3)


@given(seed=st.integers(0, 2**32 - 1), labels=st.integers(1, 5), height=st.integers(1, 30), width=st.integers(1, 30))
def test_it_is_the_library(seed: int, labels: int, height: int, width: int) -> None:
    pytest.importorskip("pydensecrf")
    image, unary = noise(np.random.default_rng(seed), labels, height, width)
    image[: height // 2] = image[0, 0]
    library = dense_crf(image, unary, GENTLE, engine="pydensecrf")
    difference = np.abs(dense_crf(image, unary, GENTLE) - library)
    assert difference.mean() <= 1e-4
    assert difference.max() <= 2e-2  # a pixel on the border of two simplices may fall into either by its last digit


def test_threads_do_not_disturb_each_other() -> None:
    cases = [noise(np.random.default_rng(n), 2 + n % 4, 40 + n, 50) for n in range(16)]
    alone = [dense_crf(*case, STRONG) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda case: dense_crf(*case, STRONG), cases))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays_as_they_come() -> None:
    image, unary = noise(np.random.default_rng(6), 3, 12, 10)
    expected = dense_crf(image, unary, GENTLE)
    image.flags.writeable = unary.flags.writeable = False
    np.testing.assert_array_equal(dense_crf(image, unary, GENTLE), expected)
    turned = np.asfortranarray(image), np.asfortranarray(unary.astype(np.float64))
    np.testing.assert_array_equal(dense_crf(*turned, GENTLE), expected)


def test_what_cannot_be_is_told() -> None:
    image, unary = noise(np.random.default_rng(7), 2, 6, 5)
    with pytest.raises(ValueError, match="a photo"):
        dense_crf(image[:5], unary, GENTLE)
    with pytest.raises(ValueError, match="a photo"):
        dense_crf(image.astype(np.float32), unary, GENTLE)
    with pytest.raises(ValueError, match="energies"):
        mean_field(Lattices.of(image, GENTLE), unary[:, :5], GENTLE)
    with pytest.raises(UsageError, match="--engine magic is not known"):
        dense_crf(image, unary, GENTLE, engine="magic")  # type: ignore[arg-type]
    for tiny in (replace(GENTLE, bilateral_srgb=1e-6), replace(GENTLE, gauss_sxy=1e-9)):
        with pytest.raises(ImageError, match="sigmas are too small"):
            dense_crf(image, unary, tiny)


def test_kernels_compile_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from camkit.methods.crf import compiled

    usual = compiled.njit

    def njit(*arguments: object, cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return usual(*arguments, **options)

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled.kernel("i8(i8)")(lambda x: x + 1)(2) == 3
