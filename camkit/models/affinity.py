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
from camkit.models.checkpoint import digest_of, packaged, save_state
from camkit.models.classifier import IMAGENET_MEAN, IMAGENET_STD, ClassifierNetwork, Colour, Shapes, fold_batch_norms
from camkit.models.description import check_version, colour, optional_size
from camkit.models.levels import on_grid
from camkit.models.recognise import SIGNATURES, Contents, recognise
from camkit.models.state import State, examples, fitted, rename, shapes_of
from camkit.models.tensors import read_tensors
from camkit.types import AffinityKind

PUBLISHED_CROP = 512
"""Side of the crops that IRN's program trains on by default."""


class PairNetwork(nn.Module, ABC):
    """A trunk without its linear layer, and convolutions of its levels.

    stride        pixels per cell of what it gives
    trunk_stride  of the trunk's last level; None: the trunk's own
    """

    kind: ClassVar[AffinityKind]
    stride: ClassVar[int]
    trunk_stride: ClassVar[int | None]

    def __init__(self, trunk: ClassifierNetwork) -> None:
        super().__init__()
        self.trunk = trunk
        self.mean: Colour = IMAGENET_MEAN
        self.std: Colour = IMAGENET_STD

    @property
    def own_modules(self) -> list[str]:
        """What is added to the trunk."""
        return [name for name, _ in self.named_children() if name != "trunk"]

    @property
    def stem_names(self) -> tuple[str, ...]:
        return tuple(f"trunk.{name}" for name in self.trunk.stem_names)

    @property
    def trains_channels_last(self) -> bool:
        return self.trunk.trains_channels_last

    @classmethod
    @abstractmethod
    def around(cls, trunk: ClassifierNetwork, shapes: Shapes | None = None) -> PairNetwork:
        """With what it adds as wide as the shapes say; None: in the published proportion to the trunk, and drawn."""


