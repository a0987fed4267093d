"""What a dense CRF may be told, and the numbers that the methods' papers use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class CrfParameters:
    """Rounds of mean field, and two kernels: of position alone, and of position and colour.

    sxy, srgb  standard deviations, in pixels and in levels of 0 … 255
    compat     what two pixels with unlike labels cost, at most
    """

    iterations: int = 10
    gauss_sxy: float = 3.0
    gauss_compat: float = 3.0
    bilateral_sxy: float = 80.0
    bilateral_srgb: float = 13.0
    bilateral_compat: float = 10.0

    def scaled(self, factor: float) -> Self:
        """For an image that is smaller by this factor than the one the distances are meant for."""
        return replace(self, gauss_sxy=self.gauss_sxy / factor, bilateral_sxy=self.bilateral_sxy / factor)
