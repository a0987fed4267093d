"""`camkit demo`: draws the toy world, runs what there is of the pipeline on it, and tells what came of it.

Results are shown as they fall: the toy world is not there to make a method look good.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from camkit.evaluate.report import Report
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.settings.dcsm import PRESETS
from camkit.settings.masks import SEGMENTER
from camkit.settings.segmentation import ARCHITECTURES
from camkit.stages.cam import cam
from camkit.stages.crf import crf
from camkit.stages.dcsm import dcsm
from camkit.stages.evaluate import evaluate_predictions
from camkit.stages.icd_apply import icd_apply
from camkit.stages.infercam import infercam
from camkit.stages.lpcam_apply import lpcam_apply
from camkit.stages.lpcam_cluster import lpcam_cluster
from camkit.stages.mask import mask
from camkit.stages.network import Network
from camkit.stages.refine_walk import refine_walk
from camkit.stages.segment import segment
from camkit.stages.segment_train import segment_train
from camkit.stages.show import Column, View, show_sheet, write_report
from camkit.stages.toy_world import toy_world
from camkit.stages.training import Start, recipe_of
from camkit.store.parts import write_atomically
from camkit.store.reader import open_store
from camkit.view.picture import check_picture

log = logging.getLogger("camkit")

CHECKPOINT, ICD_CHECKPOINT, AFFINITY_CHECKPOINT = Path("toy"), Path("toy-icd"), Path("toy-affinity")
CAM, WALK_STEPS = "cam.h5", 16
INFERCAM, EDGES = "infercam.h5", "infercam-crf.h5"
PROTOTYPES = "prototypes.h5"
LESSONS = {"epochs": 20, "resize": 160, "crop": 160}  # of the segmentation network: scenes are small and few
SHEET = "sheet.png"
SHOWN = 8  # photos on the sheet
LEAD = (
    "Segmentation masks from image tags alone, on drawn scenes: ten classes in five pairs that differ by a head or a "
    "badge. A classifier has learned from tags which classes a scene shows; these are the places it looks at."
)

Method = Callable[[Inputs, Output, Runtime], Summary]


@dataclass(frozen=True)
class Row:
    """One method's line of the table."""

    name: str
    store: Path
    report: Report
    seconds: float

    @property
    def parts(self) -> dict[str, float]:
        """Recall of heads, bodies and limbs, in [0, 1]."""
        return {row.name: row.recall for row in self.report.parts}


@dataclass(frozen=True)
class Demo:
    rows: tuple[Row, ...]
    world: Path
    page: Path
    sheet: Path
    masks: Path


