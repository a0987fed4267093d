from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.errors import UsageError
from camkit.methods.guided import GuidedReLUs, record


class Net(nn.Module):
    """A convolution, a given activation, batch norm, another convolution, and the same activation."""

    def __init__(self, activation: Callable[[Tensor], Tensor] = F.relu, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv1, self.norm, self.conv2 = nn.Conv2d(3, 5, 3, 2, 1), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 3, padding=1)
        self.activation = activation
        self.unused = nn.Conv2d(3, 4, 1)
        self.pairs = Pair()
        self.seen: list[bool] = []  # whether gradients were on their way behind the first convolution

    def features(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        self.seen.append(x.requires_grad)
        x = self.norm(self.activation(x))
        return self.activation(self.conv2(x))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def picture(seed: int = 1) -> Tensor:
    return torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(seed))


TOPS = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(2))


def by_hand(net: Net, layer: str, *, guided: bool, photo: Tensor | None = None, most: float = torch.inf) -> Tensor:
    """[3, 2, D, h, w] with explicit masks, one class after the other; ReLUs only, up to `most`."""
    photo = picture() if photo is None else photo
    with torch.no_grad():
        below = net.conv1(photo)
        inner = net.norm.eval()(below.clamp(0, most))
        above = net.conv2(inner)
        found = []
        for top in TOPS:
            g = top[..., None, None].expand(above.shape) * ((above > 0) & (above < most))
            g = g.clamp(min=0) if guided else g
            if layer != "conv2":
                g = torch.nn.grad.conv2d_input(inner.shape, net.conv2.weight, g, padding=1)
            if layer in ("conv1", "input"):
                g = g * (net.norm.weight / (net.norm.running_var + net.norm.eps).sqrt())[:, None, None]
                g = g * ((below > 0) & (below < most))
                g = g.clamp(min=0) if guided else g
            if layer == "input":
                g = torch.nn.grad.conv2d_input(photo.shape, net.conv1.weight, g, stride=2, padding=1)
            found.append(g)
    return torch.stack(found)


RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "by name": lambda x: F.relu(input=x, inplace=False),
    "in place, result not looked at": lambda x: [x, x.relu_()][0],
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
}


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("name", RELUS)
def test_gradients_are_those_by_hand_however_relu_is_written(name: str, guided: bool) -> None:
    net, picked = Net(RELUS[name]), {"conv2": "conv2", "norm": "norm", "conv1": "conv1", "input": None}
    layers = {layer: module and net.get_submodule(module) for layer, module in picked.items()}
    recording = record(net, picture(), layers, guided=guided)  # type: ignore[arg-type]
    torch.testing.assert_close(recording.features.detach(), Net().eval().features(picture()).detach())
    for layer, gradient in zip(layers, recording.gradients(TOPS), strict=True):
        torch.testing.assert_close(gradient, by_hand(Net(), layer, guided=guided), msg=layer)
    assert recording.guided == (2 if guided else 0)


BOUNDED: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu6": F.relu6,
    "F.relu6 in place": lambda x: F.relu6(x, inplace=True),
    "module": nn.ReLU6(),
    "module in place": nn.ReLU6(inplace=True),
    "F.hardtanh": lambda x: F.hardtanh(x, 0, 6),
    "by name": lambda x: F.hardtanh(x, max_val=6.0, min_val=0.0, inplace=True),
}


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("name", BOUNDED)
def test_gradients_of_relu6_are_those_by_hand_too(name: str, guided: bool) -> None:
    net, photo = Net(BOUNDED[name]), 15 * picture()
    layers = {"conv2": net.conv2, "conv1": net.conv1, "input": None}
    recording = record(net, photo, layers, guided=guided)  # type: ignore[arg-type]
    assert net.conv1(photo).amax() > 6
    for layer, gradient in zip(layers, recording.gradients(TOPS), strict=True):
        torch.testing.assert_close(gradient, by_hand(Net(), layer, guided=guided, photo=photo, most=6.0), msg=layer)
    assert recording.guided == (2 if guided else 0)


