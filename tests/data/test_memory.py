"""Files that claim to hold gigabytes are refused with the figure, before anything is unpacked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from camkit import memory
from camkit.data.exchange.coco import draw
from camkit.data.exchange.formats import READERS
from camkit.data.exchange.npz import read_npz
from camkit.data.exchange.source import Ask
from camkit.data.images import _to_8_bit, read_image
from camkit.data.masks import read_mask
from camkit.errors import CamkitError, ImageError, StoreError, UsageError
from camkit.store.reader import open_store

MIB = 1 << 20


@pytest.fixture(autouse=True)
def small_budget() -> Iterator[None]:
    memory.set_budget(8 * MIB)
    yield
    memory.set_budget(None)


def png(path: Path, mode: str, side: int = 2000) -> Path:
    Image.new(mode, (side, side)).save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "P", "1", "LA"])
def test_photos_and_masks(tmp_path: Path, mode: str) -> None:
    large = png(tmp_path / "a.png", mode)
    for longest in (None, 100):
        with pytest.raises(ImageError, match=r"2,000 x 2,000 px would take \d+ MiB of memory, the limit is 8 MiB"):
            read_image(large, longest)
    with pytest.raises(ImageError, match="--max-memory"):
        read_mask(large)
    read_image(png(tmp_path / "b.png", mode, 400))


def test_a_large_jpeg_is_decoded_small(tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1600)).save(tmp_path / "a.jpg")
    image, size = read_image(tmp_path / "a.jpg", 300)
    assert (image.shape, size) == ((200, 300, 3), (1600, 2400))
    with pytest.raises(ImageError, match="--max-memory"):
        read_image(tmp_path / "a.jpg")
    Image.new("RGB", (2400, 1600)).save(tmp_path / "p.jpg", progressive=True)
    with pytest.raises(ImageError, match="--max-memory"):
        read_image(tmp_path / "p.jpg", 300)


def test_strips_change_nothing() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (200, 7)).astype(np.uint16)
    assert np.array_equal(_to_8_bit(values, "PNG"), np.rint(values / 257).astype(np.uint8))


@pytest.mark.parametrize("kind", ["maps", "masks", "superpixels"])
def test_stores(tmp_path: Path, kind: str) -> None:
    shape = (1, 1500, 1500) if kind == "maps" else (1500, 1500)
    dtype = {"maps": np.float16, "masks": np.uint8, "superpixels": np.uint16}[kind]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs.update({"format": "camkit", "version": 1, "kind": kind, "complete": True})
        file.attrs["classes"] = np.array([b"cat"])
        item = file.create_dataset(f"{kind}/a", shape, dtype, chunks=shape, compression="gzip", data=np.zeros(shape))
        item.attrs["classes"], item.attrs["size"] = [0], [1500, 1500]
    with open_store(tmp_path / "a.h5") as store, pytest.raises(StoreError, match="the record of 'a' would take"):
        store.read("a")
    memory.set_budget(64 * MIB)
    with open_store(tmp_path / "a.h5") as store:
        assert store.read("a").values.shape == shape


def test_arrays_and_run_lengths(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", keys=[0], maps=np.zeros((1, 1500, 1500), np.float32), size=[1500, 1500])
    with pytest.raises(CamkitError, match="--max-memory"):
        read_npz(tmp_path / "a.npz", Ask())
    result = {"image_id": 0, "category_id": 1, "score": 1, "segmentation": {"size": [3000, 3000], "counts": [9000000]}}
    (tmp_path / "coco.json").write_text(json.dumps([result]))
    source = READERS["coco"](tmp_path / "coco.json", Ask(classes=("cat",)))
    with pytest.raises(CamkitError, match="--max-memory"):
        source.read("0")
    assert draw({"size": [3, 3], "counts": np.array([9])}, (3, 3)).shape == (3, 3)


def test_threads_share_the_budget() -> None:
    most: list[int] = []

    def unpack() -> None:
        with memory.claimed(5 * MIB, "a", ImageError):
            most.append(memory._Budget.claimed)
            time.sleep(0.05)

    threads = [threading.Thread(target=unpack) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most == [5 * MIB] * 4
    assert memory._Budget.claimed == 0


def test_sizes_and_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert memory.parse("--max-memory", "1.5G") == 3 << 29
    with pytest.raises(UsageError, match="--max-memory 8: give a number and a unit"):
        memory.parse("--max-memory", "8")
    memory.set_budget(None)
    (tmp_path / "memory.max").write_text("1073741824\n")
    monkeypatch.setattr(memory, "_CGROUPS", (tmp_path / "memory.max", tmp_path / "none"))
    assert memory.budget() == 1 << 29
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.budget() > 1 << 29
    monkeypatch.setattr(memory, "address_space", lambda: 1 << 28)
    assert memory.budget() == 1 << 27
    assert memory.words_of(MemoryError()) == "there is not enough memory (ulimit -v allows 256 MiB)"
    assert memory.is_short_of(ImportError("libtorch.so: failed to map segment from shared object"))
    assert not memory.is_short_of(ValueError("x"))
