"""`crf` as a function: every kind of input, every way to be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camkit import Activation, Header, Output, Runtime, Writer, open_store
from camkit.errors import InputError, UsageError
from camkit.methods.crf import CrfParameters, dense_crf, unary_of_labels, unary_of_probs, with_background
from camkit.settings.crf import settings_of
from camkit.stages.crf import crf, effective_settings
from camkit.store.schema import kind_of
from camkit.types import no_classes

SIZE = (20, 30)
NAMES = ("ant", "bee", "cow")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos, a disc on noise; one lies in a folder with a name that is not ASCII."""
    folder = tmp_path / "photos"
    (folder / "grün").mkdir(parents=True)
    for name, seed in (("a", 1), ("b", 2), ("grün/ç", 3)):
        Image.fromarray(photo(seed)).save(folder / f"{name}.png")
    return folder


def photo(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    colours = np.where(disc()[..., None], [200, 90, 40], [60, 120, 160])
    return np.clip(colours + rng.normal(0, 8, (*SIZE, 3)), 0, 255).astype(np.uint8)


def disc() -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - 9) ** 2 + (x - 14) ** 2 < 49


def blob() -> np.ndarray:
    """A coarse map [1, 5, 8] of the disc."""
    y, x = np.mgrid[:5, :8]
    return np.exp(-((y - 1.8) ** 2 + (x - 3.2) ** 2) / 4)[None].astype(np.float32)


def write(path: Path, kind: str, root: Path | str, records: Mapping[str, tuple[np.ndarray, Any]]) -> Path:
    with Writer(path, Header(kind, NAMES, str(root)), list(records), dtype=None) as writer:
        for id, (values, classes) in records.items():
            writer.write(Activation(id, values, np.asarray(classes, np.int64), SIZE))
        writer.finish()
    return path


def read(path: Path) -> dict[str, Activation]:
    with open_store(path) as store:
        return {activation.id: activation for activation in store}


@pytest.fixture
def maps(tmp_path: Path, photos: Path) -> Path:
    two = np.concatenate([blob(), 0.5 * blob()[:, ::-1]])
    records = {"a": (blob(), [1]), "b": (two, [0, 2]), "grün/ç": (np.empty((0, 5, 8), np.float32), [])}
    return write(tmp_path / "maps.h5", "maps", photos, records)


def test_maps_become_probs_that_follow_the_photo(maps: Path, tmp_path: Path) -> None:
    summary = crf(maps, Output(tmp_path / "out.h5"))
    assert (summary.images, dict(summary.failures)) == (3, {})
    found = read(tmp_path / "out.h5")
    with open_store(tmp_path / "out.h5") as store:
        assert store.header.kind == "probs"
        assert store.header.classes == NAMES
    assert found["a"].values.shape == (2, *SIZE)
    assert found["b"].values.shape == (3, *SIZE)
    assert list(found["b"].classes) == [0, 2]
    np.testing.assert_array_equal(found["grün/ç"].values, np.ones((1, *SIZE)))
    for activation in found.values():
        np.testing.assert_allclose(activation.values.sum(axis=0), 1, atol=1e-3)
    assert ((found["a"].values[1] > 0.5) == disc()).mean() > 0.97


def test_what_is_stored_is_the_method_on_upsampled_maps(maps: Path, tmp_path: Path) -> None:
    from camkit.upsample import upsample

    crf(maps, Output(tmp_path / "out.h5", dtype="float32"), changes={"alpha": 2.0, "iterations": 3})
    unary = unary_of_probs(with_background(upsample(read(maps)["b"].values, SIZE), 2.0))
    expected = dense_crf(photo(2), unary, CrfParameters(iterations=3))
    np.testing.assert_array_equal(read(tmp_path / "out.h5")["b"].values, expected)


def test_probs_go_in_again(maps: Path, tmp_path: Path) -> None:
    crf(maps, Output(tmp_path / "once.h5"))
    crf(tmp_path / "once.h5", Output(tmp_path / "twice.h5"), changes={"iterations": 0})
    once, twice = read(tmp_path / "once.h5"), read(tmp_path / "twice.h5")
    for id in once:
        np.testing.assert_allclose(once[id].values, twice[id].values, atol=2e-3)
    crf(tmp_path / "once.h5", Output(tmp_path / "hard.h5"), preset="icd")
    assert (read(tmp_path / "hard.h5")["b"].values.argmax(0) == once["b"].values.argmax(0)).mean() > 0.95


