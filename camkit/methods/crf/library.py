"""The other engine: the C++ library that the published programs use (the extra `camkit[pydensecrf]`)."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from camkit.errors import UsageError
from camkit.settings.crf import CrfParameters


def load_library() -> ModuleType:
    try:
        from pydensecrf import densecrf
    except ImportError:
        raise UsageError(
            "--engine pydensecrf: the library is not installed; pip install 'camkit[pydensecrf]', or leave it out"
        ) from None
    return densecrf


def mean_field_by_library(image: np.ndarray, unary: np.ndarray, parameters: CrfParameters) -> np.ndarray:
    """Probabilities [K, H, W] float32 of labels with the unary energies [K, H, W] in a photo [H, W, 3] uint8."""
    labels, height, width = unary.shape
    model = load_library().DenseCRF2D(width, height, labels)
    model.setUnaryEnergy(np.ascontiguousarray(unary.reshape(labels, -1), np.float32))
    model.addPairwiseGaussian(sxy=parameters.gauss_sxy, compat=parameters.gauss_compat)
    model.addPairwiseBilateral(
        sxy=parameters.bilateral_sxy,
        srgb=parameters.bilateral_srgb,
        rgbim=np.require(image, np.uint8, ["C", "W"]),
        compat=parameters.bilateral_compat,
    )
    return np.array(model.inference(parameters.iterations), np.float32).reshape(unary.shape)
