"""From sampled features to prototypes: k-means of each class's foreground and context, and the classifier's verdict."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from camkit.errors import InputError
from camkit.pipeline.progress import show_progress
from camkit.settings.lpcam import Hyperparameters
from camkit.stages.lpcam_sample import Features, Sample, group_of
from camkit.store.prototypes import SIDES, Centres, ClassPrototypes, Examples, Gathered, Side

if TYPE_CHECKING:
    import torch


log = logging.getLogger("camkit")

EXAMPLES = 9
AT_ONCE = 12
"""Centres whose cosines with all features are held."""
BLOCK_BYTES = 8 << 20
"""Of features that are looked at together."""


def cluster_sample(
    sample: Sample,
    weight: torch.Tensor,
    names: Sequence[str],
    settings: Hyperparameters,
    rounds: int,
    seed: int,
) -> dict[int, ClassPrototypes]:
    """Centres of every class that was seen; weight [num_classes, D] says where the arithmetic runs."""
    if not sample.images and sample.failures:
        first, message = min(sample.failures.items())
        raise InputError(f"all {len(sample.failures)} images failed: {first}: {message}")
    groups = {number: [group_of(number, side == "context") for side in SIDES] for number in range(len(names))}
    present = [number for number, both in groups.items() if any(sample.reservoir.seen[group] for group in both)]
    if not present:
        raise InputError("no image has a class: there are no features to cluster")
    found = {}
    with show_progress("cluster", len(present), unit="classes") as progress:
        for number in present:
            foreground, context = (
                centres_of(sample.features(group), side, number, weight, settings, rounds, seed)
                for side, group in zip(SIDES, groups[number], strict=True)
            )
            found[number] = ClassPrototypes(foreground, context)
            log.info("%s", convergence_line(names[number], found[number]))
            progress.advance()
    return found


def centres_of(
    features: Features,
    side: Side,
    number: int,
    weight: torch.Tensor,
    settings: Hyperparameters,
    rounds: int,
    seed: int,
) -> Centres:
    """Centres of one side of the class `number`."""
    import torch

    from camkit.methods.kmeans import cluster
    from camkit.methods.lpcam import scores

    with torch.inference_mode():
        values = torch.from_numpy(features.values).to(weight.device)
        clusters = cluster(values, settings.clusters, seed=seed, iterations=rounds)
        of_class = scores(clusters.centres, weight)[:, number].cpu().numpy()
        near = nearest(values, clusters.centres, features)
    return Centres(
        values=clusters.centres.float().cpu().numpy(),
        kept=kept_of(side, of_class, settings),
        counts=clusters.counts.cpu().numpy(),
        scores=of_class,
        examples=near,
        gathered=Gathered(features.total, len(values), clusters.iterations, clusters.converged),
    )


def kept_of(side: Side, scores: np.ndarray, settings: Hyperparameters) -> np.ndarray:
    """[K] bool: which centres are prototypes, by the classifier's scores [K]."""
    import torch

    from camkit.methods.lpcam import select_context, select_foreground

    found = torch.from_numpy(scores)
    if side == "foreground":
        return select_foreground(found, settings.foreground_score, take_best=settings.take_best).numpy()
    return select_context(found, settings.context_score, settings.context_low).numpy()


def nearest(values: torch.Tensor, centres: torch.Tensor, features: Features) -> Examples:
    """The features [n, D] of largest cosine with each centre [K, D], at most one of an image."""
    ids = np.full((len(centres), EXAMPLES), "", object)
    boxes = np.zeros((len(centres), EXAMPLES, 4), np.int64)
    similarities = np.zeros((len(centres), EXAMPLES), np.float32)
    for centre, cosines in enumerate(cosines_of(values, centres)):
        order = np.argsort(-cosines, kind="stable")
        firsts = np.sort(np.unique(features.images[order], return_index=True)[1])[:EXAMPLES]
        for place, row in enumerate(order[firsts]):
            image = features.seen[features.images[row]]
            ids[centre, place] = image.id
            boxes[centre, place] = box_of(int(features.cells[row]), image.grid, image.size)
            similarities[centre, place] = cosines[row]
    return Examples(ids, boxes, similarities)


def cosines_of(values: torch.Tensor, centres: torch.Tensor) -> Iterator[np.ndarray]:
    """Of each centre [K, D] the cosines [n] with the features [n, D]; no more than some centres' are held."""
    import torch.nn.functional as F

    step = max(1, BLOCK_BYTES // (4 * max(1, values.shape[1])))
    for group in F.normalize(centres.float(), dim=1).split(AT_ONCE):
        found = np.empty((len(group), len(values)), np.float32)
        for start in range(0, len(values), step):
            rows = F.normalize(values[start : start + step], dim=1)
            found[:, start : start + step] = (rows @ group.T).T.cpu().numpy()
        yield from found


def box_of(cell: int, grid: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A cell of the features' grid in pixels of the photo, one at least: top, left, bottom, right."""
    row, column = divmod(cell, grid[1])
    height, width = size[0] / grid[0], size[1] / grid[1]
    top, left = int(row * height), int(column * width)
    bottom, right = max(round((row + 1) * height), top + 1), max(round((column + 1) * width), left + 1)
    return top, left, min(bottom, size[0]), min(right, size[1])


def convergence_line(name: str, found: ClassPrototypes) -> str:
    """'cat: foreground 12 of 12 kept, context 7 of 12; 18,304 of 18,304 features; converged after 23 and 31 rounds'."""
    kept = [f"{int(one.kept.sum())} of {len(one.kept)}" for one in (found.foreground, found.context)]
    gathered = [one.gathered for one in (found.foreground, found.context) if one.gathered is not None]
    sampled, seen = sum(one.sampled for one in gathered), sum(one.seen for one in gathered)
    clustered = [one for one in gathered if one.sampled]
    rounds = " and ".join(str(one.rounds) for one in clustered)
    converged = "converged" if all(one.converged for one in clustered) else "not converged (see --rounds)"
    return (
        f"{name}: foreground {kept[0]} kept, context {kept[1]}; {sampled:,} of {seen:,} features; "
        f"{converged} after {rounds} rounds"
    )
