"""What is clustered: images that are drawn, calls that make no sense, stores that are being replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

import camkit.stages.lpcam_gather as gather
from camkit import Header, Inputs, Network, Output, Writer
from camkit.data.classes import VOC_CLASSES
from camkit.data.images import ImageSet
from camkit.data.labels import Labels
from camkit.errors import InputError, StoreError, UsageError
from camkit.methods.sampling import priorities
from camkit.models.checkpoint import load_classifier
from camkit.pipeline.select import Selection
from camkit.settings.lpcam import Clustering, Hyperparameters, Thresholds, settings_of
from camkit.stages.lpcam_apply import lpcam_apply
from camkit.stages.lpcam_cluster import drawn_images, lpcam_cluster
from camkit.stages.prototypes import directions_of
from camkit.store.parts import Parts
from camkit.store.prototypes import read_prototypes
from tests.support.world import World, draw_world

SETTINGS = Hyperparameters(clusters=2, threshold=0.4, foreground_score=0, context_score=1, context_low=0)


def cluster(world: World, out: Path, *, overwrite: bool = False, **options: Any) -> None:
    arguments = {"settings": SETTINGS, **options}
    lpcam_cluster(Inputs(world.root), Network(world.ckpt), Output(out, overwrite), **arguments)


@pytest.fixture(scope="module")
def clustered(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clustered") / "p.h5"
    cluster(world, out)
    return out


def selection_of(count: int, labelled: int) -> Selection:
    """Images of class 4, and labels of more of them."""
    names = [f"{n:03d}" for n in range(labelled)]
    images = ImageSet(Path(), {name: Path(name) for name in names[:count]})
    return Selection(images, VOC_CLASSES, Labels("labels", dict.fromkeys(names, (4,))), (0, 1))


def test_images_are_drawn_among_those_that_are_selected() -> None:
    found = drawn_images(selection_of(6, 200), 4, seed=0)
    assert len(found.ids) == 4
    assert found.ids == drawn_images(selection_of(6, 6), 4, seed=0).ids
    assert found.labels is not None
    assert found.labels.present == dict.fromkeys(found.ids, (4,))


def test_images_are_not_drawn_by_the_numbers_of_their_cells() -> None:
    """Else first cells would be in the sample more often than others."""
    by_cells = 0
    for seed in range(20):
        smallest = sorted(selection_of(50, 50).ids, key=lambda id: priorities(seed, id, 4, 1)[0])[:5]
        by_cells += set(drawn_images(selection_of(50, 50), 5, seed).ids) == set(smallest)
    assert by_cells == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clustering(seed=-1), "--seed -1: give 0 or more"),
        (lambda: Clustering(rounds=0), "--rounds 0: give at least 1"),
        (lambda: Clustering(per_class=0), "--per-class 0: give at least 1"),
        (lambda: replace(SETTINGS, clusters=0), "--clusters 0: give a number from 1 to 1000"),
        (
            lambda: settings_of("published", {"context_score": 0.04}),
            r"--context-low 0\.05 is not below",
        ),
    ],
)
def test_numbers_that_make_no_sense_make_no_settings(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clustering": Clustering(map_resize="nearest")}, "--map-resize is about the maps"),
        ({"settings": replace(SETTINGS, context_low=1)}, "--context-low 1 is not below --context-score 1"),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    world: World, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        cluster(replace(world, ckpt=tmp_path / "none.pth"), tmp_path / "p.h5", **options)


def test_how_maps_are_resized_is_noted_where_there_are_maps(clustered: Path, world: World, tmp_path: Path) -> None:
    assert "map_resize" not in read_prototypes(clustered).header.provenance["parameters"]
    with Writer(tmp_path / "maps.h5", Header("maps", VOC_CLASSES[::-1], ""), []) as writer:
        writer.finish()
    with pytest.raises(StoreError, match=r"other classes.*: class 0 is tvmonitor there and aeroplane here"):
        cluster(world, tmp_path / "p.h5", maps=tmp_path / "maps.h5")


def test_photos_that_all_fail_are_told(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "world", count=3)
    for id in world.ids:
        (world.root / "JPEGImages" / f"{id}.jpg").write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(InputError, match=f"all 3 images failed: {world.ids[0]}: "):
            cluster(world, tmp_path / "p.h5")


class Stop(BaseException):
    """A run ends at once, as by a kill."""


def stopped(world: World, out: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: int) -> None:
    """A run with --overwrite, a part for every image, up to so many calls of a function."""
    original, calls = getattr(owner, name), iter(range(after))

    def stop(*arguments: Any) -> Any:
        if next(calls, None) is None:
            raise Stop
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(gather, "SECONDS", 0.0)
        patch.setattr(owner, name, stop)
        with pytest.raises(Stop):
            cluster(world, out, overwrite=True)


def test_a_store_that_is_being_replaced_is_not_finished(
    world: World, clustered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out, parts = tmp_path / "p.h5", tmp_path / "p.h5.parts"
    out.write_bytes(clustered.read_bytes())
    stopped(world, out, monkeypatch, gather, "encode_part", after=5)
    left = sorted(path.name for path in parts.iterdir())
    with pytest.raises(
        UsageError, match=rf"p\.h5 was being replaced; give --overwrite again to go on, or remove {parts}"
    ):
        cluster(world, out)
    assert sorted(path.name for path in parts.iterdir()) == left
    with caplog.at_level("INFO", "camkit"):
        cluster(world, out, overwrite=True)
    assert "continuing: 5 of 12 images are done" in caplog.text
    assert not parts.exists()
    assert out.read_bytes() == clustered.read_bytes()


def test_parts_that_a_store_was_made_from_are_removed(
    world: World, clustered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, parts = tmp_path / "p.h5", tmp_path / "p.h5.parts"
    stopped(world, out, monkeypatch, Parts, "remove", after=0)
    assert any(path.name.startswith("part-") for path in parts.iterdir())
    cluster(world, out)
    assert not parts.exists()
    assert out.read_bytes() == clustered.read_bytes()


def test_prototypes_of_other_content_are_another_run(world: World, clustered: Path, tmp_path: Path) -> None:
    prototypes = tmp_path / "p.h5"
    prototypes.write_bytes(clustered.read_bytes())

    def apply() -> int:
        return lpcam_apply(
            prototypes, Inputs(world.root, limit=2), Network(world.ckpt), Output(tmp_path / "m.h5")
        ).already

    assert [apply(), apply()] == [0, 2]
    with h5py.File(prototypes, "a") as file:
        for name in file["prototypes"]:
            file[f"prototypes/{name}/foreground"][:] *= 2
    with pytest.raises(UsageError, match=r"in the input store \(lpcam-cluster\), its content changed"):
        apply()


def test_classes_of_other_names_are_refused_unless_the_checkpoint_is_the_same(world: World, clustered: Path) -> None:
    store, loaded = read_prototypes(clustered), load_classifier(world.ckpt)
    renamed = replace(loaded, classes=("plane", *VOC_CLASSES[1:]))
    directions_of(store, renamed)
    unknown = replace(store.header, provenance={})
    for changed, header in ((replace(renamed, sha256="0"), store.header), (renamed, unknown)):
        with pytest.raises(StoreError, match=r"than tiny\.pth: class 0 is aeroplane there and plane here\n"):
            directions_of(replace(store, header=header), changed)
    directions_of(replace(store, header=unknown), replace(renamed, classes=None))


def test_thresholds_that_leave_no_context_are_refused(world: World, clustered: Path) -> None:
    store, loaded = read_prototypes(clustered), load_classifier(world.ckpt)
    with pytest.raises(UsageError, match="--context-low 1 is not below --context-score 1"):
        directions_of(store, loaded, Thresholds(context_low=1))
    directions_of(store, loaded, Thresholds(context_score=0.5, context_low=0.4))
