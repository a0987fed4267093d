"""Pixel-adaptive refinement: the published programs, a slow loop over pixels, and what always holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import UsageError
from camkit.methods.pixel import affinities, refine
from camkit.settings.pixel import PRESETS, PixelSettings, Preset, settings_of
from tests.reference import pixel as slow

PRESET_NAMES: list[Preset] = list(PRESETS)


def refined(photo: np.ndarray, maps: np.ndarray, settings: PixelSettings) -> np.ndarray:
    colours = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    planes = F.interpolate(torch.from_numpy(maps)[None].float(), photo.shape[:2], mode="bilinear", align_corners=True)
    return refine(planes, affinities(colours, settings), settings)[0].numpy()


@pytest.mark.parametrize("rounds", [1, 10])
def test_parity_with_pars_program(oracles: Path, rounds: int) -> None:
    expected = np.load(oracles / "par.npz")
    settings = settings_of("par", {"rounds": rounds})
    found = refined(expected["image"], expected["maps"], settings) * 1.01**rounds  # its weights sum to 1.01
    assert np.abs(found - expected[f"refined_{rounds}"]).max() <= 1e-4


@pytest.mark.parametrize(
    ("array", "changes"),
    [
        ("pamr_1", {"rounds": 1}),
        ("pamr_10", {"rounds": 10}),
        ("pamr_3_dilation1", {"rounds": 3, "dilations": (1,)}),
    ],
)
def test_parity_with_pamrs_program(oracles: Path, array: str, changes: dict[str, object]) -> None:
    expected = np.load(oracles / "pamr.npz")
    found = refined(expected["image"] / np.float32(255), expected["maps"], settings_of("pamr", changes))
    assert np.abs(found - expected[array]).max() <= 1e-4


def test_where_a_photo_has_no_contrast_all_neighbours_count_alike(oracles: Path) -> None:
    for preset, file, whole, total in (("pamr", "pamr", 255, 1.0), ("par", "par_more", 1, 1.01)):
        expected = np.load(oracles / f"{file}.npz")
        image = expected["image"].copy()
        image[20:60, 20:60] = 128
        settings = settings_of(preset, {"rounds": 1, "dilations": (1, 2)})  # type: ignore[arg-type]
        found = refined(image / np.float32(whole), expected["maps"], settings) * total
        assert np.abs(found - expected[f"{file.split('_')[0]}_1_flat_square"]).max() <= 1e-4


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_it_equals_the_slow_loop(preset: Preset) -> None:
    random = np.random.default_rng(0)
    photo, maps = random.integers(0, 256, (9, 7, 3)).astype(np.uint8), random.random((2, 9, 7)).astype(np.float32)
    settings = settings_of(preset, {"rounds": 3, "dilations": (1, 2, 5)})
    expected = slow.refine(photo, maps, settings.dilations, settings.rounds, preset)
    np.testing.assert_allclose(refined(photo, maps, settings), expected, rtol=0, atol=1e-5)


@given(
    st.sampled_from(["par", "pamr"]), st.integers(1, 12), st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**31),
    st.sampled_from([0, 1, 255]),
)  # fmt: skip
def test_maps_stay_in_range_and_constants_stay(
    preset: Preset, height: int, width: int, rounds: int, seed: int, contrast: int
) -> None:
    random = np.random.default_rng(seed)
    photo = random.integers(0, contrast + 1, (height, width, 3)).astype(np.uint8)
    maps = np.stack([random.random((height, width)), np.full((height, width), 0.7)]).astype(np.float32)
    found = refined(photo, maps, settings_of(preset, {"rounds": rounds, "dilations": (1, 3)}))
    assert maps[0].min() - 1e-6 <= found[0].min()
    assert found[0].max() <= maps[0].max() + 1e-6
    np.testing.assert_allclose(found[1], 0.7, rtol=0, atol=1e-5)


def test_weights_sum_to_1() -> None:
    photo = torch.randint(0, 256, (1, 3, 8, 9)).float()
    for preset in PRESET_NAMES:
        sums = affinities(photo, settings_of(preset)).sum(dim=1)
        torch.testing.assert_close(sums, torch.ones_like(sums))


def test_a_batch_is_its_photos_one_by_one() -> None:
    photos, maps = torch.rand(3, 3, 8, 9) * 255, torch.rand(3, 2, 8, 9)
    settings = replace(PixelSettings(), rounds=2)
    together = refine(maps, affinities(photos, settings), settings)
    for number in range(3):
        alone = slice(number, number + 1)
        torch.testing.assert_close(refine(maps[alone], affinities(photos[alone], settings), settings), together[alone])


def test_numbers_that_make_no_sense_are_refused() -> None:
    for changes in ({"dilations": ()}, {"dilations": (0,)}, {"rounds": -1}, {"stride": 0}):
        with pytest.raises(UsageError):
            settings_of("par", changes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    photo, maps = torch.rand(1, 3, 60, 80) * 255, torch.rand(1, 3, 60, 80)
    settings = PixelSettings()
    here = refine(maps, affinities(photo, settings), settings)
    there = refine(maps.cuda(), affinities(photo.cuda(), settings), settings)
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-5)
