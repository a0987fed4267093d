"""The fully connected CRF of Krähenbühl and Koltun (2011): labels that follow the edges of the photo.

`dense_crf` runs it. Where several label fields belong to one photo, `native.Lattices.of` its photo, made once, and
`native.mean_field` are faster.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from camkit.errors import UsageError
from camkit.methods.crf.unary import unary_of_labels, unary_of_probs, with_background
from camkit.settings.crf import CrfParameters, Engine

__all__ = ["CrfParameters", "Engine", "dense_crf", "unary_of_labels", "unary_of_probs", "with_background"]


def dense_crf(
    image: np.ndarray, unary: np.ndarray, parameters: CrfParameters, *, engine: Engine = "native"
) -> np.ndarray:
    """Probabilities [K, H, W] float32 of labels with finite unary energies [K, H, W] in a photo [H, W, 3] uint8.

    engine  native: numba's machine code; pydensecrf: the C++ library, if installed. They agree to 1e-4.
    """
    if unary.ndim != 3 or len(unary) < 1 or image.shape != (*unary.shape[1:], 3) or image.dtype != np.uint8:
        raise ValueError(f"a photo [H, W, 3] uint8 and energies [K, H, W], not {image.shape} and {unary.shape}")
    if engine not in get_args(Engine):
        raise UsageError(f"--engine {engine} is not known; known are {' and '.join(get_args(Engine))}")
    if engine == "pydensecrf":
        from camkit.methods.crf.library import mean_field_by_library

        return mean_field_by_library(image, unary, parameters)
    from camkit.methods.crf.native import Lattices, mean_field

    return mean_field(Lattices.of(image, parameters), unary, parameters)