def test_masks_of_masks_with_undecided_pixels(photos: Path, tmp_path: Path) -> None:
    sure = np.where(disc(), 3, 0).astype(np.uint8)
    mask = sure.copy()
    mask[5:12, 10:20] = 255
    empty, lost = np.zeros(SIZE, np.uint8), np.full(SIZE, 255, np.uint8)
    records = {"a": (mask, []), "b": (empty, []), "grün/ç": (lost, [])}
    store = write(tmp_path / "masks.h5", "masks", photos, records)
    crf(store, Output(tmp_path / "out.h5"), preset="irn", masks=True)
    found = read(tmp_path / "out.h5")
    assert (found["a"].values == sure).mean() > 0.97
    assert set(np.unique(found["a"].values)) == {0, 3}
    np.testing.assert_array_equal(found["b"].values, empty)
    np.testing.assert_array_equal(found["grün/ç"].values, empty)


def test_hard_energies_of_maps(maps: Path, tmp_path: Path) -> None:
    from camkit.upsample import upsample

    changes = {"background": 0.4, "confidence": 0.6, "share": "all"}
    crf(maps, Output(tmp_path / "out.h5", dtype="float32"), preset="irn", changes=changes)
    values = upsample(read(maps)["b"].values, SIZE)
    labels = np.concatenate([np.full((1, *SIZE), 0.4, np.float32), values]).argmax(axis=0)
    parameters = CrfParameters(bilateral_sxy=50, bilateral_srgb=5)
    expected = dense_crf(photo(2), unary_of_labels(labels, 3, 0.6, known=4), parameters)
    np.testing.assert_array_equal(read(tmp_path / "out.h5")["b"].values, expected)


def test_signed_scores_go_in_as_seeds_or_by_what_is_above_zero(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from camkit.methods.icd_seeds import seeds_of_scores
    from camkit.upsample import upsample

    scores = 3 * np.concatenate([blob(), 0.5 * blob()[:, ::-1]]) - 1
    records = {"a": (scores[:1], [1]), "b": (scores, [0, 2]), "grün/ç": (scores[:0], [])}
    store = write(tmp_path / "signed.h5", "signed", photos, records)
    values = upsample(read(store)["b"].values, SIZE)

    with caplog.at_level("INFO", "camkit"):
        crf(store, Output(tmp_path / "hard.h5", dtype="float32"), preset="icd")
    assert "several classes claim goes to the largest score" in caplog.text
    assert "camkit mask --cams" in caplog.text
    caplog.clear()
    seeds = seeds_of_scores(values, np.array([0, 1]), 3).astype(int)
    seeds[seeds == 255] = -1
    expected = dense_crf(photo(2), unary_of_labels(seeds, 3, 0.5, known=4), CrfParameters())
    np.testing.assert_array_equal(read(tmp_path / "hard.h5")["b"].values, expected)

    with caplog.at_level("INFO", "camkit"):
        crf(store, Output(tmp_path / "soft.h5", dtype="float32"), changes={"alpha": 2.0})
    assert "largest score" not in caplog.text
    maps = values.clip(0) / values.max(axis=(1, 2), keepdims=True).clip(1)
    expected = dense_crf(photo(2), unary_of_probs(with_background(maps, 2.0)), CrfParameters())
    np.testing.assert_allclose(read(tmp_path / "soft.h5")["b"].values, expected, atol=1e-6)

    for name in ("hard", "soft"):
        found = read(tmp_path / f"{name}.h5")
        assert ((found["a"].values[1] > 0.5) == disc()).mean() > 0.9
        assert (found["grün/ç"].values == 1).all()
    with pytest.raises(UsageError, match="--background has no effect on the hard energies of signed"):
        crf(store, Output(tmp_path / "out.h5"), preset="icd", changes={"background": 0.2})


def test_a_coarser_grid_and_any_number_of_workers(maps: Path, tmp_path: Path) -> None:
    for workers in (0, 1, 5):
        crf(maps, Output(tmp_path / f"{workers}.h5"), Runtime(workers=workers), size=4)
    assert read(tmp_path / "0.h5")["b"].values.shape == (3, 5, 8)
    assert (tmp_path / "0.h5").read_bytes() == (tmp_path / "1.h5").read_bytes() == (tmp_path / "5.h5").read_bytes()


def test_shards_meet_and_a_second_run_finds_all_done(maps: Path, tmp_path: Path) -> None:
    for index in (0, 1):
        crf(maps, Output(tmp_path / "shards.h5"), shard=(index, 2))
    crf(maps, Output(tmp_path / "whole.h5"))
    shards, whole = read(tmp_path / "shards.h5"), read(tmp_path / "whole.h5")
    assert shards.keys() == whole.keys()
    for id in whole:
        np.testing.assert_array_equal(shards[id].values, whole[id].values)
    assert crf(maps, Output(tmp_path / "whole.h5")).already == 3
    with pytest.raises(UsageError, match=r"--gauss-sxy was 3\.0 and is now 2"):
        crf(maps, Output(tmp_path / "whole.h5"), changes={"gauss_sxy": 2.0})


def test_photos_that_are_missing_broken_or_others_fail_alone(maps: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "a.png").write_bytes(b"no photo")
    Image.new("RGB", (31, 20)).save(photos / "b.png")
    summary = crf(maps, Output(tmp_path / "out.h5"))
    assert summary.failures.keys() == {"a", "b"}
    assert "is 31x20, but the store is about 30x20 pixels" in summary.failures["b"]
    (photos / "b.png").unlink()
    failures = crf(maps, Output(tmp_path / "out2.h5")).failures
    assert "there is no photo of it" in failures["b"]
    with pytest.raises(InputError, match=r"^a: cannot read image"):
        crf(maps, Output(tmp_path / "out3.h5"), Runtime(on_error="stop"))


def test_photos_that_moved_are_found_where_images_says(maps: Path, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="which is not there\ngive --images FOLDER"):
        crf(maps, Output(tmp_path / "out.h5"))
    crf(maps, Output(tmp_path / "out.h5"), images=str(tmp_path / "moved"))
    with open_store(tmp_path / "out.h5") as store:
        assert store.header.image_root == str(tmp_path / "moved")
    (tmp_path / "others").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "others" / "z.png")
    with pytest.raises(InputError, match="none of the 3 images is in"):
        crf(maps, Output(tmp_path / "out2.h5"), images=tmp_path / "others")
    nowhere = write(tmp_path / "nowhere.h5", "maps", "", {"a": (blob(), [1])})
    with pytest.raises(InputError, match=r"nowhere\.h5 does not say where its photos are"):
        crf(nowhere, Output(tmp_path / "out2.h5"))


