"""DCSM as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from camkit.methods.crf.unary import unary_of_probs, with_background
from camkit.store.reader import open_store
from tests.models.tiny import fill
from tests.reference import layouts
from tests.support.world import World, camkit, said


def dcsm(world: World, *options: object) -> list[object]:
    return ["dcsm", "--ckpt", world.ckpt, "--images", world.root, "--resize", "64", *options]


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dcsm")
    result = camkit(*dcsm(world, "--out", "maps.h5"), cwd=folder, fresh=True)
    assert result.returncode == 0, said(result)
    return folder / "maps.h5"


def test_maps_lie_in_0_1_and_notes_tell_who_competed(made: Path, world: World) -> None:
    with open_store(made) as store:
        assert store.ids == world.ids
        for activation in store:
            assert activation.values.min() >= 0
            assert activation.values.max() <= np.tanh(3) + 1e-3
            candidates = activation.notes["candidates"]
            assert len(candidates) >= 3
            assert {c for c, _ in candidates} >= set(activation.classes)
            assert all(0 <= score <= 1 for _, score in candidates)
        assert max(activation.values.max() for activation in store) > 0.5
        stage = store.header.provenance
    assert stage["parameters"]["layers"] == ["layer2", "layer3", "layer4.0"]
    assert stage["parameters"]["resize"] == "64"


def test_info_tells_who_competed_by_name(made: Path, world: World) -> None:
    told = camkit("info", made, "--id", world.ids[0], cwd=made.parent)
    assert told.returncode == 0, said(told)
    (line,) = [line for line in told.stdout.decode().splitlines() if "candidates" in line]
    facts = json.loads(camkit("info", made, "--id", world.ids[0], "--json", cwd=made.parent).stdout)
    named = facts["notes"]["candidates"]
    assert set(facts["classes"]) <= set(named)
    assert line.split(None, 1)[1] == ", ".join(f"{name} {score:.2f}" for name, score in named.items())


def test_notes_that_somebody_wrote_by_hand_break_nothing(made: Path, world: World, tmp_path: Path) -> None:
    strange = [{"candidates": 3}, {"candidates": [[99, 0.5], [1, 0.2]]}, {"candidates": [[1], "x"]},
               {"candidates": [["x", "y"]]}, {"candidates": [[1, "y"]]}]  # fmt: skip
    path = tmp_path / "strange.h5"
    path.write_bytes(made.read_bytes())
    with h5py.File(path, "r+") as file:
        for id, notes in zip(world.ids, strange, strict=False):
            del file["maps"][id].attrs["notes"]
            file["maps"][id].attrs.create("notes", np.bytes_(json.dumps(notes).encode()))
    for id, _ in zip(world.ids, strange, strict=False):
        told = camkit("info", path, "--id", id, cwd=tmp_path)
        assert told.returncode == 0, said(told)


def test_it_pipes_into_the_crf_and_says_its_unary(made: Path, world: World) -> None:
    piped = camkit(*dcsm(world, "--limit", "3"), cwd=made.parent)
    assert piped.returncode == 0, said(piped)
    masks = camkit("crf", "--preset", "dcsm", "--masks", cwd=made.parent, input=piped.stdout)
    assert masks.returncode == 0, said(masks)
    judged = camkit("evaluate", "--gt", world.root, "--json", cwd=made.parent, input=masks.stdout)
    assert json.loads(judged.stdout)["images"] == 3
    with open_store(made) as store:
        maps = next(iter(store)).values.astype(np.float32)
    unary = unary_of_probs(with_background(maps, alpha=1))
    np.testing.assert_allclose(unary[0], -np.log(np.maximum(1 - maps.max(axis=0), 1e-5)), rtol=1e-5)
    np.testing.assert_allclose(unary[1:], -np.log(np.maximum(maps, 1e-5)), rtol=1e-5)


def test_it_continues_and_refuses_other_options(made: Path, world: World) -> None:
    again = camkit(*dcsm(world, "--out", "maps.h5"), cwd=made.parent)
    assert again.returncode == 0
    assert "already done" in said(again)
    other = camkit(*dcsm(world, "--out", "maps.h5", "--candidates", "0"), cwd=made.parent)
    assert other.returncode == 2
    assert "--candidates was 3 and is now 0" in said(other)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (("--backprop", "plain"), {"backprop": "plain", "candidates": 3}),
        (("--backprop", "input"), {"layers": ["input"], "candidates": 0, "alpha": 8.0, "scales": [1.0]}),
        (("--backprop", "input", "--candidates", "3", "--alpha", "3"), {"candidates": 3, "alpha": 3.0}),
        (("--layers", "layer3.0.conv1, input"), {"layers": ["layer3.0.conv1", "input"]}),
        (("--layers", "layer3,layer4"), {"layers": ["layer3"]}),
        (("--no-normalise", "--upsample-channels"), {"normalise": False, "upsample_channels": True}),
        (("--candidate-threshold", "0"), {"candidate_threshold": 0.0}),
        (("--scales", "1"), {"scales": [1.0]}),
    ],
)  # fmt: skip
def test_options_do_what_they_say(
    world: World, tmp_path: Path, options: Sequence[str], parameters: dict[str, object]
) -> None:
    result = camkit(*dcsm(world, "--limit", "2", "--out", "maps.h5", *options), cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert ("left out, since its gradients are the same at every position: layer4" in said(result)) == (
        "layer3,layer4" in options
    )
    with open_store(tmp_path / "maps.h5") as store:
        made = store.header.provenance["parameters"]
        assert {name: made[name] for name in parameters} == parameters
        if "--candidate-threshold" in options:
            assert all(len(activation.notes["candidates"]) == 20 for activation in store)


def test_sizes_are_longer_sides_and_the_default_is_500(world: World, tmp_path: Path) -> None:
    network = ("dcsm", "--ckpt", world.ckpt, "--images", world.root, "--limit", "1")
    sized = camkit(*network, "--sizes", "80,64,48", "--out", "sized.h5", cwd=tmp_path)
    scaled = camkit(*network, "--resize", "64", "--scales", "1.25,1,0.75", "--out", "scaled.h5", cwd=tmp_path)
    default = camkit(*network, "--scales", "0.1", "--out", "default.h5", cwd=tmp_path)
    assert (sized.returncode, scaled.returncode, default.returncode) == (0, 0, 0), said(sized)
    with open_store(tmp_path / "sized.h5") as a, open_store(tmp_path / "scaled.h5") as b:
        assert a.header.provenance["parameters"] == b.header.provenance["parameters"]
        assert np.array_equal(next(iter(a)).values, next(iter(b)).values)
    with open_store(tmp_path / "default.h5") as store:
        assert store.header.provenance["parameters"]["resize"] == "500"


def test_of_vgg16_the_papers_layers_count(world: World, tmp_path: Path) -> None:
    shapes = layouts.vgg16_trunk(2) | {"classifier.weight": (20, 16, 1, 1)}
    torch.save(fill(shapes), tmp_path / "vgg16.pth")
    listed = camkit("info", "--layers", "vgg16.pth", "--json", cwd=tmp_path)
    assert listed.returncode == 0, said(listed)
    layers = json.loads(listed.stdout)
    expected = [f"conv{block}_{n}" for block in (3, 4, 5) for n in (1, 2, 3)]
    assert [layer["name"] for layer in layers if layer["default"]] == expected
    assert {layer["stride"] for layer in layers if layer["name"] in expected} == {4, 8}
    result = camkit(
        "dcsm", "--ckpt", "vgg16.pth", "--images", world.root, "--limit", "1", "--resize", "48", "--out", "maps.h5",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, said(result)
    with open_store(tmp_path / "maps.h5") as store:
        assert store.header.provenance["parameters"]["layers"] == expected


def test_info_lists_the_layers_and_which_tell_nothing(world: World, tmp_path: Path) -> None:
    listed = camkit("info", "--layers", world.ckpt, cwd=tmp_path)
    assert listed.returncode == 0, said(listed)
    lines = listed.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["layer1", "layer2", "layer3", "layer4.0", "layer4"]
    assert ["default of camkit dcsm" in line for line in lines] == [False, True, True, True, False]
    assert "the same at every position" in lines[4]


OWN = """
from torch import nn
class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.low, self.high, self.head = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2), nn.Linear(4, 20)
        self.act = ACTIVATION
    def features(self, x): return self.act(self.high(self.act(self.low(x))))
    def forward(self, x): return self.head(self.features(x).mean((2, 3)))
