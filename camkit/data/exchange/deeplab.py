"""DeepLab's lists: `image mask` a line, paths below a common root, as /JPEGImages/x.jpg /SegmentationClassAug/x.png."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from camkit.data.exchange.png import found_mask
from camkit.data.exchange.source import Ask, Source, names_for
from camkit.data.lists import IMAGE_SUFFIXES, list_lines, without_image_suffix
from camkit.data.masks import write_mask
from camkit.data.reading import brief, examples, is_file, is_folder
from camkit.data.writing import write_whole
from camkit.errors import InputError, UsageError
from camkit.types import Activation

log = logging.getLogger("camkit")

LIST = "list.txt"
_PARENTS = 4


def read_deeplab(path: Path, ask: Ask) -> Source:
    """`path` is the list, or the root of its paths while the list is asked for separately."""
    list_file = path if is_file(path) else ask.list
    if list_file is None:
        raise UsageError(f"{path} is a folder: give --list the file with the columns image and mask")
    pairs = read_pairs(list_file)
    root = _root(pairs, [*([path] if is_folder(path) else []), *_around(ask.images), *_around(list_file)], list_file)
    folder = _common_folder([image for image, _ in pairs])
    names = {without_image_suffix(image).removeprefix(folder): (image, mask) for image, mask in pairs}
    if len(names) < len(pairs):
        raise InputError(f"{list_file} names {len(pairs)} masks for {len(names)} images")
    files = {name: root / mask for name, (_, mask) in sorted(names.items())}
    photos = {name: root / image for name, (image, _) in names.items() if is_file(root / image)}
    classes = names_for(ask, next(iter(files.values())))
    read = partial(found_mask, files=files, count=len(classes))
    return Source("deeplab", "masks", classes, files, read, photos, root / folder if photos else None)


def is_pairs(list_file: Path, root: Path | None = None) -> bool:
    """Whether a text file begins with a line of an image and a PNG, which lies below `root` if that is given."""
    columns = _columns(next(list_lines(list_file), ""))
    if (
        len(columns) != 2
        or not columns[1].lower().endswith(".png")
        or Path(columns[0]).suffix.lower() not in IMAGE_SUFFIXES
    ):
        return False
    return root is None or is_file(root / columns[1].lstrip("/"))


def _columns(line: str) -> list[str]:
    """Of names with spaces the columns have a tab between them."""
    return line.split("\t") if "\t" in line else line.split()


def read_pairs(list_file: Path) -> list[tuple[str, str]]:
    """Paths of images and masks, without a slash in front."""
    pairs = []
    for line in list_lines(list_file):
        columns = [column.lstrip("/") for column in _columns(line)]
        if len(columns) != 2 or any(".." in column.split("/") for column in columns):
            raise InputError(f"{list_file} should name an image and a mask below one root a line, not {brief(line)!r}")
        pairs.append((columns[0], columns[1]))
    if not pairs:
        raise InputError(f"{list_file} is empty: it should name an image and a mask a line")
    return pairs


def _around(path: Path | None) -> list[Path]:
    """Folders that paths could start from: lists lie in ImageSets/Segmentation, photos in JPEGImages."""
    return [] if path is None else [*([path] if is_folder(path) else []), *path.absolute().parents[:_PARENTS]]


def _root(pairs: Sequence[tuple[str, str]], candidates: Sequence[Path], list_file: Path) -> Path:
    for root in candidates:
        if any(is_file(root / mask) for _, mask in pairs[:10]):
            return root
    looked = examples([str(root) for root in candidates])
    raise InputError(
        f"the masks of {list_file} are not there: looked for {pairs[0][1]} below {looked}\n"
        "name the root of its paths: camkit import ROOT --list FILE"
    )


def _common_folder(paths: Sequence[str]) -> str:
    """'JPEGImages/' where all lie there, else ''."""
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    return f"{folder}/" if folder else ""


@dataclass(frozen=True)
class DeeplabTarget:
    """Takes masks; writes them as PNG, and the list. Paths start at the folder that photos and masks share."""

    list_file: Path
    lines: Mapping[str, str]
    endings: tuple[str, ...] = ()
    temporary: bool = False

    @classmethod
    def of(cls, folder: Path, list_file: Path | None, photos: Mapping[str, Path]) -> DeeplabTarget:
        masks = folder.resolve()
        images = {id: path.resolve() for id, path in photos.items()}
        root = os.path.commonpath([masks, *{path.parent for path in images.values()}])
        pairs = {
            id: (f"/{os.path.relpath(image, root)}", f"/{os.path.relpath(masks / f'{id}.png', root)}")
            for id, image in images.items()
        }
        strange = [name for names in pairs.values() for name in names if len(name.split()) != 1]
        if any("\t" in name for name in strange):
            raise InputError(f"a list of columns cannot hold names with tabs: {examples(strange)}")
        if strange:
            log.warning("names hold spaces (%s): the columns have a tab between them", examples(strange))
        lines = {id: ("\t" if strange else " ").join(names) for id, names in pairs.items()}
        target = (list_file or folder / LIST).absolute()
        return cls(target, lines, (str(target),))

    def files(self, id: str) -> tuple[str, ...]:
        return (f"{id}.png",)

    def write(self, folder: Path, activation: Activation) -> None:
        write_mask(folder / f"{activation.id}.png", activation.values)

    def finish(self, folder: Path, ids: tuple[str, ...], complete: bool) -> None:
        text = "".join(f"{self.lines[id]}\n" for id in ids)
        write_whole(self.list_file, lambda file: file.write(text.encode()))
