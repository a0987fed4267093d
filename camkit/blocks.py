"""Images in strips of rows, so that the temporary arrays of a pass stay in the cache, however large the photo."""

from __future__ import annotations

from collections.abc import Iterator

from camkit.types import Size

PIXELS = 1 << 15


def row_blocks(size: Size) -> Iterator[slice]:
    """Slices over the rows of an image of `size` (H, W), about 32,768 pixels each."""
    rows = max(PIXELS // max(size[1], 1), 1)
    for first in range(0, size[0], rows):
        yield slice(first, first + rows)
