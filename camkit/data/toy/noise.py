"""Smooth random fields: coarse random grids, enlarged."""

from __future__ import annotations

import numpy as np
from PIL import Image

from camkit.types import Size


def grid_noise(rng: np.random.Generator, size: Size, cell: tuple[float, float]) -> np.ndarray:
    """[H, W] float32 of about normal values that vary over `cell` (rows, columns) pixels."""
    rows, columns = (int(np.ceil(side / max(step, 1.0))) + 1 for side, step in zip(size, cell, strict=True))
    grid = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32))
    return np.asarray(grid.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def fractal_noise(
    rng: np.random.Generator, size: Size, cell: tuple[float, float], octaves: int = 4, fade: float = 0.55
) -> np.ndarray:
    """[H, W] float32, mean near 0, deviation near 1: grids of half the cell and `fade` the height, added up."""
    field = np.zeros(size, np.float32)
    weight, total = 1.0, 0.0
    for octave in range(octaves):
        shrunk = (cell[0] / 2**octave, cell[1] / 2**octave)
        field += np.float32(weight) * grid_noise(rng, size, shrunk)
        total += (0.6 * weight) ** 2  # enlarging smooths: less than 1 is left of the deviation
        weight *= fade
        if max(shrunk) <= 1:
            break
    field /= np.float32(total**0.5)
    return field


def soft_step(values: np.ndarray, at: float, width: float) -> np.ndarray:
    """0 well below `at`, 1 well above."""
    clipped: np.ndarray = np.clip((values - at) / width + 0.5, 0, 1)
    return clipped
