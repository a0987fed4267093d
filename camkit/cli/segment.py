from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from camkit.cli import options as o
from camkit.cli.groups import Group, Panel, Settings
from camkit.defaults import MAP_STRIDE
from camkit.settings.segmentation import LOOKING, Preset, Tiles
from camkit.types import Resolution

NETWORK = Panel("Network")
TILES = Panel("Large photos")
SIZE = {"size": f"Resolution of probabilities: full, or one value per N pixels; {MAP_STRIDE}, after a CRF full."}


def photos(
    images: o.Images, list: o.List = None, classes: o.Classes = None, limit: o.Limit = None, *, shard: o.Shard
) -> Any:
    from camkit.pipeline.select import Inputs

    return Inputs(images, list, classes=classes, limit=limit, shard=shard)


def command(
    *,
    inputs: Annotated[Any, Group(photos)],
    ckpt: Annotated[Path, NETWORK("Segmentation network: of camkit segment-train, or as its program writes it.")],
    preset: Annotated[Preset, o.METHOD("Look at photos, and run a CRF, as this network's program does.")] = "light",
    looking: Annotated[dict[str, Any], Settings(LOOKING, o.METHOD)],
    crf: Annotated[bool, o.METHOD("Along the edges of the photo, by a dense CRF.", "--crf")] = False,
    resize: o.Resize,
    tiles: Annotated[dict[str, Any], Settings({"usual": Tiles()}, TILES)],
    output: o.OutputOfProbs,
    masks: o.Masks = False,
    png: Annotated[
        Path | None, o.OUTPUT("Instead of a store: a folder of PNGs with the VOC palette.", metavar="FOLDER")
    ] = None,
    size: Annotated[Resolution | None, Group(o.size_of_some, SIZE)],
    runtime: o.Runtime,
) -> None:
    """Segment photos, without tags, by a network of camkit segment-train or a published one.

    Writes a probs store (background first, of the classes that are anywhere probable), with --masks a masks store,
    with --png a folder of masks. Photos larger than --tile are seen in parts: of --masks and --png memory then holds
    one part's probabilities. Other numbers of the CRF: camkit segment … | camkit crf.

    camkit segment --ckpt segmenter.safetensors --images photos/ --png masks/

    camkit segment --ckpt deeplab.safetensors --images VOC2012/ --list val --preset deeplabv2 --crf --out probs.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.segment import segment

    summary = segment(
        inputs, ckpt, output, runtime, preset=preset, changes=looking, tiles=Tiles(**tiles),
        crf=crf, masks=masks, png=png, resize=resize, size=size,
    )  # fmt: skip
    close_with(summary, png or output.out)
