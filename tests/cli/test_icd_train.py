"""`camkit icd-train` as a user runs it: killed, repeated, misused, and what others make of its checkpoint."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from camkit.data.classes import VOC_CLASSES
from camkit.models.icd import load_icd
from tests.models.tiny import tiny_checkpoint
from tests.support.icd import tiny_icd
from tests.support.warm import Running
from tests.support.world import World, camkit, draw_world, said, start_camkit

SMALL = (
    "--arch", "toy", "--width", "4", "--batch-size", "4", "--resize", "48", "--crop", "48", "--hidden", "8",
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = draw_world(tmp_path_factory.mktemp("scenes"), count=28)
    made = camkit("superpixels", "--images", world.root, "--workers", "0", "--out", "sp.h5", cwd=world.root.parent)
    assert made.returncode == 0, said(made)
    return world


def superpixels_of(world: World) -> Path:
    return world.root.parent / "sp.h5"


def training(world: World, *options: object) -> list[object]:
    return ["icd-train", "--images", world.root, "--list", "train", *SMALL, *options]


def test_a_training_leaves_a_checkpoint_that_others_can_use(scenes: World, tmp_path: Path) -> None:
    command = training(
        scenes, "--superpixels", superpixels_of(scenes), "--val", "val", "--epochs", "3", "--out", "icd.safetensors"
    )
    result = camkit(*command, cwd=tmp_path)
    assert result.returncode == 0, said(result)
    told = " ".join(said(result).split())
    assert "epoch 3 of 3: loss" in told
    assert "loss bottom up" in told
    assert "3 epochs in" in told
    assert "mAP of the classifier" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "icd.curve.csv", "icd.curve.png", "icd.last.safetensors", "icd.safetensors",
    ]  # fmt: skip
    # the last epoch is kept, whichever was best
    assert (tmp_path / "icd.safetensors").read_bytes() == (tmp_path / "icd.last.safetensors").read_bytes()
    loaded = load_icd(tmp_path / "icd.safetensors")
    assert (loaded.arch, loaded.input_size, loaded.num_classes) == ("toy", 48, 20)
    assert (loaded.network.heads.positive + loaded.network.heads.negative).any()
    info = camkit("info", "icd.safetensors", cwd=tmp_path)
    assert info.returncode == 0, said(info)
    assert "features conv5, structure c, hidden 8" in info.stdout.decode()
    assert "camkit icd-train" in info.stdout.decode()
    assert "loss_over=sum" in info.stdout.decode()
    assert "not needed" not in info.stdout.decode()
    used = camkit(
        "cam", "--ckpt", "icd.safetensors", "--images", scenes.root, "--limit", "2", "--out", "c.h5", cwd=tmp_path
    )
    assert used.returncode == 0, said(used)

    again = camkit(*command, cwd=tmp_path)
    assert again.returncode == 0
    assert "already trained" in said(again)
    other = camkit(*command, "--superpixel-vote", "sign", cwd=tmp_path)
    assert other.returncode == 2
    assert "--superpixel-vote was mean and is now sign" in said(other)


def test_the_branches_learn_and_superpixels_matter(scenes: World, tmp_path: Path) -> None:
    options = ("--epochs", "2", "--top-down-warmup", "0", "--out")
    superpixels = ("--superpixels", superpixels_of(scenes))
    runs = {"with": superpixels, "again": superpixels, "without": (), "absolute": ("--bottom-up", "absolute")}
    for name, more in runs.items():
        result = camkit(*training(scenes, *more, *options, f"{name}.safetensors"), cwd=tmp_path)
        assert result.returncode == 0, said(result)
    weights = {name: load_file(tmp_path / f"{name}.safetensors") for name in runs}
    assert (tmp_path / "with.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert not torch.equal(weights["with"]["icd.adapted.weight"], weights["without"]["icd.adapted.weight"])
    assert not torch.equal(weights["without"]["icd.directions"], weights["absolute"]["icd.directions"])


@pytest.mark.slow
def test_a_killed_training_ends_with_the_bytes_of_one_left_alone(scenes: World, tmp_path: Path) -> None:
    options = training(
        scenes, "--superpixels", superpixels_of(scenes), "--epochs", "6", "--save-every", "0.2", "--out"
    )  # fmt: skip

    def start(name: str) -> Running:
        return start_camkit(*options, f"{name}.safetensors", cwd=tmp_path)

    whole = start("whole")
    begun = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - begun
    moments, kills, rounds = random.Random(3), 0, 0
    while kills < 2:
        rounds += 1
        run = start("killed")
        time.sleep(moments.uniform(0.6 * seconds, 0.95 * seconds))
        run.send_signal(signal.SIGKILL)
        killed = run.wait() == -signal.SIGKILL
        kills += killed
        if not killed:
            (tmp_path / "killed.safetensors").unlink()
        assert rounds < 12
    last = start("killed")
    text = last.communicate()[1].decode()
    assert last.returncode == 0, text
    for suffix in (".safetensors", ".curve.csv"):
        assert (tmp_path / f"killed{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.slow
def test_two_ranks_train_together(scenes: World, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "camkit"]
    options = training(
        scenes, "--superpixels", superpixels_of(scenes), "--val", "val", "--epochs", "1", "--batch-size", "5", "--out"
    )
    both = subprocess.run(
        [*command, *map(str, options), "two.safetensors"], cwd=tmp_path, capture_output=True, check=False, timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert both.returncode == 0, both.stderr.decode()
    assert load_icd(tmp_path / "two.safetensors").num_classes == 20


def test_a_vgg16_of_imagenet_becomes_icds(scenes: World, tmp_path: Path) -> None:
    tiny_checkpoint(tmp_path / "imagenet.pth", "vgg16", classes=1000, width=2)
    result = camkit(
        "icd-train", "--images", scenes.root, "--list", "train", "--init", "imagenet.pth", "--epochs", "1",
        "--batch-size", "7", "--crop", "48", "--rate", "0.0001", "--out", "v.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, said(result)
    assert "fc6 and fc7 are thinned out for ICD" in said(result)
    assert "ICD's own fc6 and fc7 start as copies of the classifier's" in said(result)
    weights = load_file(tmp_path / "v.safetensors")
    assert weights["fc6.weight"].shape == (32, 16, 3, 3)
    assert weights["icd.fc6.weight"].shape == (32, 16, 3, 3)
    assert load_icd(tmp_path / "v.safetensors").output_stride == 8


def test_modules_are_frozen_by_the_names_a_classifier_has(scenes: World, tmp_path: Path) -> None:
    """The preset irn freezes two."""
    result = camkit(
        "icd-train", "--images", scenes.root, "--list", "train", "--init", scenes.ckpt, "--preset", "irn",
        "--epochs", "1", "--batch-size", "7", "--long-side", "48,64", "--crop", "48", "--rate", "0.001",
        "--out", "frozen.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, said(result)
    told = " ".join(said(result).split())
    assert "--epochs 1 is not above --top-down-warmup 2: the final scores are hardly taught" in told
    assert "1 epoch in " in told
    assert "ICD branches" not in told
    before, after = torch.load(scenes.ckpt, weights_only=True), load_file(tmp_path / "frozen.safetensors")
    for name in ("conv1.weight", "bn1.weight", "bn1.running_mean"):
        assert torch.equal(after[name], before[name])
    assert not torch.equal(after["layer1.0.conv1.weight"], before["layer1.0.conv1.weight"])


def test_branches_go_on_where_classes_and_plan_are_the_same(scenes: World, tmp_path: Path) -> None:
    tiny_icd(tmp_path / "start.safetensors")
    before = load_file(tmp_path / "start.safetensors")
    command = [
        "icd-train", "--images", scenes.root, "--list", "train", "--init", "start.safetensors", "--epochs", "1",
        "--batch-size", "7", "--crop", "48", "--freeze", "heads",
    ]  # fmt: skip
    (tmp_path / "more.txt").write_text("\n".join((*VOC_CLASSES, "unicorn")))
    for name, options, told in (
        ("same", ("--hidden", "8"), "its ICD branches too"),
        ("wider", ("--hidden", "9"), "its ICD branches made anew"),
        ("more", ("--hidden", "8", "--classes", "more.txt"), "its ICD branches made anew"),
    ):
        result = camkit(*command, *options, "--out", f"{name}.safetensors", cwd=tmp_path)
        assert result.returncode == 0, said(result)
        assert told in said(result)
        kept = torch.equal(load_file(tmp_path / f"{name}.safetensors")["icd.directions"], before["icd.directions"])
        assert kept == (name == "same")


def test_a_photo_whose_superpixels_do_not_fit_is_left_out(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "w", count=8)
    made = camkit("superpixels", "--images", world.root, "--workers", "0", "--out", "sp.h5", cwd=tmp_path)
    assert made.returncode == 0, said(made)
    photos = world.root / "JPEGImages"
    (photos / f"{world.ids[0]}.jpg").write_bytes((photos / f"{world.ids[1]}.jpg").read_bytes())
    result = camkit(
        "icd-train", "--images", world.root, *SMALL, "--superpixels", "sp.h5", "--epochs", "1", "--batch-size", "8",
        "--out", "x.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 3, said(result)
    assert "1 of 8 images failed" in said(result)
    assert "the store was made from a photo of 64x48" in " ".join(said(result).split())


BAD = [
    (("--arch", "resnet99"), "--arch resnet99 is not known"),
    (("--out", "x.pth"), "give a name that ends so"),
    (("--superpixels", "no.h5"), "no.h5"),
    (("--superpixels", "few.h5"), "no superpixels of 11 of 14 training photos"),
    (("--superpixels", "maps.h5"), "maps.h5 holds maps"),
    (("--ignore-band", "1"), "--ignore-band 1.0: give a number, 0 or more and below 1"),
    (("--bottom-up-weight", "0"), "--bottom-up-weight 0.0: give a number above 0"),
    (("--bottom-up-weight", "inf"), "--bottom-up-weight inf: give a number above 0"),
    (("--top-down-warmup", "inf"), "--top-down-warmup inf: give 0 or more"),
    (("--superpixel-vote", "sign"), "--superpixel-vote sign has no effect without --superpixels"),
    (("--structure", "a"), "--hidden 8 has no effect on --structure a"),
    (("--structure", "d"), "--hidden 8 has no effect on --structure d"),
    (("--features", "conv3"), "--features conv3: give one of"),
    (("--freeze", "conv1"), "no such module; its largest are classifier, heads"),
]  # fmt: skip


def test_without_a_top_down_branch_it_is_said_what_a_checkpoint_can_give(scenes: World, tmp_path: Path) -> None:
    options = ("--arch", "toy", "--width", "4", "--batch-size", "7", "--resize", "48", "--crop", "48", "--epochs", "1")
    command = ("icd-train", "--images", scenes.root, "--list", "train", *options, "--no-top-down")
    result = camkit(*command, "--out", "b.safetensors", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "top-down-warmup" not in said(result)
    assert {key for key in load_file(tmp_path / "b.safetensors") if key.startswith("icd.")} == {
        "icd.directions", "icd.norm.mean", "icd.norm.variance", "icd.positive", "icd.negative",
    }  # fmt: skip
    assert "top_down False" in camkit("info", "b.safetensors", cwd=tmp_path).stdout.decode()
    apply = ("--ckpt", "b.safetensors", "--images", scenes.root, "--limit", "2", "--out", "o.h5")
    for words in (("icd-apply",), ("infercam", "--response", "icd")):
        refused = camkit(*words, *apply, cwd=tmp_path)
        assert refused.returncode == 2
        told = " ".join(said(refused).split())
        assert "b.safetensors was trained with --no-top-down: it has no final scores" in told
        assert "--branch bottom-up" in told
    given = camkit("icd-apply", *apply, "--branch", "bottom-up", cwd=tmp_path)
    assert given.returncode == 0, said(given)
    for more, words in (
        (("--superpixels", superpixels_of(scenes)), "--superpixels has no effect with --no-top-down"),
        (("--structure", "b"), "--structure has no effect with --no-top-down"),
        (("--hidden", "8"), "--hidden has no effect with --no-top-down"),
    ):
        refused = camkit(*command, *more, "--out", "c.safetensors", cwd=tmp_path)
        assert refused.returncode == 2
        assert words in " ".join(said(refused).split())


@pytest.mark.parametrize(("options", "words"), BAD, ids=[words for _, words in BAD])
def test_what_cannot_be_trained_is_told_in_a_line_or_two(
    scenes: World, tmp_path: Path, options: Sequence[str], words: str
) -> None:
    for name in ("few", "maps"):
        if f"{name}.h5" in options:
            command = ["superpixels"] if name == "few" else ["cam", "--ckpt", scenes.ckpt]
            made = camkit(
                *command, "--images", scenes.root, "--limit", "3", "--workers", "0", "--out", f"{name}.h5", cwd=tmp_path
            )
            assert made.returncode == 0, said(made)
    out = () if "--out" in options else ("--out", "x.safetensors")
    result = camkit(*training(scenes, *options, *out), cwd=tmp_path)
    assert result.returncode in (2, 4)
    assert words in " ".join(said(result).split())
    assert "Traceback" not in said(result)
    assert not (tmp_path / "x.safetensors").exists()


def test_photos_of_several_classes_alone_teach_no_direction(scenes: World, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("".join(f"{id},cat,dog\n" for id in scenes.ids))
    command = [
        "icd-train", "--images", scenes.root, *SMALL, "--labels", "tags.csv", "--epochs", "1",
        "--out", "x.safetensors",
    ]  # fmt: skip
    result = camkit(*command, cwd=tmp_path)
    assert result.returncode == 4, said(result)
    assert "none of the 28 training photos has a single class" in said(result)
    (tmp_path / "tags.csv").write_text("".join(f"{id},cat{',dog' if n else ''}\n" for n, id in enumerate(scenes.ids)))
    result = camkit(*command, cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "no training photo has dog alone" in said(result)
