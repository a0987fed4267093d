from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of tiny images with these names."""

    def make(*names: str, root: str = "photos") -> Path:
        for name in names:
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 3)).save(path)
        return tmp_path / root

    return make


@pytest.fixture
def voc(tmp_path: Path, folder: Callable[..., Path]) -> Path:
    """Three photos a, b, c; XML for a and b, masks for all, the split `val` = b, c."""
    root = folder("JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c.jpg", root="voc")
    for name in ("Annotations", "SegmentationClass", "ImageSets/Segmentation", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    write_xml(root / "Annotations/a.xml", ["dog", "aeroplane", "dog"])
    write_xml(root / "Annotations/b.xml", [])
    for id, value in {"a": 1, "b": 0, "c": 20}.items():
        mask = np.full((3, 4), value, np.uint8)
        mask[0, 0] = 255
        Image.fromarray(mask).save(root / f"SegmentationClass/{id}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("b\nc")
    (root / "ImageSets/Main/cat_val.txt").write_text("a -1\r\nb  1\r\n")
    (root / "ImageSets/Main/val.txt").write_text("a\n")
    return root


def write_xml(path: Path, names: list[str]) -> None:
    objects = "".join(
        f"<object><name>{name}</name><difficult>1</difficult><part><name>head</name></part></object>" for name in names
    )
    path.write_text(f"<annotation><filename>{path.stem}.jpg</filename>{objects}</annotation>")
