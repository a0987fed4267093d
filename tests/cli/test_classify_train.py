"""Training as a user runs it: real commands, killed, repeated, misused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from camkit.data.classes import VOC_CLASSES
from camkit.data.images import read_image
from camkit.models.checkpoint import load_classifier, load_start
from camkit.pipeline.load import Failure
from camkit.settings.recipe import Augmentation
from camkit.training.classify import Item, Sample, load_sample
from tests.support.warm import Running
from tests.support.world import World, camkit, draw_world, said, start_camkit

KILLS = int(os.environ.get("CAMKIT_KILLS", "2"))
SMALL = ("--arch", "toy", "--width", "4", "--batch-size", "4", "--resize", "48", "--crop", "48")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    return draw_world(tmp_path_factory.mktemp("scenes"), count=28)


def training(world: World, *options: object) -> list[object]:
    return ["classify-train", "--images", world.root, "--list", "train", *SMALL, *options]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_training_leaves_what_the_help_promises_and_others_can_use_it(scenes: World, tmp_path: Path) -> None:
    command = training(scenes, "--val", "val", "--epochs", "2", "--ema", "0.9", "--out", "mine.safetensors")
    result = camkit(*command, cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "epoch 2 of 2: loss" in said(result)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine.curve.csv", "mine.curve.png", "mine.last.safetensors", "mine.safetensors",
    ]  # fmt: skip
    loaded = load_classifier(tmp_path / "mine.safetensors")
    assert (loaded.arch, loaded.classes, loaded.input_size) == ("toy", VOC_CLASSES, 48)
    used = camkit(
        "cam", "--ckpt", "mine.safetensors", "--images", scenes.root, "--limit", "2", "--out", "c.h5", cwd=tmp_path
    )
    assert used.returncode == 0, said(used)

    again = camkit(*command, cwd=tmp_path)
    assert again.returncode == 0
    assert "already trained" in said(again)
    other = camkit(*command, "--rate", "0.5", cwd=tmp_path)
    assert other.returncode == 2
    assert "--rate was 0.002 and is now 0.5" in said(other)
    assert "--overwrite" in said(other)


def test_two_trainings_with_one_seed_are_equal(scenes: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        result = camkit(*training(scenes, "--epochs", "1", "--out", f"{name}.safetensors"), cwd=tmp_path)
        assert result.returncode == 0, said(result)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    another = camkit(*training(scenes, "--epochs", "1", "--seed", "1", "--out", "c.safetensors"), cwd=tmp_path)
    assert another.returncode == 0
    assert not same(tmp_path / "a.safetensors", tmp_path / "c.safetensors")


@pytest.mark.slow
def test_killed_trainings_end_with_the_weights_of_one_left_alone(scenes: World, tmp_path: Path) -> None:
    """Two kills by default; CAMKIT_KILLS=10 for more."""
    options = training(scenes, "--val", "val", "--epochs", "6", "--save-every", "0.2", "--out")

    def start(name: str) -> Running:
        return start_camkit(*options, f"{name}.safetensors", cwd=tmp_path)

    whole = start("whole")
    begun = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - begun
    moments, kills, rounds = random.Random(2), 0, 0
    while kills < KILLS:
        rounds += 1
        finished = False
        while not finished:
            run = start(f"killed-{rounds}")
            if kills < KILLS:
                time.sleep(moments.uniform(0.4 * seconds, seconds))
                run.send_signal(signal.SIGKILL)
                kills += run.wait() == -signal.SIGKILL
            text = run.communicate()[1].decode()
            assert run.returncode in (0, -signal.SIGKILL), text
            finished = run.returncode == 0
        for suffix in (".safetensors", ".last.safetensors", ".curve.csv"):
            made, expected = (tmp_path / f"{name}{suffix}" for name in (f"killed-{rounds}", "whole"))
            assert made.read_bytes() == expected.read_bytes()
        assert not (tmp_path / f"killed-{rounds}.safetensors.training").exists()


def test_patches_train_too(scenes: World, tmp_path: Path) -> None:
    maps = camkit("cam", "--ckpt", scenes.ckpt, "--images", scenes.root, "--out", "maps.h5", cwd=tmp_path)
    assert maps.returncode == 0, said(maps)
    plain = camkit(*training(scenes, "--epochs", "1", "--out", "plain.safetensors"), cwd=tmp_path)
    split = camkit(
        *training(scenes, "--epochs", "1", "--patches", "maps.h5", "--out", "split.safetensors"), cwd=tmp_path
    )
    assert plain.returncode == split.returncode == 0, said(split)
    assert "14 photos and 56 patches of them" in said(split)
    assert not same(tmp_path / "plain.safetensors", tmp_path / "split.safetensors")
    fewer = camkit(
        "cam", "--ckpt", scenes.ckpt, "--images", scenes.root, "--limit", "3", "--out", "few.h5", cwd=tmp_path
    )
    assert fewer.returncode == 0
    refused = camkit(*training(scenes, "--patches", "few.h5", "--out", "x.safetensors"), cwd=tmp_path)
    assert refused.returncode == 2
    assert "no maps of 11 of 14 photos" in said(refused)


def test_patches_of_a_photo_of_another_size_are_left_out(scenes: World) -> None:
    path = scenes.root / "JPEGImages" / f"{scenes.ids[0]}.jpg"
    size = read_image(path)[1]
    load = partial(load_sample, augmentation=Augmentation(), num_classes=1, fill=(0, 0, 0))
    item = Item("a", path, (0,), box=(2, 3, 12, 23), size=size)
    sample = load(item, np.random.default_rng(0))
    assert isinstance(sample, Sample)
    assert sample.photo.shape == (10, 20, 3)
    failure = load(replace(item, size=(size[0] + 1, size[1])), np.random.default_rng(0))
    assert isinstance(failure, Failure)
    assert "--patches has maps of a photo of" in str(failure.error)


def test_starting_from_own_published_and_headless_weights(scenes: World, tmp_path: Path) -> None:
    """The classifier is kept for the same classes only; the trunk always."""
    published = torch.load(scenes.ckpt, weights_only=True)
    torch.save({k: v for k, v in published.items() if not k.startswith("fc.")}, tmp_path / "trunk.pth")
    network, arch, kept = load_start(scenes.ckpt, VOC_CLASSES)
    assert (arch, kept) == ("resnet18", True)
    torch.testing.assert_close(network.head.weight, published["fc.weight"])
    for path in (scenes.ckpt, tmp_path / "trunk.pth"):
        network, arch, kept = load_start(path, ("cat", "dog"))
        assert (arch, kept, network.num_classes) == ("resnet18", False, 2)
        torch.testing.assert_close(network.state_dict()["conv1.weight"], published["conv1.weight"])
        assert 0.005 < float(network.head.weight.detach().std()) < 0.02
        assert not any(isinstance(module, nn.Identity) for module in network.modules())
    result = camkit(
        "classify-train", "--images", scenes.root, "--list", "train", "--init", "trunk.pth", "--epochs", "1",
        "--crop", "48", "--freeze", "conv1,bn1", "--out", "tuned.safetensors", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, said(result)
    assert "its classifier made anew" in said(result)
    torch.testing.assert_close(weights(tmp_path / "tuned.safetensors")["conv1.weight"], published["conv1.weight"])


def test_maximum_pooling_is_remembered(scenes: World, tmp_path: Path) -> None:
    result = camkit(*training(scenes, "--epochs", "1", "--pooling", "maximum", "--out", "m.safetensors"), cwd=tmp_path)
    assert result.returncode == 0, said(result)
    network = load_classifier(tmp_path / "m.safetensors").network
    x = torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        scores = torch.einsum("bdhw,cd->bchw", network.features(x), network.weight) + network.head.bias[:, None, None]
        torch.testing.assert_close(network.logits(x), scores.flatten(2).max(-1).values, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_two_ranks_learn_what_one_process_learns(scenes: World, tmp_path: Path) -> None:
    """With batch norms at rest the gradient of a batch is the mean over its photos, however they are shared out."""
    options = training(
        scenes, "--init", scenes.ckpt, "--val", "val", "--epochs", "2", "--freeze-norm", "--optimiser", "sgd",
        "--preset", "finetune", "--batch-size", "5", "--rate", "0.001", "--crop", "48", "--out",
    )  # fmt: skip
    for one in ("--arch", "--width"):
        at = options.index(one)
        del options[at : at + 2]
    alone = camkit(*options, "one.safetensors", cwd=tmp_path)
    assert alone.returncode == 0, said(alone)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "camkit"]
    both = subprocess.run(
        [*command, *map(str, options), "two.safetensors"], cwd=tmp_path, capture_output=True, check=False, timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert both.returncode == 0, both.stderr.decode()
    a, b = weights(tmp_path / "one.last.safetensors"), weights(tmp_path / "two.last.safetensors")
    start = torch.load(scenes.ckpt, weights_only=True)
    for key, value in a.items():
        torch.testing.assert_close(b[key], value, rtol=1e-3, atol=1e-5)
    assert any(not torch.equal(start[key], value) for key, value in a.items() if key in start)
    rows = [(tmp_path / f"{name}.curve.csv").read_text().splitlines()[-1].split(",") for name in ("one", "two")]
    np.testing.assert_allclose(*[[float(value) for value in row] for row in rows], rtol=1e-3)


BAD = [
    ((), "what to train"),
    (("--arch", "resnet99"), "--arch resnet99 is not known"),
    (("--arch", "toy", "--preset", "best"), "--preset best: give one of scratch, finetune"),
    (("--arch", "toy", "--out", "x.pth"), "give a name that ends so"),
    (("--arch", "toy", "--scale-range", "1"), "give 2 numbers"),
    (("--arch", "toy", "--crop", "big"), "--crop big: give a number of pixels up to 10,000, or none"),
    (("--arch", "toy", "--freeze", "layer9"), "no such module"),
    (("--arch", "toy", "--list", "nothing"), "neither a file nor a split"),
    (("--arch", "toy", "--init", "no.pth"), "no.pth"),
    (("--arch", "toy", "--patches", "no.h5"), "no.h5 does not exist"),
    (("--arch", "toy", "--device", "tpu"), "no such device"),
    (("--arch", "toy", "--clip", "0"), "--clip 0.0: give a norm above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "words"), BAD, ids=[words for _, words in BAD])
def test_what_cannot_be_trained_is_told_in_a_line_or_two(
    scenes: World, tmp_path: Path, options: Sequence[str], words: str
) -> None:
    out = () if "--out" in options else ("--out", "x.safetensors")
    result = camkit("classify-train", "--images", scenes.root, *options, *out, cwd=tmp_path)
    assert result.returncode in (2, 4)
    assert words in " ".join(said(result).split())
    assert "Traceback" not in said(result)
    assert not (tmp_path / "x.safetensors").exists()


def test_photos_without_labels_are_told_before_anything_is_trained(scenes: World, tmp_path: Path) -> None:
    photos = scenes.root / "JPEGImages"
    own = ["classify-train", "--images", photos, *SMALL, "--out", "x.safetensors"]
    for command in (own, training(scenes, "--val-images", photos, "--out", "x.safetensors")):
        result = camkit(*command, cwd=tmp_path)
        assert result.returncode == 4, said(result)
        assert "needs image-level labels" in said(result)
    assert not list(tmp_path.iterdir())


def test_a_result_never_replaces_what_it_starts_from(scenes: World, tmp_path: Path) -> None:
    made = camkit(*training(scenes, "--epochs", "1", "--out", "x.safetensors"), cwd=tmp_path)
    assert made.returncode == 0, said(made)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for start in ("x.safetensors", "x.last.safetensors"):
        result = camkit(
            "classify-train", "--images", scenes.root, "--list", "train", "--init", start, "--epochs", "1",
            "--out", "x.safetensors", "--overwrite", cwd=tmp_path,
        )  # fmt: skip
        assert result.returncode == 2, said(result)
        assert f"--init {start} would be replaced" in said(result)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["best", "last"])
def test_nor_does_it_start_from_what_it_is_to_remove(scenes: World, tmp_path: Path, name: str) -> None:
    kept = tmp_path / "x.safetensors.training" / f"{name}.safetensors"
    kept.parent.mkdir()
    save_file(torch.load(scenes.ckpt, weights_only=True), kept)
    (tmp_path / "link").symlink_to(kept)
    for start in (kept, "link"):
        result = camkit(
            "classify-train", "--images", scenes.root, "--list", "train", "--init", start, "--epochs", "1",
            "--out", "x.safetensors", "--overwrite", cwd=tmp_path,
        )  # fmt: skip
        assert result.returncode == 2, said(result)
        assert "copy it elsewhere first" in " ".join(said(result).split())
        assert kept.exists()


def test_labels_that_name_no_positives(scenes: World, tmp_path: Path) -> None:
    rows = [{"id": id, "classes": ["cat"] if n % 2 else []} for n, id in enumerate(scenes.ids)]
    (tmp_path / "tags.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "names.txt").write_text("cat\nunicorn\n")
    command = [
        "classify-train", "--images", scenes.root, *SMALL, "--epochs", "1", "--labels", "tags.jsonl",
        "--out", "x.safetensors",
    ]  # fmt: skip
    result = camkit(*command, "--classes", "names.txt", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "no training photo has unicorn (1 of 2 classes)" in said(result)
    (tmp_path / "many.txt").write_text("".join(f"{name}\n" for name in ("cat", *(f"beast{n}" for n in range(300)))))
    result = camkit(*command, "--classes", "many.txt", "--overwrite", cwd=tmp_path)
    assert "no training photo has beast0, beast1, beast2 … (300 of 301 classes)" in " ".join(said(result).split())
    (tmp_path / "tags.jsonl").write_text("\n".join(json.dumps({**row, "classes": []}) for row in rows))
    result = camkit(*command, "--classes", "names.txt", "--overwrite", cwd=tmp_path)
    assert result.returncode == 4
    assert "none of the 28 training photos has any of the classes cat, unicorn" in said(result)


def test_one_photo_and_unreadable_photos(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "w", count=4)
    one = camkit(
        "classify-train", "--images", world.root, "--limit", "1", *SMALL, "--epochs", "2", "--out", "1.safetensors",
        cwd=tmp_path,
    )  # fmt: skip
    assert one.returncode == 0, said(one)
    assert "a single training photo" in said(one)
    (world.root / "JPEGImages" / f"{world.ids[1]}.jpg").write_bytes(b"no photo")
    broken = camkit(
        "classify-train", "--images", world.root, *SMALL, "--epochs", "2", "--out", "2.safetensors", cwd=tmp_path
    )
    assert broken.returncode == 3, said(broken)
    assert f"1 of 4 images failed: {world.ids[1]}" in said(broken)
    assert (tmp_path / "2.safetensors").exists()


def test_a_loss_that_explodes_stops_with_a_word_about_where(scenes: World, tmp_path: Path) -> None:
    result = camkit(
        *training(scenes, "--optimiser", "sgd", "--rate", "1e30", "--warmup", "0", "--epochs", "3",
                  "--out", "x.safetensors"),
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 4, said(result)
    assert "the loss is not a number any more, at step" in said(result)
    assert "--rate" in said(result)
