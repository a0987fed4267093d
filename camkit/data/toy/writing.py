"""A toy world as a VOC root on disk. Drawing can be interrupted at any moment and goes on where it stopped."""

from __future__ import annotations

import io
import json
import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

from PIL import Image

from camkit import signals
from camkit.data.masks import write_mask
from camkit.data.reading import exists, is_folder, read_text, reason
from camkit.data.toy.figures import TOY_CLASSES
from camkit.data.toy.scene import ToyScene, draw_scene
from camkit.data.toy.shapes import PARTS
from camkit.data.writing import write_whole
from camkit.errors import CamkitError, OutputError, UsageError

MEMO = "toy.json"
DRAWING = 1
"""Counts up whenever the same seed gives other scenes than before."""

MOST_SCENES = 1_000_000
_FORMAT = "camkit toy world"
_QUALITY = 92
_LISTS = Path("ImageSets/Segmentation")
_DONE = "done"
_PNG_END = b"IEND\xaeB`\x82"
_FILES = {
    "JPEGImages": (".jpg", b"\xff\xd9"),
    "SegmentationClass": (".png", _PNG_END),
    "Parts": (".png", _PNG_END),
    "Saliency": (".png", _PNG_END),
    "Annotations": (".xml", b"</annotation>\n"),
}
"""folder -> suffix, and the bytes a whole file ends with."""
_ID = re.compile(r"toy_\d{6}|\.[0-9a-f]{32}")


@dataclass(frozen=True)
class World:
    """What the memo records. `complete` is written when all else is there."""

    seed: int
    train: int
    val: int
    drawing: int = DRAWING
    complete: bool = False

    @property
    def ids(self) -> list[str]:
        return [scene_id(index) for index in range(self.train + self.val)]


def scene_id(index: int) -> str:
    return f"toy_{index:06d}"


def write_world(
    root: Path,
    *,
    train: int,
    val: int,
    seed: int = 0,
    processes: int = 1,
    overwrite: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> int:
    """Draw `train` and then `val` scenes as a VOC root, with Saliency, Parts and classes.txt; what is there is kept.

    advance  called once for every scene
    Gives the number of scenes that had to be drawn.
    """
    world = World(seed, train, val)
    _check_numbers(world)
    known = _read_memo(root)
    if known is None:
        _check_empty(root)
    elif not overwrite:
        _check_same(root, known, world)
    with _writing(root):
        if known is not None and overwrite and known != world:
            _clear(root)
        missing = [index for index, id in enumerate(world.ids) if not _is_whole(root, id)]
        if known != replace(world, complete=True) or missing:
            _write_memo(root, world)
        for _ in range(len(world.ids) - len(missing)):
            advance()
        _draw_all(partial(write_scene, root, seed), missing, processes, advance)
        _write_lists(root, world)
        _write_memo(root, replace(world, complete=True))
    return len(missing)


def write_scene(root: Path, seed: int, index: int) -> None:
    """Draw one scene and write its five files."""
    id, scene = scene_id(index), draw_scene(seed, index)
    _write(root / "JPEGImages" / f"{id}.jpg", _encoded(Image.fromarray(scene.image), "JPEG", quality=_QUALITY))
    write_mask(root / "SegmentationClass" / f"{id}.png", scene.mask)
    write_mask(root / "Parts" / f"{id}.png", scene.parts)
    _write(root / "Saliency" / f"{id}.png", _encoded(Image.fromarray(scene.saliency), "PNG"))
    _write(root / "Annotations" / f"{id}.xml", annotation(id, scene).encode())


def annotation(id: str, scene: ToyScene) -> str:
    """VOC's XML: pixels are counted from 1."""
    height, width = scene.mask.shape
    objects = "".join(
        f"  <object>\n    <name>{TOY_CLASSES[c]}</name>\n    <difficult>0</difficult>\n    <bndbox>"
        f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right + 1}</xmax><ymax>{bottom + 1}</ymax>"
        "</bndbox>\n  </object>\n"
        for c, (left, top, right, bottom) in scene.boxes
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>\n  <filename>{id}.jpg</filename>\n  {size}\n{objects}</annotation>\n"


def _check_numbers(world: World) -> None:
    if world.train < 0 or world.val < 0 or not 1 <= world.train + world.val <= MOST_SCENES:
        raise UsageError(f"{world.train} + {world.val} scenes: draw between 1 and {MOST_SCENES:,}")
    if world.seed < 0:
        raise UsageError(f"--seed {world.seed}: give 0 or more")


def _check_empty(root: Path) -> None:
    if exists(root) and not is_folder(root):
        raise UsageError(f"{root} is a file; a toy world is a folder")
    if is_folder(root):
        with _writing(root):
            if any(root.iterdir()):
                raise UsageError(f"{root} holds other things than a toy world; choose another folder")


def _check_same(root: Path, known: World, world: World) -> None:
    before, now = asdict(known), asdict(world)
    changed = [f"{key} {before[key]}, now {now[key]}" for key in now if key != "complete" and before[key] != now[key]]
    if changed:
        raise UsageError(
            f"{root} holds another toy world: {'; '.join(changed)}\ngive --overwrite to replace it, or another folder"
        )


def _read_memo(root: Path) -> World | None:
    path = root / MEMO
    if not exists(path):
        return None
    try:
        content = json.loads(read_text(path, UsageError))
        if content.pop("format") != _FORMAT:
            raise ValueError("another format")
        world = World(**content)
        if [type(value) for value in asdict(world).values()] != [int, int, int, int, bool]:
            raise ValueError("numbers are missing")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is not the memo of a toy world ({reason(error)}); choose another folder") from error
    return world


def _write_memo(root: Path, world: World) -> None:
    _write(root / MEMO, (json.dumps({"format": _FORMAT, **asdict(world)}, indent=1) + "\n").encode())


def _write_lists(root: Path, world: World) -> None:
    splits = {"train": world.ids[: world.train], "val": world.ids[world.train :], "trainval": world.ids}
    for name, ids in splits.items():
        _write(root / _LISTS / f"{name}.txt", "".join(f"{id}\n" for id in ids).encode())
    _write(root / "classes.txt", "".join(f"{name}\n" for name in TOY_CLASSES).encode())
    _write(root / "Parts" / "names.txt", "".join(f"{name}\n" for name in PARTS).encode())


def _clear(root: Path) -> None:
    """Everything this file wrote, and nothing else."""
    for folder, (suffix, _) in _FILES.items():
        for path in (root / folder).glob("*"):
            if path.suffix in (suffix, ".tmp") and _ID.fullmatch(path.stem):
                path.unlink()


def _is_whole(root: Path, id: str) -> bool:
    return all(_ends_with(root / folder / (id + suffix), end) for folder, (suffix, end) in _FILES.items())


def _ends_with(path: Path, end: bytes) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-len(end), io.SEEK_END)
            return file.read() == end
    except OSError:  # it is not there, or too short
        return False


