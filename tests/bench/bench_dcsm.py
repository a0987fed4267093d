"""DCSM against an ordinary program (for every class a forward and a backward pass), and against the slow reference.

    python -m tests.bench.bench_dcsm vgg16|toy|CHECKPOINT [LONGER_SIDE] [reference]

One noisy photo, three sizes, three candidates; `vgg16` has random weights. Each way runs in a process of its own: its
peak memory is above that of the loaded network. The least time of three. The reference knows vgg16 and toy.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.methods.dcsm import dcsm
from camkit.methods.resize import resize_photos, scaled_size
from camkit.methods.response import network_input
from camkit.models.checkpoint import PACKAGED, load_classifier, save_classifier
from camkit.models.classifier import LoadedClassifier
from camkit.models.zoo import build
from camkit.pipeline.device import keep_freed_memory
from camkit.settings.dcsm import DcsmSettings
from tests.methods.test_response import as_batch, photo
from tests.reference import dcsm as reference

SCALES, PRESENT = (1.0, 0.8, 1.2), 2
ROUNDS = 3
NOBODY = 1.1  # a threshold that no score is above: three candidates, and the class asked


def ordinary(loaded: LoadedClassifier, image: Tensor, rivals: list[int], size: tuple[int, int]) -> np.ndarray:
    """[*size]: the map of the first of the candidates."""
    network, layers = loaded.network, loaded.network.gradient_layers
    kept: dict[str, Tensor] = {}
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_full_backward_hook(lambda m, inputs, outputs: (inputs[0].clamp(min=0),))
    for name in layers:
        first, _, part = name.partition(".")
        layer = network.layers[first].get_submodule(part)
        layer.register_forward_hook(lambda m, inputs, output, name=name: kept.update({name: output}))
    total = torch.zeros(size)
    for scale in SCALES:
        x = network_input(resize_photos(image, scaled_size((image.shape[-2], image.shape[-1]), scale)), network)
        raw: dict[str, list[Tensor]] = {name: [] for name in layers}
        for c in rivals:
            scores = F.conv2d(network.features(x), network.weight[c][None, :, None, None])
            gradients = torch.autograd.grad(scores, [kept[name] for name in layers], torch.ones_like(scores))
            for name, gradient in zip(layers, gradients, strict=True):
                strength = gradient.abs().amax(1, keepdim=True)
                raw[name].append(F.interpolate(strength, size, mode="bilinear")[0, 0])
        for own, *others in raw.values():
            distinct = torch.stack([(own - other).relu() for other in others]).sum(0)
            total += torch.tanh(3 * distinct / distinct.max().clamp_min(1e-30))
    return (total / (len(SCALES) * len(layers))).numpy()


def slow(loaded: LoadedClassifier, ckpt: Path, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    whole = load_classifier(ckpt, for_inference=False).network.state_dict()
    state = {key.replace("trunk.", "features."): value.double() for key, value in whole.items()}
    bias = state.get("head.bias", torch.zeros(loaded.num_classes).double())
    maps, _ = reference.dcsm(
        pixels, [PRESENT], {"vgg16": reference.vgg16, "toy": reference.toy}[loaded.arch], state,
        (state["head.weight"], bias), loaded.network.gradient_layers, size, mean=loaded.mean, std=loaded.std,
        scales=SCALES, threshold=NOBODY,
    )  # fmt: skip
    return maps[0]


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(how: str, ckpt: Path, side: int) -> dict[str, Any]:
    keep_freed_memory()
    loaded = load_classifier(ckpt)
    pixels = photo(side * 3 // 4, side, 1)
    image, size = as_batch(pixels), (-(-(side * 3 // 4) // 4), -(-side // 4))
    saliency = DcsmSettings(loaded.network.gradient_layers, candidate_threshold=NOBODY)
    before = peak()
    with torch.no_grad():
        scores = loaded.network.logits(network_input(image, loaded.network))[0].tolist()
    forward = peak() - before
    best = sorted(range(len(scores)), key=lambda c: -scores[c])[:3]
    rivals = [PRESENT, *(c for c in best if c != PRESENT)]
    ours = partial(dcsm, classifier=loaded.network, saliency=saliency, scales=SCALES)
    runs: dict[str, Callable[[], Any]] = {
        "camkit": lambda: ours(image, torch.tensor([[PRESENT]]), size)[0][0, 0],
        "loop": lambda: ordinary(loaded, image, rivals, size),
        "reference": lambda: slow(loaded, ckpt, pixels, size),
    }
    wall, cpu = [], []
    for _ in range(1 if how == "reference" else ROUNDS):
        start, worked = time.perf_counter(), time.process_time()
        maps = np.asarray(runs[how]())
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - worked)
    return {
        "wall": min(wall), "cpu": min(cpu), "memory": peak() - before, "forward": forward, "candidates": len(rivals),
        "maps": maps.ravel().tolist(),
    }  # fmt: skip


def main() -> None:
    if sys.argv[1] == "--measure":
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
        return
    name, side = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500
    ways = ["camkit", "loop", *(["reference"] if "reference" in sys.argv else [])]
    with tempfile.TemporaryDirectory() as folder:
        ckpt = PACKAGED["toy"] if name == "toy" else Path(name)
        if name == "vgg16":
            torch.manual_seed(0)
            ckpt = Path(folder) / "vgg16.safetensors"
            network = build("vgg16", 20).eval()
            save_classifier(
                ckpt, network, arch="vgg16", classes=[str(c) for c in range(20)], mean=network.mean, std=network.std,
                input_size=None, output_stride=None,
            )  # fmt: skip
        command = [sys.executable, "-m", "tests.bench.bench_dcsm", "--measure"]
        results = {way: json.loads(subprocess.check_output([*command, way, ckpt, str(side)])) for way in ways}
    ours = results["camkit"]
    print(f"{name}, {side} px, {ours['candidates']} candidates; a forward pass needs {ours['forward']:.0f} MB")
    for way, result in results.items():
        difference = np.abs(np.array(result["maps"]) - np.array(ours["maps"])).max()
        print(
            f"{way:10} {result['wall']:8.3f} s, {result['cpu']:8.3f} CPU-s ({result['cpu'] / ours['cpu']:.2f}x), "
            f"{result['memory']:6.0f} MB, largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
