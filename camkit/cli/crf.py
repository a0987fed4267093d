from __future__ import annotations

from typing import Annotated, Any, Literal

from camkit.cli import options as o
from camkit.cli.groups import Group, Panel, Settings
from camkit.settings.crf import PRESETS, Engine, Preset, Scale
from camkit.types import Resolution

ENERGIES = Panel("Unary energies (defaults: the preset's)")
KERNELS = Panel("Kernels (defaults: the preset's)")
ENERGIES_OF = ", ".join(f"{name} {settings.unary}" for name, settings in PRESETS.items())
SIZE = {
    "size": "Resolution of the probabilities: full (default: edges are what a CRF is for), or one value per N pixels."
}
WORKERS = {"workers": "Photos refined at once, each on a core. Default: as many as there are cores."}


def command(
    *,
    stores: o.Stores,
    images: o.Photos = None,
    shard: o.Shard,
    preset: Annotated[Preset, ENERGIES(f"The numbers of these methods: {ENERGIES_OF}.")] = "psa",
    energies: Annotated[dict[str, Any], Settings(PRESETS, ENERGIES)],
    kernels: Annotated[
        dict[str, Any], Settings({name: settings.parameters for name, settings in PRESETS.items()}, KERNELS)
    ],
    scale: Annotated[dict[str, Any], Settings({"meant": Scale()}, KERNELS)],
    output: o.OutputOfProbs,
    masks: o.Masks = False,
    size: Annotated[Resolution | None, Group(o.size_of_some, SIZE)],
    engine: Annotated[
        Literal["auto", Engine],
        o.RUN(
            "native (auto) or the C++ library pydensecrf, if installed; they agree. Both run on the CPU, on a machine "
            "with a GPU too."
        ),
    ] = "auto",
    runtime: Annotated[Any, Group(o.on_cores, WORKERS)],
) -> None:
    """Make maps, probabilities or masks follow the edges of the photos: a fully connected CRF (dense CRF).

    Takes a store of maps, signed scores, probs or masks; writes a probs store of the classes present (background
    first), or with --masks a masks store. The first run on a machine takes some seconds more: the engine is compiled.

    camkit crf cams.h5 --out refined.h5

    camkit infercam --ckpt resnet38.pth --images voc/ | camkit crf --alpha 16 | camkit evaluate --gt voc/

    camkit crf cams.h5 --preset irn --background 0.2 --masks --out masks.h5
    """
    from camkit.cli.console import close_with
    from camkit.stages.crf import crf

    summary = crf(
        stores, output, runtime, preset=preset, changes={**energies, **kernels, **scale},
        masks=masks, images=images, engine=engine, size=size, shard=shard,
    )  # fmt: skip
    close_with(summary, output.out)