def test_what_cannot_be_is_told_before_anything_is_written(maps: Path, photos: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.h5"
    with Writer(scores, Header("scores", NAMES, str(photos)), ["a"]) as writer:
        writer.write(Activation("a", np.zeros(3, np.float32), no_classes(), SIZE))
        writer.finish()
    out = Output(tmp_path / "out.h5")
    with pytest.raises(UsageError, match=r"scores\.h5 is a scores store"):
        crf(scores, out)
    with pytest.raises(UsageError, match="--size is for probs"):
        crf(maps, out, masks=True, size=2)
    with pytest.raises(UsageError, match="--dtype is for probs"):
        crf(maps, Output(tmp_path / "out.h5", dtype="float16"), masks=True)
    with pytest.raises(UsageError, match="--confidence has no effect"):
        crf(maps, out, changes={"confidence": 0.6})
    with pytest.raises(UsageError, match="is both input and output"):
        crf(maps, Output(maps, overwrite=True))
    with pytest.raises(UsageError, match="--engine gpu is not known"):
        crf(maps, out, engine="gpu")  # type: ignore[arg-type]
    assert not (tmp_path / "out.h5").exists()
    assert not list(tmp_path.glob("*.parts"))


def test_the_library_gives_the_same(maps: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydensecrf")
    crf(maps, Output(tmp_path / "native.h5"))
    crf(maps, Output(tmp_path / "library.h5"), engine="pydensecrf")
    native, library = read(tmp_path / "native.h5"), read(tmp_path / "library.h5")
    for id in native:
        np.testing.assert_allclose(native[id].values, library[id].values, atol=2e-3)


def test_a_library_that_is_missing_is_told(maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydensecrf", None)
    with pytest.raises(UsageError, match=r"pip install 'camkit\[pydensecrf\]'"):
        crf(maps, Output(tmp_path / "out.h5"), engine="pydensecrf")


@pytest.mark.parametrize(
    ("kind", "unary", "option"),
    [
        ("maps", "soft", "confidence"), ("maps", "soft", "background"), ("maps", "soft", "share"),
        ("maps", "hard", "alpha"), ("probs", "soft", "alpha"), ("probs", "hard", "background"),
        ("masks", "hard", "background"), ("masks", "hard", "alpha"),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(kind: str, unary: str, option: str) -> None:
    changes = {"unary": unary, option: 0.5 if option != "share" else "all"}
    with pytest.raises(UsageError, match=f"--{option} has no effect on the {unary} energies of {kind}"):
        effective_settings(settings_of("psa", changes), kind_of(kind), changes, "s.h5")


def test_inputs_without_such_energies_are_refused() -> None:
    with pytest.raises(UsageError, match=r"s\.h5 holds masks, whose energies are hard"):
        effective_settings(settings_of("psa"), kind_of("masks"), {}, "s.h5")
    with pytest.raises(UsageError, match=r"s\.h5 is a scores store"):
        effective_settings(settings_of("psa"), kind_of("scores"), {}, "s.h5")
