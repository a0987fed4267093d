"""From what a user calls the images (a folder, files, a pattern, a list) to ids and files."""

from __future__ import annotations

import functools
import glob
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from camkit.data.lists import (
    HEIF_SUFFIXES,
    IMAGE_SUFFIXES,
    OTHER_PICTURES,
    FilesById,
    index_files,
    list_lines,
    walk,
)
from camkit.data.reading import examples, exists, is_file, is_folder, split_lines
from camkit.data.voc import VocLayout, find_voc
from camkit.errors import InputError

log = logging.getLogger("camkit")

STANDARD_INPUT = Path("-")
Found = tuple[Path, FilesById, VocLayout | None]


def images_named(images: Path | Sequence[Path]) -> Found:
    """The folder that ids are relative to, the files by id, and the VOC root if it is one."""
    named = [images] if isinstance(images, Path) else [*images]
    if len(named) > 1:
        return _several([file for path in named for file in _files_of(path)], examples([*map(str, named)]))
    (path,) = named
    if path == STANDARD_INPUT:
        return _several([*_standard_input()], "the list on standard input")
    if is_file(path):
        return _one(path) if _is_image(path) else _listed(path)
    if is_folder(path):
        return _folder(path)
    if _is_pattern(path):
        return _several([*_files_of(path)], str(path))
    raise InputError(
        f"there are no images at {path}: it does not exist\n"
        "give --images a folder, a file, several of them, a 'pattern*.jpg', or - for a list on standard input"
    )


def _folder(folder: Path) -> Found:
    voc = find_voc(folder)
    root = voc.images if voc else folder
    others: list[str] = []
    paths = index_files(root, _images_alone(walk(root, {*IMAGE_SUFFIXES, *OTHER_PICTURES}), others))
    if not paths:
        there = f"; of the {len(others)} other pictures none is read: {examples(others)}" if others else ""
        raise InputError(f"no images in {root}{there}\nlooked for files ending in {' '.join(IMAGE_SUFFIXES)}")
    _say_left_out(others)
    return root, paths, voc


def _images_alone(paths: Iterable[str], others: list[str]) -> Iterator[str]:
    """Those that are read; the others are added to the list."""
    for path in paths:
        if _is_image(Path(path)):
            yield path
        else:
            others.append(path)


def _say_left_out(others: Sequence[str]) -> None:
    if not others:
        return
    kinds = Counter(Path(name).suffix.lower() for name in others)
    way = "; pip install pillow-heif reads .heic" if not kinds.keys().isdisjoint(HEIF_SUFFIXES) else ""
    counts = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(kinds.items()))
    log.warning("left out: %s, which cannot be read here: %s%s", counts, examples(others, 5), way)


def _one(path: Path) -> Found:
    return path.parent, index_files(path.parent, iter([path.name])), None


def _files_of(path: Path) -> Iterator[Path]:
    """All images that one of several names, or a pattern, stands for."""
    if is_folder(path):
        root, paths, _ = _folder(path)
        yield from (root / file for file in (paths[id] for id in paths))
    elif is_file(path):
        yield from (_listed(path)[1].values() if not _is_image(path) else [path])
    elif _is_pattern(path):
        found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - an absolute pattern, too
        pictures = [file for file in found if is_file(file) and _is_image(file)]
        folders = [file for file in found if is_folder(file)]
        if not pictures and not folders:
            raise InputError(f"--images {path}: the pattern matches no image ({len(found)} other files)")
        yield from pictures or (file for folder in folders for file in _files_of(folder))
        _say_left_out([str(file) for file in found if file.suffix.lower() in OTHER_PICTURES])
    else:
        raise InputError(f"there are no images at {path}: it does not exist")


def _several(files: Sequence[Path], source: str) -> Found:
    """Ids are relative to the folder that all have in common."""
    absolute = [os.path.abspath(file) for file in files]  # noqa: PTH100 - Path has no way to drop `..`
    if not absolute:
        raise InputError(f"{source}: names no image")
    missing = [name for name in absolute if not is_file(Path(name))]
    if missing:
        raise InputError(f"{source}: {len(missing)} of {len(absolute)} images do not exist: {examples(missing)}")
    return _below_one_root(absolute, source)


def _below_one_root(absolute: Sequence[str], source: str) -> Found:
    strange = [name for name in absolute if not _is_image(Path(name))]
    if strange:
        raise InputError(f"{source} names files that are not images: {examples(strange)}")
    root = Path(os.path.commonpath([os.path.dirname(name) for name in absolute]))  # noqa: PTH120
    return root, index_files(root, (os.path.relpath(name, root) for name in absolute)), None


def _listed(path: Path) -> Found:
    """Images named one a line, relative to the list's own folder."""
    base = os.path.abspath(path.parent)  # noqa: PTH100
    files = [os.path.normpath(os.path.join(base, line)) for line in dict.fromkeys(list_lines(path))]  # noqa: PTH118
    if not files:
        raise InputError(f"{path} is empty: it should name one image a line")
    missing = [name for name in files if not is_file(Path(name))]
    if missing:
        raise InputError(
            f"{path} names {len(missing)} of {len(files)} images that do not exist: {examples(missing)}\n"
            "paths are relative to the folder of the list"
        )
    return _below_one_root(files, str(path))


@functools.cache
def _standard_input() -> tuple[Path, ...]:
    """Read once, however often the images are asked for. Files that are no images are left out, and told."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("--images -: no list on standard input; pipe one in, as find photos/ -name '*.jpg' does")
    lines = [line for line in split_lines(sys.stdin.read().removesuffix("\n")) if line.strip()]
    paths = [Path(line) for line in dict.fromkeys(lines)]
    named = [path for path in paths if not is_folder(path)]
    others = [str(path) for path in named if not _is_image(path)]
    if others:
        log.warning("left out: %d lines that name no image: %s", len(others), examples(others))
    return tuple(path for path in named if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _is_pattern(path: Path) -> bool:
    return not exists(path) and glob.has_magic(str(path))
