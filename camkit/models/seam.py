"""SEAM's network: ResNet38, and an embedding that says which positions belong together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.models import resnet38
from camkit.models.classifier import Shapes
from camkit.models.resnet38 import ResNet38


class Seam(ResNet38):
    """As the classifier that SEAM trains; `features_and_embedding` is what its refined maps are made of.

    The linear layer has no row for the background: SEAM's maps of it come from those of the classes.
    """

    refines_maps = True

    def __init__(
        self, num_classes: int, width: int = 64, output_stride: int | None = None, widths: Sequence[int] | None = None
    ) -> None:
        """widths: outputs of f8_3, f8_4 and f9; None: in the published proportion to the trunk."""
        super().__init__(num_classes, width, output_stride)
        lower, upper, both = widths or (width, 2 * width, 3 * width)
        self.f8_3 = nn.Conv2d(8 * width, lower, 1, bias=False)
        self.f8_4 = nn.Conv2d(16 * width, upper, 1, bias=False)
        self.f9 = nn.Conv2d(3 + lower + upper, both, 1, bias=False)

    def features_and_embedding(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] normalised RGB → features [B, D, h, w], embedding [B, E, h, w]."""
        conv4, conv5, features = self.levels(x)
        return features, self.f9(self.seen(x, conv4, conv5))

    def seen(self, x: Tensor, conv4: Tensor, conv5: Tensor) -> Tensor:
        """What the embedding is made of: the photo's colours and two levels of the trunk."""
        colours = F.interpolate(x, conv4.shape[-2:], mode="bilinear", align_corners=True)
        return torch.cat([colours, self.f8_3(conv4).relu(), self.f8_4(conv5).relu()], dim=1)


def fits(shapes: Shapes) -> bool:
    return resnet38.fits(shapes) and resnet38.is_seam(shapes)


def from_shapes(shapes: Shapes, output_stride: int | None) -> Seam:
    widths = [shapes[f"{name}.weight"][0] for name in resnet38.SEAM_LAYERS]
    return Seam(shapes["head.weight"][0], shapes["conv1a.weight"][0], output_stride, widths)
