import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import UsageError
from camkit.evaluate import SignedSeedAccumulator
from tests.evaluate.cases import NUM_CLASSES, Image, images
from tests.evaluate.test_sweep import check_confusion
from tests.reference import sweep as reference

MARGINS = np.array([0.3, 0.0, 0.1])


@given(st.lists(images(np.array([-0.3, -0.1, -0.0, 0.0, 0.1, 0.3])), max_size=3))
def test_equals_seeds_made_at_every_margin(data: list[Image]) -> None:
    accumulator = SignedSeedAccumulator(NUM_CLASSES, MARGINS)
    for image in data:
        accumulator.update(*image)
    truths = [truth for _, _, truth in data]
    for margin, found in zip(MARGINS, accumulator.compute(), strict=True):
        masks = [reference.seed_mask(scores, classes, margin, truth.shape) for scores, classes, truth in data]
        check_confusion(found, masks, truths)


@pytest.mark.parametrize("margins", [[], [-0.1], [np.nan], [np.inf]])
def test_unusable_margins(margins: list[float]) -> None:
    with pytest.raises(UsageError, match="margins"):
        SignedSeedAccumulator(3, margins)
