"""Scenes: the same for the same numbers, true to their masks, and as varied and hard as they are meant to be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from camkit.data.toy import PARTS, TOY_CLASSES, ToyScene, draw_scene
from camkit.data.toy.figures import BOATS, draw_figure
from camkit.data.toy.layout import choose_cast, lay_out
from camkit.data.toy.shapes import BODY, HEAD, LIMB, Piece, part_areas
from camkit.data.toy.truth import acceptable, see

COUNT = 60
PAIRS = [(first, first + 1) for first in range(0, len(TOY_CLASSES), 2)]


@pytest.fixture(scope="module")
def scenes() -> list[ToyScene]:
    return [draw_scene(3, index) for index in range(COUNT)]


def arrays(scene: ToyScene) -> Iterable[np.ndarray]:
    return scene.image, scene.mask, scene.parts, scene.saliency


def test_a_scene_depends_on_seed_and_index_only(scenes: list[ToyScene]) -> None:
    again = draw_scene(3, 7)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(again), arrays(scenes[7]), strict=True))
    assert again.boxes == scenes[7].boxes
    for other in (draw_scene(4, 7), scenes[8]):
        assert other.image.shape != again.image.shape or not np.array_equal(other.image, again.image)


def test_shapes_and_types(scenes: list[ToyScene]) -> None:
    for scene in scenes:
        height, width, channels = scene.image.shape
        assert channels == 3
        assert min(height, width) >= 128
        assert max(height, width) <= 224
        for plane in (scene.mask, scene.parts, scene.saliency):
            assert plane.shape == (height, width)
        assert {array.dtype for array in arrays(scene)} == {np.dtype(np.uint8)}
    shapes = [scene.mask.shape for scene in scenes]
    assert any(h > w for h, w in shapes)
    assert any(h < w for h, w in shapes)
    assert any(h == w for h, w in shapes)


def test_labels_are_the_classes_in_the_mask(scenes: list[ToyScene]) -> None:
    for scene in scenes:
        values, counts = np.unique(scene.mask, return_counts=True)
        seen = {int(v): int(n) for v, n in zip(values, counts, strict=True) if v not in (0, 255)}
        assert scene.classes == tuple(sorted(c - 1 for c in seen))
        assert min(seen.values()) > 0.005 * scene.mask.size
        assert {c for c, _ in scene.boxes} == set(scene.classes)


def test_parts_cover_the_mask_and_no_more(scenes: list[ToyScene]) -> None:
    for scene in scenes:
        assert np.array_equal(scene.parts == 0, scene.mask == 0)
        assert np.array_equal(scene.parts == 255, scene.mask == 255)
        assert set(np.unique(scene.parts)) <= {0, 1, 2, 3, 255}
    assert PARTS == ("head", "body", "limb")
    assert (HEAD, BODY, LIMB) == (1, 2, 3)


def test_boxes_hold_what_is_seen(scenes: list[ToyScene]) -> None:
    for scene in scenes:
        inside = np.zeros(scene.mask.shape, bool)
        for _, (left, top, right, bottom) in scene.boxes:
            inside[top : bottom + 1, left : right + 1] = True
        assert not ((scene.mask != 0) & (scene.mask != 255) & ~inside).any()


def test_every_edge_of_an_object_is_a_seam(scenes: list[ToyScene]) -> None:
    for scene in scenes:
        for a, b in ((scene.mask[1:], scene.mask[:-1]), (scene.mask[:, 1:], scene.mask[:, :-1])):
            assert not ((a != b) & (a != 255) & (b != 255)).any()
    assert 0.015 < np.mean([(scene.mask == 255).mean() for scene in scenes]) < 0.08


def test_saliency_is_bright_on_objects_but_not_the_mask(scenes: list[ToyScene]) -> None:
    for scene in scenes:
        inside, outside = scene.saliency[scene.parts == BODY], scene.saliency[scene.mask == 0]
        assert inside.mean() > 150
        assert outside.mean() < 60
    guesses = [(scene.saliency > 127) != (scene.mask > 0) for scene in scenes]
    assert 0.005 < np.mean([wrong.mean() for wrong in guesses]) < 0.15


def test_pictures_are_neither_dark_nor_flat(scenes: list[ToyScene]) -> None:
    for scene in scenes:
        assert 40 < scene.image.mean() < 225
        assert scene.image.std() > 12
        assert (scene.image == 255).mean() < 0.2


def test_every_class_is_as_frequent_as_any() -> None:
    casts = [choose_cast(5, index) for index in range(200)]
    assert np.bincount([cast.classes[0] for cast in casts]).tolist() == [20] * 10
    counts = np.bincount([len(cast.classes) for cast in casts], minlength=4) / len(casts)
    assert np.allclose(counts[1:], (0.6, 0.3, 0.1), atol=0.1)
    assert counts[0] == 0
    assert any(len(set(cast.classes)) < len(cast.classes) for cast in casts)
    hidden = [flag for cast in casts for flag in cast.hidden]
    assert 0.02 < np.mean(hidden) < 0.12


@pytest.mark.parametrize("class_index", range(len(TOY_CLASSES)))
def test_a_head_is_about_an_eighth_of_its_object(class_index: int) -> None:
    areas = np.array([part_areas(draw_figure(np.random.default_rng(n), class_index)) for n in range(30)])
    head = areas[:, 0] / areas.sum(axis=1)
    assert 0.11 < head.mean() < 0.16
    assert 0.08 < head.min() < head.max() < 0.2


def outside_the_head(class_index: int, seed: int) -> list[Piece]:
    figure = draw_figure(np.random.default_rng(seed), class_index)
    return [piece for piece in figure.pieces if piece.part != HEAD]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_pair_differs_by_the_head_only(first: int, second: int) -> None:
    for seed in range(10):
        a, b = (draw_figure(np.random.default_rng(seed), class_index) for class_index in (first, second))
        if TOY_CLASSES[first] != "train":  # whether there are rails is drawn first, and is not the same for both
            assert a.coat == b.coat
        pieces = outside_the_head(first, seed), outside_the_head(second, seed)
        assert [(p.colour, p.part, p.shade, p.relief) for p in pieces[0]] == [
            (p.colour, p.part, p.shade, p.relief) for p in pieces[1]
        ]
        assert all(np.array_equal(p.outline, q.outline) for p, q in zip(*pieces, strict=True))
        heads = [[p for p in figure.pieces if p.part == HEAD] for figure in (a, b)]
        assert not all(np.array_equal(p.outline, q.outline) for p, q in zip(*heads, strict=False))


@pytest.mark.parametrize(("name", "low", "high"), [("train", 0.75, 0.95), ("tram", 0.05, 0.25), ("bus", 0, 0)])
def test_rails_are_context_not_certainty(name: str, low: float, high: float) -> None:
    index = TOY_CLASSES.index(name)
    share = np.mean([bool(draw_figure(np.random.default_rng(n), index).underlay) for n in range(200)])
    assert low <= share <= high


def test_boats_lie_on_water_and_others_do_not() -> None:
    for index in range(40):
        cast = choose_cast(8, index)
        layout = lay_out(np.random.default_rng(index), cast)
        for placed in layout.placed:
            if placed.number and placed.class_index in BOATS:
                assert layout.setting.horizon < placed.floor
                assert layout.setting.shore > layout.setting.horizon
            elif placed.number:
                assert placed.floor >= layout.setting.shore * 0.99


def test_hidden_heads_are_hidden_and_others_are_not() -> None:
    checked = 0
    for index in range(400):
        cast = choose_cast(9, index)
        if not any(cast.hidden):
            continue
        for attempt in range(200):
            layout = lay_out(np.random.default_rng([index, attempt]), cast)
            sight = see(layout)
            if acceptable(layout, sight):
                break
        heads = sight.shares[:, HEAD].sum(axis=(1, 2)) / layout.areas[:, 0]
        for share, hidden in zip(heads, cast.hidden, strict=True):
            assert share < 0.1 if hidden else share > 0.5
        checked += 1
        if checked == 6:
            return
    pytest.fail("no hidden heads among 400 scenes")
