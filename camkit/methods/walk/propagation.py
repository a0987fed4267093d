"""Random walks over an image's cells: maps spread to neighbours that belong together (AffinityNet, IRN).

The programs of both papers square the dense transition matrix T eight times. Here x·T^n is a few dozen sparse
products: T is similar to a symmetric matrix, so T^n is a sum of Chebyshev polynomials of T, and all but the first 5 √n
of them weigh next to nothing (their weights are where a walk on a line is after n steps).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import gammaln
from torch import Tensor

from camkit.methods.walk.affinity import half_disc
from camkit.types import Size

NEGLECTED = 1e-6
"""So much of the weight of all polynomials may be left out."""


@dataclass(frozen=True, eq=False)
class Stencil:
    """A transition matrix: every cell's affinities to its neighbours, one plane per offset, on a grid with a rim.

    planes  [K, cells] float32: affinity of a cell and the one `shifts[k]` further on; that to the cell as far back is
            the other's. 0 where either is in the rim.
    shares  [cells] 1 / the sum of a cell's affinities, that to itself (1) among them; 0 in the rim
    rim     cells on every side
    """

    planes: Tensor
    shifts: tuple[int, ...]
    shares: Tensor
    size: Size
    rim: int

    @classmethod
    def of(cls, affinities: Tensor, radius: int) -> Self:
        """Of affinities [K, h, w] float32 in [0, 1], one plane for each offset of `half_disc(radius)`."""
        height, width = affinities.shape[1:]
        rim = max(radius - 1, 0)
        pitch = width + 2 * rim
        shifts = tuple(dy * pitch + dx for dy, dx in half_disc(radius))
        planes = F.pad(affinities.float(), (rim, rim, rim, rim)).flatten(1).contiguous()
        inside = F.pad(planes.new_ones(height, width), (rim, rim, rim, rim)).flatten()
        sums = inside.clone()
        for plane, shift in zip(planes, shifts, strict=True):
            sums[: len(sums) - shift] += plane[: len(sums) - shift]
            sums[shift:] += plane[: len(sums) - shift]
        return cls(planes, shifts, inside / sums.clamp(min=1), (height, width), rim)

    @property
    def first(self) -> int:
        return self.rim * (self.size[1] + 2 * self.rim) + self.rim

    @property
    def stop(self) -> int:
        return self.planes.shape[1] - self.first

    def average(self, values: Tensor) -> Tensor:
        """[C, cells] → x·T: every cell's mean of itself and its neighbours."""
        result = torch.zeros_like(values)
        self._into(result, values, 1, 0)
        return result

    def advance(self, before: Tensor, values: Tensor) -> None:
        """2 x·T − before takes the place of `before`."""
        self._into(before, values, 2, 1)

    def _into(self, result: Tensor, values: Tensor, factor: float, less: float) -> None:
        (self.by_kernel if values.device.type == "cpu" else self.by_shifts)(result, values, factor, less)

    def by_kernel(self, result: Tensor, values: Tensor, factor: float, less: float) -> None:
        """factor · x·T − less · result takes the place of `result`."""
        from camkit.methods.walk.stencil import average

        planes, shifts, shares = self.planes.numpy(), np.array(self.shifts, np.int64), self.shares.numpy()
        average(planes, shifts, shares, self.first, self.stop, values.numpy(), factor, less, result.numpy())

    def by_shifts(self, result: Tensor, values: Tensor, factor: float, less: float) -> None:
        """The same on any device."""
        inner = slice(self.first, self.stop)
        total = values[:, inner].clone()
        for plane, shift in zip(self.planes, self.shifts, strict=True):
            back = slice(self.first - shift, self.stop - shift)
            total.addcmul_(plane[inner], values[:, self.first + shift : self.stop + shift])
            total.addcmul_(plane[back], values[:, back])
        result[:, inner] = total.mul_(self.shares[inner]).mul_(factor).sub_(result[:, inner], alpha=less)


def random_walk(values: Tensor, affinities: Tensor, radius: int, steps: int, *, one_by_one: bool = False) -> Tensor:
    """x·T^steps: maps [C, h, w] float32 → the same after a random walk between neighbours within the radius.

    affinities  [K, h, w] in [0, 1] of `half_disc(radius)`; affinity to itself is 1. Constant maps stay as they are.
    one_by_one  as many products as steps: slower, the same within 1e-4
    """
    stencil = Stencil.of(affinities, radius)
    rim = stencil.rim
    flat = F.pad(values.float(), (rim, rim, rim, rim)).flatten(1)
    weights = [0.0] * steps + [1.0] if one_by_one else polynomial_weights(steps)
    terms = _powers(stencil, flat) if one_by_one else _polynomials(stencil, flat)
    total = torch.zeros_like(flat)
    for weight, term in zip(weights, terms, strict=False):
        if weight:
            total.add_(term, alpha=float(weight))
    grid = total.view(len(values), stencil.size[0] + 2 * rim, stencil.size[1] + 2 * rim)
    return grid[:, rim : rim + stencil.size[0], rim : rim + stencil.size[1]]


def polynomial_weights(steps: int) -> Sequence[float]:
    """Of the Chebyshev polynomials 0, 1, … whose sum is t^steps for t in [−1, 1], up to the last that counts.

    That of polynomial j is the probability that after so many steps to the left or right one is j away from the start.
    """
    away = np.arange(steps % 2, steps + 1, 2)
    right = (steps + away) / 2
    logs = gammaln(steps + 1) - gammaln(right + 1) - gammaln(steps - right + 1) - steps * np.log(2)
    chances = np.exp(logs) * np.where(away == 0, 1, 2)
    beyond = chances[::-1].cumsum()[::-1]
    kept = max(int((beyond > NEGLECTED).sum()), 1)
    weights = np.zeros(away[kept - 1] + 1)
    weights[away[:kept]] = chances[:kept] / chances[:kept].sum()
    return weights.tolist()


def _powers(stencil: Stencil, values: Tensor) -> Iterator[Tensor]:
    while True:
        yield values
        values = stencil.average(values)


def _polynomials(stencil: Stencil, values: Tensor) -> Iterator[Tensor]:
    """T_0(T), T_1(T), …, each good until the one after the next takes its place: 2 T · this − the one before."""
    before, here = values, stencil.average(values)
    yield before
    while True:
        yield here
        stencil.advance(before, here)
        before, here = here, before
