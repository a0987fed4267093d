"""Networks of the user's own: `--model package.module:factory`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from camkit.errors import UsageError
from camkit.models.classifier import IMAGENET_MEAN, IMAGENET_STD, ClassifierNetwork, Colour
from camkit.models.state import State, fitted, without_wrappers

NEEDED = (
    "a classifier has features(x) → [B, D, h, w] (or forward_features) and weight [C, D] "
    "(or a linear layer: get_classifier(), fc, classifier, head)"
)


class UserClassifier(ClassifierNetwork):
    """Gives a network of the user's own what it does not define itself: pooling, logits, layers, colour statistics."""

    published = ()

    def __init__(self, model: str, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._features = _first_callable(network, "features", "forward_features")
        self._linear = _linear_of(network)
        if self._features is None or (self._linear is None and not isinstance(_weight(network), Tensor)):
            raise UsageError(f"--model {model}: {type(network).__name__} is no classifier\n{NEEDED}")
        self.mean = _colour(network, "mean", IMAGENET_MEAN)
        self.std = _colour(network, "std", IMAGENET_STD)

    @property
    def weight(self) -> Tensor:
        weight = _weight(self.network)
        if not isinstance(weight, Tensor):
            assert self._linear is not None
            weight = self._linear.weight
        return weight.flatten(1)

    @property
    def num_classes(self) -> int:
        return len(self.weight)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        own = getattr(self.network, "layers", None)
        if isinstance(own, Mapping):
            return own
        return {name: child for name, child in self.network.named_children() if child is not self._linear}

    def features(self, x: Tensor) -> Tensor:
        assert self._features is not None
        return self._features(x)

    def pool(self, features: Tensor) -> Tensor:
        own = _first_callable(self.network, "pool")
        if own is not None:
            return own(features)
        bias = getattr(self._linear, "bias", None)
        return nn.functional.linear(features.mean(dim=(2, 3)), self.weight, bias)

    def logits(self, x: Tensor) -> Tensor:
        own = _first_callable(self.network, "logits")
        return own(x) if own is not None else self.pool(self.features(x))


def load_user_model(model: str, ckpt: Path, tensors: State) -> UserClassifier:
    """The factory's network, filled with all of the checkpoint's tensors and tried on a small input."""
    network = _make(model)
    expected = network.state_dict()
    signature = next(iter(expected), "")
    state = without_wrappers(tensors, signature) or tensors
    network.load_state_dict(fitted(ckpt, model, state, expected))
    classifier = UserClassifier(model, network).eval()
    _try(model, classifier)
    return classifier


def _make(model: str) -> nn.Module:
    module_name, colon, attribute = model.partition(":")
    if not (module_name and colon and attribute):
        raise UsageError(f"--model {model}: give package.module:factory")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            factory = getattr(factory, name)
        network = factory()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f"--model {model}: {reason}\n"
            "the module must be importable from here, and the factory callable without arguments"
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"--model {model}: gave {type(network).__name__}, not a torch.nn.Module\n{NEEDED}")
    return network


def _try(model: str, classifier: UserClassifier) -> None:
    x = torch.linspace(-2, 2, 3 * 64 * 96).reshape(1, 3, 64, 96).sin()
    with torch.inference_mode():
        features = _called(model, classifier.features, x)
        depth = classifier.weight.shape[1]
        if not isinstance(features, Tensor) or features.ndim != 4 or features.shape[:2] != (1, depth):
            got = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UsageError(
                f"--model {model}: features of one image are {got}, but [1, {depth}, h, w] fits its weight"
            )
        logits, pooled = _called(model, classifier.logits, x), _called(model, classifier.pool, features)
        own = type(classifier.network).forward is not nn.Module.forward
        forward = _called(model, classifier.network, x) if own else logits
    for scores in (logits, pooled):
        if not isinstance(scores, Tensor) or scores.shape != (1, classifier.num_classes):
            raise UsageError(f"--model {model}: logits of one image are not of shape [1, {classifier.num_classes}]")
    if isinstance(forward, Tensor) and forward.shape == logits.shape and not _close(forward, logits):
        raise UsageError(
            f"--model {model}: its forward is not the mean of its features times its weight\n"
            "define features(x) as what is pooled, or logits(x) and pool(features)"
        )


def _called(model: str, function: Callable[..., Any], *arguments: Tensor) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"--model {model}: fails on an image of 64 by 96 pixels: {reason}") from error


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))


def _first_callable(network: nn.Module, *names: str) -> Any:
    return next((getattr(network, name) for name in names if callable(getattr(network, name, None))), None)


def _weight(network: nn.Module) -> Any:
    return getattr(network, "weight", None)


def _linear_of(network: nn.Module) -> nn.Linear | nn.Conv2d | None:
    getter = getattr(network, "get_classifier", None)
    candidates = [getter()] if callable(getter) else []
    candidates += [getattr(network, name, None) for name in ("fc", "classifier", "head")]
    return next((layer for layer in candidates if isinstance(layer, nn.Linear | nn.Conv2d)), None)


def _colour(network: nn.Module, name: str, default: Colour) -> Colour:
    described = getattr(network, "pretrained_cfg", None)
    value = described.get(name) if isinstance(described, Mapping) else getattr(network, name, None)
    if not isinstance(value, tuple | list | Tensor) or len(value) != 3:
        return default
    red, green, blue = (float(part) for part in value)
    return (red, green, blue)
