"""`lpcam_cluster` and `lpcam_apply` as functions: what is sampled, what is kept, and what comes of it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import camkit.stages.lpcam_cluster as stage
import camkit.stages.lpcam_gather as gather
from camkit import Activation, Header, Inputs, Network, Output, Runtime, Writer, cam, open_store
from camkit.data.classes import VOC_CLASSES
from camkit.errors import InputError, LabelError, OutputError, StoreError, UsageError
from camkit.methods.lpcam import Hyperparameters
from camkit.models.checkpoint import load_classifier
from camkit.pipeline.photos import load_photos
from camkit.pipeline.select import Shard
from camkit.stages.lpcam_apply import lpcam_apply
from camkit.stages.lpcam_centres import cluster_sample
from camkit.stages.lpcam_cluster import Clustering, lpcam_cluster
from camkit.stages.lpcam_sample import Budget, Features, Sample, memory_text, parse_memory
from camkit.stages.prototypes import Thresholds, directions_of
from camkit.store.prototypes import SIDES, PrototypeStore, read_prototypes
from tests.support.world import World, draw_world

SETTINGS = Hyperparameters(clusters=3, threshold=0.4, foreground_score=0.055, context_score=0.05, context_low=0.03)
SMALL = "32K"
"""A tenth of the features of the photos below; one cluster of each class is all there is room for."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> World:
    """With a classifier that is less sure of itself: scores of centres are spread."""
    world = draw_world(tmp_path_factory.mktemp("photos"), count=24, sizes=((96, 120), (120, 96), (100, 100)))
    state = torch.load(world.ckpt, weights_only=True)
    torch.save({**state, "fc.weight": 0.03 * state["fc.weight"], "fc.bias": 0 * state["fc.bias"]}, world.ckpt)
    return world


