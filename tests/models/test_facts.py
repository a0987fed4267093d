"""What the rows of the zoo and the classes of its networks state is true of networks as they are built."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

import camkit
from camkit.errors import UsageError
from camkit.methods.dcsm import probe_layers
from camkit.models import zoo
from camkit.models.affinity import NETWORKS, save_affinity, start_affinity
from camkit.models.classifier import ClassifierNetwork
from camkit.models.icd import IcdNetwork, IcdPlan
from camkit.models.levels import levels_of
from camkit.models.recognise import recognise
from camkit.models.state import State, rename, shapes_of
from camkit.models.tensors import read_tensors
from camkit.types import AffinityKind
from tests.models.tiny import fill, tiny_state_dict
from tests.reference import layouts

KINDS = get_args(AffinityKind)
EACH = pytest.mark.parametrize("arch", list(zoo.ARCHITECTURES))
SIDE = 128
X = torch.linspace(-2, 2, 3 * SIDE * SIDE).sin().reshape(1, 3, SIDE, SIDE)


def built(arch: str, output_stride: int | None = None, width: int = 4) -> ClassifierNetwork:
    torch.manual_seed(0)
    return zoo.build(arch, 3, width=width, output_stride=output_stride).eval()


def stride_of(features: Tensor) -> int:
    assert features.shape[2] == features.shape[3]
    return SIDE // features.shape[2]


def published(arch: str) -> State:
    """A fresh network's weights as its programs write them."""
    network, known = built(arch), zoo.ARCHITECTURES[arch]
    state = dict(network.state_dict())
    if not known.evident(shapes_of(state)):
        state["head.weight"] = state["head.weight"][:, :, None, None]
    return rename(state, dict(network.published))


@EACH
def test_strides_are_what_is_measured(arch: str) -> None:
    network = built(arch)
    assert network.native_stride == max(network.output_strides)
    with torch.no_grad():
        assert stride_of(network.features(X)) == network.output_stride
        for stride in network.output_strides:
            other = built(arch, stride)
            assert (stride_of(other.features(X)), other.output_stride) == (stride, stride)
            assert (other.native_stride, other.output_strides) == (network.native_stride, network.output_strides)


@EACH
def test_other_strides_are_refused_with_those_there_are(arch: str) -> None:
    possible = built(arch).output_strides
    for stride in {0, 4, 8, 16, 32, 64} - set(possible):
        with pytest.raises(UsageError, match=f"--output-stride {stride} does not fit") as caught:
            built(arch, stride)
        assert str(caught.value).endswith(" or ".join(map(str, possible)))


@EACH
def test_gradient_layers_are_there_and_tell_something(arch: str) -> None:
    network = built(arch)
    assert network.gradient_layers
    layers, _ = probe_layers(network, network.gradient_layers, guided=True)
    assert [name for name, layer in layers.items() if layer.blind] == []


@EACH
def test_the_stem_runs_before_all_else(arch: str) -> None:
    network, order = built(arch), list[str]()
    for name, module in network.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_forward_hook(lambda *_, name=name: order.append(name))
    with torch.no_grad():
        network.features(X)
    first = [any(name == stem or name.startswith(f"{stem}.") for stem in network.stem_names) for name in order]
    assert first == sorted(first, reverse=True)
    assert set(network.stem_names) <= {name for name, _ in network.named_children()}
    assert any(first) == bool(network.stem_names)


@EACH
def test_a_padded_grid_is_one_of_whole_cells(arch: str) -> None:
    network = built(arch)
    assert network.padded_grid == 1 or network.padded_grid % network.output_stride == 0


def test_the_irn_family_alone_pads_its_grid() -> None:
    assert {arch: n for arch in zoo.ARCHITECTURES if (n := built(arch).padded_grid) > 1} == {"resnet50-irn": 16}


