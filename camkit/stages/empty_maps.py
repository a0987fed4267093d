"""Maps that are 0 everywhere, and masks of them: counted while a step runs, and said when it has ended."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from camkit.pipeline.run import Step
from camkit.types import Activation, Record

log = logging.getLogger("camkit")

SHOWN_CLASSES = 6
UNSEEN = "the classifier does not see the tagged class; train longer, see camkit classify --labels"
NO_LEVEL = "nothing in their maps is above --threshold {threshold:g}: give a lower one, or see camkit show"


@dataclass(eq=False)
class CountsEmptyMaps:
    """A step of maps that counts, of what it makes, the images with a map that is all 0, and these maps by class."""

    step: Step
    images: int = 0
    empty: int = 0
    by_class: Counter[int] = field(default_factory=Counter)

    def __call__(self, batch: Sequence[Record]) -> Sequence[Activation]:
        made = self.step(batch)
        for activation in made:
            nothing = activation.classes[~activation.values.reshape(len(activation.classes), -1).any(axis=1)]
            self.images += 1
            self.empty += bool(len(nothing))
            self.by_class.update(nothing.tolist())
        return made

    def say(self, names: Sequence[str]) -> None:
        if not self.empty:
            return
        most = self.by_class.most_common(SHOWN_CLASSES)
        more = ", …" if len(self.by_class) > len(most) else ""
        classes = ", ".join(f"{names[index]} {count:,}" for index, count in most) + more
        log.warning(
            "the maps of %s of %s images are all 0 (%s): %s", f"{self.empty:,}", f"{self.images:,}", classes, UNSEEN
        )


@dataclass(eq=False)
class CountsEmptyMasks:
    """A step of masks of thresholded maps that counts those in which no pixel got a class that the image has."""

    step: Step
    images: int = 0
    empty: int = 0

    def __call__(self, batch: Sequence[Record]) -> Sequence[Activation]:
        made = self.step(batch)
        tagged = [record for record in batch if record.upstream is not None and len(record.upstream.classes)]
        lost = {record.id for record in tagged}
        self.images += len(made)
        self.empty += sum(one.id in lost and not np.any(one.values) for one in made)
        return made

    def say(self, threshold: float) -> None:
        if self.empty:
            log.warning(
                "%s of %s masks are background alone: %s",
                f"{self.empty:,}", f"{self.images:,}", NO_LEVEL.format(threshold=threshold),
            )  # fmt: skip