@pytest.fixture(scope="module")
def clustered(photos: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prototypes of the photos, with the settings above; tests leave them as they are."""
    out = tmp_path_factory.mktemp("clustered") / "p.h5"
    cluster(photos, out)
    return out


def cluster(world: World, out: Path, *, settings: Hyperparameters = SETTINGS, **options: Any) -> PrototypeStore:
    if options.get("memory") == SMALL:
        settings = replace(settings, clusters=1)
    runtime = options.pop("runtime", Runtime())
    inputs = options.pop("inputs", Inputs(world.root))
    clustering = Clustering(**{name: options.pop(name) for name in ("memory", "seed", "per_class") if name in options})
    lpcam_cluster(
        inputs,
        Network(world.ckpt),
        Output(out, options.pop("overwrite", False)),
        runtime,
        settings=settings,
        clustering=clustering,
        **options,
    )
    return read_prototypes(out)


def labels_of(world: World) -> dict[str, list[int]]:
    return {
        id: sorted(
            VOC_CLASSES.index(name)
            for name in re.findall("<name>(.*?)</name>", (world.root / "Annotations" / f"{id}.xml").read_text())
        )
        for id in world.ids
    }


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
    budget = Budget(parse_memory(SMALL), 64)
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
    assert parse_memory(text) == count
    assert parse_memory(memory_text(count)) == count


def apply(
    world: World, prototypes: Path, out: Path, *, ids: Sequence[str] = (), **options: Any
) -> dict[str, Activation]:
    listed = out.with_suffix(".txt")
    listed.write_text("\n".join(ids or world.ids[:6]) + "\n")
    inputs = Inputs(world.root, list=str(listed))
    lpcam_apply(prototypes, inputs, Network(world.ckpt), Output(out), scales=[1, 0.5], **options)
    with open_store(out) as store:
        return {activation.id: activation for activation in store}


def test_maps_are_finite_and_of_the_present_classes(photos: World, clustered: Path, tmp_path: Path) -> None:
    maps = apply(photos, clustered, tmp_path / "maps.h5")
    labels = labels_of(photos)
    for id, activation in maps.items():
        assert activation.classes.tolist() == labels[id]
        assert np.isfinite(activation.values).all()
        assert activation.values.min() >= 0
        assert all(plane.max() == 0 or 0.9 < plane.max() <= 1 for plane in activation.values)
    with open_store(tmp_path / "maps.h5") as store:
        provenance = store.header.provenance
    assert provenance["command"] == "lpcam-apply"
    assert [parent["command"] for parent in provenance["parents"]] == ["lpcam-cluster"]


def test_thresholds_changed_afterwards_are_as_a_new_clustering(photos: World, clustered: Path, tmp_path: Path) -> None:
    changed = replace(SETTINGS, foreground_score=0.065, context_score=0.06, context_low=0.036)
    cluster(photos, tmp_path / "two.h5", settings=changed)
    afterwards = apply(photos, clustered, tmp_path / "a.h5", thresholds=Thresholds(0.065, 0.06, 0.036))
    anew = apply(photos, tmp_path / "two.h5", tmp_path / "b.h5")
    as_before = apply(photos, clustered, tmp_path / "c.h5")
    for id, activation in anew.items():
        assert np.array_equal(activation.values, afterwards[id].values)
    assert any(not np.array_equal(activation.values, as_before[id].values) for id, activation in anew.items())


def test_a_threshold_that_is_not_given_is_as_it_was(photos: World, clustered: Path, tmp_path: Path) -> None:
    store = read_prototypes(clustered)
    loaded = load_classifier(photos.ckpt)
    for number, sides in store.of_class.items():
        scores = sides.context.scores
        assert scores is not None
        wanted = (scores < 0.06) & (scores > SETTINGS.context_low)
        changed = directions_of(store, loaded, Thresholds(context_score=0.06)).weight[number]
        by_hand = {**store.of_class, number: replace(sides, context=replace(sides.context, kept=wanted))}
        assert torch.equal(changed, directions_of(replace(store, of_class=by_hand), loaded).weight[number])


def test_a_class_without_prototypes_has_its_cam(
    photos: World, clustered: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    present = labels_of(photos)
    number = next(number for found in present.values() for number in found if len(found) > 1)
    ids = [id for id, found in present.items() if number in found and len(found) > 1]
    (tmp_path / "p.h5").write_bytes(clustered.read_bytes())
    with h5py.File(tmp_path / "p.h5", "a") as file:
        for other in file["prototypes"]:
            file[f"prototypes/{other}/foreground_kept"][:] = other != str(number)
    with caplog.at_level(logging.INFO, "camkit"):
        maps = apply(photos, tmp_path / "p.h5", tmp_path / "maps.h5", ids=ids)
    assert re.search(rf"no foreground prototype for .*\b{VOC_CLASSES[number]}\b.*: their CAM is used", caplog.text)
    cam(Inputs(photos.root), Network(photos.ckpt), Output(tmp_path / "cam.h5"), scales=[1, 0.5])
    with open_store(tmp_path / "cam.h5") as store:
        for id in ids:
            expected, found = store.read(id), maps[id]
            for plane, before, at in zip(found.values, expected.values, found.classes, strict=True):
                assert np.allclose(plane, before, atol=2e-3) == (at == number)


def test_prototypes_of_another_network_are_refused(
    photos: World, clustered: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tests.models.tiny import tiny_checkpoint

    wide = replace(photos, ckpt=tiny_checkpoint(tmp_path / "wide.pth", width=16))
    with pytest.raises(StoreError, match=r"p.h5 has prototypes of 64 channels, but the features of wide.pth have 128"):
        apply(wide, clustered, tmp_path / "maps.h5")
    few = replace(photos, ckpt=tiny_checkpoint(tmp_path / "few.pth", classes=3))
    with pytest.raises(StoreError, match=r"p\.h5 is about 20 classes, few\.pth about 3"):
        lpcam_apply(clustered, Inputs(photos.root / "JPEGImages"), Network(few.ckpt), Output(tmp_path / "x.h5"))
    other = replace(photos, ckpt=tiny_checkpoint(tmp_path / "other.pth", seed=1))
    apply(other, clustered, tmp_path / "maps.h5", ids=photos.ids[:1])
    assert "was made with another checkpoint than other.pth" in caplog.text


def test_a_store_made_by_hand(photos: World, clustered: Path, tmp_path: Path) -> None:
    """The two arrays per class alone, and nothing said about them, are applied, and thresholds too."""
    made = read_prototypes(clustered)
    with h5py.File(tmp_path / "hand.h5", "w") as file:
        for number, sides in made.of_class.items():
            for side in SIDES:
                file[f"prototypes/{number}/{side}"] = sides.side(side).prototypes
    assert {len(sides.foreground.prototypes) for sides in made.of_class.values()} > {0}
    expected = apply(photos, clustered, tmp_path / "a.h5")
    for id, activation in apply(photos, tmp_path / "hand.h5", tmp_path / "b.h5").items():
        assert np.array_equal(activation.values, expected[id].values)
    loaded = load_classifier(photos.ckpt)
    strict = Thresholds(foreground_score=0.065, context_score=0.04, context_low=SETTINGS.context_low)
    one = directions_of(made, loaded, strict).weight
    two = directions_of(read_prototypes(tmp_path / "hand.h5"), loaded, strict).weight
    kept = [n for n, sides in made.of_class.items() if (sides.foreground.scores > 0.065).any()]  # type: ignore[operator]
    assert torch.allclose(one[kept], two[kept], atol=1e-6)


def test_without_context_nothing_is_subtracted(photos: World, clustered: Path, tmp_path: Path) -> None:
    store = read_prototypes(clustered)
    loaded = load_classifier(photos.ckpt)
    found = directions_of(store, loaded, Thresholds(foreground_only=True)).weight
    for number, sides in store.of_class.items():
        unit = sides.foreground.prototypes / np.linalg.norm(sides.foreground.prototypes, axis=1, keepdims=True)
        expected = unit.mean(axis=0) if len(unit) else np.zeros(64)
        assert found[number].numpy() == pytest.approx(expected, abs=1e-6)


def test_labels_that_are_predicted_are_used(photos: World, tmp_path: Path) -> None:
    found = cluster(photos, tmp_path / "p.h5", inputs=Inputs(photos.root / "JPEGImages", score_threshold=0.6))
    selection = found.header.provenance["selection"]
    assert json.dumps(selection).count("predicted") == 1
    assert found.header.provenance["parameters"]["score_threshold"] == 0.6
