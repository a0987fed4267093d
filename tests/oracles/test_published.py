"""What published programs gave, cut small enough to come along: README.md says of what, and what is not here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from camkit.methods.crf import dense_crf, unary_of_labels, unary_of_probs, with_background
from camkit.methods.infercam import plan
from camkit.methods.kmeans import cluster
from camkit.methods.lpcam import scores, select_foreground
from camkit.methods.seeds import mask_of_maps
from camkit.methods.split import centre_of_sums
from camkit.methods.walk.affinity import boundary_affinity, cell_means, feature_affinity
from camkit.methods.walk.propagation import random_walk
from camkit.settings.crf import Preset, settings_of
from camkit.settings.infercam import settings_of as settings_of_infercam
from camkit.types import Size
from camkit.upsample import upsample
from tests.methods.test_walk import as_matrix

HERE = Path(__file__).parent
FACTS = json.loads((HERE / "facts.json").read_text())
CRF_PRESETS: tuple[Preset, ...] = ("psa", "irn", "dcsm")
MOST_BYTES = 300_000


def crf_energies(maps: np.ndarray, size: Size, preset: Preset) -> np.ndarray:
    settings, maps = settings_of(preset), upsample(maps, size)
    if settings.unary == "soft":
        return unary_of_probs(with_background(maps, settings.alpha))
    labels = mask_of_maps(maps, np.arange(len(maps)), settings.background, len(maps))
    return unary_of_labels(labels, 1 + len(maps), settings.confidence)


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in HERE.iterdir() if path.suffix in (".npz", ".json")) <= MOST_BYTES


def test_irn_walks_on_a_tiny_grid() -> None:
    known, told = np.load(HERE / "irn_walk.npz"), FACTS["irn_walk"]
    maps, boundary = torch.from_numpy(known["tiny_x"]), torch.from_numpy(known["tiny_edge"])
    affinities = boundary_affinity(boundary, told["radius"])
    np.testing.assert_allclose(as_matrix(affinities, told["radius"]), known["tiny_dense_aff"], atol=1e-6)
    start = maps * (1 - boundary)
    for steps, power, name in ((256, told["power"], "tiny_rw"), (8, 8, "tiny_rw_beta8_exp3")):
        found = random_walk(start, affinities**power, told["radius"], steps)
        np.testing.assert_allclose(found, known[name], atol=2e-5)
    every = torch.eye(108).view(108, 9, 12)
    transition = random_walk(every, affinities ** told["power"], told["radius"], 256)
    np.testing.assert_allclose(transition.flatten(1), known["tiny_trans"], atol=1e-5)


def test_irn_walks_over_a_photo() -> None:
    known, told = np.load(HERE / "irn_walk.npz"), FACTS["irn_walk"]
    boundary = torch.from_numpy(known["edge"])
    affinities = boundary_affinity(boundary, told["radius"]) ** told["power"]
    found = random_walk(torch.from_numpy(known["maps"]) * (1 - boundary), affinities, told["radius"], 256)
    np.testing.assert_allclose(found, known["walked"], atol=1e-4)


def test_affinitynet_compares_features() -> None:
    """Of a corner of the photo. The features are kept as float16."""
    known = np.load(HERE / "psa_walk.npz")
    features = torch.from_numpy(known["features"].astype(np.float32))
    found = feature_affinity(features, 5)[:, :-4, 4:-4]
    expected = known["affinities"].reshape(34, 19, 23)[:, : found.shape[1], : found.shape[2]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_affinitynet_walks_over_a_photo() -> None:
    known = np.load(HERE / "psa_walk.npz")
    affinities = torch.zeros(34, 23, 31)
    affinities[:, :-4, 4:-4] = torch.from_numpy(known["affinities"]).view(34, 19, 23)
    found = random_walk(torch.from_numpy(known["start"]), affinities**8, 5, 256)
    np.testing.assert_allclose(found, known["walked"], atol=1e-5)


def test_affinitynet_starts_from_means_of_cells() -> None:
    """Of the lower right corner, where cells reach beyond the photo."""
    known = np.load(HERE / "psa_walk.npz")
    found = cell_means(torch.from_numpy(with_background(known["maps"], 16)), 8)
    np.testing.assert_allclose(found, known["start"][:, 16:, 24:], atol=1e-5)


@pytest.mark.parametrize("variant", FACTS["lpcam_kmeans"]["variants"])
def test_lpcam_clusters_and_chooses(variant: str) -> None:
    """It stops where (Σ |centre − centre before|)² is below its tolerance: ours is a share of Σ |centre|."""
    known, told = np.load(HERE / "lpcam_kmeans.npz"), FACTS["lpcam_kmeans"]["variants"][variant]
    centres = known[f"{variant}_centres"]
    tolerance = told["tol"] ** 0.5 / np.linalg.norm(centres, axis=1).sum()
    found = cluster(known["points"], 12, initial=known["initial"], tolerance=float(tolerance))
    assert (found.iterations, found.converged) == (told["iterations"], True)
    np.testing.assert_array_equal(found.assignments, known[f"{variant}_ids"])
    assert found.counts.tolist() == told["counts"]
    np.testing.assert_allclose(found.centres, centres, rtol=0, atol=1e-4)
    probabilities = scores(found.centres, torch.from_numpy(known["weight"]))
    np.testing.assert_allclose(probabilities, known[f"{variant}_prob"], atol=1e-4)
    chosen = select_foreground(probabilities[:, FACTS["lpcam_kmeans"]["class"]], told["class_thres"])
    np.testing.assert_array_equal(chosen, known[f"{variant}_selected"])


@pytest.mark.parametrize("id", FACTS["infercam"]["images"])
def test_infercam_splits_photos(id: str) -> None:
    known, told = np.load(HERE / "infercam.npz"), FACTS["infercam"]["images"][id]
    size = (told["size_hw"][0], told["size_hw"][1])
    sums = zip(known[f"{id}_rows"], known[f"{id}_columns"], strict=True)
    centres = [centre_of_sums(rows, columns, size) for rows, columns in sums]
    assert [list(centre) for centre in centres] == list(told["mass_center_int_yx"].values())
    parts = plan(0, torch.arange(len(centres)), centres, size, settings_of_infercam("published"))
    boxes = [[top, bottom, left, right] for top, left, bottom, right in (patch.box for patch in parts)]
    assert boxes == told["split_boxes_y0y1x0x1"]


@pytest.mark.parametrize("preset", CRF_PRESETS)
def test_the_crf_is_that_of_the_library(preset: Preset) -> None:
    known = np.load(HERE / "crf.npz")
    image, expected = known["image"], known[f"{preset}_Q"].astype(np.float32)
    found = dense_crf(image, crf_energies(known["maps"], image.shape[:2], preset), settings_of(preset).parameters)
    off = np.abs(found - expected)
    assert (found.argmax(axis=0) == expected.argmax(axis=0)).mean() >= 0.9995
    assert off.mean() < 1e-4
    assert off.max() < 2e-3
