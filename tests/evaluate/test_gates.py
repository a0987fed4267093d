import json
from typing import Any

import numpy as np
import pytest

from camkit.errors import GateError, InputError
from camkit.evaluate import ConfusionAccumulator, Report, check_gates, make_report


def report(**changes: Any) -> Report:
    """mIoU 0.5: half of 100 background pixels found, no other class."""
    accumulator = ConfusionAccumulator(2)
    prediction = np.repeat([0, 1], 50).astype(np.uint8)[None]
    truth = np.repeat([0, 1], [75, 25]).astype(np.uint8)[None]
    accumulator.update(prediction, truth)
    return make_report(accumulator.compute(), **({"class_names": ["cat", "dog"], "split": "val"} | changes))


def baseline(**changes: Any) -> dict[str, Any]:
    return json.loads(report().to_json()) | changes


MIOU = (50 / 75 + 25 / 50) / 2  # 58.3 %


def test_nothing_asked_nothing_checked() -> None:
    check_gates(report(), min_miou=None, baseline=None, max_drop=0)


@pytest.mark.parametrize("gate", [0.0, 0.583, MIOU])
def test_high_enough(gate: float) -> None:
    check_gates(report(), min_miou=gate, baseline=None, max_drop=0)


@pytest.mark.parametrize(("gate", "shown"), [(0.6, "60.0"), (0.58334, "58.334"), (1.0, "100.0")])
def test_too_low(gate: float, shown: str) -> None:
    with pytest.raises(GateError, match=rf"mIoU 58\.33?3? is below the gate {shown}"):
        check_gates(report(), min_miou=gate, baseline=None, max_drop=0)


@pytest.mark.parametrize(("before", "drop"), [(0.3, 0), (MIOU, 0), (MIOU + 0.02, 0.02)])
def test_dropped_little_enough(before: float, drop: float) -> None:
    check_gates(report(), min_miou=None, baseline=baseline(miou=before), max_drop=drop)


def test_dropped_too_far() -> None:
    with pytest.raises(GateError, match=r"mIoU 58\.3 is 2\.0 below the baseline's 60\.3 \(allowed: 1\.0\)"):
        check_gates(report(), min_miou=None, baseline=baseline(miou=MIOU + 0.02), max_drop=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not a report"),
        ({"version": 2}, "version 2"),
        ({"miou": "high"}, "not a fraction"),
        ({"miou": 43.1}, "not a fraction"),
        ({"classes": 5}, "damaged"),
        ({"unknown": 5}, "damaged"),
        ({"miou": None}, "no mIoU"),
        ({"split": "train"}, "'train'"),
    ],
)
def test_unusable_baseline(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_gates(report(), min_miou=None, baseline=baseline(**changes), max_drop=0.1)


def test_baseline_of_other_classes() -> None:
    with pytest.raises(InputError, match="other classes"):
        check_gates(report(class_names=["cat", "cow"]), min_miou=None, baseline=baseline(), max_drop=0.1)


@pytest.mark.parametrize("gate", [{"min_miou": 0.1, "baseline": None}, {"min_miou": None, "baseline": baseline()}])
def test_images_without_a_prediction_meet_no_gate_unless_allowed(gate: dict[str, Any]) -> None:
    partial = report(missing_predictions=["a", "b"])
    with pytest.raises(
        GateError, match=r"^the gate is not met: 2 images have .* no prediction: a, b\n.*--list.*--allow-missing$"
    ):
        check_gates(partial, **gate, max_drop=0)
    check_gates(partial, **gate, max_drop=0, allow_missing=True)
    check_gates(partial, min_miou=None, baseline=None, max_drop=0)
    with pytest.raises(GateError, match="below the gate"):
        check_gates(partial, min_miou=0.9, baseline=None, max_drop=0, allow_missing=True)


def test_nothing_measured_meets_no_gate() -> None:
    empty = make_report(ConfusionAccumulator(2).compute(), ["cat", "dog"])
    with pytest.raises(GateError, match="no mIoU"):
        check_gates(empty, min_miou=0.1, baseline=None, max_drop=0)
