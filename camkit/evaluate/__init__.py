"""Confusion matrices, threshold sweeps and average precision, from numpy arrays alone."""

from camkit.evaluate.confusion import Confusion, ConfusionAccumulator
from camkit.evaluate.gates import check_gates
from camkit.evaluate.precision import PixelPrecisionAccumulator, average_precision, mean_average_precision
from camkit.evaluate.render import render_table
from camkit.evaluate.report import Report, make_report, write_csv
from camkit.evaluate.seeds import SignedSeedAccumulator
from camkit.evaluate.sweep import DEFAULT_THRESHOLDS, Sweep, SweepAccumulator

__all__ = [
    "DEFAULT_THRESHOLDS",
    "Confusion",
    "ConfusionAccumulator",
    "PixelPrecisionAccumulator",
    "Report",
    "SignedSeedAccumulator",
    "Sweep",
    "SweepAccumulator",
    "average_precision",
    "check_gates",
    "make_report",
    "mean_average_precision",
    "render_table",
    "write_csv",
]
