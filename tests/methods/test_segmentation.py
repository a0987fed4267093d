"""Losses of segmentation networks and fusion of scales, against slow references and for what must always hold."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camkit.methods.segmentation import (
    ALPHA,
    IGNORED,
    agreement,
    balanced_cross_entropy,
    cross_entropy,
    fuse,
    largest,
    logits_of_scales,
    multi_output_loss,
    on_grid,
    outputs_to_train,
    refinement_loss,
    saliency_losses,
    saliency_weights,
    scaled,
    segment,
)
from tests.reference import segmentation as reference

CLASSES = 3


class Averaging(torch.nn.Module):
    """The mean of each 4 × 4 cell, twisted: logits at stride 4."""

    mean, std = (0.5, 0.4, 0.3), (0.25, 0.25, 0.25)
    corners, padded_grid, coarse_labels = False, 1, False
    pyramid = ()
    weights = (1.0,)

    def logits(self, x):
        return torch.nn.functional.avg_pool2d(x, 4, ceil_mode=True) * torch.tensor([1.0, -2.0, 3.0]).view(3, 1, 1)

    def outputs(self, x):
        return (self.logits(x),)


class Pyramid(Averaging):
    coarse_labels = True
    pyramid = (0.5, 0.75)


class Auxiliary(Averaging):
    weights = (1.0, 0.4)

    def outputs(self, x):
        return self.logits(x), -self.logits(x)[..., ::2, ::2]


@st.composite
def worlds(draw, photos=2):
    """Logits, labels with ignored pixels, saliency with missing pixels."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(0, 3, (photos, CLASSES, height, width))
    kinds = draw(st.sampled_from([(0,), (1, 2), (0, 1, 2), (0, 1, 2, IGNORED), (IGNORED,), (0, IGNORED)]))
    labels = rng.choice(kinds, (photos, height, width))
    saliency = draw(
        st.sampled_from(
            [
                rng.random((photos, height, width)),
                rng.integers(0, 2, (photos, height, width)).astype(float),
                np.zeros((photos, height, width)),
                np.ones((photos, height, width)),
                np.full((photos, height, width), np.nan),
            ]
        )
    )
    saliency = np.where(rng.random(saliency.shape) < draw(st.sampled_from([0, 0.3])), np.nan, saliency)
    return logits, labels, saliency


def tensors(*arrays):
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


@given(worlds())
def test_losses_are_those_of_the_reference(world):
    logits, labels, saliency = tensors(*world)
    assert float(cross_entropy(logits, labels)) == pytest.approx(reference.cross_entropy(*world[:2]))
    assert float(balanced_cross_entropy(logits, labels)) == pytest.approx(reference.balanced_cross_entropy(*world[:2]))
    expected = [reference.saliency_loss(*photo) for photo in zip(world[0], world[2], strict=True)]
    assert saliency_losses(logits, saliency).tolist() == pytest.approx(expected)
    whole = float(refinement_loss(logits, labels, saliency))
    assert whole == pytest.approx(reference.refinement_loss(*world, ALPHA))


@given(worlds())
def test_agreement_is_a_mean_of_overlaps(world):
    _, labels, saliency = tensors(*world)
    found = agreement(labels, saliency)
    assert found.tolist() == pytest.approx([reference.agreement(*pair) for pair in zip(*world[1:], strict=True)])
    assert ((found >= 0) & (found <= 1)).all()
    weights = saliency_weights(found)
    assert ((weights >= 0) & (weights <= ALPHA * (math.e - 1) + 1e-6)).all()
    swapped = agreement((saliency >= 0.5).long(), torch.where(labels == IGNORED, torch.nan, (labels != 0).double()))
    known = ~saliency.isnan()
    assert known.sum() == 0 or torch.allclose(swapped[known.all((1, 2))], found[known.all((1, 2))])


