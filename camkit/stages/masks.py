"""`camkit masks`: tagged photos to masks in one command. Every step is a camkit command, in a process of its own.

The steps keep what they make in the folder: each can be run by hand with the same bytes, and goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from camkit.data.exchange.source import MEMO
from camkit.data.found_images import STANDARD_INPUT
from camkit.data.reading import examples
from camkit.data.saliency import find_saliency
from camkit.errors import InputError, LabelError, PartialFailure, StepError, UsageError
from camkit.models.weights import PACKAGES
from camkit.pipeline.output import Runtime, check_inputs_stay
from camkit.pipeline.progress import duration
from camkit.pipeline.select import Inputs, Selection, select, wants_predicted
from camkit.settings.masks import PACKAGED, SEGMENTER, MasksPlan
from camkit.settings.segmentation import ARCHITECTURES, Teaching
from camkit.stages.training import classes_to_learn

log = logging.getLogger("camkit")

DEFAULT = MasksPlan()
FEW_PHOTOS = 20

WANTED = (
    "masks are made from photos and tags, which say what a photo shows, not where\n"
    "give --labels a CSV file with a line `id,class,class` for each photo, or a folder per class"
)

SECONDS = {
    "classify-train": 0.12, "cam": 1.6, "lpcam-cluster": 0.15, "lpcam-apply": 1.6, "infercam": 8.0, "dcsm": 3.0,
    "crf": 0.7, "segment-train": 0.25, "segment": 2.0, "mask": 0.02, "show": 0.1, "evaluate": 0.05,
}  # fmt: skip
"""For each photo, of a training for each photo and epoch, on two cores with the smallest network: the first guess."""
START_UP = 4.0


@dataclass(frozen=True)
class Brought:
    """What a user may bring besides photos and tags.

    ckpt      a classifier of the photos' classes; None: one is trained
    truth     ground truth masks to judge by: a folder, or a VOC root
    saliency  a folder of grey pictures, that the segmentation network learns from too
    """

    ckpt: Path | None = None
    truth: Path | None = None
    saliency: Path | None = None


NOTHING = Brought()


@dataclass(frozen=True)
class Step:
    """A command of camkit's: what it is called, its words, and how long it may take."""

    title: str
    words: tuple[str, ...]
    seconds: float

    @property
    def line(self) -> str:
        """As one would type it."""
        return shlex.join(("camkit", *self.words))


def masks(
    inputs: Inputs,
    out: Path | str,
    runtime: Runtime = Runtime(),
    *,
    plan: MasksPlan = DEFAULT,
    brought: Brought = NOTHING,
    overwrite: bool = False,
) -> Path:
    """Run all steps that are not done; gives the folder of masks.

    PartialFailure, at the end, if some photos failed on the way: the others have masks.
    """
    out = Path(out)
    steps = steps_of(inputs, out, runtime, plan=plan, brought=brought, overwrite=overwrite)
    out.mkdir(parents=True, exist_ok=True)
    begun, left_out = time.monotonic(), False
    for number, step in enumerate(steps):
        left = _seconds_left(steps, number, time.monotonic() - begun)
        log.info("step %d of %d: %s; about %s left in all", number + 1, len(steps), step.title, duration(left))
        log.debug("%s", step.line)
        left_out |= run_step(step, quiet=not log.isEnabledFor(logging.INFO))
    if left_out:
        raise PartialFailure("some photos failed and have no masks; see the warnings above\nthe others have theirs")
    return out / "masks"


def steps_of(
    inputs: Inputs, out: Path, runtime: Runtime = Runtime(), *,
    plan: MasksPlan = DEFAULT, brought: Brought = NOTHING, overwrite: bool = False,
) -> list[Step]:  # fmt: skip
    """Everything that a user can get wrong is found here, before any computing begins."""
    check_inputs_stay(out, [*inputs.files, brought.saliency])
    if STANDARD_INPUT in inputs.places:
        raise UsageError("each step reads the photos anew: give a folder, a pattern or a list, not standard input")
    if wants_predicted(inputs) and brought.ckpt is None:
        raise UsageError("--labels predicted needs a classifier that predicts: give --ckpt")
    ids = _tagged(inputs, brought).ids
    _check_segmenter(plan, brought, ids)
    return list(_steps(inputs, out, plan, brought, runtime, len(ids), overwrite=overwrite))


