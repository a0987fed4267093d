"""ICD's scores as a user makes them, and all that takes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.methods.superpixels import average
from camkit.store.reader import open_store
from camkit.upsample import upsample
from tests.cli.test_bad_input import check_error
from tests.reference.icd_seeds import seeds_slowly
from tests.support.icd import tiny_icd
from tests.support.world import World, camkit, said


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, scores, maps, superpixels and saliency maps of the world."""
    folder = tmp_path_factory.mktemp("icd")
    tiny_icd(folder / "icd.safetensors")
    apply = ("icd-apply", "--ckpt", "icd.safetensors", "--images", world.root)
    for command in (
        (*apply, "--out", "scores.h5"),
        (*apply, "--branch", "cam", "--out", "cams.h5"),
        ("superpixels", "--images", world.root, "--workers", "0", "--out", "superpixels.h5"),
    ):
        result = camkit(*command, cwd=folder, fresh="scores.h5" in command)
        assert result.returncode == 0, said(result)
    (folder / "saliency").mkdir()
    for n, id in enumerate(world.ids):
        levels = np.random.default_rng(n).integers(0, 6, (7, 9), dtype=np.uint8)
        Image.fromarray(levels).save(folder / "saliency" / f"{id}.png")
    return folder


def test_the_signed_cam_is_judged_as_scores_are(made: Path, world: World, tmp_path: Path) -> None:
    cam = ("cam", "--signed", "--ckpt", made / "icd.safetensors", "--images", world.root, "--scales", "1", "--no-flip")
    apply = ("icd-apply", "--branch", "cam", "--raw", "--ckpt", made / "icd.safetensors", "--images", world.root)
    for command, name in ((cam, "balanced.h5"), ((*cam, "--raw"), "raw.h5"), (apply, "same.h5")):
        result = camkit(*command, "--out", name, cwd=tmp_path)
        assert result.returncode == 0, said(result)
        judged = camkit("evaluate", name, "--gt", world.root, "--json", cwd=tmp_path)
        report = json.loads(judged.stdout)
        assert [row["margin"] for row in report["seeds"]] == [0, 0.1, 0.3, 0.5]
        assert 0 < report["mean_average_precision"] < 1
    with open_store(tmp_path / "raw.h5") as raw, open_store(tmp_path / "same.h5") as same:
        for id in world.ids:
            np.testing.assert_allclose(raw.read(id).values, same.read(id).values, atol=1e-2)
    seeds = camkit("mask", made / "scores.h5", "--rule", "icd", "--cams", "raw.h5", "--out", "s.h5", cwd=tmp_path)
    assert seeds.returncode == 0, said(seeds)
    assert "own largest" not in said(seeds)


