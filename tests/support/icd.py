"""An ICD checkpoint that was never trained, for any test that needs one."""

from __future__ import annotations

from pathlib import Path

import torch

from camkit.data.classes import VOC_CLASSES
from camkit.models import zoo
from camkit.models.icd import IcdNetwork, IcdPlan, save_icd


def tiny_icd(path: Path, classes: tuple[str, ...] = VOC_CLASSES) -> Path:
    """A narrow network of the toy world's architecture; one class has the sign of its direction turned."""
    torch.manual_seed(0)
    network = IcdNetwork(zoo.build("toy", len(classes), width=4), IcdPlan(hidden=8)).eval()
    network.heads.negative[1] = 1.0
    with torch.no_grad():
        network.heads.adapted.weight.normal_(std=1.0)
    save_icd(
        path, network, arch="toy", classes=classes, mean=network.mean, std=network.std, input_size=None,
        output_stride=network.output_stride,
    )  # fmt: skip
    return path