def _check_segmenter(plan: MasksPlan, brought: Brought, ids: Sequence[str]) -> None:
    """Its training would otherwise tell after hours."""
    if not plan.segment:
        asked = {"--saliency": brought.saliency, "--segment-epochs": plan.segment_epochs}
        given = [name for name, value in asked.items() if value is not None]
        if given:
            raise UsageError(f"{given[0]} has no effect without --segment")
        return
    changes = {} if plan.saliency_is == Teaching().saliency_is else {"saliency_is": plan.saliency_is}
    Teaching().check_saliency(given=brought.saliency is not None, changes=changes)
    if brought.saliency is not None and find_saliency(brought.saliency).keys().isdisjoint(ids):
        raise InputError(f"{brought.saliency} has no saliency map of any of the {len(ids)} photos")
    if brought.ckpt is not None:
        from camkit.models.segmentation.checkpoint import begin_segmentation

        begin_segmentation(brought.ckpt, ARCHITECTURES[SEGMENTER], ("any",))


def _tagged(inputs: Inputs, brought: Brought) -> Selection:
    """The photos with their tags; of a classifier that is given the classes are found when it is read."""
    if brought.ckpt is not None:
        return select(inputs, (), need_labels=False)
    try:
        learned = replace(inputs, unlabelled="stop" if inputs.unlabelled == "stop" else "skip")
        classes = classes_to_learn(learned)
    except LabelError as error:
        raise LabelError(f"{error}\n{WANTED}" if inputs.labels is None else str(error)) from None
    selection = select(learned, classes)
    assert selection.labels is not None
    present = [selection.labels.present[id] for id in selection.ids]
    if len(set(present)) == 1:
        named = examples([classes[number] for number in present[0]]) or "no class"
        raise LabelError(
            f"all {len(present)} photos have the same tags ({named}): a classifier learns what tells photos apart\n"
            "add photos of other classes, or of none of them; or give --ckpt a classifier that knows these classes"
        )
    if len(present) < FEW_PHOTOS:
        log.warning("only %d photos: the classifier can hardly learn from so few; do not expect much", len(present))
    return selection


