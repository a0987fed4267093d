"""The CRF as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from camkit.store.reader import open_store
from tests.support.world import World, camkit, said


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crf")
    options = ("--ckpt", world.ckpt, "--images", world.root, "--scales", "1", "--no-flip")
    result = camkit("cam", *options, "--out", "cams.h5", cwd=folder)
    assert result.returncode == 0, said(result)
    result = camkit("crf", "cams.h5", "--out", "refined.h5", cwd=folder, fresh=True)
    assert result.returncode == 0, said(result)
    return folder


def test_probs_of_every_photo_in_full_size(made: Path, world: World) -> None:
    with open_store(made / "refined.h5") as store:
        assert store.header.kind == "probs"
        assert store.ids == world.ids
        for activation in store:
            assert activation.values.shape == (1 + len(activation.classes), *activation.size)
            np.testing.assert_allclose(activation.values.sum(axis=0), 1, atol=2e-3)
        (parent,) = store.header.provenance["parents"]
        assert parent["command"] == "cam"
        assert store.header.provenance["parameters"]["bilateral_sxy"] == 80


def test_it_stands_in_a_pipe(made: Path, world: World) -> None:
    refined = camkit("crf", "--alpha", "8", cwd=made, input=(made / "cams.h5").read_bytes())
    assert refined.returncode == 0, said(refined)
    masks = camkit("crf", "--preset", "icd", "--masks", "-", cwd=made, input=refined.stdout)
    assert masks.returncode == 0, said(masks)
    judged = camkit("evaluate", "--gt", world.root, "--json", cwd=made, input=masks.stdout)
    assert judged.returncode == 0, said(judged)
    assert json.loads(judged.stdout)["images"] == len(world.ids)


def test_show_and_info_know_what_it_wrote(made: Path) -> None:
    told = camkit("info", "refined.h5", cwd=made)
    assert told.returncode == 0, said(told)
    assert "bilateral_srgb=13" in told.stdout.decode()
    shown = camkit("show", "refined.h5", "--limit", "2", "--out", "sheet.png", cwd=made)
    assert shown.returncode == 0, said(shown)


def test_running_it_again_is_safe(made: Path) -> None:
    again = camkit("crf", "cams.h5", "--out", "refined.h5", "--workers", "1", cwd=made)
    assert again.returncode == 0
    assert "already done" in said(again)
    other = camkit("crf", "cams.h5", "--out", "refined.h5", "--iterations", "5", cwd=made)
    assert other.returncode == 2
    assert "--iterations was 10 and is now 5" in said(other)
    assert camkit("crf", "cams.h5", "--out", "refined.h5", "--overwrite", "-q", cwd=made).returncode == 0


def test_shards_make_the_same_store(made: Path) -> None:
    for shard in ("1/2", "2/2"):
        result = camkit("crf", "cams.h5", "--out", "shards.h5", "--shard", shard, cwd=made)
        assert result.returncode == 0, said(result)
    with open_store(made / "refined.h5") as whole, open_store(made / "shards.h5") as shards:
        assert whole.ids == shards.ids
        for one, other in zip(whole, shards, strict=True):
            np.testing.assert_array_equal(one.values, other.values)


def test_every_parameter_reaches_the_provenance(made: Path) -> None:
    options = {
        "unary": "hard", "confidence": 0.6, "background": 0.25, "share": "all", "iterations": 2, "gauss-sxy": 2.5,
        "gauss-compat": 1.5, "bilateral-sxy": 60, "bilateral-srgb": 9, "bilateral-compat": 4.5, "dtype": "float32",
        "size": "2", "engine": "native",
    }  # fmt: skip
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    result = camkit("crf", "cams.h5", "--out", "free.h5", *flags, cwd=made)
    assert result.returncode == 0, said(result)
    with open_store(made / "free.h5") as store:
        parameters = store.header.provenance["parameters"]
        height, width = store.read(store.ids[0]).size
        assert store.read(store.ids[0]).values.shape[1:] == (-(-height // 2), -(-width // 2))
    assert parameters == {name.replace("-", "_"): value for name, value in options.items()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--alpha", "0"), "--alpha 0.0: give a number above 0"),
        (("--confidence", "0.5"), "--confidence has no effect on the soft energies of maps"),
        (("--preset", "irn", "--alpha", "4"), "--alpha has no effect on the hard energies of maps"),
        (("--gauss-sxy", "-1"), "--gauss-sxy -1.0: give a number above 0"),
        (("--masks", "--size", "4"), "--size is for probs"),
        (("--dtype", "uint8"), "--dtype"),
        (("--preset", "mine"), "--preset"),
        (("--size", "0"), "--size 0"),
        (("--shard", "3"), "--shard 3"),
    ],
)
def test_what_cannot_be_is_told(made: Path, tmp_path: Path, options: Sequence[str], words: str) -> None:
    result = camkit("crf", made / "cams.h5", "--out", "out.h5", *options, cwd=tmp_path)
    assert result.returncode == 2, said(result)
    assert words in " ".join(said(result).split())
    assert not list(tmp_path.iterdir())


def test_sigmas_too_small_for_a_photo_fail_that_photo(made: Path, world: World, tmp_path: Path) -> None:
    result = camkit("crf", made / "cams.h5", "--out", "out.h5", "--gauss-sxy", "1e-9", cwd=tmp_path)
    assert result.returncode == 3
    assert "the CRF's sigmas are too small" in said(result)


def test_help_is_instant_and_loads_no_compiler(tmp_path: Path) -> None:
    code = "import sys, camkit.cli.crf, camkit.stages.crf; sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    result = camkit("crf", "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
