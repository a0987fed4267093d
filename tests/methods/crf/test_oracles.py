"""What the published programs' CRF calls gave (`../shared/oracles`), and what the C++ library gives where installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.methods.crf import dense_crf, unary_of_labels, unary_of_probs, with_background
from camkit.methods.seeds import mask_of_maps
from camkit.settings.crf import settings_of

IDS = ("2007_000001", "2007_000002", "2007_000003")
SOFT = [(f"psa_a{alpha}", "psa", {"alpha": alpha}) for alpha in (4, 32)] + [("dcsm", "dcsm", {})]


def read(oracles: Path, id: str) -> np.ndarray:
    with Image.open(oracles / "images" / f"{id}.png") as image:
        return np.asarray(image.convert("RGB"))


def check(found: np.ndarray, expected: np.ndarray) -> None:
    """Half of the expected numbers are kept as float16, which is as much as 2.4e-4 off."""
    off = np.abs(found - expected.astype(np.float32))
    assert (found.argmax(axis=0) == expected.argmax(axis=0)).mean() >= 0.9995
    assert off.mean() < 1e-4
    assert off.max() < 2e-3


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize(("name", "preset", "changes"), SOFT)
def test_soft_energies_of_maps(oracles: Path, id: str, name: str, preset: str, changes: dict[str, float]) -> None:
    settings = settings_of(preset, changes)
    maps = np.load(oracles / "psa_cam.npz")[f"{id}_norm_cam"]
    unary = unary_of_probs(with_background(maps, settings.alpha))
    check(dense_crf(read(oracles, id), unary, settings.parameters), np.load(oracles / "crf.npz")[f"{id}_{name}_Q"])


@pytest.mark.parametrize(("name", "changes"), [("t1", {"iterations": 1}), ("t2", {"iterations": 2})])
def test_before_it_has_settled(oracles: Path, name: str, changes: dict[str, int]) -> None:
    id = IDS[2]
    settings = settings_of("psa", changes)
    unary = unary_of_probs(with_background(np.load(oracles / "psa_cam.npz")[f"{id}_norm_cam"], 4))
    expected = np.load(oracles / "crf_soft.npz")[f"{id}_psa_a4_{name}_Q"]
    check(dense_crf(read(oracles, id), unary, settings.parameters), expected)


def test_a_scale_factor_divides_the_distances(oracles: Path) -> None:
    id = IDS[2]
    settings = settings_of("psa", {"scale_factor": 2})
    assert (settings.parameters.gauss_sxy, settings.parameters.bilateral_sxy) == (1.5, 40)
    unary = unary_of_probs(with_background(np.load(oracles / "psa_cam.npz")[f"{id}_norm_cam"], 4))
    expected = np.load(oracles / "crf.npz")[f"{id}_psa_a4_sf2_Q"]
    check(dense_crf(read(oracles, id), unary, settings.parameters), expected)


@pytest.mark.parametrize("iterations", [1, 10])
def test_four_labels_that_are_unsure(oracles: Path, iterations: int) -> None:
    soft = np.load(oracles / "crf_soft.npz")
    settings = settings_of("psa", {"iterations": iterations})
    found = dense_crf(read(oracles, IDS[1]), unary_of_probs(soft[f"{IDS[1]}_synth_p"]), settings.parameters)
    check(found, soft[f"{IDS[1]}_synth_t{iterations}_Q"])


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize(("name", "threshold"), [("irn_fg", 0.3), ("irn_bg", 0.05)])
def test_hard_energies(oracles: Path, id: str, name: str, threshold: float) -> None:
    settings = settings_of("irn")
    known = np.load(oracles / "crf.npz")
    maps = np.load(oracles / "psa_cam.npz")[f"{id}_norm_cam"]
    labels = mask_of_maps(maps, np.arange(len(maps)), threshold, len(maps))
    np.testing.assert_array_equal(labels, known[f"{id}_{name}_labels_in"])
    unary = unary_of_labels(labels, 1 + len(maps), settings.confidence)
    found = dense_crf(read(oracles, id), unary, settings.parameters)
    check(found, known[f"{id}_{name}_Q_f16"])


@pytest.mark.parametrize("labels", [2, 3, 6, 21])
def test_the_library_on_photos(voc_animals: Path, labels: int) -> None:
    pytest.importorskip("pydensecrf")
    paths = sorted((voc_animals / "JPEGImages").glob("*.jpg"))[labels::500]
    assert len(paths) >= 6
    parameters = settings_of("psa").parameters
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            photo = np.asarray(image.convert("RGB").resize((image.width // 2, image.height // 2)))
        rng = np.random.default_rng(number)
        coarse = [Image.fromarray(rng.standard_normal((5, 6)).astype(np.float32)) for _ in range(labels)]
        scores = np.stack([np.asarray(one.resize(photo.shape[1::-1], Image.Resampling.BICUBIC)) for one in coarse])
        unary = 2 * np.exp(scores).astype(np.float32)
        own = dense_crf(photo, unary, replace(parameters, bilateral_srgb=5 + 3 * number))
        library = dense_crf(photo, unary, replace(parameters, bilateral_srgb=5 + 3 * number), engine="pydensecrf")
        assert (own.argmax(axis=0) == library.argmax(axis=0)).mean() >= 0.9999
        assert np.abs(own - library).mean() < 1e-5