def _steps(
    inputs: Inputs, out: Path, plan: MasksPlan, brought: Brought, runtime: Runtime, photos: int, *, overwrite: bool
) -> Iterator[Step]:
    chosen = _words(
        *(("--images", place) for place in inputs.places), ("--list", inputs.list), ("--labels", inputs.labels),
        ("--classes", inputs.classes), ("--limit", inputs.limit),
    )  # fmt: skip
    pictures = _words(*(("--images", place) for place in inputs.places))
    untagged = (*pictures, *_words(("--list", inputs.list), ("--limit", inputs.limit)))
    beyond = _words(("--unlabelled", inputs.unlabelled if inputs.unlabelled != "stop" else None))
    run = _words(("--device", runtime.device if runtime.device != "auto" else None))
    anew = ("--overwrite",) if overwrite else ()
    ckpt = out / "classifier.safetensors" if brought.ckpt is None else brought.ckpt
    packaged = brought.ckpt is None and plan.init in PACKAGES
    size = plan.resize or (PACKAGED.resize if packaged else None)
    fine = _words(("--output-stride", PACKAGED.mapped if packaged else None))
    if brought.ckpt is None:
        epochs = plan.epochs_of(photos)
        words = (
            "classify-train", *chosen, *(("--unlabelled", "skip") if beyond else ()),
            "--init", plan.init, "--preset", "efficientnet", "--epochs", str(epochs),
            *_words(("--output-stride", PACKAGED.learned if packaged else None), ("--input-size", size)),
            *run, *anew, "--out", str(ckpt),
        )  # fmt: skip
        yield Step(
            f"a classifier learns from the tags, {epochs} epochs", words, SECONDS["classify-train"] * photos * epochs
        )
    network = ("--ckpt", str(ckpt), *_words(("--resize", plan.resize)), *fine)
    maps = out / f"{plan.how}.h5"
    chosen = (*chosen, *beyond)

    def step(title: str, command: str, *words: object, product: str | None = None) -> Step:
        made = () if product is None else (*anew, "--out", str(out / product))
        return Step(title, (command, *map(str, words), *made), SECONDS[command] * photos)

    if plan.how == "lpcam":
        yield step("class activation maps", "cam", *network, *chosen, *run, product="cam.h5")
        yield step(
            "prototypes of the classes", "lpcam-cluster", *network, *untagged, "--maps", out / "cam.h5", *run,
            product="prototypes.h5",
        )  # fmt: skip
        yield step(
            "maps by the prototypes", "lpcam-apply", *network, *chosen, "--prototypes", out / "prototypes.h5", *run,
            product="lpcam.h5",
        )  # fmt: skip
    else:
        yield step("maps", plan.how, *network, *chosen, *run, product=maps.name)
    background = ("--preset", "irn", "--background", f"{plan.background:g}")
    yield step("maps along the edges", "crf", maps, *pictures, *background, product="probs.h5")
    stores = [maps, out / "probs.h5"]
    if plan.segment:
        stores.append(out / "segmented.h5")
        segmenter, epochs = out / "segmenter.safetensors", plan.segment_epochs_of(photos)
        words = (
            "segment-train", out / "probs.h5", *untagged, "--init", ckpt, "--preset", SEGMENTER, "--epochs", epochs,
             *fine, *_words(("--input-size", size), ("--saliency", brought.saliency)),
            *_words(("--saliency-is", plan.saliency_is if brought.saliency else None)),
            *run, *anew, "--out", segmenter,
        )  # fmt: skip
        yield Step(
            f"a network learns to segment, {epochs} epochs", tuple(map(str, words)),
            SECONDS["segment-train"] * photos * epochs,
        )  # fmt: skip
        yield step(
            "what it sees", "segment", "--ckpt", segmenter, "--preset", SEGMENTER, *untagged, "--crf", *run,
            product="segmented.h5",
        )  # fmt: skip
    anew_masks = ("--overwrite",) if overwrite or _masks_come_from_elsewhere(out / "masks", plan) else ()
    yield step("masks", "mask", stores[-1], "--png", out / "masks", *anew_masks)
    truth = _words(("--gt", brought.truth))
    yield step("a page", "show", *stores, *pictures, *truth, "--html", out / "report.html")
    if brought.truth is not None:
        chosen_photos, judged = _words(("--list", inputs.list)), stores[1:]
        how = "--compare" if len(judged) > 1 else "--ci"
        yield step("figures", "evaluate", *judged, *truth, *chosen_photos, how)


def _masks_come_from_elsewhere(folder: Path, plan: MasksPlan) -> bool:
    """Whether this command, run with and then without a segmentation network, or the other way, made them before."""
    try:
        memo = json.loads((folder / MEMO).read_text(encoding="utf-8"))
        before = memo["provenance"]["parents"][0]["command"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return bool(before == ("crf" if plan.segment else "segment"))


def _words(*options: tuple[str, object | None]) -> tuple[str, ...]:
    """Of the options that are given."""
    return tuple(word for name, value in options if value is not None for word in (name, str(value)))


def _seconds_left(steps: Sequence[Step], done: int, spent: float) -> float:
    """By what the steps so far took, measured against the first guess."""
    guessed = [step.seconds + START_UP for step in steps]
    behind = sum(guessed[:done])
    return sum(guessed[done:]) * (spent / behind if behind else 1.0)


def run_step(step: Step, *, quiet: bool) -> bool:
    """Whether some photos failed. A signal reaches the step too, which keeps what it has, and ends this command."""
    words = [sys.executable, "-m", "camkit", *step.words, *(["-q"] if quiet else [])]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if code == PartialFailure.exit_code:
        return True
    if code in (130, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    if code:
        raise StepError(
            f"the step failed: {step.line}\nits message is above; the same command goes on from there", code
        )
    return False
