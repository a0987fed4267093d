"""The two types that travel, a `Record` into a step and an `Activation` out of it; and what a classifier is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Size = tuple[int, int]
"""Height and width, in this order, in pixels."""

Box = tuple[int, int, int, int]
"""top, left, bottom, right in pixels, the last two exclusive."""


Resolution = int | Literal["full"]
"""Of maps: one value for so many pixels each way, or for every pixel."""

LongerSide = int | Literal["native"]
"""At which a photo is seen: in pixels, or as it is."""

Precision = Literal["auto", "float32", "tf32", "bfloat16"]
OnError = Literal["skip", "stop"]
"""What becomes of a run when an image fails."""

Dtype = Literal["float16", "float32", "uint8"]
"""In which maps are kept."""

ProbsDtype = Literal["float16", "float32"]

ScoresForm = Literal["tsv", "jsonl", "json"]
"""Of what a classifier sees, as text."""

Format = Literal["psa", "irn", "npz", "png", "coco", "deeplab", "huggingface"]
"""In which other programs keep maps and masks."""

ExportFormat = Literal[Format, "coco-instances", "yolo-seg", "ultralytics", "cvat", "label-studio"]
"""The same, and those that masks are handed on in."""

Unlabelled = Literal["stop", "skip", "predict"]
"""What becomes of images that the labels do not speak of."""

Rule = Literal["threshold", "icd"]
"""How masks are made of maps, and of signed scores."""

Sort = Literal["id", "worst", "best"]
"""Of the images that are shown: by id, or by how well the first store does."""

Doubt = Literal["entropy", "margin", "disagreement"]
"""By what a mask is doubtful."""

Pooling = Literal["average", "maximum"]
"""How a classifier's scores at all positions become one score."""

AffinityKind = Literal["affinitynet", "irn"]
"""What a network says of neighbouring cells: an embedding to compare, or the boundaries between classes."""


def no_classes() -> np.ndarray:
    """The classes of an activation that has none, or that is about all classes at once."""
    import numpy as np

    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Activation:
    """What a stage found in one image; the store it lies in says which kind it is (maps, probs, scores, masks …).

    values   maps, signed: [C_i, h, w]; probs: [1 + C_i, h, w], background first; scores: [num_classes];
             masks, superpixels: [H, W]
    classes  [C_i] int64, ascending: the foreground class each map belongs to (empty for scores, masks and superpixels)
    size     (H, W) of the photo
    notes    what a method wants remembered (rounds run, centres …); anything JSON can hold
    """

    id: str
    values: np.ndarray
    classes: np.ndarray
    size: Size
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.values.shape))
        known = f", classes {', '.join(map(str, self.classes))}" if len(self.classes) else ""
        height, width = self.size
        return f"<Activation {self.id!r}: {self.values.dtype} {shape}{known}; photo {width}x{height}>"

    def upsampled(self) -> np.ndarray:
        """The maps at the size of the photo, [C_i, H, W]; of masks and scores themselves."""
        from camkit.upsample import upsample

        return upsample(self.values, self.size) if self.values.ndim == 3 else self.values

    def overlay(self, photo: Any = None, names: Sequence[str] | None = None) -> Any:
        """A Pillow image: the maps over the photo (a path, an image, an array; None: grey), classes by colour.

        names  of all classes; None: their numbers
        """
        from camkit.view.activation import activation_overlay

        return activation_overlay(self, photo, names)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from camkit.view.picture import encoded

        return encoded(self.overlay(), "PNG", quality=90)


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One image on its way into a step. A field is None when the stage did not ask for it.

    size      (H, W) of the photo, upright
    image     [h, w, 3] uint8 RGB, at the size the network is to see
    classes   [C_i] int64, ascending: classes present according to the labels; None: the labels do not say
    upstream  the activation of the same image in the input store
    truth     [H, W] the ground truth mask: 0 background, class + 1, 255 to be ignored
    """

    id: str
    size: Size
    image: np.ndarray | None = None
    classes: np.ndarray | None = None
    upstream: Activation | None = None
    truth: np.ndarray | None = None


class Classifier(Protocol):
    """All that methods may ask of a network: the zoo's, or a user's own."""

    @property
    def weight(self) -> Tensor:
        """[C, D]: a 1×1 convolution of the features with it gives the class maps."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of RGB in [0, 1]."""

    @property
    def std(self) -> tuple[float, float, float]: ...

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        """Named layers from the input up: residual stages, or every convolution of VGG16."""

    def features(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] normalised RGB → [B, D, h, w], before pooling."""

    def pool(self, features: Tensor) -> Tensor:
        """[B, D, h, w] → logits [B, C]."""

    def logits(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, C], as the classifier was trained."""
