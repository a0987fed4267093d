from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from camkit.errors import UsageError
from camkit.methods.dcsm import (
    Layer,
    dcsm,
    dcsm_response,
    find_layers,
    probe_layers,
    rivals_of,
    squash,
    subtract,
)
from camkit.methods.infercam import Inference, Views, infer_cam
from camkit.models.checkpoint import load_classifier
from camkit.models.classifier import LoadedClassifier
from camkit.settings.dcsm import DcsmSettings
from tests.methods.test_response import as_batch, photo
from tests.models.tiny import fill
from tests.reference import dcsm as reference
from tests.reference import layouts

DENSE = {"fc6.weight": (8, 16, 3, 3), "fc6.bias": (8,), "fc7.weight": (9, 8, 1, 1), "fc7.bias": (9,)}
LAYOUTS = {
    "vgg16": layouts.vgg16_trunk(2) | DENSE | {"fc8.weight": (5, 9), "fc8.bias": (5,)},
    "toy": layouts.toy(5, 4),
}
HEADS = {"vgg16": "fc8", "toy": "head"}
NETWORKS = {"vgg16": reference.vgg16, "toy": reference.toy}
PAPER = tuple(f"conv{block}_{n}" for block in (3, 4, 5) for n in (1, 2, 3))
SIZE = (11, 15)


class Small(nn.Module):
    """Two convolutions, a residual sum and five random classes."""

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.low, self.high, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 2, 1), nn.Linear(6, 5)
        self.last = nn.ReLU()

    @property
    def weight(self) -> Tensor:
        return self.head.weight

    @property
    def layers(self) -> dict[str, nn.Module]:
        return {"low": self.low, "high": self.high, "last": self.last}

    def features(self, x: Tensor) -> Tensor:
        return self.last(self.high(F.relu(self.low(x))))

    def pool(self, features: Tensor) -> Tensor:
        return self.head(features.mean((2, 3)))

    def logits(self, x: Tensor) -> Tensor:
        return self.pool(self.features(x))


def load(folder: Path, arch: str) -> tuple[LoadedClassifier, dict[str, Tensor]]:
    state = fill(LAYOUTS[arch], seed=4)
    torch.save(state, folder / "tiny.pth")
    return load_classifier(folder / "tiny.pth"), {key: value.double() for key, value in state.items()}


def run(
    images: Tensor, classes: list[list[int]], saliency: DcsmSettings, scales: tuple[float, ...] = (1.0, 0.8),
    size: tuple[int, int] = SIZE,
) -> tuple[Tensor, list[dict[str, list[list[float]]]]]:  # fmt: skip
    return dcsm(images, torch.tensor(classes), size, classifier=Small(), saliency=saliency, scales=scales)


BOTH = DcsmSettings(("low", "high"))


@pytest.mark.parametrize(
    ("arch", "layers", "present", "changes"),
    [
        ("vgg16", PAPER, [1, 3], {}),
        ("vgg16", PAPER, [2], {"backprop": "plain"}),
        ("vgg16", ("conv4_2", "input"), [0, 4], {"candidates": 0}),
        ("vgg16", ("conv1_1", "conv2_2"), [0], {"candidates": 5, "alpha": 1.5}),
        ("toy", ("block1", "block2", "block3"), [0, 1, 4], {}),
        ("toy", ("block3", "input"), [3], {"backprop": "plain", "candidates": 1, "candidate_threshold": 0.95}),
        ("toy", ("block2",), [1, 2], {"candidates": 2, "candidate_threshold": 0.0}),
    ],
)  # fmt: skip
def test_it_equals_the_slow_reference(
    tmp_path: Path, arch: str, layers: tuple[str, ...], present: list[int], changes: dict[str, float]
) -> None:
    loaded, state = load(tmp_path, arch)
    image, saliency = photo(42, 56, seed=2), replace(DcsmSettings(layers), **changes)  # type: ignore[arg-type]
    head = state[f"{HEADS[arch]}.weight"], state[f"{HEADS[arch]}.bias"]
    slow, candidates = reference.dcsm(
        image, present, NETWORKS[arch], state, head, layers, SIZE, mean=loaded.mean, std=loaded.std,
        minimum=saliency.candidates, threshold=saliency.candidate_threshold, alpha=saliency.alpha,
        guided=saliency.guided,
    )  # fmt: skip
    maps, notes = dcsm(
        as_batch(image), torch.tensor([present]), SIZE, classifier=loaded.network, saliency=saliency,
        scales=(0.8, 1.0, 1.2),
    )  # fmt: skip
    assert slow.max() > 0.1
    np.testing.assert_allclose(maps[0].numpy(), slow, atol=1e-5)
    named = sorted(c for c, _ in notes[0]["candidates"])
    assert named == (candidates if saliency.candidates else present)


