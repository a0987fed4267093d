"""k-means with cosine similarity: a feature belongs to the centre it has the largest cosine with.

Centres are the means of their members as they are, not of unit vectors: a centre's length matters to LPCAM's scores.
What falls from round to round is then Σ |x| (1 − cos(x, its centre)).

Lloyd's rounds are exact, but most features are left alone in most of them: angles obey the triangle inequality, so a
feature whose centre is nearer than any other could have come since it was last looked at keeps it (Hamerly, 2010).
Sums over members are kept in float64 and only change where a feature changes hands; near ties are decided in float64.
So the result hangs neither on the order of sums nor on how many threads there are. (Products must be those of float32:
bfloat16 and TF32 err by more than a near tie.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_BYTES = 8 << 20
"""Of features that are looked at together: they stay in the cache."""
SAMPLE_BYTES = 32 << 20
"""Of features among which first centres are drawn and settle before all features take part."""
STARTS = 6
"""How often that is done; the best is gone on with."""
NEAR_TIE = 1e-5
"""Cosines in float32 that differ by less are computed anew in float64."""
SLACK = 3e-3
"""Radians: more than angles are wrong by that come from cosines in float32, which is worst at 0."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """What k-means found.

    centres      [K, D] float32, the means of their members; K is smaller than asked where there are too few directions
    counts       [K] int64, all positive
    assignments  [N] int64; −1: a feature of length 0, which belongs nowhere
    inertia      Σ |x| (1 − cos(x, its centre)) / Σ |x|
    iterations   rounds: among a sample of the features, and over all
    converged    or stopped after as many rounds as allowed
    """

    centres: Tensor
    counts: Tensor
    assignments: Tensor
    inertia: float
    iterations: int
    converged: bool


def cluster(
    features: Tensor | np.ndarray,
    k: int,
    *,
    seed: int = 0,
    iterations: int = 300,
    tolerance: float = 1e-3,
    initial: Tensor | np.ndarray | None = None,
) -> Clusters:
    """At most k clusters of features [N, D] (floats of any precision), where the features are.

    Beside the features it needs some 40 bytes for each of them, SAMPLE_BYTES, and a few times BLOCK_BYTES.

    seed        of the first centres: k-means++ among a sample of the features
    iterations  rounds at most: up to half of them among the sample, the others over all features, one of each at least
    tolerance   converged when Σ_k |centre − centre before| is at most this share of Σ_k |centre|
    initial     [k, D] first centres instead of drawn ones: the rounds are Lloyd's from there on
    """
    x = torch.as_tensor(features)
    lengths = _lengths(x)
    if initial is not None:
        centres = torch.as_tensor(initial, device=x.device).double()
        return _Rounds(x, lengths, centres).run(iterations, tolerance)
    start = _best_start(x, lengths, k, np.random.default_rng(seed), max(1, iterations // 2), tolerance)
    found = _Rounds(x, lengths, start.centres.double()).run(max(1, iterations - start.iterations), tolerance)
    return replace(found, iterations=start.iterations + found.iterations)


def _lengths(x: Tensor) -> Tensor:
    """[N] float32"""
    lengths = torch.cat([torch.linalg.vector_norm(x[rows], dim=1, dtype=torch.float32) for rows in _blocks(x)])
    if not lengths.isfinite().all():
        raise ValueError("features to be clustered hold numbers that are not finite")
    return lengths


def _blocks(x: Tensor) -> list[slice]:
    step = _rows_per_block(x)
    return [slice(start, start + step) for start in range(0, max(len(x), 1), step)]


def _rows_per_block(x: Tensor) -> int:
    return max(1, BLOCK_BYTES // (4 * max(1, x.shape[1])))


def _best_start(
    x: Tensor, lengths: Tensor, k: int, rng: np.random.Generator, iterations: int, tolerance: float
) -> Clusters:
    """Of some clusterings of a sample the one with the least inertia: most of the way is gone there."""
    rows = _sample(lengths, max(k, SAMPLE_BYTES // (4 * max(1, x.shape[1]))), rng)
    sample, of_sample = x.index_select(0, rows).float(), lengths[rows]
    starts = (_Rounds(sample, of_sample, _plus_plus(sample, of_sample, k, rng)) for _ in range(STARTS))
    return min((start.run(iterations, tolerance) for start in starts), key=lambda found: found.inertia)


def _sample(lengths: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    """Features that are not 0, where there are more than `size` one of each of as many stretches: [≤ size] int64"""
    present = lengths.nonzero().squeeze(1)
    if len(present) <= size:
        return present
    drawn = ((np.arange(size) + rng.random(size)) * (len(present) / size)).astype(np.int64)
    return present[torch.from_numpy(drawn.clip(max=len(present) - 1)).to(lengths.device)]


def _plus_plus(sample: Tensor, lengths: Tensor, k: int, rng: np.random.Generator) -> Tensor:
    """Greedy k-means++: of some candidates, drawn by what they add to the inertia, the one that leaves the least."""
    if not len(sample) or k < 1:
        return sample[:0].double()
    candidates = 2 + int(math.log(k))
    chosen = [int(rng.integers(len(sample)))]
    cost = _costs(sample, lengths, chosen)[0]
    while len(chosen) < k:
        total = cost.cumsum(0, dtype=torch.float64)
        if total[-1] <= 0:
            break
        points = torch.from_numpy(rng.random(candidates)).to(total) * total[-1]
        drawn = torch.searchsorted(total, points, right=True).clamp_max(len(sample) - 1)
        left = torch.minimum(cost, _costs(sample, lengths, drawn.tolist()))
        best = int(left.sum(1, dtype=torch.float64).argmin())
        chosen.append(int(drawn[best]))
        cost = left[best]
    return sample[chosen].double()


def _costs(sample: Tensor, lengths: Tensor, chosen: list[int]) -> Tensor:
    """|x| (1 − cos) to each of the chosen: [chosen, n]; 0 where there is no difference in direction."""
    directions = F.normalize(sample[chosen].double(), dim=1).float()
    distances = 1 - (sample @ directions.T).T / lengths
    return distances.where(distances > NEAR_TIE, 0) * lengths


@dataclass(eq=False)
class _Rounds:
    """Lloyd's rounds over features x [N, D] of known lengths [N], from centres [K, D] float64.

    owners   [N] the centre each feature belongs to; −1: none yet
    nearest  [N] its centre's angle is at most this; −inf: of length 0, never looked at
    others   [N] no other centre's angle is less than this
    """

    x: Tensor
    lengths: Tensor
    centres: Tensor

    def __post_init__(self) -> None:
        self.owners = torch.full((len(self.x),), -1, device=self.x.device)
        self.nearest = torch.where(self.lengths > 0, math.inf, -math.inf)
        self.others = torch.zeros_like(self.nearest)
        self.sums = torch.zeros_like(self.centres)
        self.counts = torch.zeros(len(self.centres), dtype=torch.int64, device=self.x.device)

    def run(self, iterations: int, tolerance: float) -> Clusters:
        converged, done = not len(self.centres), 0
        while done < iterations and not converged:
            self.assign()
            if (self.counts == 0).any():
                self.fill_empty()
            before, self.centres = self.centres, self.means()
            self.widen(before)
            shift = (self.centres - before).norm(dim=1).sum()
            converged = bool(shift <= tolerance * self.centres.norm(dim=1).sum())
            done += 1
        return self.result(done, converged)

    def assign(self) -> None:
        """Every feature that may have a new nearest centre is looked at."""
        directions = F.normalize(self.centres, dim=1)
        doubtful = (self.nearest + SLACK >= self.others).nonzero().squeeze(1)
        if 2 * len(doubtful) > len(self.x):  # what lies together is read faster than what is gathered
            doubtful = self.lengths.nonzero().squeeze(1)
        for rows in doubtful.split(_rows_per_block(self.x)) if len(doubtful) else ():
            self._assign(rows, directions)

    def _assign(self, rows: Tensor, directions: Tensor) -> None:
        block = self._rows(rows).float()
        cosines = (directions.float() @ block.T) / self.lengths[rows]  # [K, rows]
        best, owners = cosines.max(0)
        second = cosines.scatter_(0, owners[None], -math.inf).amax(0)
        tied = (best - second < NEAR_TIE).nonzero().squeeze(1)
        owners[tied] = (block[tied].double() @ directions.T).argmax(1)
        self.nearest[rows] = best.clamp_(-1, 1).acos_()
        self.others[rows] = second.clamp_(-1, 1).acos_()
        self._hand_over(rows, owners, block)

    def _rows(self, rows: Tensor) -> Tensor:
        first, last = int(rows[0]), int(rows[-1])
        return self.x[first : last + 1] if last - first + 1 == len(rows) else self.x.index_select(0, rows)

    def _hand_over(self, rows: Tensor, owners: Tensor, block: Tensor) -> None:
        """Sums and counts follow the features (`block`) whose owner changes."""
        before = self.owners[rows]
        moved = (owners != before).nonzero().squeeze(1)
        if not len(moved):
            return
        new, old = owners[moved], before[moved]
        signs = self.sums.new_zeros(len(moved), len(self.sums) + 1)  # the last column: of those that had no owner
        signs.scatter_(1, old.where(old >= 0, len(self.sums))[:, None], -1).scatter_(1, new[:, None], 1)
        signs = signs[:, :-1]
        self.sums += signs.T @ block.index_select(0, moved).double()
        self.counts += signs.sum(0).long()
        self.owners[rows] = owners

    def fill_empty(self) -> None:
        """An empty cluster gets one of the features that are farthest from their centres."""
        self.nearest.masked_fill_(self.lengths > 0, math.inf)
        self.assign()  # what stands in `nearest` is now no bound but the angle
        empty = (self.counts == 0).nonzero().squeeze(1)
        farthest = self.nearest.argsort(descending=True, stable=True)[: len(empty)]
        farthest = farthest[self.nearest[farthest] > SLACK].sort().values
        if len(farthest):
            self._hand_over(farthest, empty[: len(farthest)], self.x[farthest].float())
            self.nearest[farthest] = math.inf

    def means(self) -> Tensor:
        """An empty cluster keeps its centre."""
        return torch.where(self.counts[:, None] > 0, self.sums / self.counts.clamp_min(1)[:, None], self.centres)

    def widen(self, before: Tensor) -> None:
        """Bounds hold for the new centres when they give way by the angles the centres have moved."""
        was, now = F.normalize(before, dim=1), F.normalize(self.centres, dim=1)
        moved = 2 * ((now - was).norm(dim=1) / 2).clamp_max(1).asin()
        moved = moved.where((was.norm(dim=1) > 0.5) & (now.norm(dim=1) > 0.5), math.pi).float()
        most = moved.expand(len(moved), -1).clone().fill_diagonal_(0).amax(1)
        mine = self.owners.clamp_min(0)
        self.nearest += moved[mine]
        self.others -= most[mine]

    def result(self, done: int, converged: bool) -> Clusters:
        kept = self.counts > 0
        numbers = torch.cat([kept.cumsum(0) - 1, kept.new_full((1,), -1, dtype=torch.int64)])
        total = float(self.lengths.sum(dtype=torch.float64))
        inertia = 1 - float(self.sums.norm(dim=1).sum()) / total if total else 0.0
        return Clusters(
            self.centres[kept].float(), self.counts[kept], numbers[self.owners], max(inertia, 0.0), done, converged
        )
