"""What a store holds, for people: `camkit info`."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

from camkit.store.prototypes import SIDES, Centres, PrototypeStore
from camkit.store.reader import Reader


def describe(reader: Reader) -> dict[str, Any]:
    """JSON-able: kind, classes, counts, dtypes, sizes of the photos (by pixels), bytes on disk, provenance."""
    header = reader.header
    sizes: list[tuple[int, int]] = []
    dtypes: Counter[str] = Counter()
    images_of: Counter[str] = Counter()
    for id in reader.ids:
        dataset, classes, size = reader.inspect(id)
        sizes.append(size)
        dtypes[dataset.dtype.name] += 1
        images_of.update(header.classes[number] for number in classes)
    return {
        "paths": [str(path) for path in reader.paths],
        "kind": header.kind,
        "shard": header.shard,
        "classes": list(header.classes),
        "images": len(reader),
        "images_per_class": {name: images_of[name] for name in header.classes if images_of[name]},
        "failures": dict(reader.failures),
        "dtypes": dict(dtypes),
        "sizes": _summary(sizes),
        "bytes": sum(path.stat().st_size for path in reader.paths),
        "image_root": header.image_root,
        "provenance": dict(header.provenance),
    }


def describe_prototypes(store: PrototypeStore) -> dict[str, Any]:
    """JSON-able: classes, channels, and of each class how many centres are prototypes, of how many features."""
    names = store.header.classes
    return {
        "paths": [store.name],
        "kind": "prototypes",
        "classes": list(names),
        "channels": store.channels,
        "prototypes": {
            names[number] if names else f"class {number}": {side: _of_side(found.side(side)) for side in SIDES}
            for number, found in store.of_class.items()
        },
        "failures": dict(store.failures),
        "image_root": store.header.image_root,
        "provenance": dict(store.header.provenance),
    }


def _of_side(centres: Centres) -> dict[str, Any]:
    found = {"kept": int(centres.kept.sum()), "centres": len(centres.kept)}
    return found | (vars(centres.gathered) if centres.gathered is not None else {})


def _summary(sizes: list[tuple[int, int]]) -> dict[str, list[int]]:
    """The smallest, the median and the largest photo by its number of pixels, each as [H, W]."""
    if not sizes:
        return {}
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    middle = statistics.median_low(range(len(ordered)))
    return {"min": list(ordered[0]), "median": list(ordered[middle]), "max": list(ordered[-1])}
