from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.errors import OutputError, UsageError
from camkit.evaluate.report import CurvePoint
from camkit.view.curve import BOTTOM, HEIGHT, LEFT, LINES, RIGHT, TOP, WIDTH, draw_curve


def curve(count: int = 20, top: float = 0.5) -> list[CurvePoint]:
    shares = np.linspace(0, 0.95, count).tolist()
    return [CurvePoint(x, top * 4 * x * (1 - x), top * x, top * (1 - x)) for x in shares]


def drawn(points: list[CurvePoint], path: Path) -> np.ndarray:
    draw_curve(points, path, title="cams.h5 on val")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def shows(picture: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((np.abs(picture.astype(int) - wanted).max(axis=-1) < 12).any())


@pytest.mark.parametrize("points", [curve(), curve(2), curve(top=1.0), curve(top=0.0), curve(top=0.004)])
def test_draws_all_lines(points: list[CurvePoint], tmp_path: Path) -> None:
    picture = drawn(points, tmp_path / "curve.png")
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert all(shows(picture, colour) for _, _, colour, _ in LINES)


def test_best_threshold_is_marked(tmp_path: Path) -> None:
    points = curve(20)
    picture = drawn(points, tmp_path / "curve.png")
    best = max(points, key=lambda point: point.miou or 0)
    column = round(LEFT + best.threshold / points[-1].threshold * (WIDTH - LEFT - RIGHT))
    assert shows(picture[TOP - 5 : TOP + 12, column - 5 : column + 6], LINES[0][2])
    dashes = (picture[TOP : HEIGHT - BOTTOM, column - 1 : column + 2].mean(axis=(1, 2)) < 200).mean()
    assert 0.3 < dashes < 0.8
    np.testing.assert_array_equal(drawn(points, tmp_path / "again.png"), picture)


def test_one_threshold_is_no_curve(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two thresholds"):
        draw_curve(curve()[:1], tmp_path / "curve.png")
    with pytest.raises(UsageError, match="two thresholds"):
        draw_curve([CurvePoint(0.1, None, None, None)] * 5, tmp_path / "curve.png")


def test_unwritable_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing"):
        draw_curve(curve(), tmp_path / "missing" / "curve.png")
