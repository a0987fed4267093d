"""How well a segmentation network that is being trained does on photos it does not learn from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.data.images import ImageSet, find_images
from camkit.data.masks import find_masks, read_mask
from camkit.data.reading import examples
from camkit.errors import CamkitError, InputError
from camkit.evaluate import metrics
from camkit.evaluate.confusion import ConfusionAccumulator, check_same_size
from camkit.pipeline.device import Device, inference
from camkit.pipeline.load import Failure
from camkit.pipeline.output import Runtime
from camkit.pipeline.photos import ViewSize, load_photos
from camkit.pipeline.progress import show_progress
from camkit.pipeline.run import fold_records
from camkit.pipeline.select import Selection
from camkit.stages.network import stack_images
from camkit.stages.pseudo_masks import PseudoMasks
from camkit.types import Record

if TYPE_CHECKING:
    from camkit.models.segmentation.network import SegmentationNetwork
    from camkit.training.ranks import Ranks

log = logging.getLogger("camkit")

BEST_BY = "mean_iou"
LOSS = "validation_loss"


@dataclass(frozen=True)
class Validation:
    """Photos to judge by. masks: ground truth; None: a VOC root's own, else what the photos' pseudo masks say."""

    list: str | None
    images: Path | None = None
    masks: Path | None = None


@dataclass(frozen=True, eq=False)
class JudgedPhotos:
    """reference: of a photo the mask that it is judged by; true: that is ground truth, not a pseudo mask."""

    selection: Selection
    reference: Callable[[str], np.ndarray]
    true: bool

    @property
    def best_by(self) -> str:
        return BEST_BY if self.true else LOSS


def photos_to_judge(wanted: Validation, taught: PseudoMasks) -> JudgedPhotos:
    images = find_images(wanted.images or _root(taught.photos), wanted.list)
    folder = wanted.masks or (images.voc.masks if images.voc else None)
    truth = {} if folder is None else find_masks(folder)
    selection = Selection(images, taught.classes, None, (0, 1))
    missing = [id for id in selection.ids if id not in truth]
    if len(missing) < len(selection.ids):
        if missing:
            told = f"{len(missing)} of {len(selection.ids)} photos: {examples(missing)}"
            raise InputError(f"{folder} has no mask of {told}\nname with --val those that have one")
        return JudgedPhotos(selection, lambda id: read_mask(truth[id]), true=True)
    if wanted.masks is not None:
        raise InputError(
            f"{folder} has no mask of any photo of --val: {examples([*truth])} against {examples(missing)}"
        )
    known = frozenset(taught.source.ids)
    unknown = [id for id in selection.ids if id not in known]
    if unknown:
        raise InputError(
            f"{len(unknown)} photos of --val have neither a true mask nor a pseudo mask: {examples(unknown)}\n"
            "give --val-masks FOLDER"
        )
    log.info("no ground truth of --val: judged by the loss against pseudo masks")
    return JudgedPhotos(selection, lambda id: _pseudo_mask(taught, id), true=False)


def _root(photos: ImageSet) -> Path:
    return photos.voc.root if photos.voc else photos.root


def _pseudo_mask(taught: PseudoMasks, id: str) -> np.ndarray:
    found = taught.source.read(id)
    if isinstance(found, Failure):
        raise found.error
    return taught.reading.mask(found)


@dataclass(eq=False)
class MaskJudge:
    """Sees photos with a mask one by one; counts what is right, and sums the cross entropy of pixels."""

    network: SegmentationNetwork
    device: Device
    confusion: ConfusionAccumulator
    losses: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def update(self, record: Record) -> None:
        import torch

        from camkit.methods import segmentation as method
        from camkit.methods.response import normalised

        assert record.truth is not None
        check_same_size(record.size, record.truth.shape, "the photo")
        network = self.network
        with inference(self.device):
            logits = network.logits(normalised(stack_images([record], self.device), network.mean, network.std))
            fine = method.to_photo(
                logits.float(), record.size, corners=network.corners, multiple=network.padded_grid
            )  # fmt: skip
            found = fine[0].argmax(0).to(torch.uint8).cpu().numpy()
            self.confusion.update(found, record.truth)
            known = np.where(record.truth <= network.num_classes, record.truth, method.IGNORED).astype(np.int64)
            labels = torch.from_numpy(known)[None].to(self.device.torch_device)
            sums, counts = method.label_losses(fine, labels)
        self.losses = [old + float(new) for old, new in zip(self.losses, (sums[0], counts[0]), strict=True)]

    def compute(self) -> MaskJudge:
        return self


def judge_masks(
    network: SegmentationNetwork, *, judged: JudgedPhotos, view: ViewSize, device: Device, ranks: Ranks,
    runtime: Runtime,
) -> dict[str, float]:  # fmt: skip
    """At one scale: the mean loss of pixels, and where there is ground truth the mean IoU."""
    own = judged.selection.ids[ranks.rank :: ranks.count]
    judge = MaskJudge(network, device, ConfusionAccumulator(network.num_classes))
    with show_progress("validation", len(own)) as progress:
        records = _with_reference(own, judged, view, runtime)
        fold_records(records, judge, progress=progress, on_error=runtime.on_error)
    everything = ConfusionAccumulator(network.num_classes)
    parts: Sequence[Any] = ranks.gather((judge.confusion, judge.losses))
    for confusion, _ in parts:
        everything.merge(confusion)
    total, pixels = (sum(losses[n] for _, losses in parts) for n in range(2))
    if not pixels:
        raise InputError("none of the validation photos can be judged; see the warnings above")
    figures = {LOSS: total / pixels}
    if judged.true:
        figures[BEST_BY] = float(metrics.mean(metrics.iou(everything.compute().matrix)))
    return figures


def _with_reference(
    ids: Sequence[str], judged: JudgedPhotos, view: ViewSize, runtime: Runtime
) -> Iterator[Record | Failure]:
    for record in load_photos(ids, judged.selection, view, workers=runtime.workers):
        if isinstance(record, Failure):
            yield record
            continue
        try:
            yield replace(record, truth=judged.reference(record.id))
        except CamkitError as error:
            yield Failure(record.id, error)
