"""`lpcam_cluster` as a function: what is sampled, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import camkit.stages.lpcam_cluster as stage
import camkit.stages.lpcam_gather as gather
from camkit import Activation, Header, Inputs, Network, Output, Runtime, Writer, cam
from camkit.data.classes import VOC_CLASSES
from camkit.errors import InputError, LabelError, OutputError, StoreError, UsageError
from camkit.memory import parse
from camkit.models.checkpoint import load_classifier
from camkit.pipeline.photos import load_photos
from camkit.pipeline.select import Shard
from camkit.settings.lpcam import Clustering
from camkit.stages.lpcam_centres import cluster_sample
from camkit.stages.lpcam_cluster import lpcam_cluster
from camkit.stages.lpcam_sample import Budget, Features, Sample, memory_text
from camkit.store.prototypes import SIDES, read_prototypes
from tests.support.lpcam import SETTINGS, SMALL, cluster, labels_of
from tests.support.world import World, draw_world


def features_of(world: World) -> Iterator[tuple[str, np.ndarray, np.ndarray, tuple[int, int]]]:
    """Id, features [n, D], normalised CAM [num_classes, n] and the size of every photo, without camkit's pipeline."""
    network = load_classifier(world.ckpt).network
    mean, std = (torch.tensor(colour).view(3, 1, 1) for colour in (network.mean, network.std))
    for id in world.ids:
        photo = np.array(Image.open(world.root / "JPEGImages" / f"{id}.jpg"))
        x = (torch.from_numpy(photo).permute(2, 0, 1) / 255 - mean) / std
        with torch.inference_mode():
            features = network.features(x[None])[0].flatten(1).numpy()
        maps = np.maximum(network.weight.detach().numpy() @ features, 0)
        yield id, features.T, maps / (maps.max(axis=1, keepdims=True) + 1e-5), photo.shape[:2]


def rows(array: np.ndarray) -> set[bytes]:
    return {np.ascontiguousarray(np.round(row, 4) + 0.0).tobytes() for row in array}


def test_centres_are_of_the_features_of_their_class(photos: World, clustered: Path, tmp_path: Path) -> None:
    found = read_prototypes(clustered)
    counts = {side: dict.fromkeys(range(20), 0) for side in SIDES}
    for (_, features, maps, _), present in zip(features_of(photos), labels_of(photos).values(), strict=True):
        for number in present:
            inside = int((maps[number] >= SETTINGS.threshold).sum())
            counts["foreground"][number] += inside
            counts["context"][number] += len(features) - inside
    assert set(found.of_class) == {number for present in labels_of(photos).values() for number in present}
    for number, sides in found.of_class.items():
        for side in SIDES:
            centres = sides.side(side)
            assert centres.gathered is not None
            assert centres.counts is not None
            assert centres.gathered.seen == centres.gathered.sampled == counts[side][number]
            assert centres.counts.sum() <= counts[side][number]
            assert len(centres.values) <= SETTINGS.clusters


def test_scores_and_examples_are_what_they_say(photos: World, clustered: Path, tmp_path: Path) -> None:
    found = read_prototypes(clustered)
    weight = load_classifier(photos.ckpt).network.weight.detach().numpy()
    features = {id: (of_image, size) for id, of_image, _, size in features_of(photos)}
    for number, sides in found.of_class.items():
        for side in SIDES:
            centres = sides.side(side)
            logits = centres.values @ weight.T
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            scores = odds[:, number] / odds.sum(axis=1)
            assert centres.scores is not None
            assert centres.scores == pytest.approx(scores, abs=1e-5)
            high = scores > 0.055 if side == "foreground" else (scores < 0.05) & (scores > 0.03)
            assert np.array_equal(centres.kept, high)
            check_examples(centres, features)


