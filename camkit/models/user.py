"""Networks of the user's own: `--model package.module:factory`."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from camkit.errors import UsageError
from camkit.models.classifier import FRESH_DEVIATION, IMAGENET_MEAN, IMAGENET_STD, ClassifierNetwork, Colour, Tap
from camkit.models.state import State, fitted, without_wrappers

log = logging.getLogger("camkit")

NEEDED = (
    "a classifier has features(x) → [B, D, h, w] (or forward_features) and weight [C, D] "
    "(or a linear layer: get_classifier(), fc, classifier, head)"
)


class UserClassifier(ClassifierNetwork):
    """Gives a network of the user's own what it does not define itself: pooling, logits, layers, colour statistics."""

    published = (("network.", ""),)
    native_stride = output_stride = None  # type: ignore[assignment] # not known

    def __init__(self, model: str, network: nn.Module) -> None:
        super().__init__()
        self.network, self.model = network, model
        has_weight = _linear_of(network) is not None or isinstance(_weight(network), Tensor)
        if _features_of(network) is None or not has_weight:
            raise UsageError(f"--model {model}: {type(network).__name__} is no classifier\n{NEEDED}")
        self.mean = _colour(network, "mean", IMAGENET_MEAN)
        self.std = _colour(network, "std", IMAGENET_STD)

    @property
    def weight(self) -> Tensor:
        weight = _weight(self.network)
        if not isinstance(weight, Tensor):
            linear = _linear_of(self.network)
            assert linear is not None
            weight = linear.weight
        return weight.flatten(1)

    @property
    def num_classes(self) -> int:
        return len(self.weight)

    @property
    def head_name(self) -> str | None:
        name = _name_of_linear(self.network)
        return None if name is None else f"network.{name}"

    @property
    def names_layers(self) -> bool:
        """Whether the network itself says which layers it has."""
        return isinstance(getattr(self.network, "layers", None), Mapping)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        if self.names_layers:
            own: Any = self.network.layers
            return own
        linear = _linear_of(self.network)
        return {name: child for name, child in self.network.named_children() if child is not linear}

    @property
    def taps(self) -> Mapping[Tap, nn.Module]:
        """The layers that the network itself calls so, or else the last ones of those it names."""
        layers = self.layers
        if not self.names_layers or len(layers) < 3:
            raise UsageError(
                f"--model {self.model}: ICD reads three levels, and {type(self.network).__name__} does not say where\n"
                "give it `layers`, a mapping of names to modules from the input up: the last three are read, or those "
                "called conv4 and conv5"
            )
        if "conv4" in layers and "conv5" in layers:
            return {name: layers[name] for name in get_args(Tap) if name in layers}
        return super().taps

    @property
    def stem_names(self) -> tuple[str, ...]:  # type: ignore[override] # known only of the network at hand
        return ("network.stem",) if hasattr(self.network, "stem") else ()

    def features(self, x: Tensor) -> Tensor:
        return _features_of(self.network)(x)

    def pool(self, features: Tensor) -> Tensor:
        own = _first_callable(self.network, "pool")
        if own is not None:
            return own(features)
        bias = getattr(_linear_of(self.network), "bias", None)
        if self.pooling == "average":
            return nn.functional.linear(features.mean(dim=(2, 3)), self.weight, bias)
        return nn.functional.conv2d(features, self.weight[:, :, None, None], bias).amax(dim=(2, 3))

    def logits(self, x: Tensor) -> Tensor:
        own = _first_callable(self.network, "logits")
        return own(x) if own is not None else self.pool(self.features(x))


def wrapped(network: nn.Module) -> UserClassifier:
    """A network that is at hand, tried on a small input."""
    return _tried(type(network).__name__, network)


def load_user_model(model: str, ckpt: Path, tensors: State, *, own: bool) -> UserClassifier:
    """The factory's network, filled with all of the checkpoint's tensors and tried on a small input.

    own  camkit trained it, maybe for other classes than the factory has
    """
    network = _make(model)
    state = _under_own_keys(network, tensors)
    name = _name_of_linear(network)
    weight = state.get(f"{name}.weight")
    if own and name is not None and weight is not None and weight.ndim:
        _give_classes(network, name, len(weight))
    network.load_state_dict(fitted(ckpt, model, state, network.state_dict()))
    return _tried(model, network)


def start_user_model(
    model: str, num_classes: int, start: tuple[Path, State] | None, *, keep_head: bool
) -> tuple[UserClassifier, bool]:
    """The factory's network with so many classes, to be trained, and whether its classifier is a trained one.

    start      a checkpoint and its tensors; None: the weights that the factory gives
    keep_head  unless its classifier has another number of classes
    """
    network = _make(model)
    name = _name_of_linear(network)
    state = {} if start is None else _under_own_keys(network, start[1])
    weight = state.get(f"{name}.weight")
    kept = keep_head and weight is not None and len(weight) == num_classes
    if name is not None:
        _give_classes(network, name, num_classes)
    if start is not None:
        expected = network.state_dict()
        fresh = {} if kept else {key: value for key, value in expected.items() if key.startswith(f"{name}.")}
        network.load_state_dict(fitted(start[0], model, state | fresh, expected))
    classifier = _tried(model, network)
    if classifier.num_classes != num_classes:
        raise UsageError(
            f"--model {model}: has {classifier.num_classes} classes, but {num_classes} are to be learned\n"
            "its linear layer is not found, so as to be replaced: let the factory make a network of so many classes"
        )
    return classifier.train(), kept


def _under_own_keys(network: nn.Module, tensors: State) -> State:
    signature = next(iter(network.state_dict()), "")
    return without_wrappers(tensors, signature) or tensors


def _tried(model: str, network: nn.Module) -> UserClassifier:
    classifier = UserClassifier(model, network).eval()
    _try(model, classifier)
    return classifier


def _name_of_linear(network: nn.Module) -> str | None:
    """Of the module whose weight is the classifier's; None: that is made of others."""
    weight, linear = _weight(network), _linear_of(network)
    if not isinstance(weight, Tensor):
        weight = None if linear is None else linear.weight
    modules = ((name, one) for name, one in network.named_modules() if isinstance(one, nn.Linear | nn.Conv2d))
    return next((name for name, one in modules if one.weight is weight), None)


def _give_classes(network: nn.Module, name: str, count: int) -> None:
    """Put a fresh linear layer in place of that called `name`, unless it has so many classes."""
    old: Any = network.get_submodule(name)
    if len(old.weight) == count:
        return
    with old.weight.device:
        fresh: nn.Linear | nn.Conv2d = (
            nn.Linear(old.in_features, count, bias=old.bias is not None)
            if isinstance(old, nn.Linear)
            else nn.Conv2d(old.in_channels, count, 1, bias=old.bias is not None)
        )
    nn.init.normal_(fresh.weight, std=FRESH_DEVIATION)
    if fresh.bias is not None:
        nn.init.zeros_(fresh.bias)
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, fresh)


def _make(model: str) -> nn.Module:
    module_name, colon, attribute = model.partition(":")
    if not (module_name and colon and attribute):
        raise UsageError(f"--model {model}: give package.module:factory")
    if module_name not in sys.modules:
        log.warning("--model %s runs code; it is looked for in %s first", model, Path.cwd())
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


def _features_of(network: nn.Module) -> Any:
    return _first_callable(network, "features", "forward_features")


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
