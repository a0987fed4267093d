"""`lpcam_apply` as a function: what comes of prototypes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from camkit import Activation, Inputs, Network, Output, cam, open_store
from camkit.data.classes import VOC_CLASSES
from camkit.errors import StoreError
from camkit.models.checkpoint import load_classifier
from camkit.settings.lpcam import Thresholds
from camkit.stages.lpcam_apply import lpcam_apply
from camkit.stages.prototypes import directions_of
from camkit.store.prototypes import SIDES, read_prototypes
from tests.support.lpcam import SETTINGS, cluster, labels_of
from tests.support.world import World


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