def test_who_competes() -> None:
    scores = [0.1, 0.9, 0.3, 0.7, 0.6, 0.2]
    few, more = DcsmSettings(candidates=2), DcsmSettings(candidates=5)
    assert rivals_of(scores, [1], few) == [3, 4]  # above the threshold, though there are two already
    assert rivals_of(scores, [0], few) == [1, 3, 4]
    assert rivals_of(scores, [1, -1], more) == [3, 4, 2, 5]
    assert rivals_of(scores, [1], DcsmSettings(candidates=1, candidate_threshold=0.95)) == []
    assert rivals_of(scores, [0], DcsmSettings(candidates=99)) == [1, 3, 4, 2, 5]
    assert rivals_of([0.4, 0.4, 0.4], [2], few) == [0, 1]


def test_with_a_single_candidate_there_is_nothing_to_subtract() -> None:
    image = as_batch(photo(40, 52))
    _, notes = run(image, [[0]], BOTH)
    best, _ = notes[0]["candidates"][0]
    alone, notes = run(image, [[int(best)]], replace(BOTH, candidates=1, candidate_threshold=1.0))
    assert len(notes[0]["candidates"]) == 1
    nothing, _ = run(image, [[int(best)]], replace(BOTH, candidates=0))
    torch.testing.assert_close(alone, nothing, rtol=0, atol=0)
    assert alone.max() > 0.5


def test_subtraction_is_equation_4() -> None:
    maps = torch.tensor([[[[5.0, 1.0]], [[2.0, 4.0]], [[4.0, 0.0]]]])
    present = torch.tensor([[True, True, True]])
    assert subtract(maps, present, 2).tolist() == [[[[3.0 + 1.0, 1.0]], [[0.0, 3.0 + 4.0]]]]
    present[0, 2] = False
    assert subtract(maps, present, 1).tolist() == [[[[3.0, 0.0]]]]
    present[0, 1] = False
    assert subtract(maps, present, 1).tolist() == [[[[5.0, 1.0]]]]


def test_without_normalising_tanh_is_of_the_gradients_themselves() -> None:
    maps = torch.tensor([[[[0.5, 0.25]], [[0.0, 0.0]]]])
    expected = [[[[np.tanh(3), np.tanh(1.5)]], [[0, 0]]]]
    np.testing.assert_allclose(squash(maps, 3, normalise=True), expected, rtol=1e-6)
    np.testing.assert_allclose(squash(maps, 3, normalise=False)[0, 0, 0], np.tanh([1.5, 0.75]), rtol=1e-6)


def test_the_formula_upsamples_every_channel() -> None:
    image, saliency = as_batch(photo(40, 52)), DcsmSettings(("low",), candidates=0, upsample_channels=True)
    net = Small()
    x = ((image / 255 - torch.tensor(net.mean)[:, None, None]) / torch.tensor(net.std)[:, None, None]).detach()
    low = net.low(x).detach().requires_grad_()
    high = net.high(low.clamp(min=0))
    with torch.no_grad():
        g = net.weight[2][:, None, None] * (high > 0)
        g = torch.nn.grad.conv2d_input(low.shape, net.high.weight, g.clamp(min=0), 2, 1) * (low > 0)
        g = g.clamp(min=0)
        raw = torch.stack([F.interpolate(g[:, d : d + 1], SIZE, mode="bilinear") for d in range(6)]).abs().amax(0)
    expected = torch.tanh(3 * raw / raw.max())
    found, _ = run(image, [[2]], saliency, scales=(1.0,))
    torch.testing.assert_close(found, expected)
    prose, _ = run(image, [[2]], replace(saliency, upsample_channels=False), scales=(1.0,))
    assert float((prose - found).abs().max()) > 0.01


SALIENCIES = st.builds(
    DcsmSettings,
    layers=st.sampled_from([("low",), ("high",), ("input",), ("low", "high"), ("high", "input", "low")]),
    backprop=st.sampled_from(["guided", "plain"]), candidates=st.integers(0, 7),
    candidate_threshold=st.sampled_from([0.0, 0.5, 1.0]), alpha=st.sampled_from([0.1, 3.0, 50.0]),
    normalise=st.booleans(), upsample_channels=st.booleans(),
)  # fmt: skip
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(-1, 4), min_size=width, max_size=width).filter(
            lambda row: len({c for c in row if c >= 0}) == sum(c >= 0 for c in row)
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    saliency=SALIENCIES, table=TABLES, height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 99),
    size=st.sampled_from([(1, 1), (3, 8), (9, 2)]), scales=st.sampled_from([(1.0,), (0.5, 2.0), (0.8, 1.0, 1.2)]),
)  # fmt: skip
def test_maps_lie_in_0_1_and_each_image_is_on_its_own(
    saliency: DcsmSettings, table: list[list[int]], height: int, width: int, seed: int, size: tuple[int, int],
    scales: tuple[float, ...],
) -> None:  # fmt: skip
    images = as_batch(*(photo(height, width, seed + n) for n in range(len(table))))
    maps, notes = run(images, table, saliency, scales, size)
    assert maps.shape == (len(table), len(table[0]), *size)
    assert maps.isfinite().all()
    assert maps.min() >= 0
    assert maps.max() <= np.tanh(saliency.alpha) + 1e-6 if saliency.normalise else maps.max() <= 1
    for b, row in enumerate(table):
        assert all((maps[b, column] == 0).all() for column, c in enumerate(row) if c < 0)
        if all(c < 0 for c in row):
            assert notes[b] == {}
            continue
        named = [c for c, _ in notes[b]["candidates"]]
        assert len(set(named)) == len(named)
        assert set(named) >= {c for c in row if c >= 0}
        assert len(named) >= min(saliency.candidates, 5)
        alone, _ = run(images[b : b + 1], [[c for c in row if c >= 0]], saliency, scales, size)
        kept = maps[b, [column for column, c in enumerate(row) if c >= 0]]
        torch.testing.assert_close(kept, alone[0], rtol=1e-3, atol=1e-3)