def test_agreement_where_it_is_told_in_advance():
    labels = torch.tensor([[[0, 0], [1, 2]]]).repeat(6, 1, 1)
    saliency = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]).repeat(6, 1, 1)
    saliency[1] = 1 - saliency[1]
    labels[2] = IGNORED
    labels[3] = saliency[3] = 0
    saliency[4] = 0
    saliency[5] = torch.nan
    half = (0 / 2 + 2 / 4) / 2
    assert agreement(labels, saliency).tolist() == pytest.approx([1, 0, 0, 1, half, 0])


def test_without_saliency_labels_alone_are_learned_from():
    rng = np.random.default_rng(0)
    logits, labels = tensors(rng.normal(size=(2, CLASSES, 4, 4)), rng.integers(0, CLASSES, (2, 4, 4)))
    nothing = torch.full((2, 4, 4), torch.nan, dtype=torch.float64)
    plain = float(cross_entropy(logits, labels))
    assert float(refinement_loss(logits, labels, None)) == plain
    assert float(refinement_loss(logits, labels, nothing)) == plain
    one = nothing.clone()
    one[1] = (labels[1] != 0).double()
    term = float(saliency_losses(logits, one)[1])
    expected = plain + ALPHA * (math.e - 1) * term / 2
    assert float(refinement_loss(logits, labels, one)) == pytest.approx(expected)


def test_a_fixed_weight_takes_the_place_of_the_adaptive_one():
    rng = np.random.default_rng(1)
    logits, labels = tensors(rng.normal(size=(2, CLASSES, 4, 4)), rng.integers(0, CLASSES, (2, 4, 4)))
    saliency = torch.from_numpy(rng.random((2, 4, 4)))
    fixed = refinement_loss(logits, labels, saliency, torch.full((2,), 0.3, dtype=torch.float64))
    expected = cross_entropy(logits, labels) + 0.3 * saliency_losses(logits, saliency).mean()
    assert float(fixed) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", ["cross_entropy", "balanced_cross_entropy", "refinement_loss"])
def test_gradients_in_double_precision(name):
    rng = np.random.default_rng(2)
    logits, labels = tensors(rng.normal(0, 2, (2, CLASSES, 3, 4)), rng.choice([0, 1, 2, IGNORED], (2, 3, 4)))
    saliency = torch.from_numpy(np.where(rng.random((2, 3, 4)) < 0.2, np.nan, rng.random((2, 3, 4))))
    losses = {
        "cross_entropy": cross_entropy,
        "balanced_cross_entropy": balanced_cross_entropy,
        "refinement_loss": partial(refinement_loss, saliency=saliency),
    }
    assert torch.autograd.gradcheck(lambda x: losses[name](x, labels), logits.requires_grad_())


@pytest.mark.parametrize("size", [1, 100])
def test_gradients_stay_finite_where_the_network_is_sure(size):
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 0] = torch.tensor([[size, -size]])
    logits.requires_grad_()
    saliency_losses(logits, torch.tensor([[[1.0, 0.0]]])).sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() > 0


@pytest.mark.parametrize("loss", [cross_entropy, balanced_cross_entropy])
def test_nothing_known_teaches_nothing(loss):
    logits = torch.randn(2, CLASSES, 3, 3, requires_grad=True)
    found = loss(logits, torch.full((2, 3, 3), IGNORED))
    found.backward()
    assert found.item() == 0
    assert (logits.grad == 0).all()


def test_balanced_loss_with_one_side_missing_is_half_of_the_others_mean():
    logits = torch.randn(2, CLASSES, 3, 3)
    for label in (0, 1):
        labels = torch.full((2, 3, 3), label)
        assert float(balanced_cross_entropy(logits, labels)) == pytest.approx(float(cross_entropy(logits, labels)) / 2)


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 30), st.integers(1, 30)))
def test_labels_come_down_as_pillow_brings_them(before, after):
    labels = np.random.default_rng(0).integers(0, 255, before).astype(np.uint8)
    expected = Image.fromarray(labels).resize((after[1], after[0]), Image.Resampling.NEAREST)
    found = on_grid(torch.from_numpy(labels), after).numpy()
    rows, columns = (
        (2 * np.arange(new) + 1) * old % (2 * new) != 0 for new, old in zip(after, before, strict=True)
    )  # elsewhere the middle lies between two pixels, and Pillow's rounding decides
    assert np.array_equal(found[rows][:, columns], np.asarray(expected)[rows][:, columns])


