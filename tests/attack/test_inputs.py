"""Whatever a file holds, reading it ends in what it says or in a message: no crash, no hang, no memory beyond bounds.

Some 30 damaged inputs of each kind; CAMKIT_ATTACK=10000 for so many in all. `-s` shows the counts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camkit.models
from camkit.data.classes import VOC_CLASSES
from camkit.data.exchange.formats import READERS
from camkit.data.exchange.png import write_png
from camkit.data.exchange.psa import write_psa
from camkit.data.exchange.source import Ask
from camkit.data.exchange.writing import OneFile
from camkit.data.images import image_size, read_image
from camkit.data.labels import classes_of_labels, read_labels
from camkit.data.masks import read_mask, write_mask
from camkit.data.toy.writing import write_world
from camkit.pipeline.folder_sink import FolderSink, Maker
from camkit.stages.info import describe_file
from camkit.store import Header, Writer, describe, merge_stores, open_store, stage
from camkit.training.folder import TrainingFolder
from tests.attack.mutants import Reader, attack
from tests.models.tiny import tiny_checkpoint
from tests.store.conftest import IDS, header, record, write

KINDS = ("stores", "parts", "checkpoints", "images", "masks", "labels", "imports", "memos", "trainings", "worlds")
TRIES = int(os.environ.get("CAMKIT_ATTACK", "300")) // len(KINDS)
RUN = stage("mask", {"threshold": 0.3}, selection={"count": 9, "sha256": "aa"})


def read_store(path: Path) -> None:
    merge_stores([path], path.with_name("merged.h5"), overwrite=True)
    with open_store(path) as store:
        assert len([*store]) == len(store)
        describe(store)


def read_photo(path: Path) -> None:
    image_size(path)
    read_image(path, 50)
    read_image(path)


def read_tags(path: Path) -> None:
    if path.suffix == ".xml":
        folder = path.parent / "xml"
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / "a.xml")
        path = folder
    classes_of_labels(path)
    read_labels(path, VOC_CLASSES, ["a", "b"])


def read_foreign(path: Path) -> None:
    source = READERS[path.stem.split("-")[0]](path, Ask())
    for id in [*source.files][:3]:
        source.read(id)


def read_folder(path: Path) -> None:
    maker = Maker("camkit mask", "camkit masks", "masks")
    for overwrite in (False, True):
        with FolderSink(path.parent, OneFile(".png", write_png), Header("masks", ("cat",), "", RUN), ["a"], maker,
                        overwrite=overwrite) as sink:  # fmt: skip
            sink.finish()


def read_training(path: Path) -> None:
    folder = path.parent / "n.safetensors.training"
    folder.mkdir(exist_ok=True)
    (folder / "lock").touch()
    make_trainings(folder)
    shutil.copy(path, folder / path.name)
    opened = TrainingFolder(path.parent / "n.safetensors")
    opened.begin(RUN, overwrite=False)
    try:
        opened.load_state()
    finally:
        opened.release()


def interrupted(out: Path) -> Path:
    """The parts of a run that was stopped."""
    with Writer(out, header(), IDS, part_records=2) as writer:
        for id in IDS[:4]:
            writer.write(record(id))
    return out.with_name("out.h5.parts")


def read_parts(path: Path) -> None:
    """A run that goes on from it."""
    out = path.parent / "out.h5"
    shutil.copy(path, interrupted(out) / path.name)
    write(out, IDS)


def read_world(path: Path) -> None:
    write_world(path.parent, train=1, val=0)


READ: dict[str, Reader] = {
    "stores": read_store, "parts": read_parts, "checkpoints": describe_file, "images": read_photo, "masks": read_mask,
    "labels": read_tags, "imports": read_foreign, "memos": read_folder, "trainings": read_training,
    "worlds": read_world,
}  # fmt: skip


def make_stores(folder: Path) -> None:
    for kind in ("maps", "signed", "probs", "scores", "masks", "superpixels"):
        write(folder / f"{kind}.h5", IDS, header(kind))


def make_parts(folder: Path) -> None:
    parts = interrupted(folder / "out.h5")
    for name in ("part-000000-0-of-1.h5", "run.json"):
        shutil.move(parts / name, folder)


def make_checkpoints(folder: Path) -> None:
    tiny_checkpoint(folder / "tiny.pth", width=8)
    for name in ("toy", "toy-icd", "toy-affinity"):
        shutil.copy(Path(camkit.models.__file__).parent / f"{name}.safetensors", folder)


def make_images(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    image = Image.fromarray(pixels)
    for name in ("a.jpg", "b.png", "c.gif", "d.bmp", "e.tif", "f.webp", "g.ppm"):
        image.save(folder / name)
    image.save(
        folder / "h.jpg", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    )
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "i.png")
    image.convert("RGBA").save(folder / "j.png")


def make_masks(folder: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 21, (40, 60)).astype(np.uint8)
    write_mask(folder / "a.png", mask)
    write_mask(folder / "b.png", mask.astype(np.uint16))


def make_labels(folder: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
    }  # fmt: skip
    texts = {
        "a.xml": "<annotation><object><name>cat</name></object><object><name>dog</name></object></annotation>",
        "a.csv": "id,cat,dog\na,1,0\nb,0,1\n", "b.csv": "a,cat\nb,dog,person\n", "a.json": '{"a": ["cat"], "b": [1]}',
        "b.json": json.dumps(coco), "c.jsonl": '{"id": "a", "classes": ["cat"]}\n["b", "dog"]\n',
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
    np.save(folder / "cls_labels.npy", {"a": np.eye(20)[3], "b": np.eye(20)[7]}, allow_pickle=True)  # type: ignore


def make_imports(folder: Path) -> None:
    one = record("q/t")
    with (folder / "psa.npy").open("wb") as file:
        write_psa(file, one, background=False)
    np.save(folder / "irn.npy", {"keys": one.classes, "cam": one.values, "high_res": one.values}, allow_pickle=True)  # type: ignore
    np.savez_compressed(folder / "npz.npz", keys=one.classes, maps=one.values, size=one.size)
    counts = {"size": [3, 4], "counts": [2, 3, 7]}
    text = {"image_id": "a", "category_id": 1, "score": 0.5, "segmentation": counts}
    (folder / "coco.json").write_text(json.dumps([text, {**text, "segmentation": [[0, 0, 3, 0, 3, 3]]}]))
    write_mask(folder / "png.png", np.eye(9, dtype=np.uint8))


def make_memos(folder: Path) -> None:
    memo = {"format": "camkit masks", "classes": ["cat"], "complete": True, "provenance": RUN, "files": ["a.png"]}
    (folder / "camkit.json").write_text(json.dumps(memo))


def make_trainings(folder: Path) -> None:
    import torch

    (folder / "run.json").write_text(json.dumps(RUN))
    torch.save({"network": {"a": torch.zeros(3)}, "optimiser": {}, "state": {}}, folder / "state.pt")


def make_worlds(folder: Path) -> None:
    world = {"format": "camkit toy world", "seed": 0, "train": 1, "val": 0, "drawing": 1, "complete": False}
    (folder / "toy.json").write_text(json.dumps(world))


MAKE: dict[str, Callable[[Path], None]] = {kind: globals()[f"make_{kind}"] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs(tmp_path: Path, kind: str) -> None:
    MAKE[kind](tmp_path)
    count = attack(READ[kind], sorted(path for path in tmp_path.iterdir() if path.is_file()), TRIES)
    print(f"\n{kind} | {count.tries} | {count.survived} | {len(count.lost)} | {dict(count.ends)}")
    assert count.tries == TRIES
    assert count.ends["told"] > TRIES // 20, "hardly any was damaged"
    assert not count.lost, "\n".join(count.lost[:5])
