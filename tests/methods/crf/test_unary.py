from __future__ import annotations

import numpy as np
import pytest

from camkit.errors import UsageError
from camkit.methods.crf import CrfParameters, unary_of_labels, unary_of_probs, with_background
from camkit.settings.crf import PRESETS, settings_of


def test_background_is_what_the_largest_map_leaves() -> None:
    maps = np.array([[[0.0, 0.5, 1.0]], [[0.0, 0.25, 0.2]]], np.float32)
    found = with_background(maps, 2)
    np.testing.assert_allclose(found, [[[1, 0.25, 0]], *maps])
    np.testing.assert_array_equal(with_background(maps[:0], 2), np.ones((1, 1, 3)))
    assert with_background(np.full((1, 1, 1), 1.0005, np.float16), 3)[0, 0, 0] == 0


def test_probabilities_are_clipped_before_the_logarithm() -> None:
    found = unary_of_probs(np.array([[[0.0, 1e-6, 0.5, 1.0, 1.01]]]))
    np.testing.assert_allclose(found[0, 0], [-np.log(1e-5)] * 2 + [np.log(2), 0, 0], rtol=1e-6)
    assert found.dtype == np.float32


def test_labels_share_what_the_confidence_leaves() -> None:
    labels = np.array([[0, 2, -1]])
    found = np.exp(-unary_of_labels(labels, 3, 0.7))
    np.testing.assert_allclose(found[:, 0, 0], [0.7, 0.15, 0.15], rtol=1e-6)
    np.testing.assert_allclose(found[:, 0, 1], [0.15, 0.15, 0.7], rtol=1e-6)
    np.testing.assert_allclose(found[:, 0, 2], [1 / 3] * 3, rtol=1e-6)
    found = np.exp(-unary_of_labels(labels, 3, 0.5, known=21))
    np.testing.assert_allclose(found[:, 0, 0], [0.5, 0.025, 0.025], rtol=1e-6)
    np.testing.assert_allclose(found[:, 0, 2], [1 / 21] * 3, rtol=1e-6)
    np.testing.assert_array_equal(unary_of_labels(np.zeros((2, 2), int), 1, 0.7), np.zeros((1, 2, 2)))


def test_presets_hold_the_papers_numbers() -> None:
    assert PRESETS["psa"].parameters == PRESETS["icd"].parameters == CrfParameters(10, 3, 3, 80, 13, 10)
    assert PRESETS["irn"].parameters == CrfParameters(10, 3, 3, 50, 5, 10)
    assert PRESETS["dcsm"].parameters == CrfParameters(10, 3, 1, 30, 10, 1)
    assert {name: (one.unary, one.alpha, one.confidence, one.share) for name, one in PRESETS.items()} == {
        "psa": ("soft", 4, 0.7, "present"),
        "irn": ("hard", 4, 0.7, "present"),
        "dcsm": ("soft", 1, 0.7, "present"),
        "icd": ("hard", 4, 0.5, "all"),
    }


def test_changes_reach_settings_and_kernels() -> None:
    settings = settings_of("irn", {"iterations": 3, "bilateral_srgb": 7.0, "confidence": 0.9, "scale_factor": 2})
    assert settings.parameters == CrfParameters(3, 1.5, 3, 25, 7, 10)
    assert (settings.unary, settings.confidence) == ("hard", 0.9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gauss_sxy": 0.0}, "--gauss-sxy 0.0: give a number above 0"),
        ({"bilateral_srgb": float("nan")}, "--bilateral-srgb nan"),
        ({"scale_factor": float("inf")}, "--scale-factor inf"),
        ({"alpha": -1.0}, "--alpha -1.0"),
        ({"gauss_compat": -1.0}, "--gauss-compat -1.0: give 0 or more"),
        ({"iterations": -1}, "--iterations -1"),
        ({"confidence": 1.0}, "--confidence 1.0: give a probability between 0 and 1"),
        ({"background": 1.5}, "--background 1.5"),
        ({"unary": "medium"}, "--unary medium is not known"),
        ({"share": "none"}, "--share none is not known"),
    ],
)
def test_values_that_cannot_be_are_told(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings_of("psa", changes)
    with pytest.raises(UsageError, match="--preset mine is not known"):
        settings_of("mine")  # type: ignore[arg-type]
