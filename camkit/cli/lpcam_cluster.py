from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Panel, Settings
from camkit.settings.lpcam import CLUSTERINGS, PRESETS, Preset, clustering_of, settings_of

CLUSTERING = Panel("Clustering")


def command(
    *,
    inputs: o.Inputs,
    network: o.Network,
    output: o.Store,
    preset: Annotated[
        Preset, o.PROTOTYPES("The numbers of the paper for a data set, or those of its program.")
    ] = "voc",
    changes: Annotated[dict[str, Any], Settings(PRESETS, o.PROTOTYPES)],
    maps: Annotated[
        Path | None,
        CLUSTERING(
            "Maps, of any method, that say what is foreground, and which classes an image has. Default: class "
            "activation maps of the same features.",
            metavar="STORE|-",
        ),
    ] = None,
    clustering: Annotated[dict[str, Any], Settings(CLUSTERINGS, CLUSTERING)],
    resize: o.Resize,
    runtime: o.Runtime,
) -> None:
    """LPCAM, first step: what each class looks like, and what lies around it, as prototypes.

    Clusters the local features of all images of a class, those on the object and those around it, and lets the
    classifier say which centres are prototypes. Writes a prototypes store with all centres, for camkit lpcam-apply;
    camkit show --prototypes shows what they look like. Run again to continue an interrupted run.

    camkit lpcam-cluster --ckpt resnet50.pth --images VOC2012/ --list train --out prototypes.h5

    camkit lpcam-cluster --ckpt resnet50.pth --images VOC2012/ --list train --maps infercams.h5 --out prototypes.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.lpcam_cluster import lpcam_cluster

    summary = lpcam_cluster(
        inputs, network, output, runtime,
        settings=settings_of(preset, changes),
        clustering=clustering_of(preset, clustering, with_maps=maps is not None), maps=maps, resize=resize,
    )  # fmt: skip
    close_with(summary, output.out, "the others are clustered; --overwrite does all again")
