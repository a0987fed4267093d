"""What `cam` costs beside the network itself: the whole command against the same forwards in a bare loop.

    python tests/bench/bench_cam.py [CHECKPOINT]

Photos of 500×375, CPU; a seeded IRN-family resnet50 is made where no checkpoint is given. The bare loop runs the
network on tensors that lie ready in memory: no decoding, resizing, upsampling, storing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import camkit
from camkit.defaults import SCALES
from camkit.methods.response import network_input, scale_pyramid
from camkit.pipeline.device import choose_device, inference
from camkit.stages.network import load_network
from tests.models.tiny import tiny_checkpoint

PHOTOS = 6
ROUNDS = 3


def write_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(PHOTOS):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375))
        noise = rng.integers(-20, 21, (375, 500, 3))
        pixels = np.clip(np.asarray(coarse).astype(int) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.jpg", quality=90)
    (folder / "labels.csv").write_text("".join(f"{n},{n},{n + 1}\n" for n in range(PHOTOS)))


def bare_loop(network: torch.nn.Module, photos: list[list[torch.Tensor]]) -> float:
    start = time.perf_counter()
    for pyramid in photos:
        for images in pyramid:
            network.features(images)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder)
        ckpt = Path(sys.argv[1]) if sys.argv[1:] else tiny_checkpoint(folder / "r50.pth", "resnet50-irn", width=64)
        device = choose_device("cpu")
        loaded = load_network(camkit.Network(ckpt), device)
        ready = []
        for n in range(PHOTOS):
            image = torch.from_numpy(np.asarray(Image.open(folder / f"{n}.jpg")).copy()).permute(2, 0, 1)[None].float()
            pyramid = [torch.cat([x, x.flip(-1)]) for x in scale_pyramid(image, SCALES)]
            ready.append([network_input(x, loaded.network) for x in pyramid])
        inputs = camkit.Inputs(folder, labels=folder / "labels.csv")
        ratios = []
        for turn in range(ROUNDS + 1):  # the first warms up
            with inference(device):
                before = bare_loop(loaded.network, ready)
            whole = camkit.cam(inputs, camkit.Network(ckpt), camkit.Output(folder / f"{turn}.h5")).seconds
            with inference(device):
                bare = (before + bare_loop(loaded.network, ready)) / 2
            print(f"bare {bare / PHOTOS:.3f} s per photo, cam {whole / PHOTOS:.3f}, ratio {whole / bare:.3f}")
            if turn:
                ratios.append(whole / bare)
        print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.3f}")


if __name__ == "__main__":
    main()
