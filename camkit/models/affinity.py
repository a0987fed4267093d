"""Networks that say what belongs together: AffinityNet's embedding, IRN's class boundaries; read, written, begun."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.errors import CheckpointError, UsageError
from camkit.models import zoo
from camkit.models.checkpoint import (
    check_version,
    colour,
    digest_of,
    find_network,
    optional_size,
    packaged,
    save_state,
    shapes_of,
)
from camkit.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Colour, Network, Shapes, fold_batch_norms
from camkit.models.levels import on_grid
from camkit.models.resnet import ResNet
from camkit.models.resnet38 import ResNet38
from camkit.models.state import State, examples, fitted
from camkit.models.tensors import read_tensors
from camkit.models.toy import ToyNet
from camkit.types import AffinityKind

Trunk = ResNet38 | ResNet | ToyNet

PUBLISHED_CROP = 512
"""Side of the crops that IRN's program trains on by default."""


class PairNetwork(nn.Module, ABC):
    """A trunk without its classifier, and convolutions of its levels."""

    stride: ClassVar[int]
    signature: ClassVar[str]
    """A key that no other network has."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.mean: Colour = IMAGENET_MEAN
        self.std: Colour = IMAGENET_STD

    @property
    def own_modules(self) -> list[str]:
        """What is added to the trunk."""
        return [name for name, _ in self.named_children() if name != "trunk"]

    @classmethod
    @abstractmethod
    def around(cls, trunk: Trunk, shapes: Shapes | None = None) -> PairNetwork:
        """With what it adds as wide as the shapes say; None: in the published proportion to the trunk, and drawn."""


class AffinityNet(PairNetwork):
    """[B, 3, H, W] normalised RGB → an embedding [B, D, h, w] at stride 8, of three levels of a trunk."""

    stride: ClassVar[int] = 8
    signature: ClassVar[str] = "f8_5.weight"

    def __init__(self, trunk: Trunk, widths: Sequence[int]) -> None:
        """widths: what comes of the three levels, and of all of them together."""
        super().__init__(trunk)
        inputs = [channels for channels, _ in levels_of(trunk)[-3:]]
        self.f8_3, self.f8_4, self.f8_5 = (
            nn.Conv2d(before, after, 1, bias=False) for before, after in zip(inputs, widths[:3], strict=True)
        )
        self.f9 = nn.Conv2d(sum(widths[:3]), widths[3], 1, bias=False)

    @classmethod
    def around(cls, trunk: Trunk, shapes: Shapes | None = None) -> AffinityNet:
        if shapes is not None:
            return cls(trunk, [shapes[f"{name}.weight"][0] for name in ("f8_3", "f8_4", "f8_5", "f9")])
        unit = width_of(trunk)
        network = cls(trunk, [unit, 2 * unit, 4 * unit, 7 * unit])
        for branch in (network.f8_3, network.f8_4, network.f8_5):
            nn.init.kaiming_normal_(branch.weight)
        nn.init.xavier_uniform_(network.f9.weight, gain=4)
        return network

    def forward(self, x: Tensor) -> Tensor:
        levels = self.trunk.levels(x)[-3:]
        branches = zip((self.f8_3, self.f8_4, self.f8_5), levels, strict=True)
        found = [on_grid(F.elu(branch(level)), levels[-1].shape[-2:]) for branch, level in branches]
        return F.elu(self.f9(torch.cat(found, dim=1)))


class BoundaryNet(PairNetwork):
    """[B, 3, H, W] normalised RGB → logits [B, h, w] of class boundaries at stride 4, of all levels of a trunk.

    As published but for the displacement field: it shares no weight that learns with the boundaries, and no loss.
    Sides that are multiples of 16 fit every trunk.
    """

    stride: ClassVar[int] = 4
    signature: ClassVar[str] = "fc_edge1.0.weight"

    def __init__(self, trunk: Trunk, width: int) -> None:
        super().__init__(trunk)
        levels = levels_of(trunk)
        self.branches = [f"fc_edge{number}" for number in range(1, len(levels) + 1)]
        for name, (inputs, stride) in zip(self.branches, levels, strict=True):
            scale = stride / self.stride
            resized = nn.Identity() if scale == 1 else nn.Upsample(None, scale, "bilinear", align_corners=False)
            branch = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.GroupNorm(4, width), resized, nn.ReLU())
            self.add_module(name, branch)
        self.last = f"fc_edge{len(levels) + 1}"
        self.add_module(self.last, nn.Conv2d(len(levels) * width, 1, 1))

    @classmethod
    def around(cls, trunk: Trunk, shapes: Shapes | None = None) -> BoundaryNet:
        return cls(trunk, max(8, width_of(trunk) // 8 * 4) if shapes is None else shapes[cls.signature][0])

    def forward(self, x: Tensor) -> Tensor:
        height, width = (-(-side // self.stride) for side in x.shape[-2:])
        levels = zip(self.branches, self.trunk.levels(x), strict=True)
        found = [self.get_submodule(name)(level)[..., :height, :width] for name, level in levels]
        return self.get_submodule(self.last)(torch.cat(found, dim=1))[:, 0]


@dataclass(frozen=True, eq=False)
class LoadedAffinity:
    """A network in evaluation mode on the CPU, of a trunk called `arch`, and where it is from.

    input_size  longer side of the photo it knows best; None: native
    crop        side of the squares it was trained on; 0: whole photos; None: not recorded
    """

    network: AffinityNet | BoundaryNet
    kind: AffinityKind
    arch: str
    path: Path
    sha256: str
    input_size: int | None = None
    crop: int | None = None

    @property
    def smallest_side(self) -> int:
        """Of what it is to be shown."""
        return PUBLISHED_CROP if self.crop is None else self.crop


NETWORKS: Mapping[AffinityKind, type[AffinityNet] | type[BoundaryNet]] = {
    "affinitynet": AffinityNet,
    "irn": BoundaryNet,
}
TRUNKS: Mapping[AffinityKind, Sequence[str]] = {"affinitynet": ("resnet38", "resnet50"), "irn": ("resnet50",)}
"""Of the published checkpoints. camkit's own may have another."""

