"""`camkit cam`: class activation maps of every photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from camkit.defaults import SCALES
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.stages.maps import MapMethod, Notes, checked_scales, grid_multiple, no_notes, write_maps
from camkit.stages.network import Network
from camkit.types import Size

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
    resize: str | None = None,
    size: str = "4",
) -> Summary:
    """Write the class activation maps of the classes present in every image.

    resize  longer side of the photo as the network sees it: N, `native`, or None: as the checkpoint records
    size    resolution of the maps: `full`, or a stride in pixels
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
