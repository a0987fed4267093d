"""AffinityNet's and IRN's networks as camkit begins, writes and reads them; and descriptions that cannot be true."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from camkit.errors import CheckpointError, UsageError
from camkit.methods.walk.affinity import embed, find_boundary
from camkit.models import zoo
from camkit.models.affinity import (
    AffinityNet,
    BoundaryNet,
    LoadedAffinity,
    holds,
    load_affinity,
    save_affinity,
    start_affinity,
)
from camkit.models.checkpoint import PACKAGED
from camkit.models.resnet38 import PreActivation, ResNet38
from camkit.types import AffinityKind
from tests.models.test_affinity import LAYOUTS, photo, written
from tests.models.tiny import fill, tiny_checkpoint
from tests.reference import layouts

WIDTHS = {"toy": 4, "resnet18": 8, "resnet38": 2, "resnet50": 4, "resnet50-irn": 4}
KINDS: tuple[AffinityKind, ...] = ("affinitynet", "irn")
EACH = pytest.mark.parametrize(("arch", "kind"), [(arch, kind) for arch in WIDTHS for kind in KINDS])
DESCRIPTION = {"mean": (0.4, 0.5, 0.25), "std": (0.2, 0.3, 0.125), "input_size": 333, "crop": 96}


def started(arch: str, kind: AffinityKind, seed: int = 0) -> AffinityNet | BoundaryNet:
    """Around a trunk whose batch norms have seen something."""
    torch.manual_seed(seed)
    classifier = zoo.build(arch, 3, width=WIDTHS[arch])
    classifier.mean, classifier.std = DESCRIPTION["mean"], DESCRIPTION["std"]
    for name, buffer in classifier.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return start_affinity(classifier, arch, kind).eval()


def saved(path: Path, network: AffinityNet | BoundaryNet, arch: str, **changes: Any) -> Path:
    options: dict[str, Any] = {"input_size": DESCRIPTION["input_size"], "crop": DESCRIPTION["crop"]}
    save_affinity(path, network, arch=arch, extra={"figures": {"loss": 1.5}}, **{**options, **changes})
    return path


def described(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["camkit"])


def again(path: Path, loaded: LoadedAffinity) -> Path:
    options = {"input_size": loaded.input_size, "crop": loaded.crop or None}
    return saved(path, loaded.network, loaded.arch, **options)


@EACH
def test_what_is_written_is_read_again(tmp_path: Path, arch: str, kind: AffinityKind) -> None:
    network = started(arch, kind)
    path = saved(tmp_path / "a.safetensors", network, arch)
    loaded = load_affinity(path, kind, for_inference=False)
    assert (loaded.kind, loaded.arch, loaded.input_size, loaded.crop) == (kind, arch, 333, 96)
    assert (loaded.network.mean, loaded.network.std) == (DESCRIPTION["mean"], DESCRIPTION["std"])
    assert not loaded.network.training
    x = photo(48, 64)
    with torch.inference_mode():
        expected = network(x)
        assert torch.equal(loaded.network(x), expected)
        folded = load_affinity(path, kind).network(x)
    torch.testing.assert_close(folded, expected, rtol=1e-3, atol=1e-4)
    assert float(expected.std()) > 1e-3
    assert again(tmp_path / "b.safetensors", loaded).read_bytes() == path.read_bytes()
    assert described(path)["extra"] == {"figures": {"loss": 1.5}}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_photos_and_native_sizes_are_remembered(tmp_path: Path, kind: AffinityKind) -> None:
    path = saved(tmp_path / "a.safetensors", started("toy", kind), "toy", input_size=None, crop=None)
    loaded = load_affinity(path, kind, for_inference=False)
    assert (loaded.input_size, loaded.crop) == (None, 0)
    assert again(tmp_path / "b.safetensors", loaded).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_checkpoint_becomes_one_of_camkits(tmp_path: Path, layout: str) -> None:
    kind: AffinityKind = "irn" if layout == "irn" else "affinitynet"
    published = load_affinity(written(tmp_path, fill(LAYOUTS[layout])), kind, for_inference=False)
    assert (published.crop, published.smallest_side) == (None, 512)
    ours = load_affinity(again(tmp_path / "a.safetensors", published), kind, for_inference=False)
    assert (ours.arch, ours.crop, ours.input_size) == (published.arch, 0, None)
    x = photo(48, 64)
    with torch.inference_mode():
        assert torch.equal(ours.network(x), published.network(x))


@pytest.mark.parametrize(
    ("kind", "arch", "layout"),
    [
        ("affinitynet", "resnet38", layouts.affinitynet("resnet38")),
        ("affinitynet", "resnet50", layouts.affinitynet("resnet50")),
        ("irn", "resnet50-irn", layouts.irn()),
    ],
)
def test_as_wide_as_published_they_have_the_published_shapes(
    kind: AffinityKind, arch: str, layout: layouts.Shapes
) -> None:
    with torch.device("meta"):
        network = start_affinity(zoo.build(arch, 1), arch, kind)
    shapes = {key.removeprefix("trunk."): tuple(value.shape) for key, value in network.state_dict().items()}
    own = {key: shape for key, shape in layout.items() if key.startswith(("f8_", "f9", "fc_edge"))}
    assert {key: shape for key, shape in shapes.items() if key.split(".")[0] in network.own_modules} == own
    known = {key.removeprefix("resnet50."): shape for key, shape in layout.items()}
    assert all(known[key] == shape for key, shape in shapes.items())


@EACH
def test_each_gives_its_grid(arch: str, kind: AffinityKind) -> None:
    network = started(arch, kind)
    with torch.inference_mode():
        for height, width in ((48, 64), (16, 16), (80, 32)):
            found = network(photo(height, width))
            if kind == "affinitynet":
                assert found.shape == (1, 7 * WIDTHS[arch], height // 8, width // 8)
            else:
                assert found.shape == (1, height // 4, width // 4)
        for height, width in ((1, 1), (41, 58), (3, 70)):
            x = photo(height, width)[0]
            if kind == "affinitynet":
                assert embed(network, x, 8).shape[1:] == (-(-height // 8), -(-width // 8))
            else:
                assert find_boundary(network, x, 4, 0).shape == (-(-height // 4), -(-width // 4))


def test_what_is_added_is_drawn_as_in_affinitynets_program() -> None:
    torch.manual_seed(0)
    network = start_affinity(zoo.build("toy", 1, width=16), "toy", "affinitynet")
    assert isinstance(network, AffinityNet)
    for branch in (network.f8_3, network.f8_4, network.f8_5):
        expected = (2 / branch.in_channels) ** 0.5
        assert float(branch.weight.detach().std()) == pytest.approx(expected, rel=0.1)
    bound = 4 * (6 / (network.f9.in_channels + network.f9.out_channels)) ** 0.5
    weights = network.f9.weight.detach()
    assert float(weights.abs().max()) == pytest.approx(bound, rel=0.01)
    assert float(weights.std()) == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_starts_from_a_copy_of_a_classifiers_trunk(kind: AffinityKind) -> None:
    torch.manual_seed(0)
    classifier = zoo.build("toy", 3, width=4)
    network = start_affinity(classifier, "toy", kind)
    before = {key: value.clone() for key, value in network.trunk.state_dict().items()}
    state = classifier.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in before.items())
    assert before.keys() == {key for key in state if not key.startswith("head.")}
    with torch.no_grad():
        for value in state.values():
            value.zero_()
    assert all(torch.equal(value, before[key]) for key, value in network.trunk.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_starts_from_a_vgg16(kind: AffinityKind) -> None:
    with pytest.raises(UsageError, match="vgg16 has no levels") as caught:
        start_affinity(zoo.build("vgg16", 3, width=4), "vgg16", kind)
    assert str(caught.value).count("\n") <= 1


def test_irns_trunk_keeps_its_resolution_whatever_the_resnet50_is_called(tmp_path: Path) -> None:
    """As its program takes ImageNet's: without dilation, the last stage at stride 16. AffinityNet's is at stride 8."""
    torch.manual_seed(0)
    classifier = zoo.build("resnet50", 3, width=4)
    x = photo(64, 64)
    network = start_affinity(classifier, "resnet50", "irn")
    again = load_affinity(saved(tmp_path / "a.safetensors", network, "resnet50"), "irn").network
    for one in (network, again):
        assert [level.shape[-1] for level in one.trunk.levels(x)] == [16, 16, 8, 4, 4]
        dilations = {module.dilation for module in one.trunk.modules() if isinstance(module, torch.nn.Conv2d)}
        assert dilations == {(1, 1)}
    embedding = start_affinity(classifier, "resnet50", "affinitynet")
    assert [level.shape[-1] for level in embedding.trunk.levels(x)] == [16, 16, 8, 8, 8]


def test_who_holds_what(tmp_path: Path) -> None:
    files: dict[Path, AffinityKind | None] = {
        saved(tmp_path / "aff.safetensors", started("toy", "affinitynet"), "toy"): "affinitynet",
        saved(tmp_path / "irn.safetensors", started("resnet18", "irn"), "resnet18"): "irn",
        tiny_checkpoint(tmp_path / "c.pth", "resnet50-irn", width=2): None,
        tiny_checkpoint(tmp_path / "38.pth", "resnet38", width=2): None,
        PACKAGED["toy"]: None,
        PACKAGED["toy-icd"]: None,
        PACKAGED["toy-affinity"]: "affinitynet",
    }
    for name, layout in LAYOUTS.items():
        torch.save({f"module.{key}": value for key, value in fill(layout).items()}, tmp_path / f"{name}.pth")
        files[tmp_path / f"{name}.pth"] = "irn" if name == "irn" else "affinitynet"
    torch.save({"weights": torch.ones(2)}, tmp_path / "nothing.pth")
    files[tmp_path / "nothing.pth"] = None
    for path, expected in files.items():
        assert [kind for kind in KINDS if holds(path, kind)] == ([] if expected is None else [expected]), path.name


@EACH
def test_the_stem_is_what_comes_first(arch: str, kind: AffinityKind) -> None:
    network = started(arch, kind)
    stem = network.trunk.stem_names
    children = [name for name, _ in network.trunk.named_children() if name not in ("relu", "maxpool")]
    assert list(stem) == children[: len(stem)]
    expected = {"resnet38": ("conv1a", "b2", "b2_1", "b2_2"), "toy": ("stem", "stem_norm")}
    assert stem == expected.get(arch, ("conv1", "bn1"))


def test_wide_resnets_drop_channels_while_they_train() -> None:
    """Of what the later convolutions of the last two blocks see: 0.3 and 0.5 of it, and never of a shortcut."""
    torch.manual_seed(0)
    trunk = ResNet38(1, width=4)
    dropped: dict[str, list[float]] = {}

    def note(name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            empty = (inputs[0] == 0).flatten(2).all(dim=2)
            dropped.setdefault(name, []).append(float(empty.float().mean()))

        return hook

    for block, module in trunk.named_children():
        if not isinstance(module, PreActivation):
            continue
        for name, convolution in module.named_children():
            if isinstance(convolution, torch.nn.Conv2d):
                convolution.register_forward_pre_hook(note(f"{block}.{name}"))
    x = torch.rand(16, 3, 32, 32)
    with torch.no_grad():
        trunk.train()
        for module in trunk.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        trunk.features(x)
        training = {name: shares.pop() for name, shares in dropped.items()}
        trunk.eval()
        first, second = trunk.features(x), trunk.features(x)
        resting = {name: shares.pop() for name, shares in dropped.items()}
    assert torch.equal(first, second)
    for name, share in training.items():
        block, convolution = name.split(".")
        expected = {"b6": 0.3, "b7": 0.5}.get(block, 0.0) if "branch2b" in convolution else 0.0
        assert share - resting[name] == pytest.approx(expected, abs=0.1), name


def test_nothing_is_left_to_chance_in_irns_trunk() -> None:
    """Frozen modules rest: a trunk that does not learn gives the same levels while its branches are trained."""
    network = started("resnet38", "irn").train()
    network.trunk.eval()
    x = photo(32, 32)
    with torch.no_grad():
        for one, other in zip(network.trunk.levels(x), network.trunk.levels(x), strict=True):
            assert torch.equal(one, other)


HOSTILE: list[tuple[Mapping[str, Any], str]] = [
    ({"kind": "classifier"}, "kind 'classifier', not of affinitynet"),
    ({"kind": "icd"}, "kind 'icd', not of affinitynet"),
    ({"kind": "irn"}, "give --affinity irn"),
    ({"kind": None}, "of kind None"),
    ({"kind": ["irn"]}, "of kind"),
    ({"kind": {"irn": 1}}, "of kind"),
    ({"version": 2}, "another version of camkit"),
    ({"version": None}, "another version of camkit"),
    ({"arch": "resnet99"}, "another version of camkit"),
    ({"arch": None}, "another version of camkit"),
    ({"arch": ["toy"]}, "another version of camkit"),
    ({"arch": "resnet18"}, "resnet18 of affinitynet"),
    ({"arch": "resnet38"}, "resnet38 of affinitynet"),
    ({"arch": "vgg16"}, "vgg16 of affinitynet"),
    ({"mean": [0.5, 0.5]}, "its mean is"),
    ({"mean": None}, "its mean is"),
    ({"mean": "grey"}, "its mean is"),
    ({"mean": [0.5, 0.5, float("nan")]}, "its mean is"),
    ({"std": [0.2, 0.2, 0.0]}, "its std is"),
    ({"std": [0.2, 0.2, -1]}, "its std is"),
    ({"std": [0.2, 0.2, "0.2"]}, "its std is"),
    ({"input_size": 0}, "its input_size is 0"),
    ({"input_size": 12.5}, "its input_size is 12.5"),
    ({"input_size": True}, "its input_size is True"),
    ({"crop": 0}, "its crop is 0"),
    ({"crop": -512}, "its crop is -512"),
    ({"crop": "512"}, "its crop is '512'"),
    ({"crop": [512]}, r"its crop is \[512\]"),
]


@pytest.mark.parametrize(("changes", "told"), HOSTILE, ids=[json.dumps(changes) for changes, _ in HOSTILE])
def test_descriptions_that_cannot_be_true(tmp_path: Path, changes: Mapping[str, Any], told: str) -> None:
    path = saved(tmp_path / "a.safetensors", started("toy", "affinitynet"), "toy")
    save_file(load_file(path), path, metadata={"camkit": json.dumps({**described(path), **changes})})
    with pytest.raises(CheckpointError, match=told) as caught:
        load_affinity(path, "affinitynet")
    refusal_is_short(caught.value, path)


@pytest.mark.parametrize("key", ["kind", "version", "arch", "mean", "std"])
def test_descriptions_that_lack_something(tmp_path: Path, key: str) -> None:
    path = saved(tmp_path / "a.safetensors", started("toy", "irn"), "toy")
    left = {name: value for name, value in described(path).items() if name != key}
    save_file(load_file(path), path, metadata={"camkit": json.dumps(left)})
    with pytest.raises(CheckpointError) as caught:
        load_affinity(path, "irn")
    refusal_is_short(caught.value, path)


def refusal_is_short(error: CheckpointError, path: Path) -> None:
    assert str(path) in str(error)
    assert str(error).count("\n") <= 1
    assert len(str(error)) < 500


TENSORS: list[tuple[AffinityKind, str, Any, str]] = [
    ("affinitynet", "f9.weight", None, "f9.weight"),
    ("affinitynet", "f8_3.weight", None, "f8_3.weight"),
    ("affinitynet", "trunk", "gone", "has keys like"),
    ("affinitynet", "block4.bn2.weight", None, "missing"),
    ("affinitynet", "block4.bn9.weight", (2,), "unknown"),
    ("affinitynet", "f9.extra", (2,), "unknown"),
    ("affinitynet", "f9.weight", (0, 28, 1, 1), "hold no numbers"),
    ("affinitynet", "stem.weight", (0, 3, 3, 3), "hold no numbers"),
    ("affinitynet", "f8_3.weight", (), "its shapes make no"),
    ("affinitynet", "stem.weight", (), "its shapes make no"),
    ("affinitynet", "f8_4.weight", (8, 12), "f8_4.weight is"),
    ("affinitynet", "f9.weight", (28, 28, 3, 3), "f9.weight is"),
    ("affinitynet", "f9.weight", float("nan"), "f9.weight holds NaN"),
    ("affinitynet", "stem_norm.running_var", float("inf"), "stem_norm.running_var holds NaN or infinite"),
    ("affinitynet", "f9.weight", torch.int8, "holds torch.int8"),
    ("irn", "fc_edge1.0.weight", None, "its shapes make no|missing"),
    ("irn", "fc_edge1.0.weight", (9, 8, 1, 1), "its shapes make no"),
    ("irn", "fc_edge1.0.weight", (16, 8, 1, 1), "is"),
    ("irn", "fc_edge5.bias", None, "missing"),
    ("irn", "fc_edge5.weight", float("nan"), "fc_edge5.weight holds NaN"),
    ("irn", "fc_edge2.1.weight", (0,), "hold no numbers"),
]


@pytest.mark.parametrize(("kind", "key", "change", "told"), TENSORS)
def test_tensors_that_cannot_be_true(tmp_path: Path, kind: AffinityKind, key: str, change: Any, told: str) -> None:
    path = saved(tmp_path / "a.safetensors", started("toy", kind), "toy")
    metadata, state = {"camkit": json.dumps(described(path))}, load_file(path)
    if change == "gone":
        state = {name: value for name, value in state.items() if name.startswith("f")}
    elif change is None:
        del state[key]
    elif isinstance(change, tuple):
        state[key] = torch.zeros(change)
    elif isinstance(change, float):
        state[key].view(-1)[0] = change
    else:
        state[key] = state[key].to(change)
    save_file(state, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=told) as caught:
        load_affinity(path, kind)
    refusal_is_short(caught.value, path)


def test_seeds_decide_what_is_drawn() -> None:
    states = [started("toy", "irn", seed).state_dict() for seed in (0, 0, 1)]
    same = [all(torch.equal(a[key], b[key]) for key in a) for a, b in pairwise(states)]
    assert same == [True, False]
