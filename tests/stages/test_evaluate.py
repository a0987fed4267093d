"""Stores of every kind against the ground truth, end to end, against the slow reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camkit import Activation, Header, Output, Runtime, Writer, evaluate_predictions, mask
from camkit.data.exchange.source import MEMO
from camkit.data.masks import write_mask
from camkit.errors import InputError, UsageError
from camkit.evaluate.bootstrap import mean_iou
from camkit.stages.evaluate import compare_predictions
from camkit.stages.measuring import judge_predictions
from camkit.types import no_classes
from camkit.upsample import upsample
from tests.reference import sweep as reference
from tests.reference.average_precision import average_precision

CLASSES = ("ant", "bee", "cat")
SIZES = {"a": (9, 14), "b/c": (12, 8), "d": (10, 10), "e": (7, 7)}
Make = Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def present(rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.choice(3, rng.integers(0, 4), replace=False)).astype(np.int64)


def maps(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    classes = present(rng)
    values = rng.random((len(classes), -(-size[0] // 4), -(-size[1] // 4)))
    return values.astype(np.float16).astype(np.float32), classes


def signed(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    values, classes = maps(rng, size)
    return (2 * values - 1).astype(np.float16).astype(np.float32), classes


def probs(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    classes = present(rng)
    values = rng.random((1 + len(classes), *size)) + 0.1
    return (values / values.sum(axis=0)).astype(np.float16).astype(np.float32), classes


def masks(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return rng.choice([0, 1, 2, 3, 255], size).astype(np.uint8), no_classes()


def write_store(path: Path, kind: str, make: Make) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    made = {id: make(np.random.default_rng(n), size) for n, (id, size) in enumerate(SIZES.items())}
    with Writer(path, Header(kind, CLASSES, ""), list(SIZES)) as writer:
        for id, (values, classes) in made.items():
            writer.write(Activation(id, values, classes, SIZES[id]))
        writer.finish()
    return made


@pytest.fixture
def truths(tmp_path: Path) -> dict[str, np.ndarray]:
    """Ground truth in tmp_path/truth."""
    rng = np.random.default_rng(9)
    drawn = {id: rng.choice([0, 1, 2, 3, 255], size, p=[0.4, 0.2, 0.2, 0.1, 0.1]) for id, size in SIZES.items()}
    for id, truth in drawn.items():
        path = tmp_path / "truth" / f"{id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mask(path, truth.astype(np.uint8))
    return {id: truth.astype(np.uint8) for id, truth in drawn.items()}


def slow_mean_iou(predictions: list[np.ndarray], truths: list[np.ndarray]) -> float:
    matrix, _, _ = reference.confusion(predictions, truths, len(CLASSES))
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
    return float(np.mean([matrix[c, c] / union[c] for c in range(len(union)) if union[c]]))


def test_maps_at_every_threshold_equal_a_mask_per_threshold(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    made = write_store(tmp_path / "maps.h5", "maps", maps)
    report, failures = evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth")
    assert not failures
    assert len(report.curve) == 100
    slow = []
    for point in report.curve:
        predictions = [
            reference.threshold_mask(upsample(values, SIZES[id]), classes, point.threshold, SIZES[id])
            for id, (values, classes) in made.items()
        ]
        slow.append(slow_mean_iou(predictions, list(truths.values())))
    assert [point.miou for point in report.curve] == slow
    assert report.miou == max(slow)
    fixed, _ = evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth", thresholds=[report.threshold or 0])
    assert fixed.miou == report.miou
    assert fixed.threshold_choice == "fixed"
    assert not fixed.curve


def test_signed_scores_are_judged_as_seeds(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    made = write_store(tmp_path / "icd.h5", "signed", signed)
    report, _ = evaluate_predictions([tmp_path / "icd.h5"], tmp_path / "truth", margins=[0.3])
    assert [row.margin for row in report.seeds] == [0.0, 0.3]
    for row in report.seeds:
        seeds = [
            reference.seed_mask(upsample(values, SIZES[id]), classes, row.margin, SIZES[id])
            for id, (values, classes) in made.items()
        ]
        assert row.miou == slow_mean_iou(seeds, list(truths.values()))
    assert report.miou == report.seeds[0].miou
    for number, row in enumerate(report.classes[1:]):
        scores, positive = [], []
        for id, (values, classes) in made.items():
            for plane in upsample(values, SIZES[id])[classes == number]:
                known = truths[id] != 255
                scores += plane[known].astype(np.float16).tolist()
                positive += (truths[id][known] == number + 1).tolist()
        assert row.average_precision == pytest.approx(average_precision(scores, positive))


def test_parts_of_signed_scores_are_those_of_their_seeds(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_store(tmp_path / "icd.h5", "signed", signed)
    for id, truth in truths.items():
        path = tmp_path / "parts" / f"{id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mask(path, ((truth > 0) & (truth < 255)).astype(np.uint8))
    mask(tmp_path / "icd.h5", Output(tmp_path / "seeds.h5"))
    of_scores, of_seeds = (
        evaluate_predictions(tmp_path / name, tmp_path / "truth", parts=tmp_path / "parts")[0].parts
        for name in ("icd.h5", "seeds.h5")
    )
    assert of_scores == of_seeds
    assert of_scores[0].pixels > 50


def test_probabilities_and_masks(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    made = write_store(tmp_path / "probs.h5", "probs", probs)
    report, _ = evaluate_predictions([tmp_path / "probs.h5"], tmp_path / "truth")
    predictions = [np.concatenate([[0], classes + 1])[values.argmax(axis=0)] for values, classes in made.values()]
    assert report.miou == slow_mean_iou(predictions, list(truths.values()))
    made = write_store(tmp_path / "masks.h5", "masks", masks)
    report, _ = evaluate_predictions([tmp_path / "masks.h5"], tmp_path / "truth")
    assert report.miou == slow_mean_iou([values for values, _ in made.values()], list(truths.values()))
    assert 0.1 < report.undecided < 0.3


def test_options_without_effect_are_refused(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    for kind, make in (("maps", maps), ("signed", signed), ("probs", probs), ("masks", masks)):
        write_store(tmp_path / f"{kind}.h5", kind, make)

    def refused(kind: str, **options: Any) -> str:
        with pytest.raises(UsageError, match=r"^--") as caught:
            evaluate_predictions(tmp_path / f"{kind}.h5", tmp_path / "truth", **options)
        return str(caught.value)

    for kind in ("signed", "probs", "masks"):
        assert refused(kind, thresholds=[0.5]) == f"--threshold is for maps, but {tmp_path / kind}.h5 holds {kind}"
        assert refused(kind, curve=True).endswith(f"holds {kind}")
    for kind in ("maps", "probs", "masks"):
        assert refused(kind, margins=[0.5]).endswith(f"{kind}.h5 holds {kind}")
    assert refused("maps", thresholds=[0.5], curve=True) == "--curve needs more than the one --threshold"
    with pytest.raises(UsageError, match="truth holds masks"):
        evaluate_predictions(tmp_path / "truth", tmp_path / "truth", thresholds=[0.5], classes="voc")
    report, _ = evaluate_predictions(tmp_path / "maps.h5", tmp_path / "truth", thresholds=[0.2, 0.5], curve=True)
    assert len(report.curve) == 2


def test_paths_may_be_text(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_store(tmp_path / "masks.h5", "masks", masks)
    expected, _ = evaluate_predictions([tmp_path / "masks.h5"], tmp_path / "truth")
    for sources in (str(tmp_path / "masks.h5"), [str(tmp_path / "masks.h5")]):
        assert evaluate_predictions(sources, str(tmp_path / "truth"))[0] == expected


def test_what_cannot_be_judged(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_store(tmp_path / "scores.h5", "scores", lambda rng, size: (rng.random(3).astype(np.float32), no_classes()))
    with pytest.raises(UsageError, match="scores store says nothing about pixels"):
        evaluate_predictions([tmp_path / "scores.h5"], tmp_path / "truth")
    write_store(tmp_path / "maps.h5", "maps", maps)
    with pytest.raises(InputError, match=r"no image in common.*a, b/c, d"):
        evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth" / "b")
    with pytest.raises(UsageError, match="a store knows its own"):
        evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth", classes="voc")
    with pytest.raises(UsageError, match="ascending"):
        evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth", thresholds=[0.5, 0.2])


@pytest.mark.parametrize(("kind", "make"), [("maps", maps), ("signed", signed), ("probs", probs), ("masks", masks)])
def test_photo_by_photo_the_counts_are_those_of_the_whole(
    kind: str, make: Make, truths: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write_store(tmp_path / "s.h5", kind, make)
    judged = judge_predictions([tmp_path / "s.h5"], tmp_path / "truth", Runtime(), interval=True)
    assert judged.tallies is not None
    assert set(judged.tallies.ids) == set(SIZES)
    assert float(mean_iou(judged.tallies.counts.sum(axis=0))) == pytest.approx(judged.report.miou, abs=1e-12)
    assert judged.report.interval is not None
    assert judged.report.interval.low <= judged.report.interval.high


def test_means_over_chosen_classes_choose_the_threshold_too(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_store(tmp_path / "maps.h5", "maps", maps)
    everything, _ = evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth")
    report, _ = evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth", mean_over=["cat", "Bee"])
    assert report.mean_over == ("background", "bee", "cat")
    rows = {row.name: row.iou for row in report.classes}
    assert report.miou == pytest.approx(np.mean([rows[name] for name in report.mean_over]))
    means = []
    for point in everything.curve:
        at, _ = evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth", thresholds=[point.threshold])
        ious = {row.name: row.iou for row in at.classes}
        means.append(np.mean([ious[name] for name in report.mean_over]))
    assert report.miou == pytest.approx(max(means))
    for names, told in ((["zebra"], "not among the classes"), (["background"], "name at least one class")):
        with pytest.raises(UsageError, match=told):
            evaluate_predictions([tmp_path / "maps.h5"], tmp_path / "truth", mean_over=names)


def test_methods_are_compared_on_the_photos_they_share(truths: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_store(tmp_path / "a.h5", "maps", maps)
    write_store(tmp_path / "b.h5", "probs", probs)
    (tmp_path / "few").mkdir()
    for id in list(SIZES)[:3]:
        path = tmp_path / "few" / f"{id}.png"
        path.parent.mkdir(exist_ok=True)
        write_mask(path, truths[id])
    (tmp_path / "few" / MEMO).write_text(json.dumps({"classes": CLASSES}))
    comparison, failures = compare_predictions([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "truth")
    assert not failures
    first, second = comparison.reports
    assert comparison.names == ("a", "b")
    (difference,) = comparison.differences
    assert difference.miou == pytest.approx(second.miou - first.miou)  # type: ignore[operator]
    assert json.loads(comparison.to_json())["differences"][0]["interval"]["low"] <= difference.miou
    stores = [tmp_path / "few", tmp_path / "a.h5"]
    fewer, _ = compare_predictions(stores, tmp_path / "truth")
    assert [report.images for report in fewer.reports] == [3, 3]
    assert fewer.reports[0].miou == 1
