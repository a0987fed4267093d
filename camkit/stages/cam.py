"""`camkit cam`: class activation maps of every photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from camkit.defaults import MAP_STRIDE, SCALES
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.stages.maps import MapMethod, Notes, checked_scales, grid_multiple, no_notes, write_maps
from camkit.stages.network import Network
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
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
) -> Summary:
    """Write the class activation maps of the classes present in every image.

    resize  longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size    resolution of the maps: a stride in pixels, or "full"
    """

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.methods.cam import multi_scale_cam

        multiple = grid_multiple(loaded, size)

        def maps(images: torch.Tensor, classes: torch.Tensor, size: Size) -> tuple[torch.Tensor, Sequence[Notes]]:
            found = multi_scale_cam(
                images, classes, size, classifier=loaded.network, scales=scales, flip=flip, multiple=multiple
            )
            return found, no_notes(images)

        return maps

    parameters = {"scales": checked_scales(scales), "flip": flip}
    return write_maps("cam", method, parameters, inputs, network, output, runtime, resize=resize, size=size)
