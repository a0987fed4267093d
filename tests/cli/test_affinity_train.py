"""`camkit affinity-train` and `camkit irn-train` as a user runs them: from maps to a walk, repeated, misused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from camkit import Inputs, Network, Output, Runtime, cam, open_store, refine_walk
from camkit.errors import CheckpointError
from camkit.models.affinity import load_affinity
from tests.support.world import World, camkit, draw_world, said

SMALL = ("--arch", "toy", "--width", "4", "--batch-size", "3", "--crop", "48", "--epochs", "1")
COMMANDS = {"affinitynet": "affinity-train", "irn": "irn-train"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    """With maps beside the photos."""
    world = draw_world(tmp_path_factory.mktemp("scenes"), count=6)
    output = Output(world.root.parent / "cams.h5")
    cam(Inputs(world.root), Network(world.ckpt), output, Runtime(workers=0), scales=(1.0,), flip=False)
    return world


def told_by(*arguments: object, cwd: Path, code: int = 0, fresh: bool = False) -> str:
    """What the command says, on one line."""
    result = camkit(*arguments, cwd=cwd, fresh=fresh)
    assert result.returncode == code, said(result)
    assert "Traceback" not in said(result)
    return " ".join(said(result).split())


@pytest.mark.slow
def test_from_maps_to_affinitynets_walk(scenes: World, tmp_path: Path) -> None:
    cams = scenes.root.parent / "cams.h5"
    command = ("affinity-train", cams, *SMALL, "--out", "a.safetensors")
    told = told_by(*command, cwd=tmp_path)
    for words in ("labels that are sure, by two CRFs of each photo: a.labels.h5", ": 6 photos", "1 epoch in"):
        assert words in told
    for part in ("loss background", "loss foreground", "loss different"):
        assert part in told
    loaded = load_affinity(tmp_path / "a.safetensors", "affinitynet")
    assert (loaded.arch, loaded.crop, loaded.input_size) == ("toy", 48, None)
    options = ("--affinity", "affinitynet", "--ckpt", "a.safetensors", "--steps", "4")
    told_by("refine", "walk", cams, *options, "--out", "walked.h5", cwd=tmp_path)
    with open_store(tmp_path / "walked.h5") as store:
        assert store.ids == scenes.ids
        assert store.header.provenance["checkpoint"]["arch"] == "toy"
    assert "already trained" in told_by(*command, cwd=tmp_path)
    with pytest.raises(CheckpointError, match="is a camkit checkpoint of kind 'affinitynet', not a classifier"):
        cam(Inputs(scenes.root), Network(tmp_path / "a.safetensors"), Output(tmp_path / "c.h5"))


@pytest.mark.slow
def test_from_maps_to_irns_walk(scenes: World, tmp_path: Path) -> None:
    cams = scenes.root.parent / "cams.h5"
    told = told_by("irn-train", cams, *SMALL, "--out", "i.safetensors", cwd=tmp_path, fresh=True)
    assert "labels that are sure, by two CRFs of each photo: i.labels.h5" in told
    output, ckpt = Output(tmp_path / "walked.h5"), tmp_path / "i.safetensors"
    walked = refine_walk(cams, output, Runtime(workers=0), affinity="irn", ckpt=ckpt, masks=True)
    assert (walked.images, walked.failures) == (6, {})


BAD: list[tuple[str, Sequence[object], int, str]] = [
    ("affinitynet", ("--radius", "1"), 2, "--radius 1: give"),
    ("affinitynet", ("--low-alpha", "8", "--high-alpha", "4"), 2, "--low-alpha 8 --high-alpha 4: give powers above 0"),
    ("irn", ("--foreground", "0.01"), 2, "--foreground 0.01 --background 0.05: give values of maps"),
    ("irn", ("--low-alpha", "4"), 2, "has no option"),
]


@pytest.mark.parametrize(("kind", "options", "code", "words"), BAD)
def test_what_cannot_be_trained_is_told_in_a_line_or_two(
    scenes: World, tmp_path: Path, kind: str, options: Sequence[object], code: int, words: str
) -> None:
    cams = scenes.root.parent / "cams.h5"
    told = told_by(COMMANDS[kind], cams, *SMALL, *options, "--out", "x.safetensors", cwd=tmp_path, code=code)
    assert words in told
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_photo_that_is_gone_is_named(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "w", count=4)
    output = Output(tmp_path / "cams.h5")
    cam(Inputs(world.root), Network(world.ckpt), output, Runtime(workers=0), scales=(1.0,), flip=False)
    (world.root / "JPEGImages" / f"{world.ids[1]}.jpg").unlink()
    told = told_by("irn-train", "cams.h5", *SMALL, "--out", "x.safetensors", cwd=tmp_path, code=3)
    assert f"1 of 4 images failed: {world.ids[1]}" in told
    assert (tmp_path / "x.safetensors").exists()
