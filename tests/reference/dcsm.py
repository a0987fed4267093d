"""DCSM as the paper has it, slowly: one class, one layer, one size at a time, every backward step written out.

Networks are lists of steps: the name of a layer or nothing, and how a gradient goes back over the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.cam import resize_map, resize_photo

State = Mapping[str, Tensor]
Steps = list[tuple[str, Callable[[Tensor, bool], Tensor]]]
Network = Callable[[Tensor, State], tuple[Tensor, Steps]]
"""x [1, 3, H, W], published weights → features [1, D, h, w], steps"""


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, dilation: int = 1
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    padding = dilation * (weight.shape[2] // 2)

    def back(g: Tensor) -> Tensor:
        return torch.nn.grad.conv2d_input(x.shape, weight, g, stride, padding, dilation)

    return F.conv2d(x, weight, bias, stride, padding, dilation), back


def back_over_relu(g: Tensor, x: Tensor, guided: bool) -> Tensor:
    g = g * (x > 0)
    return g * (g > 0) if guided else g


def largest(x: Tensor, stride: int, dilation: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Of two by two cells `dilation` apart; beyond the border there is nothing."""
    height, width = x.shape[-2:]
    rows = range(0, height - height % 2, 2) if stride == 2 else range(height)
    columns = range(0, width - width % 2, 2) if stride == 2 else range(width)
    result = x.new_empty(1, x.shape[1], len(rows), len(columns))
    places = torch.empty(result.shape, dtype=torch.int64)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            cells = [(y, z) for y in (top, top + dilation) for z in (left, left + dilation) if y < height and z < width]
            values = torch.stack([x[0, :, y, z] for y, z in cells])
            result[0, :, i, j], best = values.max(dim=0)
            places[0, :, i, j] = torch.tensor([y * width + z for y, z in cells])[best]

    def back(g: Tensor) -> Tensor:
        flat = g.new_zeros(x.shape[1], height * width)
        flat.scatter_add_(1, places[0].flatten(1), g[0].flatten(1))
        return flat.view(x.shape)

    return result, back


def vgg16(x: Tensor, state: State) -> tuple[Tensor, Steps]:
    """The variant for class maps at stride 8: the last two pools keep the grid, conv5 is dilated by 2, fc6 is 3 × 3."""
    steps: Steps = []

    def layer(name: str, x: Tensor, key: str, dilation: int) -> Tensor:
        y, back = convolve(x, state[f"{key}.weight"], state[f"{key}.bias"], 1, dilation)
        steps.append((name, lambda g, guided: back(g)))
        steps.append(("", lambda g, guided: back_over_relu(g, y, guided)))
        return y.clamp(min=0)

    index = 0
    for block, (count, stride, before) in enumerate(((2, 2, 1), (2, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 2)), start=1):
        for n in range(1, count + 1):
            x = layer(f"conv{block}_{n}", x, f"features.{index}", 2 if block == 5 else 1)
            index += 2
        x, pool_back = largest(x, stride, before)
        steps.append(("", lambda g, guided, back=pool_back: back(g)))
        index += 1
    x = layer("fc6", x, "fc6", 1)
    return layer("fc7", x, "fc7", 1), steps


def toy(x: Tensor, state: State) -> tuple[Tensor, Steps]:
    steps: Steps = []
    z, stem_back = normalised(x, state, "stem", "stem_norm")
    steps += [("stem_norm", lambda g, guided: stem_back(g)), ("", lambda g, guided: back_over_relu(g, z, guided))]
    x = z.clamp(min=0)
    for number, stride in ((1, 2), (2, 2), (3, 2), (4, 1)):
        x, back = block(x, state, f"block{number}", stride)
        steps.append((f"block{number}", back))
    return x, steps


def block(x: Tensor, state: State, name: str, stride: int) -> tuple[Tensor, Callable[[Tensor, bool], Tensor]]:
    inner, back1 = normalised(x, state, f"{name}.conv1", f"{name}.bn1", stride)
    outer, back2 = normalised(inner.clamp(min=0), state, f"{name}.conv2", f"{name}.bn2")
    beside, back3 = normalised(x, state, f"{name}.shortcut.0", f"{name}.shortcut.1", stride)

    def back(g: Tensor, guided: bool) -> Tensor:
        g = back_over_relu(g, outer + beside, guided)
        return back1(back_over_relu(back2(g), inner, guided)) + back3(g)

    return (outer + beside).clamp(min=0), back


def normalised(
    x: Tensor, state: State, conv: str, norm: str, stride: int = 1
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    y, conv_back = convolve(x, state[f"{conv}.weight"], None, stride)
    mean, var, gain, offset = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    factor = (gain / (var + 1e-5).sqrt())[None, :, None, None]

    def back(g: Tensor) -> Tensor:
        return conv_back(g * factor)

    return (y - mean[None, :, None, None]) * factor + offset[None, :, None, None], back


def strongest(weight: Tensor, features: Tensor, steps: Steps, layer: str, guided: bool) -> np.ndarray:
    """The largest |gradient| of any channel at each position of a layer, of one class: [h, w]; weight [D]."""
    g = weight[None, :, None, None].expand(features.shape).clone()
    for name, back in reversed(steps):
        if name == layer:
            break
        g = back(g, guided)
    else:
        assert layer == "input"
    strength = np.zeros(g.shape[-2:])
    for channel in g[0].numpy():
        strength = np.maximum(strength, np.abs(channel))
    return strength


def candidates(scores: Sequence[float], present: Sequence[int], minimum: int, threshold: float) -> list[int]:
    chosen = set(present)
    ranked = sorted(range(len(scores)), key=lambda c: scores[c], reverse=True)
    for place, c in enumerate(ranked):
        if scores[c] > threshold or place < minimum:
            chosen.add(c)
    return sorted(chosen)


def dcsm(
    image: np.ndarray, present: Sequence[int], network: Network, state: State, head: tuple[Tensor, Tensor],
    layers: Sequence[str], size: tuple[int, int], *, mean: Sequence[float], std: Sequence[float],
    scales: Sequence[float] = (1.0, 0.8, 1.2), minimum: int = 3, threshold: float = 0.5, alpha: float = 3.0,
    guided: bool = True,
) -> tuple[np.ndarray, list[int]]:  # fmt: skip
    """image [h, w, 3] uint8 → maps [C, *size], and the candidates, which the first scale tells."""
    result = np.zeros((len(present), *size))
    rivals: list[int] | None = None
    for scale in scales:
        photo = resize_photo(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
        colours = (photo.astype(np.float64) / 255 - np.array(mean)) / np.array(std)
        features, steps = network(torch.from_numpy(colours).permute(2, 0, 1)[None], state)
        if rivals is None:
            logits = features.mean((2, 3))[0] @ head[0].T + head[1]
            rivals = candidates(torch.sigmoid(logits).tolist(), present, minimum, threshold)
        for layer in layers:
            raw = {c: resize_map(strongest(head[0][c], features, steps, layer, guided), size) for c in rivals}
            for row, c in enumerate(present):
                others = [other for other in rivals if other != c]
                if minimum == 0 or not others:
                    distinct = raw[c]
                else:
                    distinct = np.zeros(size)
                    for other in others:
                        distinct += np.maximum(raw[c] - raw[other], 0)
                top = distinct.max()
                result[row] += np.tanh(alpha * distinct / top) if top > 0 else 0
    assert rivals is not None
    return result / (len(layers) * len(scales)), rivals
