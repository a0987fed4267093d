"""`camkit cam`: class activation maps of every photo."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from camkit.defaults import MAP_STRIDE, SCALES
from camkit.errors import UsageError
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.stages.maps import MapMethod, Notes, checked_scales, grid_multiple, no_notes, signed_maps, write_maps
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
    signed: bool = False,
    raw: bool = False,
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
) -> Summary:
    """Write the class activation maps of the classes present in every image.

    refined  by the network's own layers, as SEAM's are; None: where it has them
    signed   without the ReLU, the mean over scales and mirror images: a store of signed scores
    raw      such scores as the network gives them; False: each class divided by its largest of either sign
    resize   longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size     resolution of the maps: a stride in pixels, or "full"
    """

    scales = checked_scales(scales)
    if raw and not signed:
        raise UsageError("--raw is for --signed; maps lie in 0 … 1")
    if signed and refined is not None:
        raise UsageError(f"{'--refined' if refined else '--plain'} is for maps; signed ones are never refined")

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.methods.cam import multi_scale_cam, signed_cam
        from camkit.methods.seam import multi_scale_refined_cam

        multiple = grid_multiple(loaded, size)
        if signed:
            scorer = partial(signed_cam, classifier=loaded.network)
            return partial(signed_maps, scorer=scorer, scales=scales, flip=flip, raw=raw, multiple=multiple)
        refiner = refiner_of(loaded, refined)

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
        how = {"signed": True, "raw": raw} if signed else told(loaded, refined)
        return {"scales": scales, "flip": flip, **how}

    return write_maps(
        "cam", method, parameters, inputs, network, output, runtime,
        resize=resize, size=size, kind="signed" if signed else "maps",
    )  # fmt: skip
