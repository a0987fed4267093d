"""`camkit cam`: class activation maps of every photo."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from camkit.defaults import SCALES
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.stages.maps import MapMethod, write_maps
from camkit.stages.network import Network

if TYPE_CHECKING:
    from camkit.models.classifier import LoadedClassifier

PADDED_GRIDS = {"resnet50-irn": 16}
"""Programs that stretch pixel-wise maps over whole cells of the stride and cut: IRN and its family."""


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

        multiple = PADDED_GRIDS.get(loaded.arch, 1) if size in ("full", "1") else 1
        return partial(multi_scale_cam, classifier=loaded.network, scales=tuple(scales), flip=flip, multiple=multiple)

    parameters = {"scales": [float(scale) for scale in scales], "flip": flip}
    return write_maps("cam", method, parameters, inputs, network, output, runtime, resize=resize, size=size)
