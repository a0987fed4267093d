"""The classifier a stage runs: read from its checkpoint, on its device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.errors import CheckpointError, UsageError
from camkit.pipeline.device import Device, inference
from camkit.pipeline.select import resolve_classes
from camkit.types import Activation, Classifier, Record, no_classes

if TYPE_CHECKING:
    import torch

    from camkit.models.classifier import LoadedClassifier


log = logging.getLogger("camkit")


@dataclass(frozen=True)
class Network:
    """Which classifier: a checkpoint, and where it does not say enough, its architecture or the user's own factory."""

    ckpt: Path
    arch: str | None = None
    model: str | None = None
    output_stride: int | None = None

    if TYPE_CHECKING:  # a path may be given as text, and is always read as a path

        def __init__(
            self,
            ckpt: Path | str,
            arch: str | None = None,
            model: str | None = None,
            output_stride: int | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "ckpt", Path(self.ckpt))


def load_network(network: Network, device: Device, *, for_speed: bool = True) -> LoadedClassifier:
    """for_speed: batch norms are folded into convolutions, which changes the last digit of what the network gives."""
    from camkit.models.checkpoint import load_classifier

    loaded = load_classifier(
        network.ckpt,
        arch=network.arch,
        model=network.model,
        output_stride=network.output_stride,
        for_inference=for_speed,
    )
    return placed(loaded, device)


def load_icd_network(network: Network, device: Device, *, top_down: bool = True) -> LoadedClassifier:
    """top_down: its final scores are wanted."""
    from camkit.models.icd import load_icd

    if network.arch is not None:
        raise UsageError("--arch does not go with an ICD checkpoint, which says what it is")
    loaded = load_icd(network.ckpt, model=network.model, output_stride=network.output_stride)
    if top_down and not loaded.network.heads.plan.top_down:
        raise UsageError(
            f"{network.ckpt} was trained with --no-top-down: it has no final scores\n"
            "camkit icd-apply gives its scores along directions, --branch bottom-up, or its maps, --branch cam"
        )
    return placed(loaded, device)


def placed(loaded: LoadedClassifier, device: Device) -> LoadedClassifier:
    """The classifier on its device, after a word about it."""
    stride = f", output stride {loaded.output_stride}" if loaded.output_stride else ""
    log.info("classifier: %s, %d classes%s", loaded.arch, loaded.num_classes, stride)
    if loaded.ignored:
        log.debug("not needed in %s: %s", loaded.path, ", ".join(loaded.ignored))
    loaded.network.to(device.torch_device)
    return loaded


def classes_of(loaded: LoadedClassifier, spec: str | None) -> tuple[str, ...]:
    """Names of a classifier's classes: the user's, its own, or the usual ones. One of ImageNet's is not believed.

    It was trained with softmax to choose one of 1,000 classes: its sigmoids would call hundreds of them present.
    """
    from camkit.models.checkpoint import IMAGENET_CLASSES

    if loaded.num_classes == IMAGENET_CLASSES and loaded.classes is None and spec is None:
        raise CheckpointError(
            f"{loaded.path}: is a classifier of ImageNet's {IMAGENET_CLASSES:,} classes, not of yours, scored by "
            "softmax\nmake it one of yours first: camkit classify-train --init "
            f"{loaded.path} --images … --labels … --out mine.safetensors; or name its classes with --classes FILE"
        )
    return resolve_classes(spec, loaded.classes, loaded.num_classes)


def describe_checkpoint(loaded: LoadedClassifier) -> dict[str, Any]:
    """For the provenance. The content counts, not where the file lies."""
    return {"name": loaded.path.name, "sha256": loaded.sha256, "arch": loaded.arch}


def stack_images(batch: Sequence[Record], device: Device) -> torch.Tensor:
    """Photos of one size → [B, 3, H, W] float32 in [0, 255] on the device."""
    import torch

    arrays = [record.image for record in batch if record.image is not None]
    images = torch.from_numpy(np.stack(arrays))
    if not device.is_cpu:
        images = images.pin_memory().to(device.torch_device, non_blocking=True)
    return images.permute(0, 3, 1, 2).float()


def stack_classes(classes: Sequence[np.ndarray], device: Device) -> torch.Tensor:
    """Classes per image → [B, C] int64, filled up with −1."""
    import torch

    table = np.full((len(classes), max(len(c) for c in classes)), -1, dtype=np.int64)
    for row, present in zip(table, classes, strict=True):
        row[: len(present)] = present
    return torch.from_numpy(table).to(device.torch_device)


def scores_of_batch(batch: Sequence[Record], *, classifier: Classifier, device: Device) -> list[Activation]:
    """A step: the sigmoid scores of every class, [C] for each photo."""
    from camkit.methods.response import network_input

    with inference(device):
        logits = classifier.logits(network_input(stack_images(batch, device), classifier))
        scores = logits.float().sigmoid().cpu().numpy()
    return [Activation(record.id, row, no_classes(), record.size) for record, row in zip(batch, scores, strict=True)]
