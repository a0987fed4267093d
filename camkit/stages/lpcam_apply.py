"""`camkit lpcam-apply`: LPCAM's maps of every photo, from prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from camkit.defaults import MAP_STRIDE, SCALES
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.settings.lpcam import AS_STORED, Thresholds
from camkit.stages.maps import MapMethod, Notes, checked_scales, grid_multiple, no_notes, write_maps
from camkit.stages.network import Network
from camkit.stages.prototypes import directions_of, open_prototypes
from camkit.types import LongerSide, Resolution, Size

if TYPE_CHECKING:
    import torch

    from camkit.models.classifier import LoadedClassifier


def lpcam_apply(
    prototypes: Path | str | None,
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    thresholds: Thresholds = AS_STORED,
    scales: Sequence[float] = SCALES,
    flip: bool = True,
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
) -> Summary:
    """Write LPCAM's maps of the classes present in every image; of classes without prototypes, CAM.

    prototypes  their store; `-`, or None when standard input is a pipe, is the one on standard input
    resize      longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size        resolution of the maps: a stride in pixels, or "full"
    """
    with open_prototypes(prototypes) as (store, history):

        def method(loaded: LoadedClassifier) -> MapMethod:
            from camkit.methods.lpcam import multi_scale_lpcam

            multiple = grid_multiple(loaded, size)
            directions = directions_of(store, loaded, thresholds)

            def maps(images: torch.Tensor, classes: torch.Tensor, size: Size) -> tuple[torch.Tensor, Sequence[Notes]]:
                found = multi_scale_lpcam(
                    images, classes, size, classifier=loaded.network, directions=directions, scales=scales, flip=flip,
                    multiple=multiple,
                )  # fmt: skip
                return found, no_notes(images)

            return maps

        parameters = {**thresholds.given(), "scales": checked_scales(scales), "flip": flip}
        return write_maps(
            "lpcam-apply", method, parameters, inputs, network, output, runtime,
            resize=resize, size=size, parents=[history], stores=[prototypes],
        )  # fmt: skip