"""


@pytest.mark.parametrize("activation", ["nn.ReLU(inplace=True)", "nn.GELU()"])
def test_a_network_of_the_users_own(world: World, tmp_path: Path, activation: str) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("ACTIVATION", activation))
    torch.save(fill({"low.weight": (4, 3, 3, 3), "low.bias": (4,), "high.weight": (4, 4, 3, 3), "high.bias": (4,),
                     "head.weight": (20, 4), "head.bias": (20,)}), tmp_path / "own.pth")  # fmt: skip
    own = ("dcsm", "--ckpt", "own.pth", "--model", "own:Own", "--images", world.root, "--limit", "2", "--resize", "64")
    asked = camkit(*own, "--out", "maps.h5", cwd=tmp_path)
    assert asked.returncode == 2
    assert "--layers: name those of own:Own whose gradients count: low, high, act" in said(asked)
    result = camkit(*own, "--layers", "low,high", "--out", "maps.h5", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert ("no ReLU was met above low, high" in said(result)) == ("GELU" in activation)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--layers", "layer4"), "--layers layer4: its gradients are the same at every position"),
        (("--layers", "conv9"), "--layers conv9: the network has no such layer; it has input, layer1, layer2"),
        (("--layers", ""), "--layers: give at least one"),
        (("--backprop", "input", "--layers", "layer1"), "--backprop input is about the layer input alone"),
        (("--backprop", "odd"), "--backprop"),
        (("--candidates", "-1"), "--candidates"),
        (("--alpha", "0"), "--alpha"),
        (("--alpha", "nan"), "--alpha"),
        (("--sizes", "400,500"), "leave out --resize and --scales"),
        (("--scales", "big"), "--scales big: give numbers"),
        (("--scales", ""), "--scales : give numbers"),
    ],
)
def test_what_cannot_be_is_told(world: World, tmp_path: Path, options: Sequence[str], words: str) -> None:
    result = camkit(*dcsm(world, "--out", "maps.h5", *options), cwd=tmp_path)
    assert result.returncode == 2, said(result)
    assert words in " ".join(said(result).split())
    assert not (tmp_path / "maps.h5").exists()
