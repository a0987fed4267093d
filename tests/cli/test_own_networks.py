"""Networks of a user's own, trained and used as a user does: real commands in a folder with a module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.world import World, camkit, draw_world, said

MODULE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(12, 1000)
        self.layers = {"stem": self.stem, "middle": self.middle, "last": self.last}
    def features(self, x): return self.last(self.middle(self.stem(x)))
    def forward(self, x): return self.fc(self.features(x).mean(dim=(2, 3)))

class Unnamed(Net):
    def __init__(self):
        super().__init__()
        del self.layers
"""
MODEL = ("--model", "mine:Net")
SMALL = ("--list", "train", "--epochs", "1", "--batch-size", "4", "--resize", "48", "--crop", "48")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> World:
    return draw_world(tmp_path_factory.mktemp("scenes"), count=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def train(scenes: World, folder: Path, *options: object, command: str = "classify-train") -> str:
    result = camkit(command, "--images", scenes.root, *SMALL, *options, cwd=folder)
    assert result.returncode == 0, said(result)
    return said(result)


def test_a_network_of_ones_own_is_trained_used_described_and_trained_on(scenes: World, folder: Path) -> None:
    train(scenes, folder, *MODEL, "--val", "val", "--ema", "0.9", "--out", "own.safetensors")
    cam = ("cam", "--ckpt", "own.safetensors", "--images", scenes.root, "--limit", "2", "--out", "cams.h5")
    bare = camkit(*cam, cwd=folder)
    assert bare.returncode == 4
    assert "made by mine:Net: give --model mine:Net" in " ".join(said(bare).split())
    assert camkit(*cam, *MODEL, cwd=folder).returncode == 0

    told = camkit("info", "own.safetensors", *MODEL, cwd=folder).stdout.decode()
    assert "architecture mine:Net\n" in told
    assert "20: aeroplane" in told
    layers = json.loads(camkit("info", "--layers", "own.safetensors", *MODEL, "--json", cwd=folder).stdout)
    assert [(layer["name"], layer["channels"], layer["stride"]) for layer in layers] == [
        ("stem", 8, 4), ("middle", 8, 8), ("last", 12, 8),
    ]  # fmt: skip

    again = train(
        scenes, folder, *MODEL, "--init", "own.safetensors", "--freeze", "stem,middle", "--out", "b.safetensors"
    )
    assert "mine:Net, its classifier too" in again
    before, after = load_file(folder / "own.safetensors"), load_file(folder / "b.safetensors")
    changed = {key.split(".")[0] for key, value in after.items() if not value.equal(before[key])}
    assert changed == {"last", "fc"}

    (folder / "mine.py").unlink()
    missing = camkit(*cam, *MODEL, "--overwrite", cwd=folder)
    assert missing.returncode == 2
    assert "--model mine:Net: ModuleNotFoundError: No module named 'mine'" in " ".join(said(missing).split())


def test_without_its_factory_a_checkpoint_still_says_what_it_is(scenes: World, folder: Path) -> None:
    train(scenes, folder, *MODEL, "--out", "own.safetensors")
    told = camkit("info", "own.safetensors", cwd=folder)
    assert told.returncode == 4
    assert "give --model mine:Net" in said(told)


def test_icd_is_trained_on_levels_that_are_named(scenes: World, folder: Path) -> None:
    train(
        scenes,
        folder,
        *MODEL,
        "--top-down-warmup",
        "0.5",
        "--rate",
        "0.0001",
        "--out",
        "icd.safetensors",
        command="icd-train",
    )
    used = camkit(
        "icd-apply", "--ckpt", "icd.safetensors", *MODEL, "--images", scenes.root, "--limit", "2", "--out", "s.h5",
        cwd=folder,
    )  # fmt: skip
    assert used.returncode == 0, said(used)
    refused = camkit(
        "icd-train", "--images", scenes.root, *SMALL, "--model", "mine:Unnamed", "--out", "x.safetensors", cwd=folder
    )
    assert refused.returncode == 2
    assert "Unnamed does not say where" in " ".join(said(refused).split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "mine:Net", "--arch", "toy"), "--model brings a network of its own: --arch does not go with it"),
        (("--model", "mine:Net", "--width", "8"), "--width does not go with it"),
        (("--model", "mine:Absent"), "has no attribute 'Absent'"),
        (("--model", "mine:Net", "--init", "toy"), "--model mine:Net does not go with"),
        (("--model", "mine:Net", "--freeze", "layer9"), "no such module; its largest are network.stem, network.middle"),
    ],
)
def test_what_cannot_be_is_told(scenes: World, folder: Path, options: tuple[str, ...], words: str) -> None:
    result = camkit("classify-train", "--images", scenes.root, *SMALL, *options, "--out", "x.safetensors", cwd=folder)
    assert result.returncode in (2, 4)
    assert words in " ".join(said(result).split())
    assert "Traceback" not in said(result)
