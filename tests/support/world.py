"""A small VOC root drawn on the fly, and a tiny network that was never trained: enough to run every command."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from camkit.data.classes import VOC_CLASSES
from camkit.data.masks import write_mask
from tests.models.tiny import tiny_checkpoint
from tests.support.warm import Running, WarmInterpreter

SIZES = ((48, 64), (64, 48), (40, 40), (57, 43))
TIMEOUT = 120


@dataclass(frozen=True)
class World:
    root: Path
    ckpt: Path
    ids: tuple[str, ...]


def draw_world(folder: Path, count: int = 12, sizes: Sequence[tuple[int, int]] = SIZES, width: int = 8) -> World:
    """JPEGImages, Annotations, SegmentationClass and ImageSets below `folder`/voc, and a resnet18 of that width."""
    root = folder / "voc"
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    ids = tuple(f"2030_{n:06d}" for n in range(count))
    for n, id in enumerate(ids):
        draw_photo(root, id, np.random.default_rng(n), sizes[n % len(sizes)])
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(ids[: count // 2]))
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(ids[count // 2 :]) + "\n")
    return World(root, tiny_checkpoint(folder / "tiny.pth", width=width), ids)


def draw_photo(root: Path, id: str, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Coloured rectangles of one or two classes on noise."""
    height, width = size
    image = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), np.uint8)
    classes = sorted(rng.choice(20, rng.integers(1, 3), replace=False))
    for n, c in enumerate(classes):
        top, left = rng.integers(0, height // 3), n * width // 2
        mask[top : top + height // 2, left : left + width // 3] = c + 1
        image[mask == c + 1] = np.random.default_rng(1000 + c).integers(0, 256, 3)
    mask[:2] = 255
    Image.fromarray(image).save(root / "JPEGImages" / f"{id}.jpg", quality=95)
    write_mask(root / "SegmentationClass" / f"{id}.png", mask)
    objects = "".join(f"<object><name>{VOC_CLASSES[c]}</name></object>" for c in classes)
    (root / "Annotations" / f"{id}.xml").write_text(f"<annotation>{objects}</annotation>")


def camkit(
    *arguments: object,
    cwd: Path,
    input: bytes | None = None,
    environment: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run the real command in a process of its own; without `input`, standard input is not a pipe.

    fresh  in a new interpreter, not in a copy of one that has loaded torch; so does CAMKIT_FRESH=1 everywhere
    """
    words = [str(argument) for argument in arguments]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", **(environment or {})}
    if not (fresh or environment or os.environ.get("CAMKIT_FRESH")):
        return next(_WARM).run(words, cwd, settings, input, TIMEOUT)
    return subprocess.run(
        [sys.executable, "-m", "camkit", *words],
        cwd=cwd,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
        env=settings,
    )


def start_camkit(*arguments: object, cwd: Path) -> Running:
    """The same, to be watched or killed on its way; one after the other."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    return next(_WARM).start([str(argument) for argument in arguments], cwd, settings)


_WARM = itertools.cycle([WarmInterpreter(), WarmInterpreter()])


def said(result: subprocess.CompletedProcess[bytes]) -> str:
    return result.stderr.decode()
