"""ICD's network: any classifier of the zoo, and beside it what tells foreground from background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.errors import CheckpointError, UsageError
from camkit.models.checkpoint import load_classifier, packaged, save_classifier
from camkit.models.classifier import DROPOUT, FRESH_DEVIATION, ClassifierNetwork, LoadedClassifier, Tap
from camkit.models.levels import (
    Levels,
    chosen,
    joined,
    levels_of,
    levels_of_nothing,
    sample_at,
)
from camkit.models.recognise import recognise
from camkit.models.state import State, fitted
from camkit.models.tensors import read_tensors
from camkit.settings.icd import HIDDEN, LARGEST_HIDDEN, Features, Reads, Structure

SIGN_MOMENTUM = 0.9
PREFIX = "icd."  # of the keys of what is added to a classifier
OLD_READS: Reads = "features"  # in checkpoints that do not say


@dataclass(frozen=True)
class IcdPlan:
    """What is beside a classifier, and made of what.

    hidden    channels of fc6 and fc7 of its own
    reads     what these read: the features as they are, or batch-normalised as the authors' program has them
    top_down  whether there is a branch with adapted scores, which the two before and the structure are about
    """

    features: Features = "conv5"
    structure: Structure = "c"
    hidden: int = HIDDEN
    reads: Reads = "normalised"
    top_down: bool = True


class Branches(NamedTuple):
    """What training reads, from one pass."""

    logits: Tensor  # [B, C]
    top: Tensor  # [B, D', h', w'] features that the linear layer reads
    normal: Tensor  # [B, D, h, w] float32, batch-normalised features that directions are learned in
    adapted: Tensor | None  # [B, C, h, w] float32, scores of the top-down branch, if there is one


class FeatureNorm(nn.Module):
    """Batch normalisation without scale and offset, over positions that belong to photos.

    No BatchNorm2d, since a training that lets those of the trunk rest means not this one.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """[B, D, h, w], inside [B, h, w] bool → float32 [B, D, h, w]."""
        x, mean, variance = x.float(), self.mean, self.variance
        if self.training and inside.any():
            mean, variance = self._measure(x, inside[:, None].float())
        return (x - mean[:, None, None]) / (variance[:, None, None] + self.epsilon).sqrt()

    def _measure(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        count = inside.sum()
        mean = (x * inside).sum((0, 2, 3)) / count
        variance = ((x - mean[:, None, None]).square() * inside).sum((0, 2, 3)) / count
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(variance * count / (count - 1).clamp_min(1), self.momentum)
        return mean, variance


class Heads(nn.Module):
    """All that ICD adds to a classifier.

    positive, negative  [C] moving means of the CAM where the raw score has that sign: the larger one's is foreground
    """

    positive: Tensor
    negative: Tensor

    def __init__(self, plan: IcdPlan, classes: int, inputs: int, shared: int) -> None:
        """inputs: channels of the features; shared: of the classifier's fc6 and fc7 together, for structure d."""
        super().__init__()
        self.plan = plan
        self.norm = FeatureNorm(inputs)
        self.directions = nn.Parameter(torch.empty(classes, inputs))
        self.register_buffer("positive", torch.zeros(classes))
        self.register_buffer("negative", torch.zeros(classes))
        self.fc6: nn.Conv2d | None = None
        self.adapted: nn.Conv2d | None = None
        if plan.top_down and plan.structure in ("b", "c"):
            self.fc6 = nn.Conv2d(inputs, plan.hidden, 3, padding=1)
            self.fc7 = nn.Conv2d(plan.hidden, plan.hidden, 1)
            self.dropout = nn.Dropout(DROPOUT)
        read = {"a": inputs, "b": plan.hidden, "c": inputs + 2 * plan.hidden, "d": inputs + shared}
        if plan.top_down:
            self.adapted = nn.Conv2d(read[plan.structure], classes, 1)
        draw_weights(self)

    def note_cams(self, sums: Tensor) -> None:
        """Move the means by those of a batch: [3, C] of camkit.methods.icd.cam_sums. A class not seen stays."""
        positive, negative, photos = sums
        seen = photos > 0
        for mean, total in ((self.positive, positive), (self.negative, negative)):
            moved = SIGN_MOMENTUM * mean + (1 - SIGN_MOMENTUM) * total / photos.clamp_min(1)
            mean.copy_(torch.where(seen, moved, mean))

    def forward(self, levels: Levels, inside: Tensor) -> tuple[Tensor, Tensor | None]:
        """Batch-normalised features and adapted scores; inside [B, H, W] as in FeatureNorm, of any grid."""
        features = chosen(levels, self.plan.features)
        normal = self.norm(features, sample_at(inside, features.shape[-2:]))
        if self.adapted is None:
            return normal, None
        return normal, self.adapted(self._read(features, normal, levels)).float()

    def _read(self, features: Tensor, normal: Tensor, levels: Levels) -> Tensor:
        if self.plan.structure == "a":
            return normal
        if self.plan.structure == "d":
            return joined([normal, levels.fc6] if levels.fc7 is None else [normal, levels.fc6, levels.fc7])
        assert self.fc6 is not None
        fc6 = self.dropout(F.relu(self.fc6(normal if self.plan.reads == "normalised" else features)))
        fc7 = self.dropout(F.relu(self.fc7(fc6)))
        return fc7 if self.plan.structure == "b" else joined([normal, fc6, fc7])


class IcdNetwork(ClassifierNetwork):
    """A classifier as any other, and what camkit.methods.icd asks for besides."""

    def __init__(self, classifier: ClassifierNetwork, plan: IcdPlan, *, hollow: bool = False) -> None:
        """hollow: what ICD adds takes no memory until `fill_heads`."""
        super().__init__()
        self.classifier = classifier
        self.mean, self.std, self.pooling = classifier.mean, classifier.std, classifier.pooling
        self.channels_last, self.padded_grid = classifier.channels_last, classifier.padded_grid
        self.native_stride, self.output_stride = classifier.native_stride, classifier.output_stride
        self.stem_names = tuple(f"classifier.{name}" for name in classifier.stem_names)
        self.gradient_layers = classifier.gradient_layers
        own = tuple((f"classifier.{front}", told) for front, told in classifier.published)
        self.published = (*own, ("classifier.", ""), ("heads.", PREFIX))
        levels = levels_of_nothing(classifier)
        shared = sum(level.shape[1] for level in (levels.fc6, levels.fc7) if level is not None)
        inputs = chosen(levels, plan.features).shape[1]
        with torch.device("meta" if hollow else "cpu"):
            heads = Heads(plan, classifier.num_classes, inputs, shared)
        self.heads = heads if hollow else heads.to(classifier.weight.device)

    @property
    def upper_names(self) -> tuple[str, ...]:
        return (*(f"classifier.{name}" for name in self.classifier.upper_names), "heads")

    @property
    def weight(self) -> Tensor:
        return self.classifier.weight

    @property
    def num_classes(self) -> int:
        return self.classifier.num_classes

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return self.classifier.layers

    @property
    def taps(self) -> Mapping[Tap, nn.Module]:
        return self.classifier.taps

    def features(self, x: Tensor) -> Tensor:
        return self.classifier.features(x)

    def pool(self, features: Tensor) -> Tensor:
        return self.classifier.pool(features)

    @property
    def directions(self) -> Tensor:
        return self.heads.directions

    @property
    def cam_means(self) -> tuple[Tensor, Tensor]:
        """[C] each: the mean CAM where the raw score is positive, and where it is negative."""
        return self.heads.positive, self.heads.negative

    def branches(self, x: Tensor, inside: Tensor | None = None) -> Branches:
        """[B, 3, H, W] normalised RGB; inside [B, H, W] bool: what belongs to photos, None: everything."""
        levels = levels_of(self.classifier, x)
        if inside is None:
            inside = torch.ones(x.shape[0], *x.shape[-2:], dtype=torch.bool, device=x.device)
        normal, adapted = self.heads(levels, inside)
        return Branches(self.classifier.pool(levels.top), levels.top, normal, adapted)

    def normal(self, x: Tensor) -> Tensor:
        return self.branches(x).normal

    def adapted(self, x: Tensor) -> Tensor:
        adapted = self.branches(x).adapted
        if adapted is None:
            raise UsageError("this ICD network has no top-down branch")
        return adapted

    def copy_fully_connected(self) -> bool:
        """The branch's fc6 and fc7 start as the classifier's, where there are such on the same features; if they do."""
        plan, heads = self.heads.plan, self.heads
        copies = self.classifier.fully_connected(plan.hidden) if plan.features == "conv5" else None
        if heads.fc6 is None or copies is None:
            return False
        for layer, weights in zip((heads.fc6, heads.fc7), copies, strict=True):
            layer.load_state_dict(weights)
        return True


@dataclass(frozen=True, eq=False)
class LoadedIcd(LoadedClassifier):
    """As a classifier, and what its network scores besides."""

    network: IcdNetwork


def load_icd(
    ckpt: Path | str, *, model: str | None = None, output_stride: int | None = None, for_inference: bool = True
) -> LoadedIcd:
    """Read a checkpoint of `camkit icd-train`; see camkit.models.checkpoint.load_classifier."""
    ckpt = packaged(Path(ckpt))
    stored = read_heads(ckpt)
    if stored is None:
        raise CheckpointError(f"{ckpt}: is no ICD checkpoint; train one with camkit icd-train")
    loaded = load_classifier(ckpt, model=model, output_stride=output_stride, for_inference=for_inference)
    try:
        network = IcdNetwork(loaded.network, stored.plan, hollow=True)
    except UsageError as error:
        raise CheckpointError(f"{ckpt}: is damaged: {error}") from error
    fill_heads(network.heads, stored)
    kept = {one.name: getattr(loaded, one.name) for one in fields(loaded)}
    return LoadedIcd(**kept | {"network": network.eval(), "ignored": ()})


class StoredHeads(NamedTuple):
    """What the checkpoint at `path` adds to its classifier, as it stands there."""

    path: Path
    plan: IcdPlan
    state: State


def read_heads(ckpt: Path) -> StoredHeads | None:
    """None for a checkpoint of another kind."""
    tensors, own = read_tensors(ckpt)
    if own is None or recognise(tensors, own).kind != "icd":
        return None
    state = {key.removeprefix(PREFIX): value for key, value in tensors.items() if key.startswith(PREFIX)}
    return StoredHeads(ckpt, _checked_plan(ckpt, own.get("icd")), state)


def fill_heads(heads: Heads, stored: StoredHeads) -> None:
    """CheckpointError unless that is exactly what these heads are made of."""
    state = fitted(stored.path, "ICD", stored.state, heads.state_dict())
    if (state["norm.variance"] < 0).any():
        raise CheckpointError(f"{stored.path}: {PREFIX}norm.variance holds negative values; is the file damaged?")
    heads.load_state_dict(state, assign=heads.directions.is_meta)


def save_icd(path: Path, network: IcdNetwork, *, arch: str, **described: Any) -> None:
    """Write the classifier and what ICD adds, as camkit.models.checkpoint.save_classifier does."""
    save_classifier(path, network, arch=arch, kind="icd", settings=asdict(network.heads.plan), **described)


def _checked_plan(path: Path, settings: Any) -> IcdPlan:
    told = settings if isinstance(settings, dict) else {}
    features, structure, hidden = told.get("features"), told.get("structure"), told.get("hidden")
    reads, top_down = told.get("reads", OLD_READS), told.get("top_down", True)
    named = features in get_args(Features) and structure in get_args(Structure) and reads in get_args(Reads)
    if not named or type(top_down) is not bool or type(hidden) is not int or not 0 < hidden <= LARGEST_HIDDEN:
        raise CheckpointError(f"{path}: does not say soundly what its ICD branch is made of: {settings!r:.80}")
    return IcdPlan(features, structure, hidden, reads, top_down)  # type: ignore[arg-type] # checked above


def fresh_hidden(classifier: ClassifierNetwork) -> int:
    """1,024 for networks as wide as published."""
    return 16 * classifier.width


def ready_for_icd(
    classifier: ClassifierNetwork, *, kept: bool, output_stride: int | None = None
) -> tuple[ClassifierNetwork, tuple[str, ...]]:
    """The network with the layers that ICD wants above its trunk, and the names of the modules that are fresh.

    kept  the linear layer has been trained before
    """
    remade = classifier.with_layers_for_icd(kept=kept, output_stride=output_stride)
    if remade is None:
        return classifier, classifier.fresh_modules(kept=kept)
    network, fresh = remade
    for name in fresh:
        draw_weights(network.get_submodule(name))
    network.mean, network.std, network.pooling = classifier.mean, classifier.std, classifier.pooling
    return network.to(classifier.weight.device), fresh


def draw_weights(module: nn.Module) -> None:
    for weights in module.parameters():
        nn.init.zeros_(weights) if weights.ndim == 1 else nn.init.normal_(weights, std=FRESH_DEVIATION)