@EACH
def test_levels_go_from_fine_to_coarse_and_end_with_the_features(arch: str) -> None:
    network = built(arch)
    assert network.has_levels == zoo.ARCHITECTURES[arch].network.has_levels
    if not network.has_levels:
        with pytest.raises(NotImplementedError, match="no levels"):
            network.levels(X)
        return
    with torch.no_grad():
        levels = network.levels(X)
        torch.testing.assert_close(levels[-1], network.features(X))
    sides = [level.shape[2] for level in levels]
    assert len(levels) >= 3
    assert sides == sorted(sides, reverse=True)


@EACH
@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_pairs_start_where_there_are_levels(arch: str, kind: AffinityKind) -> None:
    classifier = built(arch)
    if not classifier.has_levels:
        with pytest.raises(UsageError, match="resnet38, the residual networks"):
            start_affinity(classifier, arch, kind)
        return
    network = start_affinity(classifier, arch, kind).eval()
    with torch.no_grad():
        found = network(X)
        assert SIDE // found.shape[-1] == network.stride
        assert network.trunk_stride in (None, stride_of(network.trunk.levels(X)[-1]))
    assert list(network.stem_names) == [f"trunk.{name}" for name in classifier.stem_names]
    assert all(network.get_submodule(name) for name in network.stem_names)
    assert network.trains_channels_last == classifier.trains_channels_last


@EACH
def test_taps_lie_in_order_below_the_features(arch: str) -> None:
    network = built(arch)
    with torch.no_grad():
        levels = levels_of(network, X)
        torch.testing.assert_close(levels.top, network.features(X))
    grids = [level.shape[2] for level in (levels.conv4, levels.conv5, levels.fc6)]
    assert grids == sorted(grids, reverse=True)
    assert (levels.fc7 is None) == ("fc6" not in network.taps)


@EACH
def test_a_network_around_another_states_its_facts(arch: str) -> None:
    classifier = built(arch)
    network = IcdNetwork(classifier, IcdPlan(hidden=8))
    for fact in ("native_stride", "output_stride", "output_strides", "padded_grid", "gradient_layers", "width"):
        assert getattr(network, fact) == getattr(classifier, fact), fact
    inside = [network.get_submodule(name) for name in network.stem_names]
    assert inside == [classifier.get_submodule(name) for name in classifier.stem_names]
    assert network.taps == classifier.taps
    assert network.trains_channels_last == classifier.trains_channels_last


@EACH
def test_a_row_says_what_is_built(arch: str) -> None:
    known = zoo.ARCHITECTURES[arch]
    network = built(arch, width=3)
    assert type(network) is known.network
    assert network.width == 3
    with torch.device("meta"):
        assert zoo.build(arch, 2).width == known.width
    (head,) = {key.removesuffix(".weight") for key in rename({"head.weight": X}, dict(network.published))}
    assert head in known.heads
    assert known.signature in published(arch)
    assert set(known.published_pairs) | set(known.pairs_on) <= set(KINDS)
    assert set(known.pairs_on.values()) <= set(zoo.ARCHITECTURES)


@EACH
@pytest.mark.parametrize("wrapped", ["", "module.", "model.backbone."])
def test_what_is_published_is_recognised(arch: str, wrapped: str) -> None:
    found = recognise({wrapped + key: value for key, value in published(arch).items()})
    assert (found.kind, found.arch, found.other) == ("classifier", arch, None)
    expected = built(arch).state_dict()
    assert found.state.keys() == expected.keys()
    assert torch.equal(found.state["head.weight"].flatten(1), expected["head.weight"])


@EACH
@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_pairs_are_recognised_with_and_without_a_description(
    tmp_path: Path, arch: str, kind: AffinityKind
) -> None:
    classifier = built(arch)
    if not classifier.has_levels:
        return
    path = tmp_path / "a.safetensors"
    network = start_affinity(classifier, arch, kind)
    save_affinity(path, network, arch=arch, input_size=None, crop=None, extra={})
    tensors, own = read_tensors(path)
    described, bare = recognise(tensors, own), recognise(tensors)
    assert (described.kind, described.arch, described.pairs) == (kind, arch, kind)
    assert (bare.kind, bare.pairs) == (kind, kind)
    assert bare.other is not None
    assert NETWORKS[kind] is type(network)


