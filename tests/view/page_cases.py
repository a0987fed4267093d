"""Methods and cards for the tests of the page, drawn and counted here."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from camkit.evaluate import PixelPrecisionAccumulator, SweepAccumulator, make_report
from camkit.evaluate.report import Report
from camkit.view.page import Card, Method
from tests.evaluate.cases import NUM_CLASSES, random_image

NAMES = ("cat", "dog", "horse", "zebra")


def report(
    seed: int = 0, *, thresholds: Sequence[float] = (0.1, 0.3, 0.5, 0.7), names: Sequence[str] = NAMES
) -> Report:
    """Six random images, swept over the thresholds; the first one of a single threshold is fixed."""
    sweep, precision = SweepAccumulator(NUM_CLASSES, thresholds), PixelPrecisionAccumulator(NUM_CLASSES)
    for number in range(6):
        maps, classes, truth = random_image(10 * seed + number, count=1 + number % 2)
        sweep.update(maps, classes, truth)
        precision.update(maps, classes, truth)
    found = sweep.compute()
    return make_report(
        found.at(found.best),
        names,
        average_precision=precision.compute(),
        threshold=found.thresholds[found.best],
        threshold_choice="best of a sweep" if len(thresholds) > 1 else "fixed",
        sweep=found if len(thresholds) > 1 else None,
        split="val",
        truth="voc/SegmentationClass",
    )


def picture(shade: int, padding: int = 0) -> bytes:
    """A small JPEG in one grey; bytes after its end make it as large as a real one."""
    encoded = io.BytesIO()
    Image.new("RGB", (24, 18), (shade, shade, shade)).save(encoded, "JPEG")
    return encoded.getvalue() + np.random.default_rng(shade).bytes(padding)


def methods() -> list[Method]:
    """A swept one, a better swept one, and one of a fixed threshold."""
    return [
        Method("CAM", report(0), 12.3, "cam resnet50.pth"),
        Method("InferCam", report(1), 75, "infercam resnet50.pth"),
        Method("InferCam + CRF", report(2, thresholds=[0.4]), 4000, "infercam resnet50.pth → crf"),
    ]


def cards(count: int, columns: int = 3, padding: int = 0) -> Iterator[Card]:
    """Image i holds class i modulo 4; the IoU of method m on it is known: `iou(i, m)`."""
    for number in range(count):
        pictures = tuple(picture((40 * column + number) % 256, padding) for column in range(columns))
        ious = tuple(iou(number, column) for column in range(columns))
        classes = (NAMES[number % 4],)
        photo, truth = picture(number % 256, padding), picture(255 - number % 256)
        yield Card(f"2007_{number:06}", classes, photo, truth, pictures, ious, (180, 240))


def iou(number: int, column: int) -> float | None:
    """Scattered, and missing for every 50th image."""
    return None if number % 50 == 49 else ((number * 37 + column * 11) % 101) / 100
