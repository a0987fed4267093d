"""k-means with cosine similarity against a plain Lloyd loop and scikit-learn's MiniBatchKMeans; LPCAM against CAM.

    PYTHONPATH=. python tests/bench/bench_kmeans.py [PYTHON_WITH_SCIKIT_LEARN] [FEATURES] [DEPTH] [CLUSTERS]

Every method clusters the same features in a process of its own: seconds, processor seconds, and the most memory it took
beyond the features. Then the memory of ours for a 16th and a 4th of the features, and what LPCAM's maps cost against
CAM's of the same photo and the same network. Inertia is Σ |x| (1 − cos(x, its centre)) / Σ |x|, which Lloyd's rounds
lower; MiniBatchKMeans, which is Euclidean, gets features of unit length and lowers the mean of 1 − cos: both are shown.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

FEATURES, DEPTH, CLUSTERS = 500_000, 512, 12
TOLERANCE, ROUNDS = 1e-3, 300
BLOCK = 20_000
PARTS = 64
TURNS = 5


def draw(path: Path, features: int, depth: int) -> None:
    """Mixtures of the directions of a few of many parts, with noise, cut at 0, of very different lengths."""
    rng = np.random.default_rng(1)
    parts = rng.standard_normal((PARTS, depth)) * rng.gamma(1, size=depth)
    drawn = np.lib.format.open_memmap(path, "w+", np.float32, (features, depth))
    for start in range(0, features, BLOCK):
        block = drawn[start : start + BLOCK]
        weights = rng.gamma(0.1, size=(len(block), PARTS))
        weights /= np.linalg.norm(weights, axis=1, keepdims=True) + 1e-6
        block[:] = weights @ parts + 0.6 * rng.standard_normal(block.shape) + 0.1
        np.maximum(block, 0, out=block)
        block *= rng.gamma(6, 1 / 6, size=(len(block), 1))


def ours(x: np.ndarray, clusters: int) -> tuple[np.ndarray, int]:
    from camkit.methods.kmeans import cluster

    found = cluster(x, clusters, iterations=ROUNDS, tolerance=TOLERANCE)
    return found.centres.numpy(), found.iterations


def same_start(x: np.ndarray, clusters: int) -> tuple[np.ndarray, int]:
    """Ours from the centres that the plain loop begins with."""
    from camkit.methods.kmeans import cluster

    first = x[first_rows(x, clusters)]
    found = cluster(x, clusters, initial=first, iterations=ROUNDS, tolerance=TOLERANCE)
    return found.centres.numpy(), found.iterations


def first_rows(x: np.ndarray, clusters: int) -> np.ndarray:
    return np.random.default_rng(0).choice(len(x), clusters, replace=False)


def plain(x: np.ndarray, clusters: int) -> tuple[np.ndarray, int]:
    """What one writes down first: every round looks at every feature, then gathers each cluster's members."""
    import torch

    features = torch.from_numpy(x)
    units = torch.nn.functional.normalize(features, dim=1)
    centres = torch.from_numpy(x[first_rows(x, clusters)])
    for done in range(1, ROUNDS + 1):  # noqa: B007
        owners = (units @ torch.nn.functional.normalize(centres, dim=1).T).argmax(1)
        before, centres = centres, torch.stack([features[owners == k].mean(0) for k in range(clusters)])
        if (centres - before).norm(dim=1).sum() <= TOLERANCE * centres.norm(dim=1).sum():
            break
    return centres.numpy(), done


def minibatch(x: np.ndarray, clusters: int) -> tuple[np.ndarray, int]:
    from sklearn.cluster import MiniBatchKMeans

    units = x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)
    found = MiniBatchKMeans(clusters, n_init=3, random_state=0).fit(units)
    return found.cluster_centers_, found.n_steps_


METHODS = {"ours": ours, "same start": same_start, "plain": plain, "minibatch": minibatch}


def measured(name: str, path: str, features: str, clusters: str, out: str) -> None:
    """In a process of its own."""
    if name == "minibatch":
        import sklearn.cluster  # noqa: F401
    else:
        import torch

        import camkit.methods.kmeans  # noqa: F401

        torch.ones(64, 64) @ torch.ones(64, 64)
    with Path(path).open("rb") as file:
        shape = np.lib.format.read_array_header_1_0(file) if np.lib.format.read_magic(file) else ()
        x = np.fromfile(file, np.float32, int(features) * shape[0][1]).reshape(int(features), -1)
    before = peak()
    start, processor = time.perf_counter(), time.process_time()
    centres, rounds = METHODS[name](x, int(clusters))
    told = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor, "rounds": rounds}
    told["megabytes"] = peak() - before
    np.save(out, centres)
    print(json.dumps(told))