STRIDE_OF_RESNET: Mapping[AffinityKind, int] = {"affinitynet": 8, "irn": 16}


def load_affinity(ckpt: Path, kind: AffinityKind, *, for_inference: bool = True) -> LoadedAffinity:
    """Read a checkpoint of camkit's trainings, of PSA's (`resnet38_aff`, or the same on a resnet50) or IRN's program.

    ckpt           a file, or `toy-affinity`: AffinityNet for the toy world, which comes with camkit
    for_inference  fold batch norms; False to train the network further
    """
    ckpt = packaged(ckpt)
    tensors, own = read_tensors(ckpt)
    found = find_network(tensors)
    if own is not None:
        _check_own(ckpt, kind, own)
    elif found is None or found[0].removesuffix("-irn") not in TRUNKS[kind] or NETWORKS[kind].signature not in found[1]:
        wanted = NETWORKS[kind].signature
        raise CheckpointError(f"{ckpt}: is {_told(found, tensors)}, where {wanted} and the like were expected")
    if found is None:
        raise CheckpointError(f"{ckpt}: says it is {kind}, but has keys like {examples(tensors)}")
    hollow = [key for key, tensor in found[1].items() if tensor.ndim and not tensor.numel()]
    if hollow:
        raise CheckpointError(f"{ckpt}: {examples(hollow)} hold no numbers; no {kind} is like that")
    arch = found[0].removesuffix("-irn") if own is None else str(own["arch"])
    network = _assemble(ckpt, kind, arch, found[1])
    described = {} if own is None else _described(ckpt, network, own)
    if for_inference:
        fold_batch_norms(network)
    return LoadedAffinity(network.eval(), kind, found[0] if own is None else arch, ckpt, digest_of(ckpt), **described)


def holds(ckpt: Path, kind: AffinityKind) -> bool:
    """Whether the checkpoint is of such a network, rather than of a classifier."""
    return kind_of(*read_tensors(packaged(ckpt))) == kind


def kind_of(tensors: State, own: Mapping[str, Any] | None) -> AffinityKind | None:
    """Of a checkpoint's tensors and description; None: another network."""
    if own is not None:
        return next((kind for kind in NETWORKS if kind == own.get("kind")), None)
    found = find_network(tensors)
    return next((kind for kind, known in NETWORKS.items() if found and known.signature in found[1]), None)


def _check_own(path: Path, kind: AffinityKind, own: Mapping[str, Any]) -> None:
    """CheckpointError unless camkit wrote it, and as a network of this kind."""
    stored = own.get("kind")
    if stored != kind:
        hint = f": give --affinity {stored}" if isinstance(stored, str) and stored in NETWORKS else ""
        raise CheckpointError(f"{path}: is a camkit checkpoint of kind {stored!r}, not of {kind}{hint}")
    check_version(path, own)


