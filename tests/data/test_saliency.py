from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.data.saliency import find_saliency, read_saliency
from camkit.errors import ImageError, InputError

LEVELS = np.array([[0, 2, 3], [128, 254, 255]], np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(LEVELS),
        Image.fromarray(np.repeat(LEVELS[..., None], 3, axis=2)),
        Image.fromarray(LEVELS.astype(np.uint16) * 257),
    ],
)
def test_grey_levels_become_shares(tmp_path: Path, picture: Image.Image) -> None:
    (tmp_path / "ä").mkdir()
    picture.save(tmp_path / "ä" / "b.png")
    assert list(find_saliency(tmp_path)) == ["ä/b"]
    found = read_saliency(find_saliency(tmp_path)["ä/b"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, LEVELS / 255, atol=1e-6)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of saliency maps at"):
        find_saliency(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no saliency maps in"):
        find_saliency(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        read_saliency(tmp_path / "a.png")
