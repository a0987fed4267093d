"""Gates for continuous integration: stop when a result is too low, or lower than it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camkit.errors import GateError, InputError
from camkit.evaluate.report import Missing, Report, report_from


def check_gates(
    report: Report,
    *,
    min_miou: float | None,
    baseline: Mapping[str, Any] | None,
    max_drop: float,
    allow_missing: bool = False,
) -> None:
    """Raise GateError unless mIoU is at least `min_miou` and at most `max_drop` below the baseline's.

    Nor is a gate met where images have no prediction, unless `allow_missing`: leaving out the hard ones raises mIoU.
    Both figures are fractions. `baseline` is the parsed JSON of an earlier report on the same split and classes.
    """
    if min_miou is None and baseline is None:
        return
    if report.miou is None:
        raise GateError("there is no mIoU to hold against the gate: no pixel has a ground truth")
    if not allow_missing:
        _check_complete(report.missing_predictions)
    if min_miou is not None:
        _check_least(report.miou, min_miou)
    if baseline is not None:
        _check_drop(report, report_from(baseline), max_drop)


def _check_complete(missing: Missing) -> None:
    if not missing.count:
        return
    have = "image has" if missing.count == 1 else "images have"
    named = ", ".join(missing.examples) + (", …" if missing.count > len(missing.examples) else "")
    raise GateError(
        f"the gate is not met: {missing.count:,} {have} a ground truth but no prediction: {named}\n"
        "predict them, choose others with --list, or judge the rest with --allow-missing"
    )


def _check_least(miou: float, least: float) -> None:
    if miou < least:
        raise GateError(f"mIoU {_percent(miou, least)} is below the gate {_percent(least, miou)}")


def _check_drop(report: Report, before: Report, allowed: float) -> None:
    if report.miou is None or before.miou is None:
        raise InputError("the baseline has no mIoU; make it from a run whose images have a ground truth")
    if [row.name for row in before.classes] != [row.name for row in report.classes]:
        raise InputError("the baseline was measured on other classes; make a new one with --json")
    if before.split != report.split:
        raise InputError(f"the baseline was measured on {before.split!r}, this is {report.split!r}; make a new one")
    drop = before.miou - report.miou
    # Decimal fractions are not exact in binary: a drop of exactly the allowed 0.02 must pass.
    if drop > allowed + 1e-12:
        now, then = _percent(report.miou, before.miou), _percent(before.miou, report.miou)
        raise GateError(
            f"mIoU {now} is {_percent(drop, allowed)} below the baseline's {then} (allowed: {_percent(allowed, drop)})"
        )


def _percent(fraction: float, other: float) -> str:
    """Percent with one decimal, or as many as it takes to tell the two apart."""
    for digits in range(1, 6):
        if f"{100 * fraction:.{digits}f}" != f"{100 * other:.{digits}f}":
            return f"{100 * fraction:.{digits}f}"
    return f"{100 * fraction:.1f}"
