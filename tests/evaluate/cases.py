"""Random small data sets for the tests of this folder."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

NUM_CLASSES = 4
Image = tuple[np.ndarray, np.ndarray, np.ndarray]
"""maps [C_i, H, W] float32, classes [C_i], truth [H, W]"""


@st.composite
def images(draw: st.DrawFn, levels: np.ndarray) -> Image:
    """Maps whose values are mostly exactly on, or next to, one of `levels`, so that ties and borders are common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    count = draw(st.integers(0, NUM_CLASSES))
    classes = np.sort(rng.choice(NUM_CLASSES, size=count, replace=False))
    maps = rng.choice(levels.astype(np.float32), size=(count, height, width))
    nudge = rng.integers(-1, 2, size=maps.shape)
    maps = np.where(nudge == 0, maps, np.nextafter(maps, np.where(nudge > 0, np.inf, -np.inf).astype(np.float32)))
    dtype, void = draw(st.sampled_from([(np.uint8, 255), (np.uint16, 65535)]))
    labels = [0, void, *(draw(st.sets(st.integers(1, NUM_CLASSES))))]
    return maps.astype(np.float32), classes, rng.choice(np.array(labels), size=(height, width)).astype(dtype)


def random_image(seed: int, *, size: tuple[int, int] = (40, 50), count: int = 2) -> Image:
    """One image with smooth values, no ties to speak of."""
    rng = np.random.default_rng(seed)
    classes = np.sort(rng.choice(NUM_CLASSES, size=count, replace=False))
    truth = rng.choice([0, 0, 255, *(classes + 1)], size=size).astype(np.uint8)
    return rng.random((count, *size), dtype=np.float32), classes, truth
