"""What the stages cost beside their network, which is replaced by zeros: host milliseconds per photo of one core.

    OMP_NUM_THREADS=1 python -m tests.bench.bench_host [PHOTOS]

Of drawn photos of VOC's sizes; decoding, resizing, maps and store included. CPU time of the process
between the network's calls, start-up left out.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

import camkit
from tests.bench.bench_gpu import Watched, stages, watching, write_photos
from tests.models.tiny import tiny_checkpoint


def main() -> None:
    torch.set_num_threads(1)
    photos = int(sys.argv[1]) if sys.argv[1:] else 40
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = write_photos(folder, photos)
        network = camkit.Network(tiny_checkpoint(folder / "n.pth", "resnet50-irn"))
        for stage, run in stages().items():
            watched, output = Watched(empty=True), camkit.Output(folder / "out.h5", overwrite=True)
            watching(watched, lambda: run(inputs, network, output, camkit.Runtime(device="cpu")))  # noqa: B023
            cpu = watched.cpu[-1] - watched.cpu[len(watched.cpu) // 4]  # of three quarters of them: warm
            told = f"{sum(watched.shapes.values()) / photos:6.1f} calls, {len(watched.shapes)} shapes"
            print(f"{stage:26} {1000 * cpu / (0.75 * photos):7.2f} ms per photo, {told}", flush=True)


if __name__ == "__main__":
    main()
