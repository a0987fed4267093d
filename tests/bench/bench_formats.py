"""Size on disk and mIoU of a store (stride 4, float16) against float32 `.npy` dictionaries of full-size maps.

    python tests/bench/bench_formats.py CHECKPOINT VOC_ROOT SPLIT

The published programs write one `{class: [H, W] float32}` per image with `numpy.save`; the maps are the same.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import camkit


def main(ckpt: Path, root: Path, split: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs, network = camkit.Inputs(root, list=split), camkit.Network(ckpt)
        camkit.cam(inputs, network, camkit.Output(folder / "full.h5", dtype="float32"), size="full")
        camkit.cam(inputs, network, camkit.Output(folder / "store.h5"))
        npy_bytes = 0
        with camkit.open_store(folder / "full.h5") as store:
            for n, activation in enumerate(store):
                maps = dict(zip(activation.classes.tolist(), activation.values, strict=True))
                np.save(folder / f"{n}.npy", maps, allow_pickle=True)
                npy_bytes += (folder / f"{n}.npy").stat().st_size
                (folder / f"{n}.npy").unlink()
        store_bytes = (folder / "store.h5").stat().st_size
        full, _ = camkit.evaluate_predictions([folder / "full.h5"], root, list=split)
        small, _ = camkit.evaluate_predictions([folder / "store.h5"], root, list=split)
        assert full.miou is not None
        assert small.miou is not None
        print(f".npy, full size, float32: {npy_bytes / 1e6:8.1f} MB, mIoU {100 * full.miou:.3f} at {full.threshold}")
        print(
            f"store, stride 4, float16: {store_bytes / 1e6:8.1f} MB, mIoU {100 * small.miou:.3f} at {small.threshold}"
        )
        print(f"{npy_bytes / store_bytes:.1f} times smaller, mIoU differs by {100 * (small.miou - full.miou):+.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
