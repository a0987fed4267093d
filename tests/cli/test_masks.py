"""From tagged photos to masks in one command, whose steps can be run by hand with the same bytes."""

from __future__ import annotations

import shlex
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from camkit import open_store
from camkit.data.masks import read_mask
from camkit.methods.seeds import mask_of_probs
from tests.cli.test_bad_input import check_error
from tests.support.world import camkit, said, start_camkit

SCENES = 5


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    assert camkit("toy-world", "world", "--train", 0, "--val", SCENES, cwd=folder).returncode == 0
    return folder / "world"


def products(folder: Path) -> dict[str, bytes]:
    paths = [*folder.glob("*.h5"), *(folder / "masks").glob("*.png"), *folder.glob("*.safetensors")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_all_steps_run_and_by_hand_give_the_same_bytes(scenes: Path, tmp_path: Path) -> None:
    words = (
        "masks", scenes, "--init", "toy", "--epochs", 1, "--resize", 128, "--segment", "--segment-epochs", 1,
        "--saliency", scenes / "Saliency", "--out", "made",
    )  # fmt: skip
    result = camkit(*words, "--gt", scenes, cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "step 1 of 10: a classifier learns from the tags" in said(result)
    assert "saliency: bright is foreground" in said(result)
    assert b"95 % interval" in result.stdout
    assert b"segmented" in result.stdout
    made = products(tmp_path / "made")
    assert {"cam.h5", "prototypes.h5", "lpcam.h5", "probs.h5", "segmented.h5"} <= made.keys()
    assert {"classifier.safetensors", "segmenter.safetensors"} <= made.keys()
    assert sum(name.endswith(".png") for name in made) == SCENES
    with open_store(tmp_path / "made/segmented.h5") as store:
        for found in store:
            mask = mask_of_probs(found.values, found.classes, len(store.header.classes))
            np.testing.assert_array_equal(read_mask(tmp_path / f"made/masks/{found.id}.png"), mask)
    assert (tmp_path / "made/report.html").stat().st_size > 10_000

    lines = camkit(*words, "--plan", cwd=tmp_path).stdout.decode().splitlines()
    shutil.rmtree(tmp_path / "made")
    (tmp_path / "made").mkdir()
    for line in lines:
        program, *step = shlex.split(line)
        assert program == "camkit"
        result = camkit(*step, cwd=tmp_path)
        assert result.returncode == 0, said(result)
    assert products(tmp_path / "made") == made


@pytest.mark.slow
def test_interrupted_it_goes_on_where_it_was(scenes: Path, tmp_path: Path) -> None:
    words = ("masks", scenes, "--ckpt", "toy", "--how", "cam", "--out", "made")
    running = start_camkit(*words, cwd=tmp_path)
    deadline = time.monotonic() + 100
    while not (tmp_path / "made/cam.h5").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=100)
    assert running.returncode in (130, 0), err.decode()
    result = camkit(*words, cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert f"cam.h5: already done, {SCENES} images" in said(result)
    assert len(list((tmp_path / "made/masks").glob("*.png"))) == SCENES

    steps = {line.split()[1]: line for line in plan(*words, cwd=tmp_path)}
    assert not steps["mask"].endswith("--overwrite")
    steps = {line.split()[1]: line for line in plan(*words, "--segment", cwd=tmp_path)}
    assert (
        steps["mask"] == "camkit mask made/segmented.h5 --png made/masks --overwrite"
    )  # the network's take their place
    assert not steps["crf"].endswith("--overwrite")


def plan(*words: object, cwd: Path) -> list[str]:
    return camkit(*words, "--plan", cwd=cwd).stdout.decode().splitlines()


def test_what_cannot_work_is_said_before_anything_is_made(scenes: Path, tmp_path: Path) -> None:
    photos = scenes / "JPEGImages"
    ids = sorted(path.stem for path in photos.glob("*.jpg"))
    (tmp_path / "same.csv").write_text("".join(f"{id},lynx\n" for id in ids))
    (tmp_path / "odd").mkdir()
    shutil.copy(photos / f"{ids[0]}.jpg", tmp_path / "odd/another.jpg")
    knows = ("--ckpt", "toy")
    (tmp_path / "some.csv").write_text(f"{ids[0]},lynx\n")
    cases = {
        (): (4, ["tags", "id,class,class"]),
        ("--labels", "same.csv"): (4, ["the same tags (lynx)", "--ckpt"]),
        ("--labels", "some.csv"): (4, [f"{SCENES - 1} of {SCENES} images have no labels"]),
        ("--labels", "predicted"): (2, ["--ckpt"]),
        ("--labels", "same.csv", "--how", "magic"): (2, ["magic"]),
        ("--labels", "same.csv", "--background", "2"): (2, ["background"]),
        ("--saliency", "odd", *knows): (2, ["--saliency has no effect without --segment"]),
        ("--segment-epochs", 3, *knows): (2, ["--segment-epochs has no effect without --segment"]),
        ("--segment", "--saliency-is", "background", *knows): (2, ["--saliency-is has no effect without --saliency"]),
        ("--segment", "--saliency", "odd", *knows): (4, [f"odd has no saliency map of any of the {SCENES} photos"]),
        ("--segment", "--saliency", "none", *knows): (4, ["there is no folder of saliency maps at none"]),
    }
    for options, (code, told) in cases.items():
        result = camkit("masks", photos, *options, "--out", "made", cwd=tmp_path)
        assert result.returncode == code, said(result)
        for words in told:
            assert words in said(result)
        assert not (tmp_path / "made").exists()
    check_error(camkit("masks", "nowhere", "--out", "made", cwd=tmp_path), 4, "nowhere")


def test_packaged_weights_learn_on_a_coarse_grid_and_see_on_a_fine_one(scenes: Path, tmp_path: Path) -> None:
    lines = camkit("masks", scenes, "--out", "made", "--plan", cwd=tmp_path).stdout.decode().splitlines()
    steps = [shlex.split(line)[1:] for line in lines]
    grids = {step[0]: step[step.index("--output-stride") + 1] for step in steps if "--output-stride" in step}
    assert grids == {"classify-train": "32", "cam": "16", "lpcam-cluster": "16", "lpcam-apply": "16"}
    assert steps[0][steps[0].index("--input-size") + 1] == "400"


def test_few_photos_are_told(scenes: Path, tmp_path: Path) -> None:
    result = camkit("masks", scenes, "--out", "made", "--plan", cwd=tmp_path)
    assert f"only {SCENES} photos" in said(result)
    assert result.stdout.decode().splitlines()[0].startswith("camkit classify-train --images")


def test_a_step_that_fails_is_named_with_its_own_exit_code(scenes: Path, tmp_path: Path) -> None:
    result = camkit("masks", scenes, "--init", "no-such-weights.pth", "--out", "made", cwd=tmp_path)
    assert result.returncode == 4
    assert "the step failed: camkit classify-train" in said(result)
