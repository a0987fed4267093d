"""`camkit cam`: class activation maps of every photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from camkit.defaults import MAP_STRIDE, SCALES
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.stages.maps import MapMethod, Notes, checked_scales, grid_multiple, no_notes, write_maps
from camkit.stages.network import Network
from camkit.stages.refined import refiner_of, told
from camkit.types import LongerSide, Resolution, Size

if TYPE_CHECKING:
    import torch

    from camkit.models.classifier import LoadedClassifier


def cam(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    scales: Sequence[float] = SCALES,
    flip: bool = True,
    refined: bool | None = None,
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
) -> Summary:
    """Write the class activation maps of the classes present in every image.

    refined  by the network's own layers, as SEAM's are; None: where it has them
    resize   longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size     resolution of the maps: a stride in pixels, or "full"
    """

    scales = checked_scales(scales)

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.methods.cam import multi_scale_cam
        from camkit.methods.seam import multi_scale_refined_cam

        refiner, multiple = refiner_of(loaded, refined), grid_multiple(loaded, size)

        def maps(images: torch.Tensor, classes: torch.Tensor, size: Size) -> tuple[torch.Tensor, Sequence[Notes]]:
            if refiner is not None:
                found = multi_scale_refined_cam(images, classes, size, network=refiner, scales=scales, flip=flip)
            else:
                found = multi_scale_cam(
                    images, classes, size, classifier=loaded.network, scales=scales, flip=flip, multiple=multiple
                )
            return found, no_notes(images)

        return maps

    def parameters(loaded: LoadedClassifier) -> dict[str, Any]:
        return {"scales": scales, "flip": flip, **told(loaded, refined)}

    return write_maps("cam", method, parameters, inputs, network, output, runtime, resize=resize, size=size)
