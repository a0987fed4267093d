"""The folder layout of PASCAL VOC, and of everything that imitates it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from camkit.data.reading import is_folder


@dataclass(frozen=True)
class VocLayout:
    """What a VOC root holds; `lists` are split names (`val`) -> file, segmentation lists before Main."""

    root: Path
    images: Path
    annotations: Path | None = None
    masks: Path | None = None
    lists: dict[str, Path] = field(default_factory=dict)


def find_voc(folder: Path) -> VocLayout | None:
    """The VOC root at `folder`, or at VOC2012/ or VOCdevkit/VOC2012/ below it."""
    for root in (folder, folder / "VOC2012", folder / "VOCdevkit" / "VOC2012"):
        if is_folder(root / "JPEGImages"):
            return VocLayout(
                root=root,
                images=root / "JPEGImages",
                annotations=_first_folder(root / "Annotations"),
                masks=_first_folder(root / "SegmentationClass", root / "SegmentationClassAug"),
                lists=_find_lists(root / "ImageSets"),
            )
    return None


def _first_folder(*folders: Path) -> Path | None:
    return next((folder for folder in folders if is_folder(folder)), None)


def _find_lists(image_sets: Path) -> dict[str, Path]:
    lists: dict[str, Path] = {}
    for folder in (image_sets / "Segmentation", image_sets / "Main"):
        for path in sorted(folder.glob("*.txt")):
            lists.setdefault(path.stem, path)
    return lists
