from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camkit.cli import options as o
from camkit.defaults import MASK_THRESHOLD
from camkit.types import ExportFormat


def command(
    *,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[STORE]... DIR",
            help="Input store, or the shards of one; - or nothing in a pipe: standard input. Then the folder to write.",
        ),
    ],
    format: Annotated[ExportFormat, o.OUTPUT("What is to read the files.")],
    threshold: Annotated[
        float | None,
        o.METHOD(f"Of maps that become masks: as of camkit mask. Default: {MASK_THRESHOLD:g}.", low=0.0, high=1.0),
    ] = None,
    images: Annotated[
        Path | None,
        o.IMAGES("Of formats that name or copy photos: where these are. Default: where the store's were."),
    ] = None,
    list: Annotated[
        Path | None,
        o.OUTPUT("Of deeplab: the list of images and masks to write. Default: list.txt in DIR.", metavar="FILE"),
    ] = None,
    overwrite: o.Overwrite = False,
    runtime: o.NoPhotos,
) -> None:
    """A folder in the format of another program: of maps, probabilities or masks.

    psa: .npy dicts {class: map} at full size, of maps or probabilities
    irn: .npy dicts {keys, cam, high_res}, of maps
    npz: .npz files, of maps or probabilities
    png: masks with the VOC palette; here and below, of masks or what camkit mask makes masks of
    coco: results.json with run lengths, which cannot say undecided
    deeplab: masks, and a list of photos and masks
    huggingface: photos, masks and metadata.jsonl, for load_dataset("imagefolder")
    coco-instances: instances.json with images, categories, and connected parts as instances
    yolo-seg: photos, a polygon for each connected part (holes are cut open), data.yaml
    ultralytics: photos, grey masks (0 background, 255 ignored), data.yaml
    cvat: annotations.xml (CVAT for images 1.1), masks as run lengths
    label-studio: tasks.json, brushes as predictions

    camkit export cams.h5 out_cam/ --format psa

    camkit export masks.h5 VOC2012/SegmentationClassPseudo --format deeplab --list train_pseudo.txt

    camkit crf cams.h5 | camkit export masks/ --format png

    camkit export masks.h5 to-correct/ --format cvat
    """
    from camkit.cli.console import close_with
    from camkit.stages.export import export_store

    *stores, folder = paths
    summary = export_store(
        stores, folder, format, runtime, threshold=threshold, list=list, images=images, overwrite=overwrite
    )
    close_with(summary, folder)
