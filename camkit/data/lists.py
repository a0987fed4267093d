"""Files and the ids they go by: walking folders, reading lists, matching what people write to the ids there are."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from camkit.data.reading import examples, read_text, reason, show, split_lines
from camkit.errors import InputError

HEIF_SUFFIXES = (".heic", ".heif")
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".j2k", ".avif", *(HEIF_SUFFIXES if find_spec("pillow_heif") else ()),
)  # fmt: skip
"""Of what Pillow opens here; the format is then told by the content."""
OTHER_PICTURES = frozenset(
    (".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw", ".psd", ".xcf",
     ".svg", ".eps", ".tga", ".jpf", ".jpx", ".jxr", ".exr", ".hdr", ".ico", ".pcx")
).difference(IMAGE_SUFFIXES)  # fmt: skip
"""Pictures, too, but none that is read: who brings some is told that they are left out."""

MOST_LEVELS, MOST_FOLDERS = 32, 1_000_000


@dataclass(frozen=True, eq=False, repr=False)
class FilesById(Mapping[str, Path]):
    """id -> root / (id + suffix). Holds suffixes only: a Path for each of a million files would cost 0.5 GB."""

    root: Path
    suffixes: Mapping[str, str]

    def __getitem__(self, id: str) -> Path:
        return self.root / (id + self.suffixes[id])

    def __iter__(self) -> Iterator[str]:
        return iter(self.suffixes)

    def __len__(self) -> int:
        return len(self.suffixes)

    def __contains__(self, id: object) -> bool:
        return id in self.suffixes

    def pick(self, ids: Collection[str]) -> FilesById:
        return FilesById(self.root, {id: self.suffixes[id] for id in sorted(ids)})


def files_by_id(root: Path, suffixes: Collection[str]) -> FilesById:
    """Every file below `root` with one of the suffixes (any case), sorted by id. Hidden ones are skipped."""
    return index_files(root, walk(root, suffixes))


def walk(root: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Paths below `root`. Links are followed, but not into a folder that holds the link, nor without end.

    A broken link counts as a file, so that it fails as an image that cannot be read instead of vanishing.
    """
    folders = 0
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (_identity(root),))]
    while waiting:
        prefix, ancestors = waiting.pop()
        folders += 1
        if len(ancestors) > MOST_LEVELS or folders > MOST_FOLDERS:
            raise InputError(f"{show(str(root))} has folders within folders without end, or links that make it look so")
        for name, is_folder in entries(root / prefix):
            if name.startswith("."):
                continue
            if not is_folder:
                if _split_suffix(name)[1].lower() in suffixes:
                    yield prefix + name
                continue
            identity = _identity(root / prefix / name)
            if identity not in ancestors:
                waiting.append((f"{prefix}{name}/", (*ancestors, identity)))


def index_files(root: Path, relative_paths: Iterator[str]) -> FilesById:
    """Ids of files below root.

    One id is one file, and no folder of other ids: stores could not hold both.
    """
    suffixes: dict[str, str] = {}
    for path in relative_paths:
        folder, _, name = path.rpartition("/")
        stem, suffix = _split_suffix(name)
        id = f"{folder}/{stem}" if folder else stem
        if suffixes.get(id, suffix) != suffix:
            both = sorted([id + suffix, id + suffixes[id]])
            raise InputError(
                f"two files go by the id '{show(id)}': {show(both[0])} and {show(both[1])} in {root}\n"
                "rename or move one of them"
            )
        suffixes[id] = suffix
    _check_ids(root, suffixes)
    return FilesById(root, {id: suffixes[id] for id in sorted(suffixes)})


def _check_ids(root: Path, suffixes: Mapping[str, str]) -> None:
    for id, suffix in suffixes.items():
        if not _is_unicode(id + suffix):
            raise InputError(f"file name is not UTF-8: {show(id + suffix)} in {root}\nrename it")
        if not {".", ".."}.isdisjoint(id.split("/")):
            raise InputError(f"an image cannot go by the id '{id}': {id + suffix} in {root}\nrename it")
        end = id.find("/")
        while end >= 0:
            folder = id[:end]
            if folder in suffixes:
                raise InputError(
                    f"'{folder}' is an image and a folder of images: {folder + suffixes[folder]} and {id + suffix}"
                    f" in {root}\nrename one of them"
                )
            end = id.find("/", end + 1)


@dataclass(frozen=True)
class IdIndex:
    """Finds the id meant by a name: the id itself, with an image suffix, in another folder."""

    ids: Collection[str]
    by_name: Mapping[str, list[str]]

    @classmethod
    def of(cls, ids: Collection[str]) -> IdIndex:
        by_name: dict[str, list[str]] = {}
        for id in ids:
            by_name.setdefault(id.rpartition("/")[2], []).append(id)
        return cls(ids if isinstance(ids, Mapping | set | frozenset) else frozenset(ids), by_name)

    def match(self, text: str) -> str | None:
        """Exact id first, then without image suffix, then by trailing path, where that leaves one id."""
        for name in dict.fromkeys((text, without_image_suffix(text))):
            if name in self.ids:
                return name
        for name in dict.fromkeys((text, without_image_suffix(text))):
            found = self._by_trailing_path(name.strip("/"))
            if found is not None:
                return found
        return None

    def _by_trailing_path(self, name: str) -> str | None:
        inside = name
        while inside:
            if inside in self.ids:
                return inside
            inside = inside.partition("/")[2]
        around = [id for id in self.by_name.get(name.rpartition("/")[2], ()) if id.endswith(f"/{name}")]
        return around[0] if len(around) == 1 else None


def read_id_list(path: Path, ids: Collection[str], where: str) -> set[str]:
    """The known ids a list file names; `where` says in errors what the ids are of."""
    index = IdIndex.of(ids)
    chosen: set[str] = set()
    unknown: dict[str, None] = {}
    for line in list_lines(path, ids):
        id = _id_of_line(line, index)
        if id is None:
            unknown[line] = None
        else:
            chosen.add(id)
    if unknown:
        raise InputError(
            f"list {path} names {len(unknown)} ids that are not among the {len(ids)} images of {where}: "
            f"{examples(unknown)}"
        )
    if not chosen:
        raise InputError(f"list {path} is empty: it should name one image a line")
    return chosen


def list_lines(path: Path, known: Collection[str] = ()) -> Iterator[str]:
    """Lines that say something: blank ones and `#` comments left out, unless the line is a known name."""
    for line in split_lines(read_text(path, InputError)):
        if line in known:
            yield line
        elif line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def _id_of_line(line: str, index: IdIndex) -> str | None:
    """A whole line wins over its first column, so that ids may hold spaces."""
    whole = index.match(line)
    return whole if whole is not None else index.match(line.split(maxsplit=1)[0])


def without_image_suffix(name: str) -> str:
    stem, suffix = _split_suffix(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


def _split_suffix(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem and "/" not in suffix else (name, "")


def entries(folder: Path) -> list[tuple[str, bool]]:
    """Names in a folder, and whether each is a folder; pipes, sockets and devices are left out."""
    try:
        with os.scandir(folder) as found:
            return [(entry.name, _is_folder(entry)) for entry in found if _is_folder(entry) or _is_file(entry)]
    except OSError as error:
        raise InputError(f"cannot list the folder {show(str(folder))}: {reason(error)}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or entry.is_file()


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise InputError(f"cannot look into {show(str(folder))}: {reason(error)}") from error
    return status.st_dev, status.st_ino


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
