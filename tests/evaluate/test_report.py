import io
import json
import re
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from camkit.errors import InputError
from camkit.evaluate import (
    PixelPrecisionAccumulator,
    Report,
    SignedSeedAccumulator,
    SweepAccumulator,
    make_report,
    metrics,
    render_table,
    write_csv,
)
from tests.evaluate.cases import NUM_CLASSES, random_image

NAMES = ["cat", "dog", "horse", "zebra"]


def full_report() -> Report:
    """A report with everything in it; no image has class 3."""
    sweep, seeds = SweepAccumulator(NUM_CLASSES, [0.1, 0.3, 0.5]), SignedSeedAccumulator(NUM_CLASSES, [0.0, 0.1])
    precision = PixelPrecisionAccumulator(NUM_CLASSES)
    for seed in range(6):
        maps, classes, truth = random_image(seed, count=1 + seed % 2)
        if 3 in classes:
            continue
        sweep.update(maps, classes, truth)
        precision.update(maps, classes, truth)
        seeds.update(maps - 0.5, classes, truth)
    found = sweep.compute()
    return make_report(
        found.at(found.best),
        NAMES,
        average_precision=precision.compute(),
        threshold=found.thresholds[found.best],
        threshold_choice="best of a sweep",
        sweep=found,
        seeds=dict(zip(seeds.margins, seeds.compute(), strict=True)),
        missing_predictions=[f"id{number:02}" for number in range(20)],
        missing_truth=["[bold]"],
        split="val",
        truth="voc/SegmentationClass",
        sources=["cams.h5"],
    )


@pytest.fixture(scope="module")
def report() -> Report:
    return full_report()


def printed(report: Report, width: int = 100) -> str:
    stream = io.StringIO()
    render_table(report, Console(file=stream, width=width))
    return stream.getvalue()


def tables(text: str) -> list[str]:
    """The lines of the tables: those that begin with a blank and hold something."""
    return [line for line in text.splitlines() if line.startswith(" ") and line.strip()]


@pytest.mark.parametrize("width", range(16, 101))
def test_figures_are_never_cut(report: Report, width: int) -> None:
    rows = tuple(replace(row, name=f"狗-{row.name}-of-a-long-name") for row in report.classes)
    shown = tables(printed(replace(report, classes=rows), width))
    assert max(map(cell_len, shown)) <= width
    assert not [line for line in shown if re.search(r"\d…", line) or line.rstrip().endswith("…")]
    ious = {f"{100 * row.iou:.1f}" for row in rows if row.iou is not None}
    assert ious <= {word for line in shown for word in line.split()}


def test_what_has_no_room_is_named(report: Report) -> None:
    assert "no room" not in printed(report, 60)
    narrow = printed(report, 40)
    assert "no room for FP, FN, pixel AP; --json has all" in narrow
    assert "no room for decided; --json has all" in narrow
    assert "precision recall" in narrow


def test_says_what_was_measured(report: Report) -> None:
    assert report.absent == ("zebra",)
    assert report.classes[0].name == "background"
    assert report.classes[4].iou is None
    assert report.threshold in (0.1, 0.3, 0.5)
    assert [point.threshold for point in report.curve] == [0.1, 0.3, 0.5]
    assert max(point.miou or 0 for point in report.curve) == report.miou
    assert sum(row.images for row in report.by_class_count) == report.images
    assert report.missing_predictions.count == 20
    assert report.missing_predictions.examples[0] == "id00"
    assert 0 < report.ignored < 1
    assert report.undecided == 0
    assert report.seeds[0].decided > report.seeds[1].decided


def test_means_are_over_the_rows(report: Report) -> None:
    present = [row for row in report.classes if row.iou is not None]
    assert report.miou == pytest.approx(np.mean([row.iou for row in present]))
    assert report.fp_rate == pytest.approx(np.mean([row.fp_rate for row in present[1:]]))
    averages = [row.average_precision for row in present if row.average_precision is not None]
    assert report.mean_average_precision == pytest.approx(np.mean(averages))


def test_json_round_trip(report: Report) -> None:
    assert Report.from_json(report.to_json()) == report
    assert json.loads(report.to_json())["format"] == "camkit evaluation"


def test_nothing_measured_is_null_not_nan() -> None:
    empty = make_report(SweepAccumulator(2, [0.3]).compute().at(0), ["a", "b"])
    assert empty.miou is None
    assert "NaN" not in empty.to_json()
    assert Report.from_json(empty.to_json()) == empty
    assert "mean" in printed(empty)


def test_table_fits_and_states_everything(report: Report) -> None:
    text = printed(replace(report, undecided=0.125))
    assert max(map(len, text.split("\n"))) < 100
    for words in (
        "cat",
        f"{100 * (report.miou or 0):.1f}",
        "pixel AP",
        "best of a sweep",
        "of val",
        "voc/SegmentationClass",
        "neither ground truth nor prediction: zebra",
        "no prediction for 20 ids, left out: id00, id01, id02, id03, id04, …",
        "no ground truth for 1 ids, left out: [bold]",
        "undecided: 12.5 %",
        "ignored in the ground truth",
        "seeds at ±",
    ):
        assert words in text


def test_table_without_average_precision(report: Report) -> None:
    assert "pixel AP" not in printed(replace(report, mean_average_precision=None))


def test_csv(report: Report) -> None:
    stream = io.StringIO()
    write_csv(report, stream)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "class,iou,precision,recall,fp_rate,fn_rate,average_precision,pixels"
    assert len(lines) == 1 + 5 + 1
    assert lines[5] == "zebra,,,,,,,0"
    assert float(lines[-1].split(",")[1]) == report.miou


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([field.name for field in fields(Report)]), json_values)
def test_damaged_reports_raise_nothing_but_input_errors(report: Report, key: str, value: object) -> None:
    data = json.loads(report.to_json()) | {key: value}
    with suppress(InputError):
        Report.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"format": "camkit evaluation"}', "[" * 100_000])
def test_other_json_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        Report.from_json(text)


def test_recall_of_seeds_counts_undecided_pixels() -> None:
    seeds = SignedSeedAccumulator(1, [0.1])
    scores = np.array([[[0.5, 0.0, -0.5, -0.5]]], dtype=np.float32)
    seeds.update(scores, np.array([0]), np.array([[1, 1, 0, 0]], dtype=np.uint8))
    (found,) = seeds.compute()
    row = make_report(found, ["cat"]).classes[1]
    assert (row.iou, row.recall, row.pixels) == (1, 0.5, 2)
    assert metrics.mean(metrics.iou(found.matrix)) == 1
