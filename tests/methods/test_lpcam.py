from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camkit.methods.cam import cam, class_maps, multi_scale_cam
from camkit.methods.infercam import Inference, Views, infer_cam
from camkit.methods.lpcam import (
    Directions,
    fold,
    foreground_cells,
    lpcam,
    multi_scale_lpcam,
    response_of,
    scores,
    select_context,
    select_foreground,
    similarity_maps,
)
from camkit.methods.response import normalise
from camkit.settings.lpcam import PRESETS, Clustering, clustering_of
from tests.methods.test_response import TinyClassifier, as_batch, photo
from tests.reference import lpcam as reference
from tests.support.oracles import seeded_checkpoint

SCALES = (1.0, 0.5)
DEPTH = 6


def features_of(pixels: np.ndarray) -> np.ndarray:
    """[h, w, 3] uint8 → [D, h', w'] of the tiny classifier."""
    normalised = (pixels / 255 - np.array(TinyClassifier.mean)) / np.array(TinyClassifier.std)
    x = torch.from_numpy(normalised.astype(np.float32)).permute(2, 0, 1)[None]
    return TinyClassifier().features(x)[0].numpy()


def prototypes(seed: int = 0, classes: tuple[int, ...] = (0, 1, 3)) -> tuple[dict[int, np.ndarray], ...]:
    """Foreground of some classes and context of all but the first of them."""
    rng = np.random.default_rng(seed)
    foreground = {c: rng.normal(size=(rng.integers(1, 5), DEPTH)).astype(np.float32) for c in classes}
    context = {c: rng.normal(size=(rng.integers(1, 5), DEPTH)).astype(np.float32) for c in classes[1:]}
    return foreground, context


def folded(foreground: dict[int, np.ndarray], context: dict[int, np.ndarray]) -> Directions:
    tensors = [{c: torch.from_numpy(values) for c, values in side.items()} for side in (foreground, context)]
    return fold(*tensors, TinyClassifier.weight)


@pytest.mark.parametrize("classes", [[1], [0, 2], [0, 1, 2, 3]])
@pytest.mark.parametrize(("flip", "multiple"), [(True, 1), (False, 16)])
def test_maps_equal_the_slow_reference(classes: list[int], flip: bool, multiple: int) -> None:
    """Class 2 has no prototypes, class 0 no context."""
    foreground, context = prototypes(len(classes))
    image, size = photo(22, 30, 2), (22, 30)
    maps = multi_scale_lpcam(
        as_batch(image), torch.tensor([classes]), size, classifier=TinyClassifier(),
        directions=folded(foreground, context), scales=SCALES, flip=flip, multiple=multiple,
    )  # fmt: skip
    slow = reference.multi_scale_lpcam(
        image, classes, features_of, TinyClassifier.weight.numpy(), foreground, context, SCALES, size,
        flip=flip, multiple=multiple,
    )  # fmt: skip
    np.testing.assert_allclose(maps[0].numpy(), slow, atol=1e-4)


def test_classes_that_fall_back_have_their_cam_beside_others_in_one_image() -> None:
    images = as_batch(photo(24, 32, 1), photo(24, 32, 2))
    classes = torch.tensor([[0, 2], [2, -1]])
    arguments = {"classifier": TinyClassifier(), "scales": SCALES}
    directions = folded(*prototypes())
    assert directions.falls_back.tolist() == [False, False, True, False]
    maps = multi_scale_lpcam(images, classes, (24, 32), directions=directions, **arguments)  # type: ignore[arg-type]
    expected = multi_scale_cam(images, classes, (24, 32), **arguments)  # type: ignore[arg-type]
    torch.testing.assert_close(maps[0, 1], expected[0, 1])
    torch.testing.assert_close(maps[1, 0], expected[1, 0])
    assert (maps[1, 1] == 0).all()
    assert (maps[0, 0] - expected[0, 0]).abs().max() > 0.05
    none = fold({}, {}, TinyClassifier.weight)
    everywhere = multi_scale_lpcam(images, classes, (24, 32), directions=none, **arguments)  # type: ignore[arg-type]
    torch.testing.assert_close(everywhere, expected)