@pytest.mark.parametrize("activation", [F.leaky_relu, F.gelu, F.hardtanh, torch.sigmoid])
def test_other_activations_stay_ordinary(activation: Callable[[Tensor], Tensor]) -> None:
    net = Net(activation)
    layers = {"conv1": net.conv1}
    guided, plain = (record(net, picture(), layers, guided=flag) for flag in (True, False))
    assert guided.guided == 0
    torch.testing.assert_close(guided.gradients(TOPS)[0], plain.gradients(TOPS)[0], rtol=0, atol=0)


def test_one_batch_of_backward_passes_is_one_after_the_other() -> None:
    net = Net()
    recording = record(net, picture(), {"conv1": net.conv1}, guided=True)
    together = recording.gradients(TOPS, again=True)[0]
    for k in range(len(TOPS)):
        torch.testing.assert_close(recording.gradients(TOPS[k : k + 1], again=True)[0][0], together[k])


def test_nothing_is_recorded_below_the_lowest_layer() -> None:
    net = Net()
    record(net, picture(), {"conv2": net.conv2}, guided=True)
    record(net, picture(), {"conv1": net.conv1}, guided=True)
    assert net.seen == [False, True]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    net = Net().train(training)
    net.conv2.train(not training)
    net.conv1.weight.requires_grad_(False)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modes, flags = [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]
    features = record(net, picture(), {"conv1": net.conv1, "input": None}, guided=True)
    features.gradients(TOPS)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())
    torch.testing.assert_close(features.features.detach(), Net().eval().features(picture()).detach())


def test_an_exception_leaves_nothing_behind() -> None:
    def fails(x: Tensor) -> Tensor:
        raise RuntimeError("on the way")

    net = Net(fails).train()
    with pytest.raises(RuntimeError, match="on the way"):
        record(net, picture(), {"conv1": net.conv1}, guided=True)
    assert all(m.training for m in net.modules())
    assert all(p.requires_grad for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    F.relu(x).mul(torch.tensor([-1.0, 1.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1, 1]  # ReLU is itself again


def test_in_place_means_in_place() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    with GuidedReLUs():
        y = x * 1
        z = F.relu(y, inplace=True)
    assert z is y
    assert y.tolist() == [0, 2]
    (gradient,) = torch.autograd.grad(y, x, torch.tensor([1.0, 3.0]))
    assert gradient.tolist() == [0, 3]


def test_it_works_within_inference_mode_and_half_precision() -> None:
    net = Net()
    expected = by_hand(Net(), "conv1", guided=True)
    with torch.inference_mode():
        found = record(net, picture(), {"conv1": net.conv1}, guided=True).gradients(TOPS)[0]
        torch.testing.assert_close(found, expected)
        with torch.autocast("cpu", torch.bfloat16):
            net.features(picture())  # what the weights are as bfloat16 is kept from here on
            rough = record(net, picture(), {"conv1": net.conv1}, guided=True).gradients(TOPS)[0]
    assert float((rough.float() - expected).norm() / expected.norm()) < 0.1


@pytest.mark.parametrize(
    ("layer", "words"),
    [("unused", "do not run through this layer"), ("pairs", "is no"), ("aside", "do not depend on this layer")],
)
def test_layers_without_gradients_are_told(layer: str, words: str) -> None:
    class Strange(Net):
        def features(self, x: Tensor) -> Tensor:
            self.pairs(x)
            self.aside(x)
            return super().features(x)

    net = Strange()
    net.aside = nn.Conv2d(3, 1, 1)
    with pytest.raises(UsageError, match=words) as caught:
        record(net, picture(), {"conv1": net.conv1, layer: net.get_submodule(layer)}, guided=True).gradients(TOPS)
    assert f"--layers {layer}" in str(caught.value)
    assert not any(m._forward_hooks for m in net.modules())
