"""Felzenszwalb's superpixels against scikit-image's: every label equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage.segmentation import felzenszwalb as reference

from camkit.data.toy.scene import draw_scene
from camkit.methods.felzenszwalb_kernel import felzenszwalb

SETTINGS = [(100.0, 0.8, 20), (1.0, 0.0, 1), (0.0, 0.8, 3), (3000.0, 2.0, 100), (20.0, 0.3, 5)]


@st.composite
def images(draw: st.DrawFn) -> np.ndarray:
    """Of few levels, so that many edges cost the same; or of all."""
    size = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    levels = draw(st.sampled_from([st.sampled_from([0, 255]), st.sampled_from([0, 1, 2, 128]), st.integers(0, 255)]))
    if draw(st.booleans()):
        return draw(arrays(np.uint8, (*size, 3), elements=levels, fill=st.just(7)))
    seed = draw(st.integers(0, 10_000))
    return np.random.default_rng(seed).choice([0, 10, 200, 255], (*size, 3)).astype(np.uint8)


@given(images(), st.floats(0, 5000), st.floats(0, 3), st.integers(1, 60))
def test_labels_are_those_of_scikit_image(image: np.ndarray, scale: float, sigma: float, min_size: int) -> None:
    expected = reference(image, scale, sigma, min_size)
    np.testing.assert_array_equal(felzenszwalb(image, scale, sigma, min_size), expected)


@pytest.mark.parametrize("setting", SETTINGS)
def test_labels_of_drawn_photos_are_those_of_scikit_image(setting: tuple[float, float, int]) -> None:
    image = draw_scene(0, 7).image
    np.testing.assert_array_equal(felzenszwalb(image, *setting), reference(image, *setting))


@pytest.mark.parametrize("setting", SETTINGS[:1])
def test_labels_of_real_photos_are_those_of_scikit_image(shared: Path, setting: tuple[float, float, int]) -> None:
    for path in sorted((shared / "data" / "voc-animals" / "JPEGImages").glob("*.jpg"))[::1500]:
        with Image.open(path) as photo:
            image = np.asarray(photo.convert("RGB"))
        np.testing.assert_array_equal(felzenszwalb(image, *setting), reference(image, *setting))
