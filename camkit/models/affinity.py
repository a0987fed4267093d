"""Networks that say what belongs together: AffinityNet's embedding, IRN's class boundaries; read, and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.errors import CheckpointError
from camkit.models import zoo
from camkit.models.checkpoint import digest_of, find_network, shapes_of
from camkit.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Colour, Shapes, fold_batch_norms
from camkit.models.resnet import ResNet
from camkit.models.resnet38 import ResNet38
from camkit.models.state import State, examples, fitted
from camkit.models.tensors import read_tensors

Kind = Literal["affinitynet", "irn"]
Trunk = ResNet38 | ResNet


class PairNetwork(nn.Module):
    """A trunk without its classifier, and convolutions of its levels."""

    stride: ClassVar[int]
    own_keys: ClassVar[tuple[str, ...]]
    mean: Colour = IMAGENET_MEAN
    std: Colour = IMAGENET_STD


class AffinityNet(PairNetwork):
    """[B, 3, H, W] normalised RGB → an embedding [B, 448, h, w] at stride 8, of three levels of a trunk."""

    stride: ClassVar[int] = 8
    own_keys: ClassVar[tuple[str, ...]] = ("f8_3.weight", "f8_4.weight", "f8_5.weight", "f9.weight")

    def __init__(self, trunk: Trunk, shapes: Shapes) -> None:
        super().__init__()
        inputs = _channels(trunk)[-3:]
        outputs = [shapes[key][0] for key in self.own_keys]
        self.trunk = trunk
        self.f8_3, self.f8_4, self.f8_5 = (
            nn.Conv2d(before, after, 1, bias=False) for before, after in zip(inputs, outputs[:3], strict=True)
        )
        self.f9 = nn.Conv2d(sum(outputs[:3]), outputs[3], 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        levels = zip((self.f8_3, self.f8_4, self.f8_5), self.trunk.levels(x)[-3:], strict=True)
        return F.elu(self.f9(torch.cat([F.elu(branch(level)) for branch, level in levels], dim=1)))


class BoundaryNet(PairNetwork):
    """[B, 3, H, W] normalised RGB → logits [B, h, w] of class boundaries at stride 4, of all levels of a ResNet."""

    stride: ClassVar[int] = 4
    own_keys: ClassVar[tuple[str, ...]] = (
        *(f"fc_edge{n}.{key}" for n in range(1, 6) for key in ("0.weight", "1.weight", "1.bias")),
        "fc_edge6.weight",
        "fc_edge6.bias",
    )
    enlarged: ClassVar[tuple[int, ...]] = (1, 1, 2, 4, 4)  # the levels, to stride 4

    def __init__(self, trunk: Trunk, shapes: Shapes) -> None:
        super().__init__()
        self.trunk = trunk
        width = shapes["fc_edge1.0.weight"][0]
        for number, (inputs, scale) in enumerate(zip(_channels(trunk), self.enlarged, strict=True), start=1):
            larger = nn.Identity() if scale == 1 else nn.Upsample(None, scale, "bilinear", align_corners=False)
            branch = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.GroupNorm(4, width), larger, nn.ReLU())
            self.add_module(f"fc_edge{number}", branch)
        self.fc_edge6 = nn.Conv2d(5 * width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = self.trunk.levels(x)
        height, width = levels[0].shape[2:]
        found = [self.get_submodule(f"fc_edge{n}")(level) for n, level in enumerate(levels, start=1)]
        return self.fc_edge6(torch.cat([level[..., :height, :width] for level in found], dim=1))[:, 0]


@dataclass(frozen=True, eq=False)
class LoadedAffinity:
    """A network in evaluation mode on the CPU, of a trunk called `arch`, and where it is from."""

    network: AffinityNet | BoundaryNet
    kind: Kind
    arch: str
    path: Path
    sha256: str


NETWORKS: dict[Kind, type[AffinityNet] | type[BoundaryNet]] = {"affinitynet": AffinityNet, "irn": BoundaryNet}
TRUNKS: dict[Kind, Sequence[str]] = {"affinitynet": ("resnet38", "resnet50"), "irn": ("resnet50",)}
STRIDE_OF_TRUNK: dict[Kind, int] = {"affinitynet": 8, "irn": 16}


def load_affinity(ckpt: Path, kind: Kind) -> LoadedAffinity:
    """Read a checkpoint of PSA's (`resnet38_aff`, or the same on a resnet50) or of IRN's program."""
    tensors, own = read_tensors(ckpt)
    if own is not None:
        raise CheckpointError(f"{ckpt}: is a camkit checkpoint of kind {own.get('kind')!r}, not of {kind}")
    found = find_network(tensors)
    wanted = NETWORKS[kind].own_keys
    if found is None or found[0].removesuffix("-irn") not in TRUNKS[kind] or wanted[0] not in found[1]:
        raise CheckpointError(f"{ckpt}: is {_told(found, tensors)}, where {wanted[0]} and the like were expected")
    hollow = [key for key, tensor in found[1].items() if tensor.ndim and not tensor.numel()]
    if hollow:
        raise CheckpointError(f"{ckpt}: {examples(hollow)} hold no numbers; no {kind} is like that")
    network = _assemble(ckpt, kind, *found)
    fold_batch_norms(network)
    return LoadedAffinity(network.eval(), kind, found[0], ckpt, digest_of(ckpt))


def _told(found: tuple[str, State] | None, tensors: State) -> str:
    if found is None:
        return f"no network camkit knows: {len(tensors)} keys like {examples(tensors)}"
    kinds = [kind for kind, network in NETWORKS.items() if network.own_keys[0] in found[1]]
    return f"{found[0]} of {kinds[0]}: give --affinity {kinds[0]}" if kinds else f"a {found[0]} classifier"


def _assemble(path: Path, kind: Kind, arch: str, state: State) -> AffinityNet | BoundaryNet:
    """The network around the tensors it needs, copied once as float32. A classifier's linear layer is left out."""
    arch = "resnet50-irn" if kind == "irn" else arch.removesuffix("-irn")
    shapes = shapes_of(state) | {"head.weight": (1, 1)}
    try:
        with torch.device("meta"):
            trunk = zoo.architecture(arch).from_shapes(shapes, STRIDE_OF_TRUNK[kind])
            assert isinstance(trunk, ResNet38 | ResNet)
            del trunk.head
            network = NETWORKS[kind](trunk, shapes)
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError, TypeError) as error:
        raise CheckpointError(f"{path}: its shapes make no {arch} of {kind}: {error}".splitlines()[0]) from error
    parts = {key.split(".")[0] for key in trunk.state_dict()}
    wanted = {f"trunk.{key}": value for key, value in state.items() if key.split(".")[0] in parts}
    wanted |= {key: state[key] for key in network.own_keys if key in state}
    network.load_state_dict(fitted(path, f"{arch} of {kind}", wanted, network.state_dict()), assign=True)
    return network


def _channels(trunk: Trunk) -> list[int]:
    """Of the levels."""
    with torch.device("meta"):
        return [level.shape[1] for level in trunk.eval().levels(torch.empty(1, 3, 64, 64))]
