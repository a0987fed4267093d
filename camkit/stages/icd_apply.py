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
from camkit.stages.maps import MapMethod, Notes, checked_scales, no_notes, write_maps
from camkit.stages.network import Network, load_icd_network
from camkit.types import LongerSide, Resolution, Size

if TYPE_CHECKING:
    import torch

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
            classifier's maps (a maps store) at the same scales
    raw     scores as the network gives them; False: each class divided by its largest of either sign
    resize  longer side of the photo as the network sees it: a number, "native", or None: as the checkpoint records
    size    resolution of the scores: a stride in pixels, or "full"
    """
    if branch not in get_args(Branch):
        raise UsageError(f"--branch {branch} is not known; known are {', '.join(get_args(Branch))}")
    if raw and branch == "cam":
        raise UsageError("--raw is for scores; maps lie in 0 … 1")

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.models.icd import IcdNetwork

        assert isinstance(loaded.network, IcdNetwork)
        return partial(maps_of_branch, network=loaded.network, branch=branch, scales=scales, flip=flip, raw=raw)

    parameters = {
        "branch": branch, "scales": checked_scales(scales), "flip": flip,
        **({} if branch == "cam" else {"raw": raw}),
    }  # fmt: skip
    return write_maps(
        "icd-apply", method, parameters, inputs, network, output, runtime, resize=resize, size=size,
        kind="maps" if branch == "cam" else "signed", load=load_icd_network,
    )  # fmt: skip


def maps_of_branch(
    images: torch.Tensor,
    classes: torch.Tensor,
    size: Size,
    *,
    network: IcdNetwork,
    branch: Branch,
    scales: Sequence[float],
    flip: bool,
    raw: bool,
) -> tuple[torch.Tensor, Sequence[Notes]]:
    from camkit.methods.cam import multi_scale_cam
    from camkit.methods.icd import bottom_up_scores, top_down_scores
    from camkit.methods.icd_response import multi_scale_scores

    if branch == "cam":
        found = multi_scale_cam(images, classes, size, classifier=network, scales=scales, flip=flip)
    else:
        scorer = partial(top_down_scores if branch == "top-down" else bottom_up_scores, network=network)
        found = multi_scale_scores(images, classes, size, scorer=scorer, scales=scales, flip=flip, raw=raw)
    return found, no_notes(images)