@given(
    height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 99), flip=st.booleans(),
    classes=st.lists(st.integers(-1, 3), min_size=1, max_size=4, unique=True).map(lambda c: sorted(c, reverse=True)),
    present=st.sets(st.integers(0, 3)), black=st.booleans(),
)  # fmt: skip
@settings(max_examples=60)
def test_maps_lie_in_0_1(
    height: int, width: int, seed: int, flip: bool, classes: list[int], present: set[int], black: bool
) -> None:
    image = as_batch(photo(height, width, seed))
    directions = folded(*prototypes(seed, tuple(sorted(present))))
    maps = multi_scale_lpcam(
        torch.zeros_like(image) if black else image, torch.tensor([classes]), (height, width),
        classifier=TinyClassifier(), directions=directions, scales=SCALES, flip=flip,
    )  # fmt: skip
    assert maps.shape == (1, len(classes), height, width)
    assert maps.isfinite().all()
    assert maps.min() >= 0
    assert maps.max() <= 1
    for row, c in enumerate(classes):
        assert c >= 0 or (maps[0, row] == 0).all()


@given(seed=st.integers(0, 999), count=st.integers(1, 12), contexts=st.integers(0, 12))
def test_one_direction_is_the_mean_over_prototypes_in_any_order_and_of_any_length(
    seed: int, count: int, contexts: int
) -> None:
    rng = np.random.default_rng(seed)
    foreground, context = (rng.normal(size=(n, DEPTH)).astype(np.float32) for n in (count, contexts))
    features = rng.normal(size=(1, DEPTH, 3, 4)).astype(np.float32)
    features[0, :, 1, 1] = 0
    slow = reference.similarity_map(features[0], foreground, context)
    lengths = 2.0 ** rng.integers(-6, 7, size=(count, 1)).astype(np.float32)
    for shuffled in (foreground, rng.permutation(foreground), foreground * lengths):
        directions = folded({2: shuffled}, {2: context})
        maps = similarity_maps(torch.from_numpy(features), directions.weight, torch.tensor([[2]]))
        np.testing.assert_allclose(maps[0, 0].numpy(), slow, atol=1e-6)
        assert maps[0, 0, 1, 1] == 0


def test_how_strong_a_feature_is_does_not_matter() -> None:
    features = torch.rand(1, DEPTH, 5, 5)
    strength = 10 ** (6 * torch.rand(1, 1, 5, 5) - 3)
    weight, classes = folded(*prototypes()).weight, torch.tensor([[0, 1, 3]])
    expected = similarity_maps(features, weight, classes)
    torch.testing.assert_close(similarity_maps(features * strength, weight, classes), expected)


def test_where_nothing_is_left_the_map_is_0() -> None:
    """The published program divides 0 by 0."""
    foreground, _ = prototypes()
    image, classes = as_batch(photo(20, 20)), torch.tensor([[0, 1]])
    arguments = {"classifier": TinyClassifier(), "scales": SCALES}
    for context in (foreground, {**foreground, 1: -foreground[1]}):
        maps = multi_scale_lpcam(image, classes, (20, 20), directions=folded(foreground, context), **arguments)  # type: ignore[arg-type]
        assert (maps[0, 0] == 0).all()
        assert (maps[0, 1] == 0).all() == (context is foreground)


def test_prototypes_of_no_direction_count_but_pull_nowhere() -> None:
    empty = {0: np.empty((0, DEPTH), np.float32), 1: np.zeros((2, DEPTH), np.float32)}
    directions = folded(empty, {0: np.ones((1, DEPTH), np.float32)})
    assert directions.falls_back.tolist() == [True, False, True, True]
    assert (directions.weight == 0).all()


