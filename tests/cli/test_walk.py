"""`camkit refine walk` as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from camkit.store.reader import open_store
from tests.models.tiny import fill
from tests.reference import layouts
from tests.support.world import World, camkit, said


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    options = ("--ckpt", world.ckpt, "--images", world.root, "--scales", "1", "--no-flip")
    result = camkit("cam", *options, "--out", "cams.h5", cwd=folder)
    assert result.returncode == 0, said(result)
    torch.save(fill(layouts.affinitynet("resnet38", 2)), folder / "aff.pth")
    torch.save(fill(layouts.irn(2)), folder / "irn.pth")
    result = camkit("refine", "walk", "cams.h5", "--affinity", "colour", "--out", "walked.h5", cwd=folder, fresh=True)
    assert result.returncode == 0, said(result)
    return folder


def test_probs_of_every_photo(made: Path, world: World) -> None:
    with open_store(made / "walked.h5") as store:
        assert store.header.kind == "probs"
        assert store.ids == world.ids
        for activation in store:
            height, width = activation.size
            assert activation.values.shape == (1 + len(activation.classes), -(-height // 4), -(-width // 4))
        (parent,) = store.header.provenance["parents"]
        assert parent["command"] == "cam"
        assert store.header.provenance["command"] == "refine walk"


@pytest.mark.parametrize("affinity", ["affinitynet", "irn"])
def test_it_stands_in_a_pipe_with_either_network(made: Path, world: World, affinity: str) -> None:
    ckpt = made / ("irn.pth" if affinity == "irn" else "aff.pth")
    options = ("--affinity", affinity, "--ckpt", ckpt, "--masks")
    walked = camkit("refine", "walk", *options, cwd=made, input=(made / "cams.h5").read_bytes())
    assert walked.returncode == 0, said(walked)
    judged = camkit("evaluate", "--gt", world.root, "--json", cwd=made, input=walked.stdout)
    assert judged.returncode == 0, said(judged)
    assert json.loads(judged.stdout)["images"] == len(world.ids)


def test_running_it_again_is_safe(made: Path) -> None:
    run = ("refine", "walk", "cams.h5", "--affinity", "colour", "--out", "walked.h5")
    again = camkit(*run, cwd=made)
    assert again.returncode == 0
    assert "already done" in said(again)
    other = camkit(*run, "--steps", "5", cwd=made)
    assert other.returncode == 2
    assert "--steps was 64 and is now 5" in said(other)


def test_shards_make_the_same_store(made: Path) -> None:
    for shard in ("1/2", "2/2"):
        options = ("--affinity", "colour", "--out", "shards.h5", "--shard", shard)
        result = camkit("refine", "walk", "cams.h5", *options, cwd=made)
        assert result.returncode == 0, said(result)
    with open_store(made / "walked.h5") as whole, open_store(made / "shards.h5") as shards:
        assert whole.ids == shards.ids
        for one, other in zip(whole, shards, strict=True):
            np.testing.assert_array_equal(one.values, other.values)


def test_every_parameter_reaches_the_provenance(made: Path) -> None:
    options = {
        "affinity": "affinitynet", "steps": 12, "power": 3.5, "radius": 3, "alpha": 7.0, "resize": "80",
        "size": "full", "dtype": "float32", "precision": "float32",
    }  # fmt: skip
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    flags += ["--ckpt", "aff.pth", "--preset", "published", "--device", "cpu"]
    result = camkit("refine", "walk", "cams.h5", "--out", "free.h5", *flags, cwd=made)
    assert result.returncode == 0, said(result)
    with open_store(made / "free.h5") as store:
        parameters = store.header.provenance["parameters"]
    assert parameters == {**options, "published": True, "stride": 8}
    assert camkit("info", "free.h5", cwd=made).returncode == 0


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("walk", (), "needs --affinity"),
        ("superpixel", (), "needs --superpixels"),
        ("walk", ("--affinity", "colour", "--how", "vote"), "has no option --how"),
        ("superpixel", ("--superpixels", "s.h5", "--steps", "4", "--masks"), "has no option --steps"),
        ("walk", ("--affinity", "colour", "--radius", "99"), "--radius 99: give"),
        ("walk", ("--affinity", "colour", "--shard", "3"), "--shard 3"),
        ("walk", ("--affinity", "pink"), "--affinity"),
    ],
)
def test_what_cannot_be_is_told(made: Path, tmp_path: Path, method: str, options: Sequence[str], words: str) -> None:
    result = camkit("refine", method, made / "cams.h5", "--out", "out.h5", *options, cwd=tmp_path)
    assert result.returncode == 2, said(result)
    assert words in " ".join(said(result).split())
    assert not list(tmp_path.iterdir())


def test_the_wrong_checkpoint_is_told(made: Path, world: World, tmp_path: Path) -> None:
    options = ("--affinity", "irn", "--ckpt", world.ckpt, "--out", "out.h5")
    result = camkit("refine", "walk", made / "cams.h5", *options, cwd=tmp_path)
    assert result.returncode == 4
    assert "is a resnet18 classifier" in said(result)
    assert len(said(result).splitlines()) <= 3


def test_help_loads_neither_compiler_nor_torch() -> None:
    found = "{'numba', 'torch'} & {*sys.modules}"
    code = f"import sys, camkit.cli.refine, camkit.stages.refine_walk; sys.exit(len({found}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