class AffinityNet(PairNetwork):
    """[B, 3, H, W] normalised RGB → an embedding [B, D, h, w] at stride 8, of three levels of a trunk."""

    kind: ClassVar[AffinityKind] = "affinitynet"
    stride: ClassVar[int] = 8
    trunk_stride: ClassVar[int | None] = 8

    def __init__(self, trunk: ClassifierNetwork, widths: Sequence[int]) -> None:
        """widths: what comes of the three levels, and of all of them together."""
        super().__init__(trunk)
        inputs = [channels for channels, _ in grids_of_levels(trunk)[-3:]]
        self.f8_3, self.f8_4, self.f8_5 = (
            nn.Conv2d(before, after, 1, bias=False) for before, after in zip(inputs, widths[:3], strict=True)
        )
        self.f9 = nn.Conv2d(sum(widths[:3]), widths[3], 1, bias=False)

    @classmethod
    def around(cls, trunk: ClassifierNetwork, shapes: Shapes | None = None) -> AffinityNet:
        if shapes is not None:
            return cls(trunk, [shapes[f"{name}.weight"][0] for name in ("f8_3", "f8_4", "f8_5", "f9")])
        unit = trunk.width
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

    kind: ClassVar[AffinityKind] = "irn"
    stride: ClassVar[int] = 4
    trunk_stride: ClassVar[int | None] = None

    def __init__(self, trunk: ClassifierNetwork, width: int) -> None:
        super().__init__(trunk)
        levels = grids_of_levels(trunk)
        self.branches = [f"fc_edge{number}" for number in range(1, len(levels) + 1)]
        for name, (inputs, stride) in zip(self.branches, levels, strict=True):
            scale = stride / self.stride
            resized = nn.Identity() if scale == 1 else nn.Upsample(None, scale, "bilinear", align_corners=False)
            branch = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.GroupNorm(4, width), resized, nn.ReLU())
            self.add_module(name, branch)
        self.last = f"fc_edge{len(levels) + 1}"
        self.add_module(self.last, nn.Conv2d(len(levels) * width, 1, 1))

    @classmethod
    def around(cls, trunk: ClassifierNetwork, shapes: Shapes | None = None) -> BoundaryNet:
        return cls(trunk, max(8, trunk.width // 8 * 4) if shapes is None else shapes[SIGNATURES[cls.kind]][0])

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
    network.kind: network for network in (AffinityNet, BoundaryNet)
}


def load_affinity(ckpt: Path, kind: AffinityKind, *, for_inference: bool = True) -> LoadedAffinity:
    """Read a checkpoint of camkit's trainings, of PSA's (`resnet38_aff`, or the same on a resnet50) or IRN's program.

    ckpt           a file, or `toy-affinity`: AffinityNet for the toy world, which comes with camkit
    for_inference  fold batch norms; False to train the network further
    """
    ckpt = packaged(ckpt)
    tensors, own = read_tensors(ckpt)
    found = recognise(tensors, own)
    if own is not None:
        _check_own(ckpt, kind, own)
    elif found.kind != kind or found.arch is None or kind not in zoo.ARCHITECTURES[found.arch].published_pairs:
        raise CheckpointError(f"{ckpt}: is {_told(found)}, where {SIGNATURES[kind]} and the like were expected")
    if found.arch is None:
        raise CheckpointError(f"{ckpt}: says it is {kind}, but has keys like {examples(tensors)}")
    hollow = [key for key, tensor in found.state.items() if tensor.ndim and not tensor.numel()]
    if hollow:
        raise CheckpointError(f"{ckpt}: {examples(hollow)} hold no numbers; no {kind} is like that")
    network = _assemble(ckpt, kind, found.arch, found.state)
    described = {} if own is None else _described(ckpt, network, own)
    if for_inference:
        fold_batch_norms(network)
    return LoadedAffinity(network.eval(), kind, found.arch, ckpt, digest_of(ckpt), **described)


def holds(ckpt: Path, kind: AffinityKind) -> bool:
    """Whether the checkpoint is of such a network, rather than of a classifier."""
    return recognise(*read_tensors(packaged(ckpt))).kind == kind


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


def _told(found: Contents) -> str:
    if found.arch is None:
        return f"no network camkit knows: {len(found.state)} keys like {examples(found.state)}"
    pairs = found.pairs
    return f"{found.arch} of {pairs}: give --affinity {pairs}" if pairs else f"a {found.arch} classifier"


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


def start_affinity(classifier: ClassifierNetwork, arch: str, kind: AffinityKind) -> AffinityNet | BoundaryNet:
    """A network to be trained around a copy of a classifier's trunk."""
    if not classifier.has_levels:
        raise UsageError(f"{arch} has no levels that {kind} could read; start from one of {_families_with_levels()}")
    state = {key: value for key, value in classifier.state_dict().items() if not key.startswith("head.")}
    trunk = _trunk(arch, shapes_of(state), kind)
    trunk.load_state_dict(state)
    network = NETWORKS[kind].around(trunk)
    network.mean, network.std = classifier.mean, classifier.std
    return network


def _families_with_levels() -> str:
    networks = [known.network for known in zoo.ARCHITECTURES.values()]
    *others, last = dict.fromkeys(network.family for network in networks if network.has_levels)
    return f"{', '.join(others)} and {last}"


def _trunk(arch: str, shapes: Shapes, kind: AffinityKind) -> ClassifierNetwork:
    own = zoo.architecture(arch)
    known = zoo.architecture(own.pairs_on.get(kind, arch))
    trunk = known.from_shapes({**shapes, "head.weight": (1, 1)}, NETWORKS[kind].trunk_stride)
    if not trunk.has_levels:
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
    description = {
        "arch": arch,
        "mean": list(network.mean),
        "std": list(network.std),
        "input_size": input_size,
        "crop": crop,
        "extra": dict(extra),
    }
    trunk = rename(network.trunk.state_dict(), dict(network.trunk.published))
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("trunk.")}
    save_state(path, {**trunk, **own}, network.kind, description)


def grids_of_levels(trunk: ClassifierNetwork) -> list[tuple[int, int]]:
    """Channels and stride of each level."""
    side = 64
    training = trunk.training
    with torch.no_grad():
        levels = trunk.eval().levels(torch.zeros(1, 3, side, side, device=next(trunk.parameters()).device))
    trunk.train(training)
    return [(level.shape[1], side // level.shape[2]) for level in levels]