def seeds(made: Path, tmp_path: Path, *options: object) -> dict[str, np.ndarray]:
    result = camkit("mask", made / "scores.h5", *options, "--out", "seeds.h5", "--overwrite", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    with open_store(tmp_path / "seeds.h5") as store:
        return {found.id: found.values for found in store}


@pytest.mark.parametrize("options", [(), ("cams",), ("cams", "saliency")])
def test_seeds_are_those_of_the_rule(made: Path, world: World, tmp_path: Path, options: tuple[str, ...]) -> None:
    given = {"cams": ("--cams", made / "cams.h5"), "saliency": ("--saliency", made / "saliency")}
    found = seeds(made, tmp_path, "--rule", "icd", *(word for option in options for word in given[option]))
    labels = np.unique(np.concatenate([mask.ravel() for mask in found.values()]))
    assert len(labels) > 5
    assert (255 in labels) == bool(options)  # where the maps of all that claim a pixel are 0, for one
    with open_store(made / "scores.h5") as scores, open_store(made / "cams.h5") as cams:
        for id in world.ids:
            activation, size = scores.read(id), scores.read(id).size
            picture = np.asarray(Image.open(made / "saliency" / f"{id}.png"), np.float32) / 255
            expected = seeds_slowly(
                upsample(activation.values, size), activation.classes, 255,
                upsample(cams.read(id).values, size) if "cams" in options else None,
                upsample(picture[None], size)[0] if "saliency" in options else None,
            )  # fmt: skip
            np.testing.assert_array_equal(found[id], expected)


def test_scores_go_through_pipes_into_figures_masks_probabilities_and_pictures(made: Path, world: World) -> None:
    scores = (made / "scores.h5").read_bytes()
    judged = camkit("evaluate", "--gt", world.root, "--json", cwd=made, input=scores)
    report = json.loads(judged.stdout)
    assert report["images"] == 12, said(judged)
    assert 0 < report["mean_average_precision"] < 1
    assert [row["margin"] for row in report["seeds"]] == [0, 0.1, 0.3, 0.5]
    masks = camkit("mask", "--out", "-", cwd=made, input=scores)
    assert masks.returncode == 0, said(masks)
    assert json.loads(camkit("evaluate", "--gt", world.root, "--json", cwd=made, input=masks.stdout).stdout)["images"]
    for preset in ("icd", "psa"):
        refined = camkit("crf", "scores.h5", "--preset", preset, "--out", f"{preset}.h5", cwd=made)
        assert refined.returncode == 0, said(refined)
    shown = camkit("show", "scores.h5", "cams.h5", "--limit", "3", "--out", "sheet.png", cwd=made)
    assert shown.returncode == 0, said(shown)
    told = camkit("info", "scores.h5", cwd=made)
    assert "made by      camkit icd-apply (branch=top-down" in told.stdout.decode(), said(told)


def test_superpixels_average_scores(made: Path, world: World, tmp_path: Path) -> None:
    refine = ("refine", "superpixel", made / "scores.h5", "--superpixels", made / "superpixels.h5")
    result = camkit(*refine, "--size", "full", "--dtype", "float32", "--out", "refined.h5", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    with (
        open_store(tmp_path / "refined.h5") as refined, open_store(made / "scores.h5") as scores,
        open_store(made / "superpixels.h5") as regions,
    ):  # fmt: skip
        assert refined.header.kind == "signed"
        for id in world.ids:
            found, before = refined.read(id), scores.read(id)
            expected = average(upsample(before.values, before.size), regions.read(id).values)
            np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_it_is_said_when_several_classes_have_no_cams(made: Path, tmp_path: Path) -> None:
    result = camkit("mask", made / "scores.h5", "--out", "seeds.h5", cwd=tmp_path)
    assert "no --cams: a pixel that several classes claim goes to the largest score" in said(result)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("cams.h5", "--rule", "icd"), "--rule icd is for signed scores (camkit icd-apply), but cams.h5 holds maps"),
        (("scores.h5", "--rule", "threshold"), "--rule threshold is for maps, but scores.h5 holds signed"),
        (("scores.h5", "--threshold", "0.2"), "--threshold is for maps, but scores.h5 holds signed"),
        (("cams.h5", "--saliency", "saliency"), "--saliency is for signed scores"),
        (("cams.h5", "--cams", "cams.h5"), "--cams is for signed scores"),
        (
            ("scores.h5", "--cams", "superpixels.h5"),
            "superpixels.h5 holds superpixels; --cams takes what camkit icd-apply --branch cam --raw",
        ),
        (("scores.h5", "--rule", "mine"), "--rule"),
    ],
)
def test_what_does_not_go_together_is_told(made: Path, options: tuple[str, ...], words: str) -> None:
    result = camkit("mask", *options, "--out", "m.h5", cwd=made)
    assert result.returncode == 2
    assert words in " ".join(said(result).split())
    assert not (made / "m.h5").exists()


def test_other_checkpoints_and_missing_folders_are_told(made: Path, world: World, tmp_path: Path) -> None:
    apply = ("icd-apply", "--images", world.root, "--out", "out.h5")
    check_error(camkit(*apply, "--ckpt", world.ckpt, cwd=tmp_path), 4, "is no ICD checkpoint")
    missing = camkit("mask", made / "scores.h5", "--saliency", "nowhere", "--out", "out.h5", cwd=tmp_path)
    check_error(missing, 4, "no folder of saliency maps")
    (tmp_path / "one").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "one" / f"{world.ids[0]}.png")
    some = camkit("mask", made / "scores.h5", "--saliency", "one", "--out", "some.h5", cwd=tmp_path)
    check_error(some, 3, "11 of 12 images failed")
    assert "one has no saliency map of 11 of 12 images" in said(some)
    Image.new("L", (4, 4)).save(tmp_path / "one" / "other.png")
    (tmp_path / "one" / f"{world.ids[0]}.png").unlink()
    check_error(
        camkit("mask", made / "scores.h5", "--saliency", "one", "--out", "none.h5", cwd=tmp_path), 4,
        "one has no saliency map of any image: other against 2030_000000",
    )  # fmt: skip
