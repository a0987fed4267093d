"""`refine_walk` as a function: what it gives, degenerate photos, and every way to be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from camkit import Activation, Header, Output, Writer, open_store
from camkit.errors import CheckpointError, InputError, UsageError
from camkit.settings.walk import PRESETS, WalkSettings
from camkit.stages.refine_walk import probs_of_walk, refine_walk
from camkit.upsample import upsample
from tests.models.tiny import fill
from tests.reference import layouts

SIZE = (40, 60)
NAMES = ("ant", "bee", "cow")
PHOTO = "2007_000001"


def disc(size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - size[0] / 2) ** 2 + (x - size[1] / 2) ** 2 < (min(size) / 3) ** 2


def draw(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(disc(size)[..., None], [200, 90, 40], [60, 120, 160]).astype(np.uint8)).save(path)


def write(path: Path, kind: str, root: Path | str, records: Mapping[str, tuple[Any, Any, tuple[int, int]]]) -> Path:
    with Writer(path, Header(kind, NAMES, str(root)), list(records), dtype=None) as writer:
        for id, (values, classes, size) in records.items():
            writer.write(Activation(id, np.asarray(values), np.asarray(classes, np.int64), size))
        writer.finish()
    return path


def read(path: Path) -> dict[str, Activation]:
    with open_store(path) as store:
        return {activation.id: activation for activation in store}


def spot(size: tuple[int, int] = SIZE) -> np.ndarray:
    """A map [1, h, w] at stride 4 of the disc's upper left part alone."""
    y, x = np.mgrid[: -(-size[0] // 4), : -(-size[1] // 4)]
    return np.exp(-((y - size[0] / 8 + 1) ** 2 + (x - size[1] / 8 + 1) ** 2) / 4)[None].astype(np.float32)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    draw(tmp_path / "photos" / "a.png")
    draw(tmp_path / "photos" / "grün" / "ç.png")
    two = np.concatenate([spot(), 0.4 * spot()[:, ::-1, ::-1]])
    nothing = np.zeros((0, 10, 15), np.float32)
    draw(tmp_path / "photos" / "none.png")
    records = {"a": (spot(), [1], SIZE), "grün/ç": (two, [0, 2], SIZE), "none": (nothing, [], SIZE)}
    return write(tmp_path / "maps.h5", "maps", tmp_path / "photos", records)


def test_a_walk_by_colour_fills_the_object_and_stops_at_its_edge(maps: Path, tmp_path: Path) -> None:
    refine_walk(maps, Output(tmp_path / "out.h5"), affinity="colour", changes={"stride": 2, "alpha": 8}, size="full")
    found = read(tmp_path / "out.h5")
    inside = disc()
    for id in ("a", "grün/ç"):
        probs = found[id].values
        assert probs.shape == (1 + len(found[id].classes), *SIZE)
        np.testing.assert_allclose(probs.sum(axis=0), 1, atol=2e-3)
    foreground = found["a"].values[1]
    well_inside, well_outside = (ndimage.binary_erosion(area, iterations=4) for area in (inside, ~inside))
    assert foreground[well_inside].min() > 5 * foreground[well_outside].max()
    np.testing.assert_array_equal(found["none"].values, np.ones((1, *SIZE)))


def test_masks_are_the_largest_probabilities(maps: Path, tmp_path: Path) -> None:
    refine_walk(maps, Output(tmp_path / "probs.h5"), affinity="colour", size="full")
    refine_walk(maps, Output(tmp_path / "masks.h5"), affinity="colour", masks=True)
    probs, masks = read(tmp_path / "probs.h5"), read(tmp_path / "masks.h5")
    for id, activation in masks.items():
        assert activation.values.shape == SIZE
        labels = np.concatenate([[0], probs[id].classes + 1])
        same = labels[probs[id].values.argmax(axis=0)] == activation.values
        assert same.mean() > 0.999  # probabilities are kept as float16


def test_probs_go_on_walking_with_their_own_background(maps: Path, tmp_path: Path) -> None:
    refine_walk(maps, Output(tmp_path / "once.h5", dtype="float32"), affinity="colour", size="full")
    steps = {"steps": 3}
    refine_walk(tmp_path / "once.h5", Output(tmp_path / "again.h5"), affinity="colour", changes=steps, size="full")
    once, again = read(tmp_path / "once.h5")["a"], read(tmp_path / "again.h5")["a"]
    assert 0 < np.abs(again.values - once.values).mean() < 0.1
    with open_store(tmp_path / "again.h5") as store:
        assert "alpha" not in store.header.provenance["parameters"]
    with pytest.raises(UsageError, match="--alpha has no effect on probs"):
        refine_walk(tmp_path / "once.h5", Output(tmp_path / "x.h5"), affinity="colour", changes={"alpha": 3})


@pytest.fixture
def networks(tmp_path: Path) -> dict[str, Path]:
    paths = {"affinitynet": tmp_path / "aff.pth", "irn": tmp_path / "irn.pth"}
    torch.save(fill(layouts.affinitynet("resnet38", 2)), paths["affinitynet"])
    torch.save(fill(layouts.irn(2)), paths["irn"])
    return paths


@pytest.mark.parametrize("affinity", ["affinitynet", "irn", "colour"])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (50, 1), (33, 2), (29, 31)])
def test_degenerate_photos(tmp_path: Path, networks: dict[str, Path], affinity: Any, size: tuple[int, int]) -> None:
    """One pixel wide, of one colour, with maps that are 0 everywhere."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("flat", "zero"):
        Image.new("RGB", size[::-1], (90, 80, 70)).save(folder / f"{name}.png")
    records = {"flat": (spot(size), [1], size), "zero": (0 * spot(size), [2], size)}
    store = write(tmp_path / "maps.h5", "maps", folder, records)
    for preset in ("paper", "published") if affinity == "affinitynet" else ("paper",):
        out = tmp_path / f"{preset}.h5"
        summary = refine_walk(store, Output(out), affinity=affinity, ckpt=networks.get(affinity), preset=preset)
        assert not summary.failures
        found = read(out)
        for activation in found.values():
            np.testing.assert_allclose(activation.values.sum(axis=0), 1, atol=2e-3)
        np.testing.assert_array_equal(found["zero"].values[0], 1)
        np.testing.assert_array_equal(found["zero"].values[1], 0)


@pytest.mark.parametrize("affinity", ["affinitynet", "irn"])
def test_photos_may_be_seen_at_another_size(
    maps: Path, tmp_path: Path, networks: dict[str, Path], affinity: Any
) -> None:
    out = Output(tmp_path / "out.h5")
    refine_walk(maps, out, affinity=affinity, ckpt=networks[affinity], resize=90, changes={"steps": 9, "radius": 3})
    found = read(tmp_path / "out.h5")
    assert {id: activation.values.shape for id, activation in found.items()} == {
        "a": (2, 10, 15), "grün/ç": (3, 10, 15), "none": (1, 10, 15),
    }  # fmt: skip
    with open_store(tmp_path / "out.h5") as store:
        provenance = store.header.provenance
    assert provenance["parameters"]["resize"] == "90"
    assert provenance["checkpoint"]["name"] == networks[affinity].name


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"affinity": "colour", "ckpt": "x.pth"}, "needs no network"),
        ({"affinity": "irn"}, "--affinity irn needs a network"),
        ({"affinity": "green"}, "--affinity green is not known"),
        ({"affinity": "colour", "preset": "published"}, "--preset published is for"),
        ({"affinity": "colour", "preset": "mine"}, "--preset mine"),
        ({"affinity": "irn", "ckpt": "x.pth", "changes": {"alpha": 4}}, "--alpha has no effect with --affinity irn"),
        ({"affinity": "colour", "changes": {"background": 0.5}}, "--background has no effect"),
        ({"affinity": "colour", "changes": {"power": 0}}, "--power 0: give"),
        ({"affinity": "colour", "changes": {"power": float("nan")}}, "--power nan: give"),
        ({"affinity": "colour", "changes": {"steps": -1}}, "--steps -1: give"),
        ({"affinity": "colour", "changes": {"radius": 0}}, "--radius 0: give"),
        ({"affinity": "colour", "size": "0"}, "--size 0"),
        ({"affinity": "colour", "masks": True, "size": "4"}, "--size is for probs"),
    ],
)
def test_what_cannot_be_is_told(maps: Path, tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        refine_walk(maps, Output(tmp_path / "out.h5"), **options)
    assert not (tmp_path / "out.h5").exists()


def test_of_signed_scores_what_is_above_0_walks(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "a.png")
    scores = upsample(3 * spot() - 1.5, SIZE)
    positive = np.maximum(scores, 0)
    signed = write(tmp_path / "signed.h5", "signed", tmp_path / "photos", {"a": (scores, [1], SIZE)})
    above = write(tmp_path / "maps.h5", "maps", tmp_path / "photos", {"a": (positive / positive.max(), [1], SIZE)})
    for store in (signed, above):
        refine_walk(store, Output(store.with_suffix(".out.h5")), affinity="colour")
    found, expected = (read(store.with_suffix(".out.h5"))["a"] for store in (signed, above))
    np.testing.assert_allclose(found.values, expected.values, atol=2e-3)
    assert found.values[1].max() > 0.1


def test_stores_and_files_that_do_not_fit_are_told(maps: Path, tmp_path: Path) -> None:
    out = Output(tmp_path / "out.h5")
    masks = write(tmp_path / "masks.h5", "masks", tmp_path / "photos", {"a": (np.zeros(SIZE, np.uint8), [], SIZE)})
    with pytest.raises(UsageError, match="is a masks store; --affinity colour takes maps, signed, probs"):
        refine_walk(masks, out, affinity="colour")
    with pytest.raises(UsageError, match="both input and output"):
        refine_walk(maps, Output(maps), affinity="colour")
    draw(tmp_path / "elsewhere" / "b.png")
    with pytest.raises(InputError, match="give --images"):
        refine_walk(maps, out, affinity="colour", images=tmp_path / "elsewhere")
    with pytest.raises(CheckpointError):
        refine_walk(maps, out, affinity="irn", ckpt=tmp_path / "missing.pth")


def test_a_photo_of_another_size_fails_alone(maps: Path, tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "a.png", (30, 30))
    summary = refine_walk(maps, Output(tmp_path / "out.h5"), affinity="colour")
    assert list(summary.failures) == ["a"]
    assert "30x30" in summary.failures["a"]


def labels_of(walked: np.ndarray, size: tuple[int, int], classes: list[int], settings: WalkSettings) -> np.ndarray:
    return np.array(classes)[probs_of_walk(walked, size, settings).argmax(axis=0)]


def test_walked_maps_become_the_masks_of_irns_program(oracles: Path) -> None:
    known = np.load(oracles / "irn_rw.npz")
    expected = known[f"{PHOTO}_pred"]
    classes = [0, *np.load(oracles / "irn_cam.npz")[f"{PHOTO}_keys"].ravel() + 1]
    found = labels_of(known[f"{PHOTO}_rw"], expected.shape, classes, PRESETS["irn"])
    assert (found == expected).mean() > 0.9999


def test_walked_maps_become_the_masks_of_affinitynets_program(oracles: Path) -> None:
    known = np.load(oracles / "psa_rw.npz")
    expected = known[f"{PHOTO}_rw_pred"]
    walked = known[f"{PHOTO}_rw_lowres"].reshape(21, 23, 31)
    present = np.flatnonzero(walked.any(axis=(1, 2)))
    found = labels_of(walked[present], expected.shape, present.tolist(), PRESETS["affinitynet"])
    assert (found == expected).all()
    full = known[f"{PHOTO}_rw_full_ch_nonzero_f16"].astype(np.float32)[:, : expected.shape[0], : expected.shape[1]]
    probs = probs_of_walk(walked[present], expected.shape, PRESETS["affinitynet"])
    np.testing.assert_allclose(probs, full / full.sum(axis=0), atol=1e-3)