def one_scale(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    return cam(inputs, Network(CHECKPOINT), output, runtime, scales=(1.0,), flip=False)


def every_scale(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    return cam(inputs, Network(CHECKPOINT), output, runtime)


def infer(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    return infercam(inputs, Network(CHECKPOINT), output, runtime)


def gradients(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    return dcsm(inputs, Network(CHECKPOINT), output, runtime, settings=PRESETS["input"])


def saliency(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    return dcsm(inputs, Network(CHECKPOINT), output, runtime)


def local_prototypes(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    """Prototypes of these same scenes, as the paper makes them of the photos it is judged by: they need tags alone."""
    assert output.out is not None
    prototypes = output.out.with_name(PROTOTYPES)
    lpcam_cluster(inputs, Network(CHECKPOINT), Output(prototypes, output.overwrite), runtime)
    return lpcam_apply(prototypes, inputs, Network(CHECKPOINT), output, runtime)


def intra_class(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    return icd_apply(inputs, Network(ICD_CHECKPOINT), output, runtime)


def random_walk(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    """Of the CAMs. Shorter than published: this small network is good at neighbours."""
    assert output.out is not None
    cams = output.out.with_name(CAM)
    changes = {"steps": WALK_STEPS}
    return refine_walk(cams, output, runtime, affinity="affinitynet", ckpt=AFFINITY_CHECKPOINT, changes=changes)


def along_edges(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    """Of InferCam's maps."""
    assert output.out is not None
    return crf(output.out.with_name(INFERCAM), output, runtime, preset="irn")


def network(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    """Taught by what the CRF gives, without a tag of its own then."""
    return taught(inputs, output, runtime, saliency=None)


def network_and_saliency(inputs: Inputs, output: Output, runtime: Runtime) -> Summary:
    return taught(inputs, output, runtime, saliency=inputs.places[0] / "Saliency")


def taught(inputs: Inputs, output: Output, runtime: Runtime, *, saliency: Path | None) -> Summary:
    """A light network begun from the classifier learns from the scenes, then sees them."""
    assert output.out is not None
    masks, ckpt = output.out.with_name(EDGES), output.out.with_suffix(".safetensors")
    start = Start(init=CHECKPOINT, arch=ARCHITECTURES[SEGMENTER])
    recipe = recipe_of(SEGMENTER, start, LESSONS)
    segment_train(masks, start, ckpt, recipe, runtime, saliency=saliency, overwrite=output.overwrite)
    return segment(inputs, ckpt, output, runtime, preset=SEGMENTER)


METHODS: tuple[tuple[str, str, Method], ...] = (
    ("CAM, one scale", "cam-one-scale.h5", one_scale),
    ("CAM", CAM, every_scale),
    ("CAM, walk", "walked.h5", random_walk),
    ("InferCam", INFERCAM, infer),
    ("Gradients", "gradients.h5", gradients),
    ("DCSM", "dcsm.h5", saliency),
    ("LPCAM", "lpcam.h5", local_prototypes),
    ("ICD", "icd.h5", intra_class),
)
"""Name, store, and what writes it. A new method joins the demo by its line here, and by that of its commands below."""

PHOTOS = "--images {world} --list val"


def lessons(name: str, more: str = "") -> tuple[str, ...]:
    words = " ".join(f"--{option} {value}" for option, value in LESSONS.items())
    return (
        f"segment-train {{folder}}/{EDGES} --init {CHECKPOINT} --preset {SEGMENTER} {words}{more} "
        f"--out {{folder}}/{name}.safetensors",
        f"segment --ckpt {{folder}}/{name}.safetensors {PHOTOS} --preset {SEGMENTER}",
    )


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "cam-one-scale.h5": (f"cam --ckpt {CHECKPOINT} {PHOTOS} --scales 1 --no-flip",),
    CAM: (f"cam --ckpt {CHECKPOINT} {PHOTOS}",),
    "walked.h5": (
        f"refine walk {{folder}}/{CAM} --affinity affinitynet --ckpt {AFFINITY_CHECKPOINT} --steps {WALK_STEPS}",
    ),
    INFERCAM: (f"infercam --ckpt {CHECKPOINT} {PHOTOS}",),
    "gradients.h5": (f"dcsm --ckpt {CHECKPOINT} {PHOTOS} --backprop input",),
    "dcsm.h5": (f"dcsm --ckpt {CHECKPOINT} {PHOTOS}",),
    "lpcam.h5": (
        f"lpcam-cluster --ckpt {CHECKPOINT} {PHOTOS} --out {{folder}}/{PROTOTYPES}",
        f"lpcam-apply --ckpt {CHECKPOINT} {PHOTOS} --prototypes {{folder}}/{PROTOTYPES}",
    ),
    "icd.h5": (f"icd-apply --ckpt {ICD_CHECKPOINT} {PHOTOS}",),
    EDGES: (f"crf {{folder}}/{INFERCAM} --preset irn",),
    "network.h5": lessons("network"),
    "network-saliency.h5": lessons("network-saliency", " --saliency {world}/Saliency"),
}
"""By store, what a person types for the same; the last one's --out is the store."""


def commands_of(store: str, folder: Path) -> list[str]:
    """To be copied into a shell."""
    names = {"world": shlex.quote(str(folder / "world")), "folder": shlex.quote(str(folder))}
    lines = [f"camkit {words.format(**names)}" for words in COMMANDS.get(store, ())]
    return [*lines[:-1], *(f"{line} --out {shlex.quote(str(folder / store))}" for line in lines[-1:])]


CHAIN: tuple[tuple[str, str, Method], ...] = (
    ("InferCam, CRF", EDGES, along_edges),
    ("Network", "network.h5", network),
    ("Network, saliency", "network-saliency.h5", network_and_saliency),
)
"""Where the way from tags to masks leads on to: what `--full` shows besides."""


def demo(
    folder: Path, runtime: Runtime = Runtime(), *, scenes: int = 40, seed: int = 1, full: bool = False,
    overwrite: bool = False,
) -> Demo:  # fmt: skip
    """Draw `scenes` scenes into the folder, run every method on them, and write masks, a sheet and a page.

    full  the steps behind the maps too, to a network that needs no tags
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_picture(folder / SHEET)
    world = folder / "world"
    toy_world(world, train=0, val=scenes, seed=seed, workers=runtime.workers, overwrite=overwrite)
    inputs = Inputs(world, list="val")
    rows = []
    log.info("$ camkit toy-world %s --train 0 --val %d --seed %d", shlex.quote(str(world)), scenes, seed)
    for name, store, method in (*METHODS, *(CHAIN if full else ())):
        for line in commands_of(store, folder):
            log.info("$ %s", line)
        seconds = timed(method, inputs, Output(folder / store, overwrite), runtime)
        rows.append(judged(name, folder / store, world, seconds, runtime))
    best = max(rows, key=lambda row: row.report.miou or 0.0)
    masks = folder / "masks"
    with open_store(best.store) as chosen:
        threshold = best.report.threshold if chosen.header.holds.thresholded else None
    mask([best.store], Output(None, overwrite), runtime, threshold=threshold, png=masks)
    page, sheet = draw(folder, world, rows)
    return Demo(tuple(rows), world, page, sheet, masks)


def timed(method: Method, inputs: Inputs, output: Output, runtime: Runtime) -> float:
    """Run a method: the seconds it took, now or when it was run."""
    assert output.out is not None
    memo = output.out.with_suffix(".seconds")
    started = time.monotonic()
    summary = method(inputs, output, runtime)
    if summary.already == summary.images:
        with suppress(OSError, ValueError):  # it was not written, or not to its end
            return float(memo.read_text())
    seconds = time.monotonic() - started
    write_atomically(memo, f"{seconds:.1f}\n".encode())
    return seconds


def judged(name: str, store: Path, world: Path, seconds: float, runtime: Runtime) -> Row:
    report, _ = evaluate_predictions([store], world, runtime, list="val", parts=world / "Parts")
    return Row(name, store, report, seconds)


def draw(folder: Path, world: Path, rows: Sequence[Row]) -> tuple[Path, Path]:
    """The page and the contact sheet."""
    columns = [Column(row.name, row.store, row.seconds, row.report) for row in rows]
    page, sheet = folder / "report.html", folder / SHEET
    view = View(truth=world)
    show_sheet(columns, sheet, replace(view, limit=SHOWN))
    write_report(columns, page, view, title="camkit demo", lead=LEAD)
    return page, sheet
