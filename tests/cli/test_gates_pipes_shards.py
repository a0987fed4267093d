"""Gates, options without effect, pipes that end early, shards that are missing: what the commands say of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_bad_input import check_error
from tests.support.world import World, camkit, said

CAM = ("cam", "--scales", "1", "--no-flip")


@pytest.fixture(scope="module")
def cams(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cams")
    options = ("--ckpt", world.ckpt, "--images", world.root, "--out", "cams.h5")
    assert camkit(*CAM, *options, cwd=folder).returncode == 0
    return folder / "cams.h5"


def test_a_gate_counts_though_nobody_reads_the_table(cams: Path, world: World, tmp_path: Path) -> None:
    line = f"('{sys.executable}' -m camkit evaluate '{cams}' --gt '{world.root}' --min-miou 99; echo code $? >&2)"
    result = subprocess.run(["bash", "-c", f"{line} | true"], cwd=tmp_path, capture_output=True, check=False)
    assert "code 1" in said(result)
    assert "below the gate" in said(result)


def test_a_gate_is_not_met_by_some_of_the_images(cams: Path, world: World, tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    shutil.copytree(world.root / "SegmentationClass", truth)
    Image.new("L", (9, 9)).save(truth / "another.png")
    options = ("evaluate", cams, "--gt", truth)
    gate = ("--min-miou", "0.001")
    assert camkit(*options, cwd=tmp_path).returncode == 0
    check_error(camkit(*options, *gate, cwd=tmp_path), 1, "1 image has", "another", "--allow-missing")
    assert camkit(*options, *gate, "--allow-missing", cwd=tmp_path).returncode == 0
    check_error(camkit(*options, "--allow-missing", cwd=tmp_path), 2, "--min-miou")


def test_options_without_effect_name_the_kind(cams: Path, world: World, tmp_path: Path) -> None:
    assert camkit("mask", cams, "--out", "masks.h5", cwd=tmp_path).returncode == 0
    for options in (("--threshold", "0.3"), ("--margins", "0.1"), ("--curve", "curve.png")):
        result = camkit("evaluate", "masks.h5", "--gt", world.root, *options, cwd=tmp_path)
        check_error(result, 2, options[0], "masks.h5 holds masks")
        assert not result.stdout
    check_error(camkit("mask", "masks.h5", "--out", "m.h5", "--threshold", "0.3", cwd=tmp_path), 2, "holds masks")
    piped = camkit(
        "mask", "--out", "m.h5", "--threshold", "0.3", cwd=tmp_path, input=(tmp_path / "masks.h5").read_bytes()
    )
    check_error(piped, 2, "standard input holds masks")


def test_errors_about_a_pipe_name_no_temporary_file(cams: Path, tmp_path: Path) -> None:
    data = cams.read_bytes()
    for command in (("info",), ("mask", "--out", "m.h5")):
        check_error(
            camkit(*command, cwd=tmp_path, input=data[: len(data) // 2]), 4, "error: standard input is truncated"
        )
    shown = camkit("info", cwd=tmp_path, input=data)
    assert shown.stdout.startswith(b"standard input\n")


def test_merging_some_of_the_shards_says_which_are_missing(world: World, tmp_path: Path) -> None:
    options = (*CAM, "--out", "1.h5", "--ckpt", world.ckpt, "--images", world.root)
    assert camkit(*options, "--shard", "1/3", cwd=tmp_path).returncode == 0
    merged = camkit("merge", "1.h5", "--out", "some.h5", "-q", cwd=tmp_path)
    assert merged.returncode == 0
    assert said(merged) == "warning: the stores are not the whole run; missing: shards 2, 3 of 3\n"
    shown = camkit("info", "some.h5", cwd=tmp_path).stdout.decode()
    assert "(float16), shard 1 of 3, " in shown
    assert json.loads(camkit("info", "some.h5", "--json", cwd=tmp_path).stdout)["shard"] == "1/3"


@pytest.mark.parametrize("columns", [60, 40])
def test_a_narrow_terminal_cuts_no_figures(cams: Path, world: World, tmp_path: Path, columns: int) -> None:
    options = ("evaluate", cams, "--gt", world.root)
    wide = camkit(*options, cwd=tmp_path).stdout.decode()
    narrow = camkit(*options, cwd=tmp_path, environment={"COLUMNS": str(columns)}).stdout.decode()
    mean = next(line for line in wide.splitlines() if line.strip().startswith("mean")).split()
    shown = next(line for line in narrow.splitlines() if line.strip().startswith("mean")).split()
    assert shown == mean[: len(shown)]
    assert len(shown) >= 4


def test_a_pipe_may_be_named_at_both_ends(cams: Path, tmp_path: Path) -> None:
    masks = camkit("mask", "-", "--out", "-", cwd=tmp_path, input=cams.read_bytes())
    assert masks.returncode == 0, said(masks)
    assert b"masks of 12 images" in camkit("info", "-", cwd=tmp_path, input=masks.stdout).stdout


def test_two_methods_are_compared(cams: Path, world: World, tmp_path: Path) -> None:
    options = ("--ckpt", world.ckpt, "--images", world.root, "--labels", "predicted", "--out", "other.h5")
    made = camkit(*CAM, *options, cwd=tmp_path)
    assert "the classes are those the classifier predicts" in said(made)
    compared = ("evaluate", cams, "other.h5", "--gt", world.root, "--compare")
    result = camkit(*compared, "--json", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    found = json.loads(result.stdout)
    assert found["names"] == ["cams", "other"]
    given, predicted = found["reports"]
    assert given["tags"].startswith("given (VOC XML")
    assert predicted["tags"] == "predicted by the classifier"
    assert found["differences"][0]["miou"] == pytest.approx(predicted["miou"] - given["miou"])
    table = camkit(*compared, cwd=tmp_path).stdout.decode()
    assert "other: classes of each image: predicted by the classifier" in table
    check_error(camkit(*compared, "--csv", cwd=tmp_path), 2, "--csv", "not with --compare")
    check_error(camkit("evaluate", cams, "--gt", world.root, "--compare", cwd=tmp_path), 2, "two stores or more")


def test_a_report_says_where_tags_came_from_and_how_sure_it_is(cams: Path, world: World, tmp_path: Path) -> None:
    assert camkit("mask", cams, "--png", "pngs", cwd=tmp_path).returncode == 0
    for source in (cams, "pngs"):
        result = camkit("evaluate", source, "--gt", world.root, "--ci", cwd=tmp_path)
        assert b"classes of each image: given (VOC XML" in result.stdout
        assert b"95 % interval" in result.stdout
    page = camkit("show", cams, "--gt", world.root, "--html", "page.html", "--ci", cwd=tmp_path)
    assert page.returncode == 0, said(page)
    assert "classes of each image given" in (tmp_path / "page.html").read_text()
    check_error(camkit("show", cams, "--ci", cwd=tmp_path), 2, "--ci", "--html")


def test_training_does_not_learn_from_predicted_labels(world: World, tmp_path: Path) -> None:
    options = ("--images", world.root, "--labels", "predicted", "--arch", "toy", "--out", "x.safetensors")
    check_error(camkit("classify-train", *options, cwd=tmp_path), 2, "--labels predicted")