def test_a_pyramid_learns_at_each_scale_and_from_their_maximum():
    torch.manual_seed(0)
    x, labels = torch.randn(2, 3, 32, 48), torch.randint(0, CLASSES, (2, 32, 48))
    network = Pyramid()
    outputs = outputs_to_train(network, x)
    assert [tuple(output.shape[-2:]) for output in outputs] == [(8, 12), (4, 6), (6, 9), (8, 12)]
    assert torch.equal(outputs[-1], largest(outputs[:-1]))
    assert (outputs[-1] >= outputs[0]).all()
    expected = sum(cross_entropy(output, on_grid(labels, output.shape[-2:])) for output in outputs)
    assert float(multi_output_loss(network, outputs, cross_entropy, labels)) == pytest.approx(float(expected))


def test_auxiliary_outputs_have_their_weights_and_scores_go_up_to_the_photo():
    torch.manual_seed(0)
    x, labels = torch.randn(1, 3, 32, 32), torch.randint(0, CLASSES, (1, 32, 32))
    network = Auxiliary()
    outputs = outputs_to_train(network, x)
    main, auxiliary = (
        cross_entropy(torch.nn.functional.interpolate(output, (32, 32), mode="bilinear"), labels) for output in outputs
    )
    found = multi_output_loss(network, outputs, cross_entropy, labels)
    assert float(found) == pytest.approx(float(main + 0.4 * auxiliary))
    saliency = torch.rand(1, 32, 32)
    refined = multi_output_loss(network, outputs, refinement_loss, labels, saliency)
    assert float(refined) > float(found)


@given(st.integers(0, 1000), st.sampled_from(["mean", "max", "max-logits"]))
def test_fusion_is_that_of_the_reference(seed, fusion):
    maps = np.random.default_rng(seed).normal(0, 3, (3, CLASSES, 4, 5))
    found = fuse([torch.from_numpy(logits)[None] for logits in maps], (4, 5), fusion)[0].numpy()
    np.testing.assert_allclose(found, reference.fuse(list(maps), fusion), atol=1e-12)
    if fusion != "max":
        np.testing.assert_allclose(found.sum(0), 1)


@pytest.mark.parametrize("fusion", ["mean", "max", "max-logits"])
@pytest.mark.parametrize("resizing", ["pillow", "bilinear", "factor", "corners"])
def test_probabilities_of_photos_sum_to_one_and_mirror_with_them(fusion, resizing):
    images = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (2, 3, 40, 56))).float()
    options = {"scales": (1.0, 0.5, 1.25), "flip": True, "fusion": fusion, "resizing": resizing}
    found = segment(images, Averaging(), (40, 56), **options)
    assert found.shape == (2, CLASSES, 40, 56)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 40, 56))
    if fusion != "max-logits":  # of a grid whose last cell is cut, a mirror image's cells lie elsewhere
        mirrored = segment(images.flip(-1), Averaging(), (40, 56), **options).flip(-1)
        torch.testing.assert_close(mirrored, found, atol=0.02 if resizing == "pillow" else 1e-4, rtol=0)


def test_one_scale_alone_is_its_softmax_whatever_the_fusion():
    images = torch.rand(1, 3, 16, 16) * 255
    (logits,) = logits_of_scales(images, Averaging(), resizing="bilinear")
    expected = torch.nn.functional.interpolate(logits, (16, 16), mode="bilinear").softmax(1)
    for fusion in ("mean", "max", "max-logits"):
        torch.testing.assert_close(fuse([logits], (16, 16), fusion), expected)
    with pytest.raises(ValueError, match="empty"):
        fuse([], (16, 16))


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.1, 0.5, 0.75, 1.0, 1.5]))
def test_scaled_sizes(height, width, scale):
    images = torch.zeros(1, 3, height, width)
    for resizing in ("bilinear", "factor", "corners"):
        expected = (max(1, int(height * scale)), max(1, int(width * scale)))
        assert tuple(scaled(images, scale, resizing).shape[-2:]) == expected