def check_examples(centres: Any, features: dict[str, tuple[np.ndarray, tuple[int, int]]]) -> None:
    for centre, ids, boxes, similarities in zip(
        centres.values, centres.examples.ids, centres.examples.boxes, centres.examples.similarities, strict=True
    ):
        named = [id for id in ids if id]
        assert len(set(named)) == len(named)
        assert list(similarities[: len(named)]) == sorted(similarities[: len(named)], reverse=True)
        for id, (top, left, bottom, right), similarity in zip(named, boxes, similarities, strict=False):
            of_image, (height, width) = features[id]
            columns = -(-width // 16) if len(of_image) == -(-width // 16) * -(-height // 16) else -(-width // 32)
            grid = len(of_image) // columns, columns
            cell = round(top * grid[0] / height) * columns + round(left * grid[1] / width)
            assert 0 <= top < bottom <= height
            assert 0 <= left < right <= width
            row = of_image[cell]
            cosine = row @ centre / np.linalg.norm(row) / np.linalg.norm(centre)
            assert similarity == pytest.approx(cosine, abs=1e-4)


@pytest.mark.parametrize("memory", ["2G", SMALL])
def test_the_result_depends_on_neither_order_nor_threads(
    photos: World, tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(photos, tmp_path / "one.h5", memory=memory)

    def reversed_photos(ids: Sequence[str], *arguments: Any, **options: Any) -> Any:
        return load_photos(ids[::-1], *arguments, **options)

    monkeypatch.setattr(stage, "load_photos", reversed_photos)
    monkeypatch.setattr(gather, "SECONDS", 0.0)  # a part for every image
    cluster(photos, tmp_path / "two.h5", memory=memory, runtime=Runtime(workers=0))
    assert (tmp_path / "two.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()


@pytest.mark.parametrize("memory", ["2G", SMALL])
def test_batches_sample_the_same_features(
    photos: World, tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for their last digits, for which a network's batches are not alike."""
    sampled: list[dict[int, Features]] = []

    def watched(sample: Sample, *arguments: Any) -> Any:
        sampled.append({group: sample.features(group) for group in sample.reservoir.seen})
        return cluster_sample(sample, *arguments)

    monkeypatch.setattr(stage, "cluster_sample", watched)
    for batch_size in (1, 4):
        cluster(photos, tmp_path / f"{batch_size}.h5", memory=memory, runtime=Runtime(batch_size=batch_size))
    one, two = sampled
    assert one.keys() == two.keys()
    for group, features in one.items():
        places = [
            [(each.seen[image].id, cell) for image, cell in zip(each.images, each.cells, strict=True)]
            for each in (features, two[group])
        ]
        assert places[0] == places[1]
        np.testing.assert_allclose(features.values, two[group].values, rtol=1e-4, atol=1e-4)


def test_memory_bounds_what_is_clustered_and_what_lies_on_disk(
    photos: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(parse("--memory", SMALL), 64)
    on_disk: list[int] = []
    monkeypatch.setattr(gather, "SECONDS", 0.0)
    flush = gather.SampleWriter._flush

    def watched(self: gather.SampleWriter) -> None:
        flush(self)
        on_disk.append(sum(len(part.rows) for part in self._index.values()))

    monkeypatch.setattr(gather.SampleWriter, "_flush", watched)
    found = cluster(photos, tmp_path / "p.h5", memory=SMALL)
    gathered = [sides.side(side).gathered for sides in found.of_class.values() for side in SIDES]
    sampled = [one.sampled for one in gathered if one is not None]
    seen = [one.seen for one in gathered if one is not None]
    assert sum(seen) > budget.rows
    assert sum(sampled) <= budget.rows
    assert sum(sampled) > budget.rows - len(sampled)
    assert max(sampled) <= budget.per_group
    level = max(sampled)
    assert all(few == min(many, level) for few, many in zip(sampled, seen, strict=True))
    assert max(on_disk) <= 2 * budget.rows
    assert any(later < before for before, later in pairwise(on_disk))


def test_a_larger_seed_samples_others(photos: World, tmp_path: Path) -> None:
    one = cluster(photos, tmp_path / "one.h5", memory=SMALL)
    two = cluster(photos, tmp_path / "two.h5", memory=SMALL, seed=1)
    number = max(one.of_class, key=lambda n: one.of_class[n].context.gathered.seen)  # type: ignore[union-attr]
    assert not np.array_equal(one.of_class[number].context.values, two.of_class[number].context.values)


class Stop(BaseException):
    """A run ends at once, as by a kill."""


def stopping(monkeypatch: pytest.MonkeyPatch, name: str, after: int) -> None:
    original: Callable[..., Any] = getattr(gather, name)
    calls = iter(range(after))

    def stop(*arguments: Any) -> Any:
        if next(calls, None) is None:
            raise Stop
        return original(*arguments)

    monkeypatch.setattr(gather, name, stop)


@pytest.mark.parametrize("memory", ["2G", SMALL])
def test_an_interrupted_run_goes_on_where_it_stopped(
    photos: World, tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster(photos, tmp_path / "whole.h5", memory=memory)
    expected, out = (tmp_path / "whole.h5").read_bytes(), tmp_path / "out.h5"
    monkeypatch.setattr(gather, "SECONDS", 0.0)
    shrinking = [("shrink_part", 3)] if memory == SMALL else []
    for name, after in [("encode_part", 4), ("encode_part", 5), *shrinking, ("encode_prototypes", 0)]:
        with monkeypatch.context() as patch:
            stopping(patch, name, after)
            with pytest.raises(Stop):
                cluster(photos, out, memory=memory)
        assert not out.exists()
    with caplog.at_level(logging.INFO, "camkit"):
        cluster(photos, out, memory=memory)
    assert "continuing: 24 of 24 images are done" in caplog.text
    assert out.read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "whole.h5"]


def test_shards_gather_and_the_last_one_clusters(photos: World, tmp_path: Path) -> None:
    cluster(photos, tmp_path / "whole.h5", memory=SMALL)
    out = tmp_path / "out.h5"
    clustering = Clustering(memory=SMALL)

    def run(shard: Shard) -> bool:
        inputs = Inputs(photos.root, shard=shard)
        settings = replace(SETTINGS, clusters=1)
        network = Network(photos.ckpt)
        return lpcam_cluster(inputs, network, Output(out), settings=settings, clustering=clustering).complete

    assert [run((n, 3)) for n in (2, 0, 2, 1)] == [False, False, False, True]
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert run((1, 3))
    assert not (tmp_path / "out.h5.parts").exists()


def test_two_cannot_write_one_store(photos: World, tmp_path: Path) -> None:
    header = Header("prototypes", VOC_CLASSES, "")
    budget = Budget(1 << 20, 64)
    with (
        gather.SampleWriter(tmp_path / "p.h5", header, ["a"], budget, seed=0),
        pytest.raises(OutputError, match="is being written by"),
    ):
        gather.SampleWriter(tmp_path / "p.h5", header, ["a"], budget, seed=0)


def test_a_run_again_is_done_and_another_is_refused(photos: World, tmp_path: Path) -> None:
    out = tmp_path / "p.h5"
    cluster(photos, out)
    before = out.stat().st_mtime_ns
    summary = lpcam_cluster(Inputs(photos.root), Network(photos.ckpt), Output(out), settings=SETTINGS)
    assert summary.already == summary.images == 24
    assert out.stat().st_mtime_ns == before
    other = replace(SETTINGS, clusters=2)
    with pytest.raises(UsageError, match="--clusters was 3 and is now 2"):
        cluster(photos, out, settings=other)
    assert len(cluster(photos, out, settings=other, overwrite=True).of_class[0].foreground.values) <= 2
    with pytest.raises(UsageError, match="not replaced without --overwrite"):
        cluster(photos, world_store(photos, tmp_path / "cam.h5"))


def world_store(world: World, out: Path) -> Path:
    cam(Inputs(world.root), Network(world.ckpt), Output(out, dtype="float32"), scales=[1], flip=False, size="full")
    return out


def test_photos_that_fail_are_left_out_and_told(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "world", count=6, sizes=((96, 96),))
    (world.root / "JPEGImages" / f"{world.ids[2]}.jpg").write_bytes(b"nothing")
    out = tmp_path / "p.h5"
    summary = lpcam_cluster(Inputs(world.root), Network(world.ckpt), Output(out), settings=SETTINGS)
    assert list(summary.failures) == [world.ids[2]]
    assert list(read_prototypes(out).failures) == [world.ids[2]]
    again = lpcam_cluster(Inputs(world.root), Network(world.ckpt), Output(out), settings=SETTINGS)
    assert list(again.failures) == [world.ids[2]]


def test_maps_of_a_store_say_what_is_foreground(photos: World, tmp_path: Path) -> None:
    grid = {id: maps.shape[1] for id, _, maps, _ in features_of(photos)}
    store = tmp_path / "maps.h5"
    header = Header("maps", VOC_CLASSES, str(photos.root))
    half = photos.ids[::2]
    with Writer(store, header, half) as writer:
        for id in half:
            size = Image.open(photos.root / "JPEGImages" / f"{id}.jpg").size[::-1]
            maps = np.zeros((1, *size), np.float32)
            maps[:, : size[0] // 2] = 1
            writer.write(Activation(id, maps, np.array([3]), size))
        writer.finish()
    found = cluster(photos, tmp_path / "p.h5", maps=store)
    assert list(found.of_class) == [3]
    gathered = [found.of_class[3].side(side).gathered for side in SIDES]
    seen = [one.seen for one in gathered if one is not None]
    assert sum(seen) == sum(grid[id] for id in half)
    assert 0.4 < seen[0] / sum(seen) < 0.7
    parents = found.header.provenance["parents"]
    assert [parent["command"] for parent in parents] == ["a store without a history"]


def test_own_maps_give_the_same_prototypes(photos: World, clustered: Path, tmp_path: Path) -> None:
    """A store of CAM at the grid of the features is what the command computes by itself."""
    store = tmp_path / "maps.h5"
    with Writer(store, Header("maps", VOC_CLASSES, ""), photos.ids, dtype="float32") as writer:
        for (id, _, maps, size), present in zip(features_of(photos), labels_of(photos).values(), strict=True):
            columns = round(np.sqrt(maps.shape[1] * size[1] / size[0]))
            planes = maps[present].reshape(len(present), -1, columns)
            writer.write(Activation(id, planes, np.array(present), (int(size[0]), int(size[1]))))
        writer.finish()
    one, two = read_prototypes(clustered), cluster(photos, tmp_path / "two.h5", maps=store)
    for number, sides in one.of_class.items():
        assert np.allclose(sides.foreground.values, two.of_class[number].foreground.values, atol=1e-4)


def test_a_few_images_of_each_class_are_drawn(photos: World, tmp_path: Path) -> None:
    found = cluster(photos, tmp_path / "p.h5", per_class=1)
    assert set(found.of_class) == {number for present in labels_of(photos).values() for number in present}
    for sides in found.of_class.values():
        shown = sides.context.examples
        assert shown is not None
        assert len({id for id in shown.ids.ravel() if id}) <= 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"memory": "1K"},
            UsageError,
            "--memory 1K is too little for 40 sets of 3 clusters of 64 channels",
        ),
        ({"memory": "much"}, UsageError, "--memory much"),
        ({"inputs": "no labels", "per_class": 3}, UsageError, "--per-class needs labels"),
        ({"inputs": "both", "maps": "maps"}, UsageError, "leave out one"),
        ({"maps": "scores"}, UsageError, "holds scores"),
        ({"maps": "others"}, StoreError, "other classes"),
        ({"maps": "elsewhere"}, InputError, "has no maps of the images"),
        ({"inputs": "wrong classes"}, LabelError, "names 2 classes"),
    ],
)
def test_wrong_calls_are_refused_before_anything_is_computed(
    world: World, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    (tmp_path / "two.txt").write_text("a\nb\n")
    folder = world.root / "JPEGImages"
    inputs = {
        "no labels": Inputs(folder),
        "both": Inputs(world.root, labels=world.root / "Annotations"),
        "wrong classes": Inputs(world.root, classes=str(tmp_path / "two.txt")),
    }
    stores = {"maps": ("maps", VOC_CLASSES), "others": ("maps", ("a",)), "elsewhere": ("maps", VOC_CLASSES)}
    for name, (kind, classes) in {**stores, "scores": ("scores", VOC_CLASSES)}.items():
        with Writer(tmp_path / name, Header(kind, classes, ""), []) as writer:
            writer.finish()
    if "inputs" in options:
        options = {**options, "inputs": inputs[options["inputs"]]}
    if "maps" in options:
        options = {**options, "maps": tmp_path / options["maps"]}
    with pytest.raises(error, match=message):
        cluster(world, tmp_path / "p.h5", **options)
    assert not (tmp_path / "p.h5").exists()
    assert not (tmp_path / "p.h5.parts").exists()


@pytest.mark.parametrize(
    ("text", "count"), [("2G", 2 << 30), ("512m", 512 << 20), ("1.5GiB", 3 << 29), ("7KB", 7 << 10)]
)
def test_memory_is_written_as_people_do(text: str, count: int) -> None:
    assert parse("--memory", text) == count
    assert parse("--memory", memory_text(count)) == count
