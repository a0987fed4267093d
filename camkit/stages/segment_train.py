"""`camkit segment-train`: a network that gives every pixel a class, taught by pseudo masks and, if given, saliency."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camkit import agreement
from camkit.defaults import SECONDS_BETWEEN_SAVES
from camkit.errors import UsageError
from camkit.pipeline.device import Device, choose_device
from camkit.pipeline.output import Runtime
from camkit.pipeline.photos import view_size
from camkit.pipeline.upstream import Sources, paths_of
from camkit.settings.recipe import Recipe
from camkit.settings.segmentation import Resizing, Teaching
from camkit.stages.judge_masks import JudgedPhotos, Validation, judge_masks, photos_to_judge
from camkit.stages.pseudo_masks import Photos, Pictures, PseudoMasks, open_pseudo_masks
from camkit.stages.saliency_maps import history_of_pictures
from camkit.stages.training import STEM, Start, Trained, TrainingPlace, carry_out, provenance_of, seen_size
from camkit.store.provenance import stage

if TYPE_CHECKING:
    from camkit.models.segmentation.checkpoint import Beginning
    from camkit.models.segmentation.network import SegmentationNetwork
    from camkit.training.loop import Job
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")

PLAIN = Teaching()


EVERYTHING = Photos()


def segment_train(
    sources: Sources,
    start: Start,
    out: Path,
    recipe: Recipe,
    runtime: Runtime = Runtime(),
    *,
    trunk: str | None = None,
    teaching: Teaching = PLAIN,
    resizing: Resizing = "bilinear",
    photos: Photos = EVERYTHING,
    saliency: Path | str | None = None,
    validation: Validation | None = None,
    input_size: int | None = None,
    overwrite: bool = False,
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
) -> Trained:
    """Train a segmentation network on pseudo masks, and write the checkpoint of the best epoch; unjudged, of the last.

    sources     a store of masks, probs or maps, or a folder of PNGs
    start       `arch` is that of the segmentation network; `init` holds it, or its trunk
    trunk       without `init`: what it is built on, from random weights
    saliency    a folder of grey pictures: InferCam's equation 4 then, as `teaching` says
    validation  photos to judge by after every epoch
    input_size  longer side at which photos are to be seen later; None: as the recipe shows them
    """
    _check_start(start, trunk)
    device = choose_device(runtime.device, runtime.precision)
    pictures = None if saliency is None else Pictures(Path(saliency), teaching.saliency_is)
    paths = paths_of(sources)
    opened = open_pseudo_masks(paths, photos, teaching, pictures)
    with opened as taught:
        judged = None if validation is None else photos_to_judge(validation, taught)
        told = "" if judged is None else f", judged by {len(judged.selection.ids):,}"
        log.info("training on %s photos%s", f"{len(taught.ids):,}", told)
        run = provenance_of(
            "segment-train", start, recipe, device, taught.classes, taught.describe(),
            judged=None if judged is None else judged.selection, input_size=input_size,
            parents=_parents(taught, paths, pictures), trunk=trunk, resizing=resizing, **_numbers(teaching, taught),
        )  # fmt: skip
        plan = _Training(start, trunk, taught, judged, recipe, teaching, resizing, device, runtime, run, input_size)
        place = TrainingPlace(Path(out), start, overwrite, seconds_between_saves)
        read = [*paths, photos.images, saliency, *((validation.images, validation.masks) if validation else ())]
        return carry_out(plan.job, run, recipe, place, device, runtime, photos=len(taught.ids), inputs=read)


def _check_start(start: Start, trunk: str | None) -> None:
    if start.init is None and trunk is None:
        raise UsageError(
            "what to train? give --init CHECKPOINT (ImageNet weights, a classifier, or a segmentation network), or "
            "--trunk NAME to start from nothing"
        )
    if start.init is not None and (trunk is not None or start.width is not None):
        raise UsageError("--trunk and --width are for networks that start from nothing; --init brings its own")


def _parents(taught: PseudoMasks, paths: Sequence[Path], pictures: Pictures | None) -> list[Mapping[str, Any]]:
    history = taught.source.history or stage("masks without a history", {"names": [path.name for path in paths]})
    return [history] if pictures is None else [history, history_of_pictures(taught.saliency, taught.ids)]


def _numbers(teaching: Teaching, taught: PseudoMasks) -> dict[str, Any]:
    """Those that count."""
    told = asdict(teaching) | {"threshold": taught.reading.threshold if taught.reading.kind.thresholded else None}
    if not taught.saliency:
        told = {name: value for name, value in told.items() if not name.startswith("saliency") and name != "alpha"}
    return told


@dataclass(frozen=True, eq=False)
class _Training:
    """All that a job is made of, apart from the ranks that share it."""

    start: Start
    trunk: str | None
    taught: PseudoMasks
    judged: JudgedPhotos | None
    recipe: Recipe
    teaching: Teaching
    resizing: Resizing
    device: Device
    runtime: Runtime
    run: Mapping[str, Any]
    input_size: int | None

    def job(self, ranks: Ranks) -> Job:
        from camkit.training import segmentation
        from camkit.training.classify import mean_colour
        from camkit.training.loop import Job
        from camkit.view.learning_curve import draw_learning_curve

        network, fresh, _ = self.begun()
        channels_last = bool(getattr(network.backbone, "trains_channels_last", False))
        self._place(network, channels_last=channels_last)
        fill, seen = mean_colour(network.mean), self.input_size or seen_size(self.recipe)
        taught, arch, with_saliency = self.taught, str(self.start.arch), bool(self.taught.saliency)
        classes = f"{len(taught.classes)} classes"
        return Job(
            network=network,
            fresh=fresh,
            items=taught.lessons(taught.ids),
            load=partial(
                segmentation.load_sample, reading=taught.reading, augmentation=self.recipe.augmentation, fill=fill
            ),
            collate=partial(
                segmentation.collate, device=self.device, fill=fill, channels_last=channels_last,
                with_saliency=with_saliency,
            ),
            losses=partial(segmentation.losses, teaching=self.teaching, resizing=self.resizing, ranks=ranks),
            validate=None if self.judged is None else partial(
                judge_masks, judged=self.judged, view=view_size(None, seen), device=self.device, ranks=ranks,
                runtime=self.runtime,
            ),
            best_by=None if self.judged is None else self.judged.best_by,
            save=partial(_save_epoch, arch=arch, classes=taught.classes, input_size=seen, provenance=self.run),
            draw=partial(draw_learning_curve, title=f"{arch}, {classes}, {len(taught.ids)} training photos"),
            resting=_resting(network, self.recipe),
            watched=segmentation.WATCHED if with_saliency else (),
            groups=network.groups(),
            complete=agreement.with_quantiles,
            untold=agreement.SHARES,
        )  # fmt: skip

    def begun(self) -> Beginning:
        import torch

        from camkit.models.segmentation.checkpoint import begin_segmentation, new_segmentation

        torch.manual_seed(self.recipe.seed)
        start, classes = self.start, self.taught.classes
        arch = str(start.arch)
        if start.init is None:
            begun = new_segmentation(
                arch, str(self.trunk), classes, width=start.width, output_stride=start.output_stride
            )  # fmt: skip
            log.info("starting from random weights: %s on %s", arch, self.trunk)
        else:
            begun = begin_segmentation(start.init, arch, classes, output_stride=start.output_stride)
            fresh = f"made anew: {', '.join(begun.fresh)}" if begun.fresh else "nothing made anew"
            log.info("starting from %s: %s on %s, %s", start.init, arch, begun.network.trunk, fresh)
        return begun

    def _place(self, network: SegmentationNetwork, *, channels_last: bool) -> None:
        import torch

        network.to(self.device.torch_device)
        if channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it


def _resting(network: SegmentationNetwork, recipe: Recipe) -> list[str]:
    """What does not learn besides what the user named: the stem, if that is named, and norms the network keeps."""
    from camkit.training.resting import BatchNorm

    resting = []
    if STEM in recipe.freeze:
        names = getattr(network.backbone, "stem_names", None)
        if names is None:
            raise UsageError(f"--freeze {STEM}: {network.trunk} has none; name modules, such as backbone")
        resting = [f"backbone.{name}" for name in names]
    norms = (name for name, module in network.named_modules() if isinstance(module, BatchNorm))
    return [*resting, *(norms if network.frozen_norms else ())]


def _save_epoch(
    network: SegmentationNetwork,
    figures: Mapping[str, Any],
    path: Path,
    *,
    arch: str,
    classes: Sequence[str],
    input_size: int | None,
    provenance: Mapping[str, Any],
) -> None:
    from camkit.models.segmentation.checkpoint import save_segmentation

    extra = {"figures": dict(figures), "provenance": provenance}
    save_segmentation(path, network, arch=arch, classes=classes, input_size=input_size, extra=extra)
