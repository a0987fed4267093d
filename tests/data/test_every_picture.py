"""Pictures of every kind, named in every way; what is left out is told."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from camkit.cli.commandline import repeated
from camkit.data import found_images
from camkit.data.images import find_images, read_image
from camkit.data.labels import read_labels
from camkit.errors import InputError, LabelError, UsageError
from camkit.pipeline.select import Inputs, select
from camkit.stages.masks import steps_of
from camkit.stages.training import classes_to_learn

KINDS = {".jfif": "JPEG", ".jpe": "JPEG", ".JPG": "JPEG", ".jp2": "JPEG2000", ".pgm": "PPM", ".avif": "AVIF"}
CLASSES = ("cat", "dog", "hot dog")


def photo(path: Path, format: str = "JPEG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30, 3), 120, np.uint8)).save(path, format)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a b/1, a b/2, c/3, below `my photos`."""
    for name in ("a b/1.jpg", "a b/2.jpg", "c/3.png"):
        photo(tmp_path / "my photos" / name, "PNG" if name.endswith("png") else "JPEG")
    return tmp_path / "my photos"


@pytest.mark.parametrize("suffix", KINDS)
def test_pictures_of_every_suffix_are_found_and_read(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = photo(tmp_path / f"a{suffix}", KINDS[suffix])
    assert dict(find_images(tmp_path).paths) == {"a": path}
    image, size = read_image(path)
    assert size == (20, 30)
    assert image.shape == (20, 30, 3)


def test_pictures_that_are_left_out_are_counted_and_named(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("x.cr2", "deep/y.psd", "z.svg", "tags.csv"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"")
    caplog.set_level(logging.WARNING, logger="camkit")
    assert len(find_images(photos).paths) == 3
    (told,) = [record.getMessage() for record in caplog.records]
    assert "1 .cr2, 1 .psd, 1 .svg" in told
    assert "deep/y.psd" in told
    assert "tags.csv" not in told


def test_several_places_have_ids_below_what_they_share(photos: Path) -> None:
    assert [*find_images([photos / "a b", photos / "c/3.png"]).paths] == ["a b/1", "a b/2", "c/3"]
    assert [*find_images([photos / "a b/1.jpg", photos / "a b/2.jpg"]).paths] == ["1", "2"]
    with pytest.raises(InputError, match="does not exist"):
        find_images([photos / "a b", photos / "nowhere"])


def test_a_pattern_names_files_or_folders(photos: Path) -> None:
    assert [*find_images(photos / "a b/*.jpg").paths] == ["1", "2"]
    assert [*find_images(photos / "**/*.*").paths] == ["a b/1", "a b/2", "c/3"]
    assert [*find_images(photos / "*").paths] == ["a b/1", "a b/2", "c/3"]
    with pytest.raises(InputError, match="matches no image"):
        find_images(photos / "*.jpg")


def test_a_list_on_standard_input(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_images._standard_input.cache_clear()
    lines = [str(photos), *(str(path) for path in photos.rglob("*.jpg")), str(photos / "tags.csv")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert [*find_images(Path("-")).paths] == ["1", "2"]
    assert [*find_images(Path("-"), limit=1).paths] == ["1"], "asked for again, it is the same"
    found_images._standard_input.cache_clear()


def test_images_on_the_command_line_may_be_several_words() -> None:
    words = ["--ckpt", "x.pth", "--images", "a.jpg", "b c.jpg", "-", "--labels", "t.csv", "--images=d", "-q"]
    assert repeated(words) == [
        "--ckpt", "x.pth", "--images", "a.jpg", "--images", "b c.jpg", "--images", "-", "--labels", "t.csv",
        "--images=d", "-q",
    ]  # fmt: skip


def test_one_class_for_all_photos(photos: Path) -> None:
    selection = select(Inputs(photos, labels=Path("hot dog")), CLASSES)
    assert selection.labels is not None
    assert selection.labels.source == "hot dog for all images"
    assert {id: [*selection.classes_of(id)] for id in selection.ids} == {id: [2] for id in selection.ids}
    assert [*read_labels(Path("dog,cat"), CLASSES, ["x"]).present.values()] == [(0, 1)]
    with pytest.raises(LabelError, match="did you mean the class 'dog'"):
        select(Inputs(photos, labels=Path("doog")), CLASSES)


def test_photos_without_labels_stop_are_skipped_or_predicted(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("a b/1,cat\nc/3,dog\n")

    def chosen(unlabelled: str) -> Inputs:
        return Inputs(photos, labels=tmp_path / "tags.csv", unlabelled=unlabelled)  # type: ignore[arg-type]

    with pytest.raises(LabelError, match=r"1 of 3 images have no labels.*: a b/2") as told:
        select(chosen("stop"), CLASSES)
    assert "--unlabelled skip" in str(told.value)
    assert select(chosen("skip"), CLASSES).ids == ("a b/1", "c/3")
    predicted = select(chosen("predict"), CLASSES)
    assert predicted.classes_of("a b/2") is None
    assert predicted.predicts
    assert "1 of 3 images predicted by the classifier" in predicted.describe()["labels"]
    assert classes_to_learn(chosen("skip")) == ("cat", "dog")
    with pytest.raises(UsageError, match="training learns from labels"):
        classes_to_learn(chosen("predict"))


def test_masks_learns_from_the_labelled_and_predicts_the_others(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("a b/1,cat\nc/3,dog\n")
    inputs = Inputs(photos, labels=tmp_path / "tags.csv", unlabelled="predict")
    train, cam, *_ = [step.line for step in steps_of(inputs, tmp_path / "out")]
    assert "--unlabelled skip" in train
    assert "--unlabelled predict" in cam
    with pytest.raises(UsageError, match="not standard input"):
        steps_of(Inputs("-", labels=tmp_path / "tags.csv"), tmp_path / "out")