def test_the_middle_scale_says_who_competes_in_all() -> None:
    image = as_batch(photo(64, 64, 5))
    asked = replace(BOTH, candidates=1, candidate_threshold=1.0)
    _, several = run(image, [[0]], asked, (0.25, 4.0, 1.0))
    _, one = run(image, [[0]], asked, (1.0,))
    assert several == one


def test_two_runs_give_the_same_bytes() -> None:
    image = as_batch(photo(40, 52))
    assert torch.equal(run(image, [[0, 2]], BOTH)[0], run(image, [[0, 2]], BOTH)[0])


def test_layers_are_found_by_name_and_by_their_parts(tmp_path: Path) -> None:
    network = load(tmp_path, "toy")[0].network
    found = find_layers(network, ["block2", "block2.conv1", "input"])
    assert found == {"block2": network.get_submodule("block2"), "block2.conv1": network.get_submodule("block2.conv1"),
                     "input": None}  # fmt: skip
    for name in ("block9", "block2.conv7", "", ".", "Block2"):
        with pytest.raises(UsageError, match="no such layer; it has input, block1, block2, block3, block4"):
            find_layers(network, [name])


@pytest.mark.parametrize("guided", [True, False])
def test_a_probe_tells_what_layers_are_like_and_which_tell_nothing(tmp_path: Path, guided: bool) -> None:
    toy, vgg = (load(tmp_path, arch)[0].network for arch in ("toy", "vgg16"))
    found, relus = probe_layers(toy, ["block3", "block4", "input"], guided=guided)
    assert found == {"block3": Layer(16, 8, False), "block4": Layer(32, 8, True), "input": Layer(3, 1, False)}
    assert relus == (9 if guided else 0)
    found, _ = probe_layers(vgg, ["conv5_3", "conv1_1"], guided=guided)
    assert found == {"conv5_3": Layer(16, 8, False), "conv1_1": Layer(2, 1, False)}
    assert probe_layers(Small(), ["last", "high"], guided=guided)[0]["last"].blind


def test_of_a_layer_that_tells_nothing_all_positions_are_alike() -> None:
    maps, _ = run(as_batch(photo(40, 52)), [[1, 2]], DcsmSettings(("last",), candidates=0))
    assert float((maps - maps[..., :1, :1]).abs().max()) < 1e-6


def test_layers_mean_the_same_whether_batch_norms_are_folded_or_not(tmp_path: Path) -> None:
    folded = load(tmp_path, "toy")[0].network
    whole = load_classifier(tmp_path / "tiny.pth", for_inference=False).network
    saliency, image = DcsmSettings(("block1", "block2", "block3")), as_batch(photo(40, 52))
    one, other = (
        dcsm(image, torch.tensor([[0, 2]]), SIZE, classifier=network, saliency=saliency, scales=(1.0,))[0]
        for network in (folded, whole)
    )
    assert one.max() > 0.5
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_as_a_response_map_it_is_one_scale_on_the_finest_grid_and_infercam_takes_it() -> None:
    image, classes = as_batch(photo(40, 52)), torch.tensor([[1, 3]])
    response = partial(dcsm_response, classifier=Small(), saliency=BOTH)
    maps = response(image, classes)
    assert maps.shape == (1, 2, 20, 26)
    expected, _ = dcsm(image, classes, (20, 26), classifier=Small(), saliency=BOTH, scales=(1.0,))
    torch.testing.assert_close(maps, expected)
    views = Views((1.0, 0.5), (1.0,), (0.5,))
    with torch.inference_mode():
        found, _ = infer_cam(
            image, classes, (40, 52), response=response, inference=Inference(), views=views, mean_colour=[99, 99, 99]
        )
    assert found.shape == (1, 2, 40, 52)
    assert 0.9 < float(found.max()) <= 1


def test_a_classifier_in_training_is_left_as_it_was() -> None:
    net = Small().train()
    expected, _ = run(as_batch(photo(40, 52)), [[1]], BOTH)
    found, _ = dcsm(
        as_batch(photo(40, 52)), torch.tensor([[1]]), SIZE, classifier=net, saliency=BOTH, scales=(1.0, 0.8)
    )
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    assert net.training
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
