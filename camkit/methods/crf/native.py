"""The native engine: the lattices of an image, and mean field over them. numba compiles it when first used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from camkit.methods.crf import field
from camkit.methods.crf.lattice import chain, key_weights, lift_scales, place
from camkit.settings.crf import CrfParameters
from camkit.types import Size

POSITION, POSITION_AND_COLOUR = 2, 5


@dataclass(frozen=True, eq=False)
class Lattices:
    """All that a CRF needs to know of an image: made once, used for any labels, weights and number of iterations.

    offsets  [H·W, 9] int32: the points around each pixel, three of the Gaussian lattice and six of the bilateral one
    weights  [H·W, 9] float32: how near they are, normalised
    order    the points in the order in which they are blurred
    border   the last point of the Gaussian lattice
    """

    size: Size
    offsets: np.ndarray
    weights: np.ndarray
    order: np.ndarray
    border: int
    points: int

    @classmethod
    def of(cls, image: np.ndarray, parameters: CrfParameters) -> Self:
        """Of an image [H, W, 3] uint8 and the sigmas of the parameters; nothing else of them counts."""
        image = np.require(image, np.uint8, ["C", "W"])
        height, width = image.shape[:2]
        columns = POSITION + 1 + POSITION_AND_COLOUR + 1
        offsets = np.empty((height * width, columns), np.int32)
        weights = np.empty((height * width, columns), np.float32)
        gaussian, border = _add(image, parameters.gauss_sxy, 1.0, POSITION, offsets, weights, 0, 0)
        bilateral, points = _add(
            image, parameters.bilateral_sxy, parameters.bilateral_srgb, POSITION_AND_COLOUR,
            offsets, weights, POSITION + 1, border,
        )  # fmt: skip
        return cls((height, width), offsets, weights, np.concatenate([gaussian, bilateral]), border, points)


def _add(
    image: np.ndarray, sxy: float, srgb: float, dimensions: int,
    offsets: np.ndarray, weights: np.ndarray, column: int, known: int,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """Fill the lattice's columns from `column` on: the order of its points, and the number of its last one."""
    height, width = image.shape[:2]
    largest = np.array([(width - 1) / sxy, (height - 1) / sxy, *[255 / srgb] * (dimensions - 2)])
    key, scales = key_weights(largest), lift_scales(dimensions)
    keys, table, found = place(image, np.float32(sxy), np.float32(srgb), scales, key, offsets, weights, column, known)
    order = np.empty((dimensions + 1) * (3 * found // 2 + 2), np.int32)
    order = order[: chain(keys, table, found, key, known, order)]
    field.normalise(offsets, weights, column, column + dimensions + 1, order, known + found, _scale(dimensions))
    return order, known + found


def _scale(dimensions: int) -> np.float32:
    """Blurring makes values larger by this much (Adams et al.)."""
    return np.float32(1 / (1 + 2.0**-dimensions))


def mean_field(lattices: Lattices, unary: np.ndarray, parameters: CrfParameters) -> np.ndarray:
    """Probabilities [K, H, W] float32 of the labels with these unary energies [K, H, W], which are finite."""
    if unary.shape[1:] != lattices.size:
        raise ValueError(f"energies [K, H, W] of an image of {lattices.size}, not {unary.shape}")
    if len(unary) == 1:
        return np.ones(unary.shape, np.float32)
    flat = np.require(unary.reshape(len(unary), -1), np.float32, ["C", "W"])
    Q = np.empty_like(flat)
    infer = field.infer_two if len(unary) == 2 else field.infer_many
    infer(
        flat, lattices.offsets, lattices.weights, lattices.order, lattices.border, lattices.points,
        np.float32(parameters.gauss_compat * _scale(POSITION)),
        np.float32(parameters.bilateral_compat * _scale(POSITION_AND_COLOUR)), parameters.iterations, Q,
    )  # fmt: skip
    return Q.reshape(unary.shape)