def peak() -> float:
    """Megabytes this process has had at most (Linux); `ru_maxrss` would begin with those of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def run(python: str, name: str, path: Path, features: int, clusters: int) -> dict[str, Any]:
    out = path.with_name("centres.npy")
    command = [python, __file__, "--measure", name, str(path), str(features), str(clusters), str(out)]
    told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return {**told, **inertias(path, features, np.load(out).astype(np.float32))}


def inertias(path: Path, features: int, centres: np.ndarray) -> dict[str, float]:
    x = np.load(path, mmap_mode="r")
    directions = (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T
    total = lengths = mean = 0.0
    for start in range(0, features, BLOCK):
        block = x[start : min(start + BLOCK, features)]
        length = np.linalg.norm(block, axis=1).clip(1e-12)
        nearest = (block @ directions).max(1).astype(np.float64)
        total, lengths = total + (length - nearest).sum(), lengths + length.sum()
        mean += (1 - nearest / length).sum()
    return {"inertia": total / lengths, "mean distance": mean / features}


def compare_clusterings(folder: Path, other: str | None, features: int, depth: int, clusters: int) -> None:
    path = folder / "features.npy"
    draw(path, features, depth)
    print(f"{features:,} features of {depth} numbers ({features * depth * 4 / 2**20:,.0f} MB), {clusters} clusters")
    pythons = {"ours": sys.executable, "same start": sys.executable, "plain": sys.executable}
    pythons |= {"minibatch": other} if other else {}
    for name, python in pythons.items():
        told = run(python, name, path, features, clusters)
        print(
            f"{name:10} {told['seconds']:7.2f} s, {told['processor']:7.2f} s of processors, {told['rounds']:4} rounds, "
            f"{told['megabytes']:6.0f} MB more, inertia {told['inertia']:.5f}, "
            f"mean distance {told['mean distance']:.5f}"
        )
    for part in (16, 4):
        told = run(sys.executable, "ours", path, features // part, clusters)
        print(f"ours of 1/{part:2} {told['seconds']:7.2f} s, {told['megabytes']:6.0f} MB more")


def compare_maps(folder: Path) -> None:
    """A photo of 500×375 at four scales with its mirror image; two classes, of which none or one falls back."""
    import torch

    from camkit.defaults import SCALES
    from camkit.methods.cam import multi_scale_cam
    from camkit.methods.lpcam import fold, multi_scale_lpcam
    from camkit.models.checkpoint import load_classifier
    from tests.models.tiny import tiny_checkpoint

    network = load_classifier(tiny_checkpoint(folder / "r50.pth", "resnet50-irn", width=64)).network
    prototypes = {c: torch.rand(12, network.weight.shape[1]) for c in (0, 1)}
    both, one = (fold({c: prototypes[c] for c in some}, {}, network.weight) for some in ((0, 1), (0,)))
    images, classes = torch.randint(0, 256, (1, 3, 375, 500)).float(), torch.tensor([[0, 1]])
    given: dict[str, Any] = {"classifier": network, "scales": SCALES}
    kinds = {
        "cam": lambda: multi_scale_cam(images, classes, (94, 125), **given),
        "lpcam": lambda: multi_scale_lpcam(images, classes, (94, 125), directions=both, **given),
        "one class falls back": lambda: multi_scale_lpcam(images, classes, (94, 125), directions=one, **given),
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    with torch.inference_mode():
        for turn in range(TURNS + 1):  # the first warms up
            for name, maps in kinds.items():
                start = time.process_time()
                maps()
                if turn:
                    taken[name].append(time.process_time() - start)
    for name, seconds in taken.items():
        ratios = sorted(a / b for a, b in zip(seconds, taken["cam"], strict=True))
        print(f"{name:20} {min(seconds):.3f} s of processors per photo, {ratios[TURNS // 2]:.3f}x cam")


def main() -> None:
    other = sys.argv[1] if len(sys.argv) > 1 else None
    sizes = [int(number) for number in sys.argv[2:]]
    features, depth, clusters = sizes + [FEATURES, DEPTH, CLUSTERS][len(sizes) :]
    with tempfile.TemporaryDirectory() as folder:
        compare_clusterings(Path(folder), other, features, depth, clusters)
        compare_maps(Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(*sys.argv[2:])
    else:
        main()
