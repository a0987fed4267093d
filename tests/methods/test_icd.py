"""ICD's equations against a slow reference, and what the paper claims of them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from camkit.methods import icd
from tests.reference import icd as reference

FORMS = get_args(icd.Form)
VOTES = get_args(icd.Vote)


def problem(seed: int = 0, photos: int = 3, classes: int = 4, size: tuple[int, int] = (5, 6)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    present = rng.random((photos, classes)) < 0.5
    present[:, 0] |= ~present.any(1)
    inside = rng.random((photos, *size)) < 0.8
    inside[:, 0, 0] = True
    return {
        "features": rng.standard_normal((photos, 7, *size)),
        "directions": rng.standard_normal((classes, 7)),
        "scores": rng.standard_normal((photos, classes, *size)),
        "other": 3 * rng.standard_normal((photos, classes, *size)),
        "cams": rng.random((photos, classes, *size)),
        "present": present,
        "inside": inside,
        "superpixels": rng.integers(-1, 6, (photos, *size)),
    }


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def close(found: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_scores_and_bottom_up_losses_are_the_papers(form: icd.Form) -> None:
    arrays = problem()
    t = tensors(arrays)
    raw = icd.project(t["features"], icd.unit_directions(t["directions"]))
    expected = reference.raw_scores(arrays["features"], arrays["directions"])
    close(raw, expected)
    losses = icd.bottom_up_losses(raw, t["present"], t["inside"], form)
    close(losses, reference.bottom_up_losses(expected, arrays["present"], arrays["inside"], form))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_weighted_sums_of_features(form: icd.Form) -> None:
    """Equations 11 and 12, for the direction of length 1; through equation 2 only what turns it is left."""
    arrays = problem(1)
    t = tensors(arrays)
    inside = torch.ones_like(t["inside"])
    unit = icd.unit_directions(t["directions"]).requires_grad_()
    icd.bottom_up_losses(icd.project(t["features"], unit), t["present"], inside, form).sum().backward()
    scores = reference.raw_scores(arrays["features"], arrays["directions"])
    expected = reference.gradient(arrays["features"], scores, arrays["present"], form)
    assert unit.grad is not None
    close(unit.grad, expected)

    directions = t["directions"].requires_grad_()
    raw = icd.project(t["features"], icd.unit_directions(directions))
    icd.bottom_up_losses(raw, t["present"], inside, form).sum().backward()
    lengths = np.sqrt((arrays["directions"] ** 2).sum(1, keepdims=True))
    units = arrays["directions"] / lengths
    turning = expected - units * (units * expected).sum(1, keepdims=True)
    assert directions.grad is not None
    close(directions.grad, turning / lengths)


def test_photos_of_one_class() -> None:
    present = torch.tensor([[True, False], [True, True], [False, False]])
    assert icd.has_one_class(present).tolist() == [True, False, False]


@pytest.mark.parametrize("seed", range(4))
def test_mean_cams_of_both_signs(seed: int) -> None:
    arrays = problem(seed)
    t = tensors(arrays)
    sums = icd.cam_sums(t["scores"], t["cams"], t["present"], t["inside"])
    positive, negative = reference.cam_means(arrays["scores"], arrays["cams"], arrays["present"], arrays["inside"])
    photos = sums[2].numpy()
    np.testing.assert_array_equal(photos > 0, ~np.isnan(positive))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(sums[0].numpy() / photos, positive, rtol=1e-9)
        np.testing.assert_allclose(sums[1].numpy() / photos, negative, rtol=1e-9)
    shares = [
        icd.cam_sums(*(t[name][part] for name in ("scores", "cams", "present", "inside")))
        for part in (slice(0, 1), slice(1, None))
    ]
    torch.testing.assert_close(shares[0] + shares[1], sums)  # so ranks may share a batch


def test_photos_with_pixels_of_one_sign_say_nothing_about_the_sign() -> None:
    scores = torch.ones(1, 1, 2, 2)
    here = torch.ones(1, 2, 2, dtype=torch.bool)
    assert icd.cam_sums(scores, torch.ones_like(scores), torch.tensor([[True]]), here).tolist() == [[0], [0], [0]]


def test_the_sign_flips_where_the_cam_lies_on_the_negative_pole() -> None:
    found = icd.signs(torch.tensor([2.0, 1.0, 0.0, 1.5]), torch.tensor([1.0, 2.0, 0.0, 1.5]))
    assert found.tolist() == [1, -1, 1, 1]


@pytest.mark.parametrize("vote", VOTES)
@pytest.mark.parametrize("seed", range(3))
def test_superpixels_share_their_score(vote: icd.Vote, seed: int) -> None:
    arrays = problem(seed)
    t = tensors(arrays)
    found = icd.average_in_superpixels(t["scores"], t["superpixels"], vote)
    for one, scores, superpixels in zip(found, arrays["scores"], arrays["superpixels"], strict=True):
        close(one, reference.average(scores, superpixels, vote))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 6), width=st.integers(1, 6), count=st.integers(0, 5),
    vote=st.sampled_from(VOTES),
)  # fmt: skip
def test_averaging_twice_is_averaging_once(seed: int, height: int, width: int, count: int, vote: icd.Vote) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.standard_normal((2, 3, height, width)))
    superpixels = torch.from_numpy(rng.integers(-1, count, (2, height, width)))
    once = icd.average_in_superpixels(scores, superpixels, vote)
    torch.testing.assert_close(icd.average_in_superpixels(once, superpixels, vote), once)
    assert once.amin() >= scores.amin() - 1e-12
    assert once.amax() <= scores.amax() + 1e-12
    outside = (superpixels < 0)[:, None].expand_as(scores)
    assert torch.equal(once[outside], scores[outside])


def test_a_superpixel_without_a_sign_is_background_by_vote() -> None:
    scores = torch.tensor([[[[1.0, -3.0, 0.0, 0.0]]]])
    superpixels = torch.tensor([[[0, 0, 1, 1]]])
    assert icd.average_in_superpixels(scores, superpixels, "sign").flatten().tolist() == [-3, -3, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_no_pixel_is_foreground_of_two_classes(seed: int) -> None:
    arrays = problem(seed)
    t = tensors(arrays)
    found = icd.one_class_each(t["scores"], t["present"])
    for one, scores, present in zip(found.numpy(), arrays["scores"], arrays["present"], strict=True):
        classes = np.flatnonzero(present)
        expected = reference.one_class_each(scores, classes)
        np.testing.assert_array_equal(one[classes], expected[classes])
        assert ((one[classes] > 0).sum(0) <= 1).all()


def test_a_photo_of_one_class_keeps_its_scores() -> None:
    scores = torch.randn(1, 3, 4, 4)
    found = icd.one_class_each(scores, torch.tensor([[False, True, False]]))
    assert torch.equal(found[:, 1], scores[:, 1])


@pytest.mark.parametrize("band", [0.0, 0.2, 0.7])
def test_top_down_losses_are_the_papers(band: float) -> None:
    arrays = problem(2)
    t = tensors(arrays)
    found = icd.top_down_losses(t["other"], t["scores"], t["present"], t["inside"], band)
    close(
        found, reference.top_down_losses(arrays["other"], arrays["scores"], arrays["present"], arrays["inside"], band)
    )


def test_the_band_is_measured_by_the_largest_score_inside_the_photo() -> None:
    refined = torch.tensor([[[[10.0, -1.0, 0.1, 0.3]]]])
    inside = torch.tensor([[[False, True, True, True]]])
    assert icd.decided(refined, inside, 0.2).flatten().tolist()[1:] == [True, False, True]
    assert icd.decided(refined, inside, 0.0).all()


def test_photos_without_classes_teach_nothing() -> None:
    t = tensors(problem())
    nothing = torch.zeros_like(t["present"])
    assert icd.bottom_up_losses(t["scores"], nothing, t["inside"]).tolist() == [0, 0, 0]
    assert icd.top_down_losses(t["other"], t["scores"], nothing, t["inside"]).tolist() == [0, 0, 0]
    assert not icd.cam_sums(t["scores"], t["cams"], nothing, t["inside"]).any()


def test_what_lies_outside_counts_nowhere() -> None:
    t = tensors(problem(3))
    other = {**t, "scores": t["scores"].clone(), "cams": t["cams"].clone(), "other": t["other"].clone()}
    outside = ~t["inside"][:, None].expand_as(t["scores"])
    for name in ("scores", "cams", "other"):
        other[name][outside] = 99.0
    for one in (t, other):
        one["results"] = torch.cat(
            [
                icd.bottom_up_losses(one["scores"], one["present"], one["inside"]),
                icd.top_down_losses(one["other"], one["scores"], one["present"], one["inside"], 0.2),
                icd.cam_sums(one["scores"], one["cams"], one["present"], one["inside"]).flatten(),
            ]
        )
    torch.testing.assert_close(t["results"], other["results"])


def test_the_top_down_weight_rises_exponentially() -> None:
    weights = [icd.top_down_weight(epochs, 2.0) for epochs in (0, 0.5, 1, 1.5, 2, 7)]
    np.testing.assert_allclose(weights, np.exp([-10, -7.5, -5, -2.5, 0, 0]))
    assert icd.top_down_weight(0.0, 0.0) == 1.0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(6))
def test_two_clusters_are_told_apart_whatever_the_start(form: icd.Form, seed: int) -> None:
    """Foreground and background around two opposite centres; the CAM sees a fifth of the foreground, and a bit else."""
    torch.manual_seed(seed)
    centre = torch.randn(12)
    foreground = torch.zeros(4, 10, 10, dtype=torch.bool)
    foreground[:, 2:8, 3:9] = True
    poles = torch.where(foreground, 1.0, -1.0)[:, None] * centre[:, None, None]
    features = poles + 0.4 * torch.randn(4, 12, 10, 10)
    cams = 0.1 * torch.rand(4, 1, 10, 10) + (foreground & (torch.rand(4, 10, 10) < 0.2))[:, None]
    present, inside = torch.ones(4, 1, dtype=torch.bool), torch.ones(4, 10, 10, dtype=torch.bool)
    directions = (0.01 * torch.randn(1, 12)).requires_grad_()
    optimiser = torch.optim.SGD([directions], lr=0.01, momentum=0.9)
    means = torch.zeros(2, 1)
    for _ in range(60):
        optimiser.zero_grad()
        raw = icd.project(features, icd.unit_directions(directions))
        icd.bottom_up_losses(raw, present, inside, form).mean().backward()
        optimiser.step()
        sums = icd.cam_sums(raw.detach(), cams, present, inside)
        means = 0.9 * means + 0.1 * sums[:2] / sums[2].clamp_min(1)
    scores = raw.detach() * icd.signs(*means)
    assert ((scores[:, 0] > 0) == foreground).float().mean() > 0.99