def _draw_all(
    write: Callable[[int], None], indices: Sequence[int], processes: int, advance: Callable[[], None]
) -> None:
    if processes <= 1 or len(indices) <= 1:
        for index in indices:
            signals.check()
            write(index)
            advance()
        return
    context = multiprocessing.get_context("spawn")
    receivers: list[Connection] = []
    workers = []
    resource_tracker.ensure_running()  # where it starts this helper, it lets signals arrive again
    try:
        with signals.held_back():
            for number in range(min(processes, len(indices))):
                receiver, sender = context.Pipe(duplex=False)
                share = indices[number :: min(processes, len(indices))]
                worker = context.Process(target=_draw_share, args=(write, share, sender), daemon=True)
                receivers.append(receiver)
                worker.start()
                workers.append(worker)
                sender.close()
        _follow(receivers, advance)
    finally:
        for receiver in receivers:  # who draws finds nobody listening, and ends
            receiver.close()
        for worker in workers:
            worker.join()


def _draw_share(write: Callable[[int], None], indices: Sequence[int], sender: Connection) -> None:
    """In a process of its own. After each scene it says so: where nobody listens any more, it ends."""
    with suppress(BrokenPipeError):
        try:
            for index in indices:
                write(index)
                sender.send(None)
            sender.send(_DONE)
        except CamkitError as error:
            sender.send(error)


def _follow(receivers: Sequence[Connection], advance: Callable[[], None]) -> None:
    waiting = list(receivers)
    while waiting:
        signals.check()
        ready = wait(waiting, timeout=1)
        for receiver in [one for one in waiting if one in ready]:
            try:
                told = receiver.recv()
            except EOFError:
                raise OutputError(
                    "a process that draws was ended from outside; run again with fewer --workers"
                ) from None
            if isinstance(told, CamkitError):
                raise told
            if told == _DONE:
                waiting.remove(receiver)
            else:
                advance()


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda file: file.write(content))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {error.filename or path}: {reason(error)}") from error
