"""Peak memory of `cam`, `mask` and `evaluate` over 400 and over 4,000 small images: it should not grow.

python tests/bench/bench_memory.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.world import SIZES, draw_world

# A process inherits the peak of the one it was forked from, and this one has torch in it: a lean one stands between.
LAUNCHER = """
import os, sys
_, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *sys.argv[1:]]), 0)
print(usage.ru_maxrss / 1024)
sys.exit(status != 0)
"""


def peak(*arguments: object, folder: Path) -> float:
    """Megabytes of the command at its largest."""
    command = [sys.executable, "-c", LAUNCHER, "-m", "camkit", *map(str, arguments)]
    result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    return float(result.stdout.split()[-1])


def main() -> None:
    peaks: dict[str, list[float]] = {}
    for count in (400, 4000):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            world = draw_world(folder, count, SIZES)
            network = ("--ckpt", world.ckpt, "--images", world.root)
            runs = {
                "cam": ("cam", "-q", *network, "--out", "cams.h5"),
                "mask": ("mask", "-q", "cams.h5", "--out", "masks.h5"),
                "evaluate maps": ("evaluate", "-q", "cams.h5", "--gt", world.root),
                "evaluate masks": ("evaluate", "-q", "masks.h5", "--gt", world.root),
            }
            for label, arguments in runs.items():
                peaks.setdefault(label, []).append(peak(*arguments, folder=folder))
    for label, (few, many) in peaks.items():
        print(f"{label:15} {few:7.1f} MB at 400, {many:7.1f} MB at 4,000 images: {many / few:.3f}")


if __name__ == "__main__":
    main()
