"""A light head on any trunk: ASPP, or batch norm and one linear layer where the features are patch tokens."""

from __future__ import annotations

from torch import Tensor, nn

from camkit.models import zoo
from camkit.models.classifier import ClassifierNetwork, Shapes
from camkit.models.segmentation import vit
from camkit.models.segmentation.backbone import backbone_shapes, bare
from camkit.models.segmentation.layers import PyramidPooling
from camkit.models.segmentation.network import Part, SegmentationNetwork

WIDTH = 128
RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""At each output stride: they look as far in all."""

LAYERS_FOR_CLASSES = ("backbone.fc6.", "backbone.fc7.")
"""Of a trunk, which the features are better without: thousands of channels, made for whole photos."""


class Light(SegmentationNetwork):
    """Trained on few photos within minutes: the trunk has learned before, the head is small."""

    backbone: ClassifierNetwork | vit.ViT
    scores = ("score",)
    parts = (Part(r"^(aspp|norm|score)\.", 10),)

    def __init__(
        self, trunk: str, shapes: Shapes, outputs: int | None = None, *, output_stride: int | None = None
    ) -> None:
        super().__init__(trunk)
        channels = shapes["score.weight"][1] if "score.weight" in shapes else WIDTH
        outputs = outputs or shapes["score.weight"][0]
        self.norm: nn.BatchNorm2d | None = None
        self.aspp: PyramidPooling | None = None
        if trunk == "vit":
            self.backbone = vit.ViT(vit.read_plan(backbone_shapes(shapes)))
            self.output_stride = self.padded_grid = self.backbone.plan.patch
            channels = self.backbone.plan.width
            self.norm = nn.BatchNorm2d(channels)
        else:
            known = zoo.architecture(trunk)
            needed = {key: shape for key, shape in shapes.items() if not key.startswith(LAYERS_FOR_CLASSES)}
            self.backbone, inputs = bare(lambda inside: known.from_shapes(inside, output_stride), needed)
            self.output_stride = self.backbone.output_stride
            self.aspp = PyramidPooling(inputs, channels, RATES[self.output_stride], dropout=0.1)
        self.score = nn.Conv2d(channels, outputs, 1)

    def logits(self, x: Tensor) -> Tensor:
        x = self.backbone.features(x)
        for module in (self.norm, self.aspp):
            x = x if module is None else module(x)
        return self.score(x)
