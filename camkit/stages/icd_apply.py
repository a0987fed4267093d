"""`camkit icd-apply`: the signed scores of a network that camkit icd-train trained, or its classifier's maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, get_args

from camkit.defaults import MAP_STRIDE
from camkit.errors import UsageError
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.settings.icd import Branch
from camkit.stages.maps import MapMethod, Notes, checked_scales, no_notes, signed_maps, write_maps
from camkit.stages.network import Network, load_icd_network
from camkit.types import LongerSide, Resolution, Size

if TYPE_CHECKING:
    import torch

    from camkit.methods.signed import Scorer
    from camkit.models.classifier import LoadedClassifier
    from camkit.models.icd import IcdNetwork


def icd_apply(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    branch: Branch = "top-down",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    raw: bool = False,
    resize: LongerSide | None = None,
    size: Resolution = MAP_STRIDE,
) -> Summary:
    """Write the signed scores of the classes present in every image: above 0 foreground, below background.

    branch  `top-down`, the final scores; `bottom-up`, along the directions, with the right sign; or `cam`, the
            classifier's maps at the same scales: a maps store, if they are `raw` without the ReLU as signed scores
    raw     scores as the network gives them; False: each class divided by its largest of either sign
    resize  longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size    resolution of the scores: a stride in pixels, or "full"
    """
    if branch not in get_args(Branch):
        raise UsageError(f"--branch {branch} is not known; known are {', '.join(get_args(Branch))}")

    signed = branch != "cam" or raw

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.models.icd import IcdNetwork

        assert isinstance(loaded.network, IcdNetwork)
        if not signed:
            return partial(cams_of_photos, network=loaded.network, scales=scales, flip=flip)
        scorer = scorer_of(branch, loaded.network)
        return partial(signed_maps, scorer=scorer, scales=scales, flip=flip, raw=raw)

    parameters = {
        "branch": branch, "scales": checked_scales(scales), "flip": flip, **({"raw": raw} if signed else {}),
    }  # fmt: skip
    return write_maps(
        "icd-apply", method, parameters, inputs, network, output, runtime, resize=resize, size=size,
        kind="signed" if signed else "maps",
        load=partial(load_icd_network, top_down=branch == "top-down"),
    )  # fmt: skip


def scorer_of(branch: Branch, network: IcdNetwork) -> Scorer:
    from camkit.methods.cam import signed_cam
    from camkit.methods.icd import bottom_up_scores, top_down_scores

    if branch == "cam":
        return partial(signed_cam, classifier=network)
    return partial(top_down_scores if branch == "top-down" else bottom_up_scores, network=network)


def cams_of_photos(
    images: torch.Tensor,
    classes: torch.Tensor,
    size: Size,
    *,
    network: IcdNetwork,
    scales: Sequence[float],
    flip: bool,
) -> tuple[torch.Tensor, Sequence[Notes]]:
    from camkit.methods.cam import multi_scale_cam

    return multi_scale_cam(images, classes, size, classifier=network, scales=scales, flip=flip), no_notes(images)