def test_features_of_image_and_mirror_are_added_before_the_similarity() -> None:
    network, directions, classes = TinyClassifier(), folded(*prototypes()), torch.tensor([[0, 2]])
    straight, turned = torch.rand(1, DEPTH, 4, 6), torch.rand(1, DEPTH, 4, 6)
    maps = response_of(torch.cat([straight, turned]), classes, network, directions, mirrored=True)
    both = similarity_maps(straight + turned.flip(-1), directions.weight, classes)
    torch.testing.assert_close(maps[:, 0], both[:, 0])
    alone = class_maps(straight, network.weight, classes) + class_maps(turned, network.weight, classes).flip(-1)
    torch.testing.assert_close(maps[:, 1], alone[:, 1])


def test_it_is_a_response_map_that_infercam_can_wrap() -> None:
    image, classes = as_batch(photo(40, 52)), torch.tensor([[1, 2]])
    response = partial(lpcam, classifier=TinyClassifier(), directions=folded(*prototypes()))
    assert response(image, classes).shape == cam(image, classes, TinyClassifier()).shape
    views = Views(SCALES, SCALES, SCALES)
    maps, notes = infer_cam(
        image, classes, (40, 52), response=response, inference=Inference(), views=views, mean_colour=[120.0] * 3
    )
    assert maps.shape == (1, 2, 40, 52)
    assert 0.9 < maps.amax() <= 1
    assert len(notes[0]["patches"]) == 4


