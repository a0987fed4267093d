"""What of a network rests while the others learn: always, or for a training's first epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from camkit.errors import UsageError

BatchNorm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True, eq=False)
class Lower:
    """What lies below the layers that learn first.

    modules  names of its largest modules
    weights  those that are to learn later
    """

    modules: Sequence[str]
    weights: Sequence[nn.Parameter]


def below(network: nn.Module, upper: Sequence[str]) -> Lower:
    """All of a network but the modules `upper`, of which some must learn."""
    first = {id(weight) for name in upper for weight in network.get_submodule(name).parameters()}
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    later = [weight for weight in learning if id(weight) not in first]
    if len(later) == len(learning):
        raise UsageError("--rest-epochs: none of the layers that are to learn first learns: change that, or --freeze")
    return Lower([*_apart_from(network, upper)], later)


def _apart_from(module: nn.Module, upper: Sequence[str], inside: str = "") -> Iterator[str]:
    """Names of the largest modules with weights or figures of their own that hold nothing of `upper`."""
    for child_name, child in module.named_children():
        name = inside + child_name
        if name in upper:
            continue
        if any(one.startswith(f"{name}.") for one in upper):
            yield from _apart_from(child, upper, f"{name}.")
        elif child.state_dict():
            yield name


def check_resting(network: nn.Module, names: Sequence[str]) -> None:
    known = dict(network.named_modules())
    for name in names:
        if name not in known or not name:
            top = ", ".join(_largest(network))
            raise UsageError(f"--freeze {name}: the network has no such module; its largest are {top}")


def _largest(network: nn.Module, inside: str = "") -> list[str]:
    """The names of its children, or of their children where there is but one."""
    children = dict(network.named_children())
    if len(children) != 1:
        return [inside + name for name in children]
    ((name, only),) = children.items()
    return _largest(only, f"{inside}{name}.") or [inside + name]


def hold_still(network: nn.Module, names: Sequence[str], *, norms: bool) -> None:
    """Weights of these modules, and of all batch norms if `norms`, never learn."""
    check_resting(network, names)
    still = [network.get_submodule(name) for name in names]
    still += [module for module in network.modules() if norms and isinstance(module, BatchNorm)]
    for module in still:
        module.requires_grad_(requires_grad=False)


def train_mode(network: nn.Module, resting: Sequence[str], *, freeze_norm: bool) -> None:
    network.train()
    for module in network.modules():
        if isinstance(module, BatchNorm) and freeze_norm:
            module.eval()
    for name in resting:
        network.get_submodule(name).eval()
