"""What compression and file format cost: `python tests/bench/bench_store.py` prints the tables.

They are why camkit/store/codec.py deflates runs alone, has planes as chunks only when large, and schema.py "v110".
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from camkit.store import Header, Writer, open_store
from camkit.store.codec import compress
from camkit.types import Activation

V110 = ("v110", "v110")
FILTERS: dict[str, dict[str, Any]] = {
    "gzip 1": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "gzip 4": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
    "gzip 6": {"compression": "gzip", "compression_opts": 6, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "none": {},
}


def smooth(random: np.random.Generator, height: int, width: int, step: int) -> np.ndarray:
    """Noise on a coarse grid, linearly interpolated: as smooth as an upsampled activation map."""
    coarse = random.normal(size=(height // step + 2, width // step + 2))
    rows = np.stack([np.interp(np.arange(width) / step, np.arange(coarse.shape[1]), row) for row in coarse])
    columns = [np.interp(np.arange(height) / step, np.arange(len(rows)), column) for column in rows.T]
    return np.stack(columns, axis=1)


def maps(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    found = np.maximum(np.stack([smooth(random, height, width, 4) for _ in range(2)]), 0)
    return (found / (found.max((1, 2), keepdims=True) + 1e-5)).astype(np.float16)


def mask(random: np.random.Generator) -> np.ndarray:
    return ((smooth(random, 375, 500, 32) > 0.4) * random.integers(1, 21)).astype(np.uint8)


def measure(name: str, arrays: Sequence[np.ndarray], chunks: Callable, libver: Any, options: dict[str, Any]) -> None:
    stream, start = io.BytesIO(), time.perf_counter()
    with h5py.File(stream, "w", libver=libver) as file:
        for number, array in enumerate(arrays):
            dataset = file.create_dataset(f"maps/{number}", data=array, chunks=chunks(array), **options)
            dataset.attrs["size"] = (375, 500)
    written, start = time.perf_counter() - start, time.perf_counter()
    with h5py.File(stream) as file:
        for number in range(len(arrays)):
            file[f"maps/{number}"][()]
    read, count = time.perf_counter() - start, len(arrays)
    size = len(stream.getvalue()) / count / 1024
    print(f"{name:38} {size:9.2f} KiB {written / count * 1e3:8.2f} ms {read / count * 1e3:8.2f} ms")


def whole(array: np.ndarray) -> tuple[int, ...]:
    return array.shape


def planes(array: np.ndarray) -> tuple[int, ...]:
    return (*[1] * (array.ndim - 2), *array.shape[-2:])


def writer(arrays: Sequence[np.ndarray]) -> None:
    ids = [f"{number:05d}" for number in range(len(arrays))]
    with tempfile.TemporaryDirectory() as folder:
        out, start, cpu = Path(folder) / "a.h5", time.perf_counter(), time.process_time()
        with Writer(out, Header("maps", ("cat", "dog"), ""), ids) as store:
            for id, array in zip(ids, arrays, strict=True):
                store.write(Activation(id, array, np.arange(2), (375, 500)))
            written, start = time.perf_counter() - start, time.perf_counter()
            cpu = time.process_time() - cpu
            store.finish()
        joined, start = time.perf_counter() - start, time.perf_counter()
        with open_store(out) as reader:
            count = sum(1 for _ in reader)
        read = time.perf_counter() - start
    times = " ".join(f"{one / count * 1e3:.2f} ms" for one in (written, joined, read))
    print(f"Writer: write, join, read per record   {times}; writing {1e3 * cpu / count:.2f} ms of CPU")
    for name, compressed in {"as HDF5 does, gzip 4": by_hdf5, "as the writer does": by_writer}.items():
        cpu, sizes = time.process_time(), [compressed(array) for array in arrays]
        cpu = time.process_time() - cpu
        print(f"compressing {name:24} {1e3 * cpu / count:.2f} ms of CPU, {sum(sizes) / count / 1024:.1f} KiB")


def by_hdf5(array: np.ndarray) -> int:
    with h5py.File(io.BytesIO(), "w", libver=V110) as file:
        dataset = file.create_dataset("maps", data=array, chunks=whole(array), **FILTERS["gzip 4"])
        file.flush()
        return int(dataset.id.get_storage_size())


def by_writer(array: np.ndarray) -> int:
    return sum(map(len, compress(array)))


def main() -> None:
    random = np.random.default_rng(0)
    quarter = [maps(random, 94, 125) for _ in range(60)]
    print(f"{'per record':38} {'size':>13} {'write':>11} {'read':>11}")
    for name, arrays in {
        "maps [2,94,125]": quarter,
        "maps [2,376,500]": [maps(random, 376, 500) for _ in range(8)],
        "masks [375,500]": [mask(random) for _ in range(60)],
    }.items():
        for chunking in (whole, planes):
            for option, options in FILTERS.items():
                measure(f"{name} {chunking.__name__} {option}", arrays, chunking, V110, options)
    tiny = [np.full((1, 3, 4), 0.5, np.float16)] * 4000
    for libver in ("earliest", ("v108", "v108"), V110):
        measure(f"4000 tiny [1,3,4] {libver}", tiny, whole, libver, FILTERS["gzip 4"])
    writer(quarter * 10)


if __name__ == "__main__":
    main()
