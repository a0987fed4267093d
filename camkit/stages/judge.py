"""How well a network that is being trained knows photos it does not learn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from camkit.data.images import pick_images
from camkit.errors import InputError, LabelError, UsageError
from camkit.evaluate.precision import mean_average_precision
from camkit.pipeline.device import Device
from camkit.pipeline.output import Runtime
from camkit.pipeline.photos import ViewSize, load_photos
from camkit.pipeline.progress import show_progress
from camkit.pipeline.run import map_records
from camkit.pipeline.select import Inputs, Selection, select
from camkit.settings.recipe import LossOver
from camkit.stages.network import scores_of_batch
from camkit.types import Activation

if TYPE_CHECKING:
    from camkit.models.classifier import ClassifierNetwork
    from camkit.training.ranks import Ranks

BEST_BY = "mean_average_precision"


def split(
    training: Selection, validation: Inputs | float | None, classes: tuple[str, ...], seed: int
) -> tuple[Selection, Selection | None]:
    """What is learned from, and what it is judged by: photos of their own, or a share of those, drawn by the seed."""
    if validation is None:
        return training, None
    if not isinstance(validation, float):
        return training, select_to_judge(validation, classes)
    order = sorted(training.ids, key=lambda id: hashlib.sha256(f"{seed}/{id}".encode()).digest())
    count = max(1, round(validation * len(order)))
    if count >= len(order):
        raise UsageError(f"--val {validation:g} of {len(order)} photos leaves none to learn from")
    judged, learned = (pick_images(training.images, ids) for ids in (order[:count], order[count:]))
    return replace(training, images=learned), replace(training, images=judged)


def select_to_judge(validation: Inputs, classes: tuple[str, ...]) -> Selection:
    judged = select(validation, classes)
    if judged.labels is None:
        raise LabelError(f"judging on {validation.images} needs image-level labels of it: give --val-labels")
    return judged


@dataclass(frozen=True)
class Scores:
    """Takes the scores [C] of photos, by id."""

    by_id: dict[str, np.ndarray] = field(default_factory=dict)

    def write(self, activation: Activation) -> None:
        self.by_id[activation.id] = activation.values

    def fail(self, id: str, message: str) -> None:
        """A photo that cannot be read is left out; the warning has been given."""


def judge(
    network: ClassifierNetwork,
    *,
    selection: Selection,
    view: ViewSize,
    loss_over: LossOver,
    device: Device,
    ranks: Ranks,
    runtime: Runtime,
) -> dict[str, float]:
    """Loss and mean average precision on the photos of a selection, over the classes that some of them have."""
    from camkit.training.classify import validation_loss

    assert selection.labels is not None
    own = selection.ids[ranks.rank :: ranks.count]
    scores = Scores()
    with show_progress("validation", len(own)) as progress:
        photos = load_photos(own, selection, view, workers=runtime.workers)
        step = partial(scores_of_batch, classifier=network, device=device)
        map_records(
            photos, step, scores,
            progress=progress, batch_size=device.batch_size(None), on_error=runtime.on_error,
        )  # fmt: skip
    everything = {id: row for part in ranks.gather(scores.by_id) for id, row in part.items()}
    if not everything:
        raise InputError("none of the validation photos can be read; see the warnings above")
    table = np.stack([everything[id] for id in sorted(everything)])
    truth = np.zeros(table.shape, np.int64)
    for row, id in zip(truth, sorted(everything), strict=True):
        row[list(selection.labels.present[id])] = 1
    return {
        "validation_loss": validation_loss(table, truth, loss_over),
        BEST_BY: mean_average_precision(table, truth)[0],
    }
