from __future__ import annotations

from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli import training_options as t
from camkit.cli.groups import Settings
from camkit.settings.pairs import PAIRS


@t.with_recipe("boundary")
def command(
    *,
    training: t.Pairs,
    pairs: Annotated[dict[str, Any], Settings({"published": PAIRS["irn"]}, o.METHOD)],
) -> None:
    """Train IRN: boundaries between classes that a walk does not cross, for camkit refine walk.

    Learns from maps: two CRFs of each photo, of the maps above a high and above a low value, say which pixels are sure;
    the labels are kept in NAME.labels.h5. Maps or signed scores without a class teach nothing. A masks store is taken
    as the labels. Writes the checkpoint of the last epoch and its curve (NAME.curve.csv, NAME.curve.png).
    The recipe is the authors': {epochs} epochs, batches of {batch} crops of {crop} px, rate {rate}, the trunk at rest.
    Run again to continue an interrupted training: it ends with the same weights.

    camkit irn-train cams.h5 --init resnet50.pth --out irn.safetensors

    camkit refine walk cams.h5 --affinity irn --ckpt irn.safetensors --out walked.h5
    """
    from camkit.stages.irn_train import irn_train

    training.carry_out(irn_train, "irn", "boundary", pairs)