def _described(path: Path, network: PairNetwork, own: Mapping[str, Any]) -> dict[str, Any]:
    network.mean, network.std = colour(path, "mean", own.get("mean")), colour(path, "std", own.get("std"))
    return {
        "input_size": optional_size(path, "input_size", own.get("input_size")),
        "crop": optional_size(path, "crop", own.get("crop")) or 0,
    }


def _told(found: tuple[str, State] | None, tensors: State) -> str:
    if found is None:
        return f"no network camkit knows: {len(tensors)} keys like {examples(tensors)}"
    kinds = [kind for kind, network in NETWORKS.items() if network.signature in found[1]]
    return f"{found[0]} of {kinds[0]}: give --affinity {kinds[0]}" if kinds else f"a {found[0]} classifier"


def _assemble(path: Path, kind: AffinityKind, arch: str, state: State) -> AffinityNet | BoundaryNet:
    """The network around the tensors it needs, copied once as float32. A classifier's linear layer is left out."""
    try:
        with torch.device("meta"):
            trunk = _trunk(arch, shapes_of(state), kind)
            network = NETWORKS[kind].around(trunk, shapes_of(state))
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError, TypeError) as error:
        raise CheckpointError(f"{path}: its shapes make no {arch} of {kind}: {error}".splitlines()[0]) from error
    parts = {key.split(".")[0] for key in trunk.state_dict()}
    wanted = {f"trunk.{key}": value for key, value in state.items() if key.split(".")[0] in parts}
    wanted |= {key: value for key, value in state.items() if key.split(".")[0] in network.own_modules}
    network.load_state_dict(fitted(path, f"{arch} of {kind}", wanted, network.state_dict()), assign=True)
    return network


def start_affinity(classifier: Network, arch: str, kind: AffinityKind) -> AffinityNet | BoundaryNet:
    """A network to be trained around a copy of a classifier's trunk."""
    if not isinstance(classifier, Trunk):
        known = "resnet38, the residual networks and toy"
        raise UsageError(f"{arch} has no levels that {kind} could read; start from one of {known}")
    state = {key: value for key, value in classifier.state_dict().items() if not key.startswith("head.")}
    trunk = _trunk(arch, shapes_of(state), kind)
    trunk.load_state_dict(state)
    network = NETWORKS[kind].around(trunk)
    network.mean, network.std = classifier.mean, classifier.std
    return network


def _trunk(arch: str, shapes: Shapes, kind: AffinityKind) -> Trunk:
    """IRN takes a resnet50 as its program does: the last stage keeps the resolution, without dilation."""
    arch = "resnet50-irn" if (arch, kind) == ("resnet50", "irn") else arch
    stride = STRIDE_OF_RESNET[kind] if arch.startswith("resnet") and arch != "resnet38" else None
    trunk = zoo.architecture(arch).from_shapes({**shapes, "head.weight": (1, 1)}, stride)
    if not isinstance(trunk, Trunk):
        raise ValueError(f"{arch} has no levels")
    del trunk.head
    return trunk


def save_affinity(
    path: Path,
    network: AffinityNet | BoundaryNet,
    *,
    arch: str,
    input_size: int | None,
    crop: int | None,
    extra: Mapping[str, Any],
) -> None:
    """Write the weights under their published keys, with a description; see camkit.models.checkpoint.save_state."""
    kind = next(kind for kind, known in NETWORKS.items() if isinstance(network, known))
    description = {
        "arch": arch,
        "mean": list(network.mean),
        "std": list(network.std),
        "input_size": input_size,
        "crop": crop,
        "extra": dict(extra),
    }
    state = {key.removeprefix("trunk."): value for key, value in network.state_dict().items()}
    save_state(path, state, kind, description)


def levels_of(trunk: Trunk) -> list[tuple[int, int]]:
    """Channels and stride of each level."""
    side = 64
    training = trunk.training
    with torch.no_grad():
        levels = trunk.eval().levels(torch.zeros(1, 3, side, side, device=next(trunk.parameters()).device))
    trunk.train(training)
    return [(level.shape[1], side // level.shape[2]) for level in levels]


def width_of(trunk: Trunk) -> int:
    """Channels of the first convolution: 64 in the published networks."""
    return next(module for module in trunk.modules() if isinstance(module, nn.Conv2d)).out_channels