def test_the_trunk_of_a_network_of_pairs_is_written_as_published(tmp_path: Path) -> None:
    network = start_affinity(built("toy"), "toy", "irn")
    network.trunk.published = (("stem.", "_first."), ("head.", "fc."))
    save_affinity(tmp_path / "a.safetensors", network, arch="toy", input_size=None, crop=None, extra={})
    tensors, _ = read_tensors(tmp_path / "a.safetensors")
    expected = [key.removeprefix("trunk.").replace("stem.", "_first.") for key in network.state_dict()]
    assert sorted(tensors) == sorted(expected)


def without_head(state: State) -> State:
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


SEAM = {**tiny_state_dict("resnet38", width=2), **{f"{name}.weight": torch.ones(2, 2) for name in ("f8_3", "f9")}}
TRUNK = without_head(tiny_state_dict("resnet18", width=2))
SEGMENTATION = {"decoder.weight": torch.ones(2)}
AFFINITY = fill(layouts.affinitynet("resnet38", 2))


@pytest.mark.parametrize(
    ("tensors", "kind", "arch", "other"),
    [
        (SEAM, "classifier", "resnet38", None),
        (TRUNK, None, "resnet18", None),
        ({**TRUNK, **SEGMENTATION}, None, "resnet18", "a segmentation network"),
        (SEGMENTATION, None, None, "a segmentation network"),
        (AFFINITY, "affinitynet", "resnet38", "an AffinityNet checkpoint (pair affinities)"),
        ({"a.f8_5.weight": X}, None, None, "an AffinityNet checkpoint (pair affinities)"),
        (fill(layouts.irn(2)), "irn", "resnet50", "an IRN checkpoint (boundaries and displacements)"),
        ({"a": X}, None, None, None),
    ],
    ids=["seam", "trunk", "trunk of a decoder", "decoder", "affinitynet", "unknown trunk", "irn", "nothing"],
)
def test_what_is_in_a_checkpoint(tensors: State, kind: str | None, arch: str | None, other: str | None) -> None:
    found = recognise(tensors)
    assert (found.kind, found.arch, found.other) == (kind, arch, other)


@pytest.mark.parametrize("kind", [None, "gan", ["irn"], {"irn": 1}, 3])
def test_kinds_that_no_camkit_knows_are_none(kind: object) -> None:
    found = recognise(TRUNK, {"kind": kind, "arch": "resnet18"})
    assert (found.kind, found.arch, found.pairs) == (None, "resnet18", None)


def test_a_description_goes_before_the_shapes_but_not_without_a_trunk() -> None:
    """resnet50 and resnet50-irn look the same once the linear layer is a matrix."""
    tensors = tiny_state_dict("resnet50", width=2)
    assert recognise(tensors).arch == "resnet50"
    assert recognise(tensors, {"kind": "classifier", "arch": "resnet50-irn"}).arch == "resnet50-irn"
    assert recognise({"a": X}, {"kind": "irn", "arch": "toy"}).arch is None


def test_no_room_but_the_zoo_knows_a_family() -> None:
    """What others need of a network, it tells them itself."""
    homes = {known.network.__module__ for known in zoo.ARCHITECTURES.values()}
    package = Path(inspect.getfile(camkit)).parent
    families = {package / Path(*home.split(".")[1:]).with_suffix(".py") for home in homes}
    assert all(path.is_file() for path in families)
    for path in set(package.rglob("*.py")) - families - {package / "models" / "zoo.py"}:
        found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        imported = {name for node in found for name in (node.module, *(f"{node.module}.{a.name}" for a in node.names))}
        assert not imported & homes, path


def test_norms_that_fold_are_named_by_their_blocks() -> None:
    blocks = [block for arch in zoo.ARCHITECTURES for block in built(arch).modules()]
    pairs = [(block, *pair) for block in blocks for pair in getattr(block, "conv_norm_pairs", ())]
    assert pairs
    for block, convolution, norm in pairs:
        assert isinstance(block.get_submodule(convolution), nn.Conv2d)
        assert isinstance(block.get_submodule(norm), nn.BatchNorm2d)
