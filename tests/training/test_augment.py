from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camkit.settings.recipe import Augmentation
from camkit.training.augment import Geometry, draw_geometry, jitter_colours

FILL = (1, 2, 3)


def photo_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(10, 256, (height, width, 3), dtype=np.uint8)


def test_a_crop_at_the_photos_own_size_is_a_slice() -> None:
    photo = photo_of(20, 30)
    geometry = Geometry((20, 30), (20, 30), (8, 8), top=5, left=7, mirrored=False)
    np.testing.assert_array_equal(geometry.warp(photo, fill=FILL), photo[5:13, 7:15])
    mirrored = Geometry((20, 30), (20, 30), (8, 8), top=5, left=7, mirrored=True)
    np.testing.assert_array_equal(mirrored.warp(photo, fill=FILL), photo[5:13, 7:15][:, ::-1])


def test_what_lies_outside_the_photo_is_filled() -> None:
    photo = photo_of(4, 6)
    geometry = Geometry((4, 6), (4, 6), (8, 8), top=-3, left=-1, mirrored=False)
    warped = geometry.warp(photo, fill=FILL)
    np.testing.assert_array_equal(warped[3:7, 1:7], photo)
    outside = np.ones((8, 8), bool)
    outside[3:7, 1:7] = False
    assert (warped[outside] == FILL).all()


def test_a_crop_of_the_scaled_photo_is_the_scaled_photo_cropped() -> None:
    """Only what is seen is resized; the result is that of resizing everything (up to the rounding of the window)."""
    photo = photo_of(60, 80)
    smooth = np.asarray(Image.fromarray(photo).resize((8, 6)).resize((80, 60)))
    geometry = Geometry((60, 80), (90, 120), (40, 40), top=30, left=50, mirrored=False)
    everything = np.asarray(Image.fromarray(smooth).resize((120, 90), Image.Resampling.BICUBIC))
    difference = geometry.warp(smooth, fill=FILL).astype(int) - everything[30:70, 50:90]
    assert np.abs(difference).max() <= 3


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), crop=st.none() | st.integers(1, 64), seed=st.integers(0, 999),
    sized=st.sampled_from(["scale", "long"]),
)  # fmt: skip
def test_labels_stay_on_their_pixels(height: int, width: int, crop: int | None, seed: int, sized: str) -> None:
    """A picture whose colour says its class, warped as a photo and as labels, still agrees away from the seams."""
    labels = np.zeros((height, width), np.uint8)
    labels[height // 2 :] = 200
    size = {"scale_range": (0.5, 1.5)} if sized == "scale" else {"long_side": (20, 70)}
    augmentation = Augmentation(crop=crop, **size)  # type: ignore[arg-type]
    geometry = draw_geometry((height, width), augmentation, np.random.default_rng(seed))
    assert crop is None or geometry.size == (crop, crop)
    photo = geometry.warp(np.repeat(labels[..., None], 3, -1), fill=(90, 90, 90))
    warped = geometry.warp(labels, fill=90, nearest=True)
    assert photo.shape[:2] == warped.shape == geometry.size
    seam = geometry.scaled[0] * (height // 2) / height - geometry.top
    rows = np.abs(np.arange(geometry.size[0]) + 0.5 - seam) > 2 + 2 * geometry.scaled[0] / height
    assert (np.abs(photo[rows, :, 0].astype(int) - warped[rows]) <= 4).all()


def test_long_sides_and_factors_cover_their_range() -> None:
    rng = np.random.default_rng(0)
    longer = [max(draw_geometry((50, 100), Augmentation(long_side=(40, 60)), rng).scaled) for _ in range(200)]
    assert min(longer) < 44
    assert max(longer) > 56
    assert all(40 <= side <= 60 for side in longer)
    longer = [
        max(draw_geometry((50, 100), Augmentation(resize=200, scale_range=(0.5, 1.5)), rng).scaled) for _ in range(99)
    ]
    assert all(100 <= side <= 300 for side in longer)
    assert max(draw_geometry((3000, 4000), Augmentation(), rng).scaled) == 1000
    mirrored = [draw_geometry((5, 5), Augmentation(), rng).mirrored for _ in range(100)]
    assert 20 < sum(mirrored) < 80
    assert not any(draw_geometry((5, 5), Augmentation(flip=False), rng).mirrored for _ in range(20))


@pytest.mark.parametrize("strength", [0.1, 0.3, 1.0])
def test_jitter_changes_colours_within_bounds_and_is_seeded(strength: float) -> None:
    grey = np.full((5, 5, 3), 100, np.uint8)
    seen = [jitter_colours(grey, strength, np.random.default_rng(n)) for n in range(30)]
    brightness = [int(one.mean()) for one in seen]
    assert min(brightness) >= 100 * (1 - strength) - 2
    assert max(brightness) <= 100 * (1 + strength) + 2
    assert len(set(brightness)) > 5
    again = jitter_colours(grey, strength, np.random.default_rng(3))
    np.testing.assert_array_equal(again, seen[3])


def test_hue_turns_and_no_strength_changes_nothing() -> None:
    red = np.full((4, 4, 3), (200, 30, 30), np.uint8)
    hues = [jitter_colours(red, 1.0, np.random.default_rng(n))[0, 0].argmax() for n in range(40)]
    assert {0, 1, 2} >= set(hues) > {0}
    assert jitter_colours(red, 0.0, np.random.default_rng(0)) is red
