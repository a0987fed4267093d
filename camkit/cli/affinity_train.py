from __future__ import annotations

from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli import training_options as t
from camkit.cli.groups import Settings
from camkit.settings.pairs import PAIRS


@t.with_recipe("affinitynet")
def command(
    *,
    training: t.Pairs,
    pairs: Annotated[dict[str, Any], Settings({"published": PAIRS["affinitynet"]}, o.METHOD)],
) -> None:
    """Train AffinityNet: an embedding that is alike where pixels belong to the same thing, for camkit refine walk.

    Learns from maps: two CRFs of each photo, one that sees much background and one that sees little, say which pixels
    are sure; the labels are kept in NAME.labels.h5. Maps or signed scores without a class teach nothing. A masks store
    is taken as the labels. Writes the checkpoint of the last epoch and its curve (NAME.curve.csv, NAME.curve.png).
    The recipe is the authors': {epochs} epochs, batches of {batch} crops of {crop} px, rate {rate} with hardly any
    momentum. Run again to continue an interrupted training: it ends with the same weights.

    camkit affinity-train cams.h5 --init resnet38.pth --out affinity.safetensors

    camkit refine walk cams.h5 --affinity affinitynet --ckpt affinity.safetensors --out walked.h5
    """
    from camkit.stages.affinity_train import affinity_train

    training.carry_out(affinity_train, "affinitynet", "affinitynet", pairs)
