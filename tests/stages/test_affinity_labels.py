"""The labels that AffinityNet and IRN learn from, the stores and photos they are made of, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from camkit import Activation, open_store
from camkit.data.images import read_image
from camkit.errors import InputError, UsageError
from camkit.methods.icd_seeds import positive_part
from camkit.methods.walk.confident import confident_labels
from camkit.settings.pairs import PUBLISHED
from camkit.types import AffinityKind, no_classes
from camkit.upsample import upsample
from tests.support.affinity import KINDS, NAMES, maps_of, mask_of, masks_store, refused, train, written
from tests.support.world import World, draw_world


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> World:
    return draw_world(tmp_path_factory.mktemp("photos"), count=6)


@pytest.fixture(scope="module")
def cams(photos: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cams") / "cams.h5"
    return written(path, photos, [maps_of(photos, id) for id in photos.ids])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_what_two_crfs_are_sure_of(photos: World, cams: Path, tmp_path: Path, kind: AffinityKind) -> None:
    trained = train(kind, cams, tmp_path / "x.y.safetensors")
    assert (trained.summary.images, trained.summary.failures) == (6, {})
    with open_store(tmp_path / "x.y.labels.h5") as store, open_store(cams) as maps:
        assert (store.header.kind, store.header.classes, store.ids) == ("masks", NAMES, photos.ids)
        seen = set()
        for found in store:
            image, _ = read_image(photos.root / "JPEGImages" / f"{found.id}.jpg")
            known = maps.read(found.id)
            expected = confident_labels(image, upsample(known.values, known.size), PUBLISHED[kind])
            numbers = np.array([0, *(known.classes + 1), 255])  # the last is what -1 stands for
            np.testing.assert_array_equal(found.values, numbers[expected])
            seen |= set(np.unique(found.values).tolist())
    assert {0, 1, 255} <= seen <= {0, 1, 3, 255}
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "x.y.curve.csv", "x.y.curve.png", "x.y.labels.h5", "x.y.last.safetensors", "x.y.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_stores_that_teach_nothing_are_told(photos: World, tmp_path: Path, kind: AffinityKind) -> None:
    folder, sizes = tmp_path / "out", {id: mask_of(photos, id).shape for id in photos.ids}
    folder.mkdir()
    probs = [Activation(id, np.full((2, 12, 12), 0.5, np.float32), np.array([0]), size) for id, size in sizes.items()]
    refused(written(tmp_path / "p.h5", photos, probs, "probs"), folder, "p.h5 is a probs store", kind)
    pieces = [Activation(id, np.zeros(size, np.uint16), no_classes(), size) for id, size in sizes.items()]
    refused(written(tmp_path / "s.h5", photos, pieces, "superpixels", ()), folder, "s.h5 is a superpixels store", kind)
    empty = [Activation(id, np.zeros((0, 12, 12), np.float32), no_classes(), size) for id, size in sizes.items()]
    refused(written(tmp_path / "e.h5", photos, empty), folder, "e.h5 has a class", kind)


def test_photos_that_are_not_where_they_were_are_told(cams: Path, tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "out"
    folder.mkdir()
    refused(cams, folder, "there are no images", images=elsewhere)
    elsewhere.mkdir()
    Image.new("RGB", (9, 9)).save(elsewhere / "other.png")
    refused(cams, folder, "none of the 6 images is in", images=elsewhere)


def test_the_input_is_never_replaced(photos: World, cams: Path, tmp_path: Path) -> None:
    """Not even where it lies in the place of the labels."""
    source = Path(shutil.copy(cams, tmp_path / "x.labels.h5"))
    for overwrite in (False, True):
        with pytest.raises(UsageError):
            train("affinitynet", source, tmp_path / "x.safetensors", overwrite=overwrite)
        assert source.read_bytes() == cams.read_bytes()


def test_a_store_of_somebody_else_is_not_taken_for_labels(photos: World, cams: Path, tmp_path: Path) -> None:
    other = masks_store(tmp_path / "x.labels.h5", photos)
    before = other.read_bytes()
    with pytest.raises(UsageError, match=r"x.labels.h5 was made by another run"):
        train("affinitynet", cams, tmp_path / "x.safetensors")
    assert other.read_bytes() == before


def test_another_run_replaces_only_what_differs_and_only_when_told(cams: Path, tmp_path: Path) -> None:
    out, labels = tmp_path / "x.safetensors", tmp_path / "x.labels.h5"
    train("affinitynet", cams, out)
    first, made = out.read_bytes(), (labels.stat().st_mtime_ns, labels.read_bytes())
    again = train("affinitynet", cams, out)
    assert (again.best, again.summary.already) == (None, 6)
    with pytest.raises(UsageError, match="--radius was 5 and is now 3"):
        train("affinitynet", cams, out, radius=3)
    assert out.read_bytes() == first
    train("affinitynet", cams, out, radius=3, overwrite=True)
    assert out.read_bytes() != first
    assert (labels.stat().st_mtime_ns, labels.read_bytes()) == made
    surer = replace(PUBLISHED["affinitynet"], foreground=1)
    with pytest.raises(UsageError):
        train("affinitynet", cams, out, radius=3, confidence=surer)
    assert labels.read_bytes() == made[1]
    train("affinitynet", cams, out, radius=3, confidence=surer, overwrite=True)
    assert labels.read_bytes() != made[1]


def test_what_changed_about_labels_is_told_by_its_option(cams: Path, tmp_path: Path) -> None:
    for kind, level, told in (("affinitynet", 1.0, "--low-alpha"), ("irn", 0.4, "--foreground")):
        assert kind in KINDS
        out = tmp_path / f"{kind}.safetensors"
        train(kind, cams, out)
        with pytest.raises(UsageError) as caught:
            train(kind, cams, out, confidence=replace(PUBLISHED[kind], foreground=level))
        assert told in str(caught.value)
        assert "iterations" not in str(caught.value)  # which is what it was


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("damage", ["unreadable", "gone", "other size"])
def test_a_photo_that_cannot_be_used_is_left_out_and_named(tmp_path: Path, labelled: bool, damage: str) -> None:
    world = draw_world(tmp_path / "w", count=4)
    source = tmp_path / "source.h5"
    if labelled:
        masks_store(source, world)
    else:
        written(source, world, [maps_of(world, id) for id in world.ids])
    photo = world.root / "JPEGImages" / f"{world.ids[1]}.jpg"
    if damage == "gone":
        photo.unlink()
    else:
        photo.write_bytes(b"no photo" if damage == "unreadable" else photo.with_stem(world.ids[0]).read_bytes())
    trained = train("affinitynet", source, tmp_path / "x.safetensors")
    assert list(trained.summary.failures) == [world.ids[1]]
    assert trained.summary.images == 4
    assert (tmp_path / "x.safetensors").exists()


def test_a_photo_that_was_mended_is_learned_from_when_asked(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "w", count=4)
    source = written(tmp_path / "cams.h5", world, [maps_of(world, id) for id in world.ids])
    out, photo = tmp_path / "x.safetensors", world.root / "JPEGImages" / f"{world.ids[1]}.jpg"
    sound = photo.read_bytes()
    photo.write_bytes(b"no photo")
    train("affinitynet", source, out)
    before = out.read_bytes()
    photo.write_bytes(sound)
    trained = train("affinitynet", source, out, overwrite=True)
    assert trained.summary.failures == {}
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("number", "told"), [(255, "there is nothing to learn from"), (0, "no pairs of kind foreground")]
)
def test_labels_without_pairs_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, told: str
) -> None:
    world = draw_world(tmp_path / "w", count=3)
    source = masks_store(tmp_path / "m.h5", world, lambda mask: np.full_like(mask, number))
    out = tmp_path / "x.safetensors"
    if number == 255:
        with pytest.raises(InputError, match=told):
            train("irn", source, out)
        assert not out.exists()
        return
    train("irn", source, out)
    assert caplog.text.count(told) == 1


def test_nothing_is_learned_where_no_photo_is_left(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "w", count=2)
    source = written(tmp_path / "cams.h5", world, [maps_of(world, id) for id in world.ids])
    for photo in (world.root / "JPEGImages").iterdir():
        photo.write_bytes(b"no photo")
    with pytest.raises(InputError, match="no labels could be made of any of the 2 images"):
        train("irn", source, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_images_without_a_class_are_left_out(photos: World, tmp_path: Path) -> None:
    found = [maps_of(photos, id) for id in photos.ids]
    found[2] = replace(found[2], values=found[2].values[:0], classes=no_classes())
    train("affinitynet", written(tmp_path / "cams.h5", photos, found), tmp_path / "x.safetensors")
    with open_store(tmp_path / "x.labels.h5") as store:
        assert store.ids == tuple(id for id in photos.ids if id != photos.ids[2])


def test_more_classes_than_a_byte_has_numbers(photos: World, tmp_path: Path) -> None:
    """What is undecided is then 65,535, and no class."""
    names = [f"beast {number}" for number in range(300)]
    found = [replace(known, classes=known.classes + 254) for known in (maps_of(photos, id) for id in photos.ids)]
    train("irn", written(tmp_path / "many.h5", photos, found, names=names), tmp_path / "many.safetensors")
    few = [maps_of(photos, id) for id in photos.ids]
    train("irn", written(tmp_path / "few.h5", photos, few), tmp_path / "few.safetensors")
    with open_store(tmp_path / "many.labels.h5") as many, open_store(tmp_path / "few.labels.h5") as store:
        for one, other in zip(many, store, strict=True):
            expected = np.array([0, 255, 0, 257, *[65_535] * 252])[other.values]
            np.testing.assert_array_equal(one.values, expected)
    weights = [load_file(tmp_path / f"{name}.safetensors") for name in ("many", "few")]
    assert all(torch.equal(weights[1][key], value) for key, value in weights[0].items())


def test_of_signed_scores_the_positive_part_counts(photos: World, tmp_path: Path) -> None:
    found = [replace(known, values=3 * known.values - 0.6) for known in (maps_of(photos, id) for id in photos.ids)]
    train("irn", written(tmp_path / "signed.h5", photos, found, "signed"), tmp_path / "x.safetensors")
    with open_store(tmp_path / "x.labels.h5") as store, open_store(tmp_path / "signed.h5") as scores:
        for labels in store:
            image, _ = read_image(photos.root / "JPEGImages" / f"{labels.id}.jpg")
            known = scores.read(labels.id)
            expected = confident_labels(image, positive_part(upsample(known.values, known.size)), PUBLISHED["irn"])
            np.testing.assert_array_equal(labels.values, np.array([0, *(known.classes + 1), 255])[expected])
