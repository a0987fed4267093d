from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.agreement import MEAN, SHARES
from camkit.errors import OutputError, UsageError
from camkit.view.chart import BLUE, GREEN, VERMILION
from camkit.view.learning_curve import BOTTOM, GAP, LEFT, PANEL, RIGHT, TOP, WIDTH, draw_learning_curve

Row = Mapping[str, float | None]

SECOND = TOP + PANEL + GAP


def rows(count: int, *, every: int = 1) -> list[Row]:
    """Validated every so many epochs; mAP is best at epoch 6."""
    return [
        {
            "epoch": epoch,
            "loss": 2.0 / epoch,
            "learning_rate": 0.1,
            "validation_loss": 2.4 / epoch if epoch % every == 0 else None,
            "mean_average_precision": 0.9 - 0.02 * abs(epoch - 6) if epoch % every == 0 else None,
        }
        for epoch in range(1, count + 1)
    ]


def drawn(history: Sequence[Row], path: Path) -> np.ndarray:
    draw_learning_curve(history, path, title="resnet18")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def of_colour(picture: np.ndarray, colour: str) -> np.ndarray:
    """Where it shows inside the panels' width, names left out."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return np.abs(picture[:, : WIDTH - RIGHT + 8] - wanted).max(axis=-1) < 12


@pytest.mark.parametrize("every", [1, 2, 3])
def test_two_panels_and_the_best_epoch(every: int, tmp_path: Path) -> None:
    picture = drawn(rows(12, every=every), tmp_path / "curve.png")
    assert picture.shape == (SECOND + PANEL + BOTTOM, WIDTH, 3)
    assert of_colour(picture[TOP : TOP + PANEL], BLUE).any()
    assert of_colour(picture[TOP : TOP + PANEL], VERMILION).any()
    assert of_colour(picture[SECOND : SECOND + PANEL], BLUE).any()
    assert not of_colour(picture[SECOND : SECOND + PANEL], VERMILION).any()
    first = every
    best = round(LEFT + (6 - 1) / 11 * (WIDTH - LEFT - RIGHT))
    dashes = (picture[SECOND : SECOND + PANEL, best - 1 : best + 2].mean(axis=2).min(axis=1) < 200).mean()
    assert 0.3 < dashes < 0.8
    left = round(LEFT + (first - 1) / 11 * (WIDTH - LEFT - RIGHT))
    columns = np.nonzero(of_colour(picture[SECOND : SECOND + PANEL], BLUE).any(axis=0))[0]
    assert abs(columns.min() - left) <= 3


def test_one_epoch_is_a_dot(tmp_path: Path) -> None:
    picture = drawn(rows(1), tmp_path / "curve.png")
    middle = (LEFT + WIDTH - RIGHT) / 2
    for panel, colour in ((TOP, BLUE), (TOP, VERMILION), (SECOND, BLUE)):
        columns = np.nonzero(of_colour(picture[panel : panel + PANEL], colour))[1]
        assert abs(columns.mean() - middle) < 2


@pytest.mark.parametrize(
    "history",
    [
        [{"epoch": epoch, "loss": 1 / epoch, "learning_rate": 0.1} for epoch in range(1, 4)],
        [{"epoch": 1, "loss": 1.0, "learning_rate": 0.1, "mean_average_precision": None}],
        [{"epoch": 1, "loss": 0.0}, {"epoch": 2, "loss": 0.0}],
        [{"epoch": 1, "loss": -2.0}, {"epoch": 2, "loss": -3.0}],
        [{"epoch": 1, "loss": 1e6}, {"epoch": 2, "loss": 1e-6}],
    ],
)
def test_without_precision_there_is_one_panel(history: list[Row], tmp_path: Path) -> None:
    picture = drawn(history, tmp_path / "curve.png")
    assert picture.shape == (TOP + PANEL + BOTTOM, WIDTH, 3)
    assert of_colour(picture, BLUE).any()


@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.0, 1.0), (0.999, 1.0), (0.35, 0.3)])
def test_every_precision_fits(values: tuple[float, float], tmp_path: Path) -> None:
    history = [{"epoch": epoch, "mean_average_precision": value} for epoch, value in enumerate(values, 1)]
    picture = drawn(history, tmp_path / "curve.png")
    rows = np.nonzero(of_colour(picture, BLUE))[0]
    assert TOP - 9 <= rows.min() <= rows.max() <= TOP + PANEL + 9


def test_how_well_saliency_fits_is_a_panel_of_steps(tmp_path: Path) -> None:
    shares = dict(zip(SHARES, (0.0, 0.25, 0, 0, 0, 0, 0, 0, 0.75, 0), strict=True))
    history = [{**row, MEAN: 0.65, **shares} for row in rows(4)]
    picture = drawn(history, tmp_path / "curve.png")
    top = SECOND + PANEL + GAP
    assert picture.shape == (top + PANEL + BOTTOM, WIDTH, 3)
    steps = of_colour(picture[top : top + PANEL], GREEN)
    highest = [steps[:, round(LEFT + (part + 0.5) / 10 * (WIDTH - LEFT - RIGHT))].argmax() for part in (1, 8)]
    assert highest == pytest.approx([PANEL * 2 / 3, 0], abs=3)


def test_diverged_epochs_are_left_out(tmp_path: Path) -> None:
    history = [*rows(4), {"epoch": 5, "loss": math.nan}, {"epoch": 6, "loss": math.inf}]
    np.testing.assert_array_equal(drawn(history, tmp_path / "a.png"), drawn(rows(4), tmp_path / "b.png"))


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    drawn(rows(5), tmp_path / "a.png")
    drawn(rows(5)[::-1], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("history", [[], [{"epoch": 1, "loss": None}], [{"epoch": 1, "loss": math.nan}]])
def test_nothing_to_draw(history: list[Row], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one epoch"):
        draw_learning_curve(history, tmp_path / "curve.png")
    assert not list(tmp_path.iterdir())


def test_unwritable_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing"):
        draw_learning_curve(rows(2), tmp_path / "missing" / "curve.png")
