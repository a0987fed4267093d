"""Networks whose head is a few convolutions: DeepLab LargeFOV on VGG16, its ASPP form, and ResNet38's."""

from __future__ import annotations

from torch import Tensor, nn

from camkit.models import zoo
from camkit.models.classifier import ClassifierNetwork, Shapes
from camkit.models.segmentation.backbone import bare
from camkit.models.segmentation.network import Part, SegmentationNetwork
from camkit.models.state import State, rename

LARGE_FIELD = (12,)
ASPP = (6, 12, 18, 24)
# own key → published key
NAMES = {"branches.0.fc6.": "classifier.1.", "branches.0.fc7.": "classifier.3.", "branches.0.fc8.": "classifier.6."}
ASPP_NAMES = {
    f"branches.{number}.{layer}.": f"{layer}_aspp{rate}."
    for number, rate in enumerate(ASPP)
    for layer in ("fc6", "fc7", "fc8")
}
# published key → own key
OTHER_NAMES = {"features.32.": "branches.0.fc6.", "features.35.": "branches.0.fc7.", "features.38.": "branches.0.fc8."}


class Branch(nn.Module):
    """fc6 looks far around, fc7 and fc8 at one position."""

    def __init__(self, inputs: int, hidden: int, outputs: int, rate: int, drops: tuple[float, float]) -> None:
        """drops: shares of what fc6 and fc7 give that are 0 while it learns."""
        super().__init__()
        self.fc6 = nn.Conv2d(inputs, hidden, 3, padding=rate, dilation=rate)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.fc8 = nn.Conv2d(hidden, outputs, 1)
        self.relu = nn.ReLU()
        self.drop6, self.drop7 = (nn.Dropout(share) for share in drops)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop6(self.relu(self.fc6(x)))
        return self.fc8(self.drop7(self.relu(self.fc7(x))))


class DeepLabVGG(SegmentationNetwork):
    """DeepLab's first network, and the form whose four branches look around at four distances.

    Of two published programs the one with a torch checkpoint drops nothing behind fc6 and stretches corner to corner;
    all layers learn alike there. The other is ICD's, which has the four branches too.
    """

    backbone: ClassifierNetwork
    output_stride = 8
    corners = True

    def __init__(self, trunk: str, shapes: Shapes, outputs: int | None = None, *, rates: tuple[int, ...]) -> None:
        super().__init__(trunk)
        self.backbone, inputs = bare(zoo.architecture(trunk).deeplab, shapes)
        begun = "branches.0.fc6.weight" not in shapes
        hidden = 2 * inputs if begun else shapes["branches.0.fc6.weight"][0]
        outputs = outputs or shapes["branches.0.fc8.weight"][0]
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), nn.AvgPool2d(3, 1, padding=1))
        drops = (0.0, 0.5) if rates == LARGE_FIELD else (0.5, 0.5)
        self.branches = nn.ModuleList(Branch(inputs, hidden, outputs, rate, drops) for rate in rates)
        self.scores = tuple(f"branches.{number}.fc8" for number in range(len(rates)))
        self.parts = () if rates == LARGE_FIELD else (Part(r"\.fc8\.", 10),)

    def logits(self, x: Tensor) -> Tensor:
        x = self.pool(self.backbone.features(x))
        first, *others = (branch(x) for branch in self.branches)
        return sum(others, start=first)

    def published_state(self) -> State:
        state = rename(super().published_state(), {"backbone.trunk.": "features."})
        return rename(state, NAMES if len(self.branches) == 1 else ASPP_NAMES)


class ResNet38Segmentation(SegmentationNetwork):
    """ResNet38 with two dilated convolutions behind it."""

    backbone: ClassifierNetwork
    scores = ("fc8_seg_conv2",)
    output_stride = 8
    frozen_norms = True
    parts = (Part(r"(^|\.)bn", 0), Part(r"^fc8_seg", 10))

    def __init__(self, trunk: str, shapes: Shapes, outputs: int | None = None) -> None:
        super().__init__(trunk)
        self.backbone, inputs = bare(lambda inside: zoo.architecture(trunk).from_shapes(inside, None), shapes)
        begun = "fc8_seg_conv1.weight" not in shapes
        middle = inputs // 8 if begun else shapes["fc8_seg_conv1.weight"][0]
        outputs = outputs or shapes["fc8_seg_conv2.weight"][0]
        self.fc8_seg_conv1 = nn.Conv2d(inputs, middle, 3, padding=12, dilation=12)
        self.fc8_seg_conv2 = nn.Conv2d(middle, outputs, 3, padding=12, dilation=12)
        self.relu = nn.ReLU()

    def logits(self, x: Tensor) -> Tensor:
        return self.fc8_seg_conv2(self.relu(self.fc8_seg_conv1(self.backbone.features(x))))

    def published_state(self) -> State:
        return rename(super().published_state(), {"backbone.": ""})


def from_large_field(state: State) -> State:
    """Keys of Deeplab-Large-FOV → own."""
    names = {published: own for own, published in NAMES.items()}
    return rename(state, {**names, "features.": "backbone.trunk."})


def from_one_sequence(state: State) -> State:
    """Keys of DeepLab-V1-PyTorch, where everything is in `features`, → own."""
    return rename(state, {**OTHER_NAMES, "features.": "backbone.trunk."})


def from_aspp(state: State) -> State:
    """Keys named as in ICD's program → own."""
    names = {published: own for own, published in ASPP_NAMES.items()}
    return rename(state, {**names, "features.": "backbone.trunk."})


def from_resnet38(state: State) -> State:
    return {key if key.startswith("fc8_seg") else f"backbone.{key}": value for key, value in state.items()}
