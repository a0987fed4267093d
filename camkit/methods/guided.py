"""Gradients at named layers, by plain or guided back-propagation, of a model that is left as it was.

Guided back-propagation: "Striving for Simplicity: The All Convolutional Net" (Springenberg et al., 2015), section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from camkit.errors import UsageError
from camkit.types import Classifier

INPUT = "input"
"""The name of the layer below all others: what the network sees."""

PLAIN_RELUS = (F.relu, torch.relu, Tensor.relu)
INPLACE_RELUS = (torch.relu_, Tensor.relu_)


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, most: float | None, inplace: bool) -> Tensor:
        passing = x > 0
        ctx.save_for_backward(passing if most is None else passing & (x < most))
        if inplace:
            ctx.mark_dirty(x)
        return x.clamp_(0, most) if inplace else x.clamp(0, most)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (passing,) = ctx.saved_tensors
        return gradient.clamp_min(0) * passing, None, None


class GuidedReLUs(TorchFunctionMode):
    """While active, every ReLU and ReLU6 lets only positive gradients through, where it is not flat.

    Whatever calls it: a module, a function or a method, in place or not. Other activations stay ordinary.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0  # ReLUs that were guided

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        call = _relu_call(func, args, kwargs)
        if call is None or not call.x.requires_grad:
            return func(*args, **kwargs)
        self.count += 1
        return _GuidedReLU.apply(*call)


class _Call(NamedTuple):
    x: Tensor
    most: float | None  # of ReLU6
    inplace: bool


def _relu_call(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call | None:
    """What a ReLU was called with; None: another function."""
    if func in (*PLAIN_RELUS, *INPLACE_RELUS, F.relu6):
        x, inplace = _bound(args, kwargs, input=None, inplace=func in INPLACE_RELUS)
        return _Call(x, 6.0 if func is F.relu6 else None, bool(inplace))
    if func is F.hardtanh:  # which nn.ReLU6 calls
        x, least, most, inplace = _bound(args, kwargs, input=None, min_val=-1.0, max_val=1.0, inplace=False)
        return _Call(x, float(most), bool(inplace)) if least == 0 else None
    return None


def _bound(args: Sequence[Any], kwargs: Mapping[str, Any], **defaults: Any) -> list[Any]:
    """The arguments in the order of `defaults`, however they were given."""
    given = {**dict(zip(defaults, args, strict=False)), **kwargs}
    return [given.get(name, default) for name, default in defaults.items()]


@contextmanager
def at_rest(network: object) -> Iterator[None]:
    """Evaluation mode, and weights that ask for no gradient; afterwards both are as they were."""
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    training = [module for module in modules if module.training]
    learning = [weight for module in modules for weight in module.parameters(recurse=False) if weight.requires_grad]
    try:
        for module in training:
            module.training = False
        for weight in learning:
            weight.requires_grad_(False)
        yield
    finally:
        for module in training:
            module.training = True
        for weight in learning:
            weight.requires_grad_(True)


@contextmanager
def watched(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, GradientEdge]]:
    """Where the gradients of the layers' outputs will pass by, known once the layers have run.

    The graph begins at the lowest layer: what lies below is not recorded. What later happens in place to an output
    (a ReLU behind a convolution) does not count as the layer's.
    """
    edges: dict[str, GradientEdge] = {}

    def watch(name: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor) or output.ndim != 4:
                raise UsageError(f"--layers {name}: what this layer gives is no [B, D, h, w]; name another one")
            if output.requires_grad:
                edges[name] = get_gradient_edge(output)
                return None
            start = output.detach().requires_grad_()
            edges[name] = get_gradient_edge(start)
            return start.clone()

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield edges
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, eq=False)
class Recording:
    """One forward pass: its features [B, D, h, w], where gradients pass by, and how many ReLUs were guided."""

    features: Tensor
    edges: Mapping[str, GradientEdge]
    guided: int

    def gradients(self, tops: Tensor, *, again: bool = False) -> list[Tensor]:
        """Of each layer [K, B, D_l, h_l, w_l], all by one batch of backward passes.

        tops   [K, B, D]: the gradient of the features, the same at every position
        again  this is not the last call
        """
        outputs = tops[..., None, None].to(self.features.dtype).expand(-1, -1, -1, *self.features.shape[-2:])
        with torch.inference_mode(False):
            found = torch.autograd.grad(
                self.features, list(self.edges.values()), outputs, is_grads_batched=True, retain_graph=again,
                allow_unused=True,
            )  # fmt: skip
        for name, gradient in zip(self.edges, found, strict=True):
            if gradient is None:
                raise UsageError(f"--layers {name}: the features do not depend on this layer")
        return list(found)


def record(classifier: Classifier, x: Tensor, layers: Mapping[str, nn.Module | None], *, guided: bool) -> Recording:
    """Run the network on x [B, 3, H, W] (normalised), watching the layers; None: the input itself."""
    modules = {name: layer for name, layer in layers.items() if layer is not None}
    relus = GuidedReLUs()
    with torch.inference_mode(False), torch.enable_grad(), at_rest(classifier), watched(modules) as edges:
        x = x.detach().clone().requires_grad_(len(modules) < len(layers))
        inputs = {INPUT: get_gradient_edge(x)} if x.requires_grad else {}
        with relus if guided else nullcontext():
            features = classifier.features(x.clone() if x.requires_grad else x)
    found = {**inputs, **edges}
    for name in layers:
        if name not in found:
            raise UsageError(f"--layers {name}: the features do not run through this layer")
    return Recording(features, {name: found[name] for name in layers}, relus.count)
