"""How few shapes and passes InferCam needs where patches of many photos grow to a grid.

    python -m tests.bench.bench_shapes PATCHES.json [IN_FLIGHT]

The file: for each photo its patches, [[height, width, rounds], …]. Four scales, a patch and its mirror image in a pass.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from camkit.methods.infercam import Inference, Patch, _window, groups_of

SCALES = 4
ENDLESS = (1 << 20, 1 << 20)


def passes(photos: list[list[list[int]]], snap: int) -> tuple[set[tuple[int, int]], int]:
    """The shapes of all windows, and the passes, of photos that are in flight together."""
    inference, shapes, count = Inference(snap=snap), set(), 0
    active = []
    for number, patches in enumerate(photos):
        for height, width, rounds in patches:
            box = (0, 0, height, width)
            window = _window(box, ENDLESS, inference)
            active.append((Patch(number, range(1), torch.zeros(1), box, window), rounds))
    turn = 0
    while active:
        groups = [*groups_of([patch for patch, _ in active], snap)]
        shapes |= {group[0].window_size for group in groups}
        count += SCALES * len(groups)
        turn += 1
        active = [(patch, rounds) for patch, rounds in active if rounds > turn]
    return shapes, count


def main() -> None:
    photos = json.loads(Path(sys.argv[1]).read_text())
    flight = int(sys.argv[2]) if sys.argv[2:] else 32
    for snap, together in ((0, 1), (32, flight), (64, flight), (96, flight), (128, flight)):
        made = [passes(photos[start : start + together], snap) for start in range(0, len(photos), together)]
        shapes = set.union(*(one for one, _ in made))
        calls = sum(count for _, count in made) / len(photos)
        print(f"snap {snap:3}, {together:2} in flight: {len(shapes):5} shapes, {calls:6.2f} passes per photo")


if __name__ == "__main__":
    main()