@pytest.mark.parametrize("nearest", [False, True])
def test_cells_are_foreground_where_the_resized_map_reaches_the_threshold(nearest: bool) -> None:
    maps = normalise(torch.rand(2, 3, 17, 23))
    cells = foreground_cells(maps, (5, 7), 0.5, nearest=nearest)
    assert (cells.shape, cells.dtype) == ((2, 3, 5, 7), torch.bool)
    for b, c, y, x in np.ndindex(2, 3, 5, 7):
        if nearest:
            value = maps[b, c, y * 17 // 5, x * 23 // 7]
        else:
            value = reference.resize_map(maps[b, c].numpy(), (5, 7))[y, x]
        assert cells[b, c, y, x] == bool(value >= 0.5)
    exactly = torch.tensor([[[[0.1, 0.25], [0.0999, 0.5]]]])
    assert foreground_cells(exactly, (2, 2), 0.1).tolist() == [[[[True, True], [False, True]]]]


def test_scores_are_a_softmax_over_classes() -> None:
    rng = np.random.default_rng(0)
    centres, weight = 4 * rng.normal(size=(7, DEPTH)), rng.normal(size=(5, DEPTH))
    found = scores(torch.from_numpy(centres), torch.from_numpy(weight)).numpy()
    np.testing.assert_allclose(found, reference.scores(centres, weight), rtol=1e-9)
    np.testing.assert_allclose(found.sum(1), 1)


def test_centres_are_kept_strictly_between_thresholds() -> None:
    found = torch.tensor([0.0, 0.05, 0.06, 0.5, 0.89, 0.9, 0.91, 1.0], dtype=torch.float64)
    context = {
        name: found[select_context(found, numbers.context_score, numbers.context_low)].tolist()
        for name, numbers in PRESETS.items()
    }
    assert found[select_foreground(found, PRESETS["voc"].foreground_score)].tolist() == [0.91, 1.0]
    assert context["voc"] == [0.0, 0.05, 0.06, 0.5, 0.89]  # the paper: below μ_b, and nothing else
    assert context["published"] == [0.06, 0.5, 0.89]
    assert context["coco"] == context["published-coco"] == [0.0, 0.05, 0.06]


def test_on_coco_the_published_program_takes_the_best_centre_where_none_is_sure() -> None:
    unsure = torch.tensor([0.2, 0.6, 0.4])
    paper, published = PRESETS["coco"], PRESETS["published-coco"]
    assert not select_foreground(unsure, paper.foreground_score, take_best=paper.take_best).any()
    best = select_foreground(unsure, published.foreground_score, take_best=published.take_best)
    assert best.tolist() == [False, True, False]
    sure = torch.tensor([0.95, 0.6, 0.99])
    assert select_foreground(sure, 0.9, take_best=True).tolist() == [True, False, True]


def test_presets_of_clustering_are_the_papers_and_the_programs() -> None:
    assert clustering_of("voc") == Clustering()
    assert clustering_of("coco").per_class == clustering_of("published-coco").per_class == 100
    assert clustering_of("published").map_resize == "nearest"
    assert clustering_of("published", with_maps=False).map_resize is None
    assert clustering_of("coco", {"per_class": 7, "seed": 3}) == Clustering(per_class=7, seed=3)


@pytest.mark.parametrize("variant", ["official", "early_tol5000", "tight"])
def test_selection_as_in_the_published_program(oracles: Path, variant: str) -> None:
    described = json.loads((oracles / "lpcam_kmeans.json").read_text())
    arrays, number = np.load(oracles / "lpcam_kmeans.npz"), described["class_id"]
    weight = torch.from_numpy(arrays["classifier_weight_used"])
    for side in ("fg", "bg"):
        name = f"{variant}_{side}"
        told = described["variants"][name]
        found = scores(torch.from_numpy(arrays[f"{name}_centers"]), weight)
        np.testing.assert_allclose(found.numpy(), arrays[f"{name}_prob"], atol=1e-5)
        if side == "fg":
            kept = select_foreground(found[:, number], told["class_thres"])
        else:
            kept = select_context(found[:, number], told["context_thres"], told["context_thres_low"])
        np.testing.assert_array_equal(kept.numpy(), arrays[f"{name}_selected"])


def remembering(features: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Two resolutions of the maps are of the same features."""
    known: dict[bytes, torch.Tensor] = {}

    def remembered(x: torch.Tensor) -> torch.Tensor:
        key = x.numpy().tobytes()
        if key not in known:
            known[key] = features(x)
        return known[key].clone()

    return remembered


@pytest.mark.slow
def test_parity_with_the_published_program(oracles: Path, tmp_path: Path) -> None:
    """Where its maps are finite; ours are 0 where they are not."""
    from camkit.models.checkpoint import load_classifier

    expected = np.load(oracles / "lpcam_maps.npz")
    network = load_classifier(seeded_checkpoint(oracles, "resnet50_cam", tmp_path / "published.pth")).network
    sides: dict[str, dict[int, torch.Tensor]] = {"class": {}, "context": {}}
    for name in expected.files:
        if name.startswith("proto_"):
            _, side, number, _ = name.split("_")
            sides[side][int(number)] = torch.from_numpy(expected[name].astype(np.float32))
    directions = fold(sides["class"], sides["context"], network.weight)
    network.features = remembering(network.features)
    compare = partial(multi_scale_lpcam, classifier=network, directions=directions, scales=(1.0, 0.5, 1.5, 2.0))
    finite, largest = 0, 0.0
    for id in ("2007_000001", "2007_000002", "2007_000003"):
        image = as_batch(np.asarray(Image.open(oracles / "images" / f"{id}.png").convert("RGB")))
        classes = torch.from_numpy(expected[f"{id}_keys"])[None]
        height, width = image.shape[-2:]
        for name, size, multiple in (("cam", (-(-height // 4), -(-width // 4)), 1), ("high_res", (height, width), 16)):
            with torch.inference_mode():
                maps = compare(image, classes, size, multiple=multiple)[0].numpy()
            for ours, theirs in zip(maps, expected[f"{id}_{name}"], strict=True):
                if not np.isfinite(theirs).all():
                    assert (ours == 0).all()
                    continue
                largest, finite = max(largest, float(np.abs(ours - theirs).max())), finite + 1
    print("largest difference", largest)
    assert finite == 8
    assert largest <= 2e-3
