"""Felzenszwalb's superpixels against scikit-image's: CPU time per photo, in turn, and whether every label is equal.

    python -m tests.bench.bench_felzenszwalb VOC_ROOT [PHOTOS]

Photos of 500×375 with the numbers of `camkit superpixels`; of each the fastest of ROUNDS runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from skimage.segmentation import felzenszwalb as reference

from camkit.methods.felzenszwalb_kernel import felzenszwalb
from camkit.settings.superpixels import Felzenszwalb
from tests.bench.bench_merging import read_photos

ROUNDS = 3


def cpu_ms(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.process_time()
    result = work()
    return 1000 * (time.process_time() - start), result


def main() -> None:
    method, fastest, theirs, equal = Felzenszwalb(), [], [], True
    for photo in read_photos(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 5):
        settings = (photo, method.scale, method.sigma, method.min_size)
        runs = [(cpu_ms(lambda: felzenszwalb(*settings)), cpu_ms(lambda: reference(*settings))) for _ in range(ROUNDS)]  # noqa: B023
        equal &= all((one[1] == other[1]).all() for one, other in runs)
        fastest.append(min(one[0] for one, _ in runs))
        theirs.append(min(other[0] for _, other in runs))
    ratio = np.divide(theirs, fastest)
    print(f"{len(fastest)} photos: {np.mean(fastest):.1f} ms, scikit-image {np.mean(theirs):.1f} ms")
    print(f"ratio {ratio.min():.1f} … {ratio.max():.1f}, every label equal: {equal}")


if __name__ == "__main__":
    main()
