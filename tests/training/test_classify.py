"""The classification loss of every recipe, in training and where it is judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from camkit.settings.recipe import PRESETS, LossOver
from camkit.training.classify import classification_loss, validation_loss
from tests.reference import losses as reference

RNG = np.random.default_rng(0)
LOGITS = 3 * RNG.standard_normal((4, 7))
TARGETS = RNG.integers(0, 2, (4, 7)).astype(np.float64)


@pytest.mark.parametrize("over", ["mean", "sum"])
def test_the_loss_and_its_gradient_are_those_of_the_formula(over: LossOver) -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = classification_loss(logits, torch.tensor(TARGETS, dtype=torch.float32), over)
    loss.backward()
    summed = over == "sum"
    assert loss.item() == pytest.approx(reference.classification_loss(LOGITS, TARGETS, summed=summed), rel=1e-5)
    assert logits.grad is not None
    expected = reference.gradient(LOGITS, TARGETS, summed=summed)
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-4, atol=1e-7)
    judged = validation_loss(1 / (1 + np.exp(-LOGITS)), TARGETS, over)
    assert judged == pytest.approx(loss.item(), rel=1e-5)


def test_the_papers_sum_and_the_programs_take_means() -> None:
    over = {name: PRESETS[name].loss_over for name in ("scratch", "finetune", "psa", "irn", "dcsm", "icd")}
    assert over == {**dict.fromkeys(over, "mean"), "dcsm": "sum", "icd": "sum"}
