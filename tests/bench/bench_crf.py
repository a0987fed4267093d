"""The CRF's two engines on the same photos in one run: time per photo, agreement, and memory.

    python tests/bench/bench_crf.py VOC_ROOT [PHOTOS]

Photos of 500×375 as PSA's preset refines them, with smooth random energies of 2, 3 and 21 labels. Per photo the faster
of ROUNDS runs counts; the engines take turns. Both compute on one core; native then once more on all, photo by photo.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from camkit.methods.crf import dense_crf
from camkit.pipeline.load import usable_cores
from camkit.settings.crf import CrfParameters, Engine
from tests.bench.bench_memory import LAUNCHER

ROUNDS = 3
LABELS = (2, 3, 21)
PARAMETERS = CrfParameters()


def read_photos(root: Path, count: int) -> Iterator[np.ndarray]:
    for path in sorted((root / "JPEGImages").glob("*.jpg")):
        with Image.open(path) as image:
            if count and image.size == (500, 375):
                count -= 1
                yield np.asarray(image.convert("RGB"))


def energies(labels: int, seed: int) -> np.ndarray:
    """[labels, 375, 500]: −log of the softmax of a smooth field."""
    rng = np.random.default_rng(seed)
    coarse = [Image.fromarray(rng.standard_normal((12, 16)).astype(np.float32)) for _ in range(labels)]
    scores = 1.5 * np.stack([np.asarray(one.resize((500, 375), Image.Resampling.BICUBIC)) for one in coarse])
    return np.log(np.exp(scores).sum(axis=0)) - scores


def timed(photo: np.ndarray, unary: np.ndarray, engine: Engine) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    found = dense_crf(photo, unary, PARAMETERS, engine=engine)
    return time.perf_counter() - start, found


def compare(photos: list[np.ndarray], labels: int) -> None:
    seconds: dict[Engine, float] = {"native": 0.0, "pydensecrf": 0.0}
    agreements, differences = [], []
    for seed, photo in enumerate(photos):
        unary, results = energies(labels, seed), {}
        for engine in seconds:
            runs = []
            for _ in range(ROUNDS):
                took, results[engine] = timed(photo, unary, engine)
                runs.append(took)
            seconds[engine] += min(runs)
        own, library = results["native"], results["pydensecrf"]
        agreements.append((own.argmax(axis=0) == library.argmax(axis=0)).mean())
        differences.append(np.abs(own - library).mean())
    own_time, library_time = (1000 * total / len(photos) for total in seconds.values())
    print(
        f"{labels:2} labels: native {own_time:4.0f} ms, pydensecrf {library_time:4.0f} ms, "
        f"ratio {library_time / own_time:.2f}; labels agree {min(agreements):.4%} at least, "
        f"mean difference {max(differences):.1e} at most"
    )


def on_all_cores(photos: list[np.ndarray]) -> None:
    work = [(photo, energies(2, seed)) for seed, photo in enumerate(photos)]
    for cores in (1, usable_cores()):
        start = time.perf_counter()
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(lambda one: dense_crf(*one, PARAMETERS), work))
        print(f"{cores} cores, 2 labels: {1000 * (time.perf_counter() - start) / len(work):.0f} ms per photo")


def megabytes(engine: Engine, labels: int) -> float:
    """By how much a process that refines a photo of 500×375 is larger than one that refines a photo of 8×8."""
    return peak(engine, labels, 375, 500) - peak(engine, labels, 8, 8)


def peak(engine: Engine, labels: int, height: int, width: int) -> float:
    code = f"from tests.bench.bench_crf import refine_noise; refine_noise({engine!r}, {labels}, {height}, {width})"
    result = subprocess.run([sys.executable, "-c", LAUNCHER, "-c", code], stdout=subprocess.PIPE, check=True)
    return float(result.stdout.split()[-1])


def refine_noise(engine: Engine, labels: int, height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((width, height))
    photo = np.clip(np.asarray(coarse) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)
    dense_crf(photo, rng.standard_normal((labels, height, width), np.float32), PARAMETERS, engine=engine)


def main() -> None:
    photos = list(read_photos(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 50))
    start = time.perf_counter()
    dense_crf(photos[0], energies(2, 0), PARAMETERS)
    print(f"{len(photos)} photos; the first one takes {time.perf_counter() - start:.1f} s with loading or compiling")
    for labels in LABELS:
        compare(photos, labels)
    on_all_cores(photos)
    for labels in LABELS:
        own, library = megabytes("native", labels), megabytes("pydensecrf", labels)
        print(f"{labels:2} labels: native {own:.0f} MB, pydensecrf {library:.0f} MB, energies included")


if __name__ == "__main__":
    main()
