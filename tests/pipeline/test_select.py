from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camkit.cli.parse import pixels
from camkit.data.classes import VOC_CLASSES
from camkit.errors import LabelError, UsageError
from camkit.pipeline.load import Failure
from camkit.pipeline.output import Output
from camkit.pipeline.photos import ViewSize, load_photo, view_size
from camkit.pipeline.select import (
    Inputs,
    parse_shard,
    predicted_classes,
    resolve_classes,
    select,
    shard_of_environment,
)
from camkit.stages.network import Network
from camkit.store.schema import Header
from camkit.store.writer import Writer
from camkit.types import Activation, LongerSide, no_classes
from tests.support.world import World


def test_a_voc_root_alone_gives_images_and_labels(world: World) -> None:
    selection = select(Inputs(world.root), VOC_CLASSES)
    assert selection.ids == world.ids
    assert selection.labels is not None
    assert "XML" in selection.labels.source
    for id in selection.ids:
        present = selection.classes_of(id)
        assert present is not None
        assert list(present) == sorted(present)
        assert len(present) in (1, 2)


def test_paths_may_be_text(world: World, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("".join(f"{id},3\n" for id in world.ids))
    inputs = Inputs(str(world.root), labels=str(labels))
    assert inputs == Inputs(world.root, labels=labels)
    assert select(inputs, VOC_CLASSES).labels == select(Inputs(world.root, labels=labels), VOC_CLASSES).labels
    assert Inputs(world.root).labels is None
    assert Output("maps.h5") == Output(Path("maps.h5"))
    assert Output().out is None
    assert Network("a.pth") == Network(Path("a.pth"))


def test_the_description_tells_images_and_labels_apart(world: World, tmp_path: Path) -> None:
    everything = select(Inputs(world.root), VOC_CLASSES).describe()
    assert everything == select(Inputs(world.root), VOC_CLASSES).describe()
    assert everything["sha256"] != select(Inputs(world.root, limit=3), VOC_CLASSES).describe()["sha256"]
    other = tmp_path / "labels.csv"
    other.write_text("".join(f"{id},cat\n" for id in world.ids))
    assert everything["sha256"] != select(Inputs(world.root, labels=other), VOC_CLASSES).describe()["sha256"]


def test_images_without_labels_are_an_error_before_any_computing(world: World, tmp_path: Path) -> None:
    some = tmp_path / "labels.csv"
    some.write_text("".join(f"{id},cat\n" for id in world.ids[:-2]))
    with pytest.raises(LabelError, match=f"2 of 12 images have no labels.*{world.ids[-2]}"):
        select(Inputs(world.root, labels=some), VOC_CLASSES)


def test_a_scores_store_gives_labels(world: World, tmp_path: Path) -> None:
    scores = np.zeros(20, np.float32)
    scores[[3, 7]] = 0.4, 0.6
    with Writer(tmp_path / "scores.h5", Header("scores", VOC_CLASSES, ""), world.ids) as writer:
        for id in world.ids:
            writer.write(Activation(id, scores, no_classes(), (4, 4)))
        writer.finish()
    inputs = Inputs(world.root, labels=tmp_path / "scores.h5")
    assert select(inputs, VOC_CLASSES).labels.present[world.ids[0]] == (7,)  # type: ignore[union-attr]
    generous = Inputs(world.root, labels=tmp_path / "scores.h5", score_threshold=0.3)
    assert select(generous, VOC_CLASSES).labels.present[world.ids[0]] == (3, 7)  # type: ignore[union-attr]
    with pytest.raises(LabelError, match="other classes"):
        select(inputs, VOC_CLASSES[::-1])


@pytest.mark.parametrize(
    ("scores", "expected"), [([0.1, 0.9, 0.6], [1, 2]), ([0.1, 0.3, 0.2], [1]), ([0.5, 0.5, 0.5], [0])]
)
def test_the_best_class_is_always_predicted(scores: list[float], expected: list[int]) -> None:
    assert list(predicted_classes(np.array(scores), 0.5)) == expected


@given(st.integers(1, 9))
def test_shards_may_be_counted_from_0_or_from_1(count: int) -> None:
    from_0 = {parse_shard(f"{n}/{count}") for n in range(count)}
    from_1 = {parse_shard(f"{n}/{count}") for n in range(1, count + 1)}
    assert from_0 == from_1 == {(n, count) for n in range(count)}


@pytest.mark.parametrize("text", ["", "3", "4/3", "0/0", "-1/3", "a/b", "1/3/5", "1.5/2"])
def test_a_bad_shard_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)


def test_ranks_of_torchrun_are_shards() -> None:
    assert shard_of_environment({}) == (0, 1)
    assert shard_of_environment({"RANK": "2", "WORLD_SIZE": "4"}) == (2, 4)


def test_class_names_must_fit_the_classifier(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    assert resolve_classes(str(tmp_path / "names.txt"), ("x", "y"), 2) == ("ant", "bee")
    assert resolve_classes(None, ("x", "y"), 2) == ("x", "y")
    assert resolve_classes(None, None, 20) == VOC_CLASSES
    with pytest.raises(LabelError, match="names 2 classes, but the classifier has 3"):
        resolve_classes(str(tmp_path / "names.txt"), None, 3)


@pytest.mark.parametrize(
    ("resize", "recorded", "expected"),
    [
        (None, None, ViewSize(1000, shrink_only=True)),
        (None, 240, ViewSize(240)),
        ("native", 240, ViewSize(None)),
        (320, 240, ViewSize(320)),
    ],
)
def test_view_size(resize: LongerSide | None, recorded: int | None, expected: ViewSize) -> None:
    assert view_size(resize, recorded) == expected


@pytest.mark.parametrize("resize", [0, -3, "big", 3.5])
def test_a_bad_view_size_is_a_usage_error(resize: object) -> None:
    with pytest.raises(UsageError, match="--resize"):
        view_size(resize)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0", "-3", "big", "3.5", "", "10001"])
def test_a_bad_number_of_pixels_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=f"--resize {text}: give a number of pixels up to 10,000, or native"):
        pixels("--resize", text, "native")


@pytest.mark.parametrize(
    ("view", "seen"),
    [
        (view_size(None), (500, 1000)),
        (ViewSize(None), (600, 1200)),
        (ViewSize(300), (150, 300)),
        (ViewSize(1500), (750, 1500)),
    ],
)
def test_photos_are_seen_at_the_size_asked_for_and_remember_their_own(
    tmp_path: Path, view: ViewSize, seen: tuple[int, int]
) -> None:
    Image.new("RGB", (1200, 600), "teal").save(tmp_path / "wide.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    selection = select(Inputs(tmp_path), ("a",), need_labels=False)
    record = load_photo("wide", selection, view)
    assert not isinstance(record, Failure)
    assert record.size == (600, 1200)
    assert record.image is not None
    assert record.image.shape[:2] == seen
    assert isinstance(load_photo("broken", selection, view), Failure)
