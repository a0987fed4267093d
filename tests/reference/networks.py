"""Forward passes of the published networks in plain NumPy, one image [3, H, W] at a time, from their published keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

State = Mapping[str, np.ndarray]
EFFICIENTNET_STRIDES = {  # per stage: stride and dilation of its first block, dilation of its other blocks
    32: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 1), (2, 1, 1), (1, 1, 1)),
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 1), (1, 1, 2), (1, 2, 2)),
    8: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 2), (1, 2, 4), (1, 4, 4)),
}

# per stage: stride, dilation of the first block's strided convolution, dilation of everything after it
RESNET_STRIDES = {
    32: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)),
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)),
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)),
}
IRN_STRIDES = {
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 1)),
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 2)),
}
RESNET38_BLOCKS = {  # stride, dilation of the first and of the second convolution
    "b2": (2, 1, 1), "b2_1": (1, 1, 1), "b2_2": (1, 1, 1),
    "b3": (2, 1, 1), "b3_1": (1, 1, 1), "b3_2": (1, 1, 1),
    "b4": (2, 1, 1), "b4_1": (1, 1, 1), "b4_2": (1, 1, 1), "b4_3": (1, 1, 1), "b4_4": (1, 1, 1), "b4_5": (1, 1, 1),
    "b5": (1, 1, 2), "b5_1": (1, 2, 2), "b5_2": (1, 2, 2),
    "b6": (1, 1, 4), "b7": (1, 1, 4),
}  # fmt: skip


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def convolve(x: np.ndarray, weight: np.ndarray, stride: int = 1, dilation: int = 1) -> np.ndarray:
    """[I, H, W] with [O, I, k, k] → [O, h, w], padded so that stride 1 keeps the size."""
    kernel = weight.shape[2]
    pad = dilation * (kernel // 2)
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    height, width = ((size - 1) // stride + 1 for size in x.shape[1:])
    result = np.zeros((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            top, left, reach = row * stride, column * stride, dilation * (kernel - 1) + 1
            window = padded[:, top : top + reach : dilation, left : left + reach : dilation]
            result[:, row, column] = np.tensordot(weight, window, axes=3)
    return result


def convolve_same(x: np.ndarray, weight: np.ndarray, stride: int, dilation: int = 1, *, depthwise: bool) -> np.ndarray:
    """TensorFlow's "same": ceil(size / stride) positions, and of an odd padding the larger half at the end."""
    reach = dilation * (weight.shape[2] - 1) + 1
    counts = [math.ceil(size / stride) for size in x.shape[1:]]
    missing = [max(0, (n - 1) * stride + reach - size) for n, size in zip(counts, x.shape[1:], strict=True)]
    padded = np.pad(x, ((0, 0), *((m // 2, m - m // 2) for m in missing)))
    result = np.zeros((len(weight), *counts))
    for row, column in np.ndindex(*counts):
        top, left = row * stride, column * stride
        window = padded[:, top : top + reach : dilation, left : left + reach : dilation]
        if depthwise:
            result[:, row, column] = (weight[:, 0] * window).sum(axis=(1, 2))
        else:
            result[:, row, column] = np.tensordot(weight, window, axes=3)
    return result


def normalise(x: np.ndarray, state: State, name: str, epsilon: float = 1e-5) -> np.ndarray:
    mean, var, gain, offset = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    factor = gain / np.sqrt(var + epsilon)
    return x * factor[:, None, None] + (offset - mean * factor)[:, None, None]


def efficientnet_features(
    x: np.ndarray, state: State, counts: Sequence[int], strides: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    """counts: blocks of each stage."""

    def bounded(x: np.ndarray, name: str) -> np.ndarray:
        return np.clip(normalise(x, state, name, 1e-3), 0, 6)

    x = bounded(convolve_same(x, state["_conv_stem.weight"], 2, depthwise=False), "_bn0")
    number = 0
    for count, (stride, first, later) in zip(counts, strides, strict=True):
        for repeat in range(count):
            name, inner = f"_blocks.{number}", x
            if f"{name}._expand_conv.weight" in state:
                inner = bounded(convolve(x, state[f"{name}._expand_conv.weight"]), f"{name}._bn0")
            step, dilation = (1, later) if repeat else (stride, first)
            inner = convolve_same(inner, state[f"{name}._depthwise_conv.weight"], step, dilation, depthwise=True)
            inner = convolve(bounded(inner, f"{name}._bn1"), state[f"{name}._project_conv.weight"])
            inner = normalise(inner, state, f"{name}._bn2", 1e-3)
            x = inner + x if repeat else inner
            number += 1
    return bounded(convolve(x, state["_conv_head.weight"]), "_bn1")


def toy_features(image: np.ndarray, state: State) -> np.ndarray:
    x = relu(normalise(convolve(image, state["stem.weight"]), state, "stem_norm"))
    for block, stride in (("block1", 2), ("block2", 2), ("block3", 2), ("block4", 1)):
        inner = relu(normalise(convolve(x, state[f"{block}.conv1.weight"], stride), state, f"{block}.bn1"))
        inner = normalise(convolve(inner, state[f"{block}.conv2.weight"]), state, f"{block}.bn2")
        beside = normalise(convolve(x, state[f"{block}.shortcut.0.weight"], stride), state, f"{block}.shortcut.1")
        x = relu(inner + beside)
    return x


def largest(x: np.ndarray, kernel: int, stride: int, pad: int) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    height, width = ((size - kernel) // stride + 1 for size in padded.shape[1:])
    result = np.empty((len(x), height, width))
    for row in range(height):
        for column in range(width):
            top, left = row * stride, column * stride
            result[:, row, column] = padded[:, top : top + kernel, left : left + kernel].max(axis=(1, 2))
    return result


def resnet_features(
    x: np.ndarray, state: State, strides: tuple[tuple[int, int, int], ...], prefix: str = ""
) -> np.ndarray:
    x = relu(normalise(convolve(x, state[f"{prefix}conv1.weight"], 2), state, f"{prefix}bn1"))
    x = largest(x, 3, 2, 1)
    for stage, (stride, before, after) in enumerate(strides, start=1):
        index = 0
        while f"{prefix}layer{stage}.{index}.conv1.weight" in state:
            first = index == 0
            x = residual(
                x, state, f"{prefix}layer{stage}.{index}", stride if first else 1, before if first else after, after
            )
            index += 1
    return x


def residual(x: np.ndarray, state: State, name: str, stride: int, before: int, after: int) -> np.ndarray:
    shortcut = x
    if f"{name}.downsample.0.weight" in state:
        shortcut = convolve(x, state[f"{name}.downsample.0.weight"], stride)
        shortcut = normalise(shortcut, state, f"{name}.downsample.1")
    bottleneck = f"{name}.conv3.weight" in state
    steps = ((1, 1), (stride, before), (1, 1)) if bottleneck else ((stride, before), (1, after))
    for number, (step, dilation) in enumerate(steps, start=1):
        x = normalise(convolve(x, state[f"{name}.conv{number}.weight"], step, dilation), state, f"{name}.bn{number}")
        if number < len(steps):
            x = relu(x)
    return relu(x + shortcut)


def resnet38_features(x: np.ndarray, state: State) -> np.ndarray:
    x = convolve(x, state["conv1a.weight"])
    for name, (stride, first, second) in RESNET38_BLOCKS.items():
        shortcut = x
        x = relu(normalise(x, state, f"{name}.bn_branch2a"))
        if f"{name}.conv_branch1.weight" in state:
            shortcut = convolve(x, state[f"{name}.conv_branch1.weight"], stride)
        x = convolve(x, state[f"{name}.conv_branch2a.weight"], stride, first)
        x = relu(normalise(x, state, f"{name}.bn_branch2b1"))
        x = convolve(x, state[f"{name}.conv_branch2b1.weight"], 1, second)
        if f"{name}.conv_branch2b2.weight" in state:
            x = relu(normalise(x, state, f"{name}.bn_branch2b2"))
            x = convolve(x, state[f"{name}.conv_branch2b2.weight"])
        x = x + shortcut
    return relu(normalise(x, state, "bn7"))


def vgg16_logits(x: np.ndarray, state: State) -> np.ndarray:
    """torchvision's, for a photo of 224 × 224: flatten, then three fully connected layers."""
    pools = {0: 0, 2: 1, 5: 0, 7: 1, 10: 0, 12: 0, 14: 1, 17: 0, 19: 0, 21: 1, 24: 0, 26: 0, 28: 1}
    for index, pooled in pools.items():
        x = relu(convolve(x, state[f"features.{index}.weight"]) + state[f"features.{index}.bias"][:, None, None])
        x = largest(x, 2, 2, 0) if pooled else x
    x = relu(state["classifier.0.weight"] @ x.ravel() + state["classifier.0.bias"])
    x = relu(state["classifier.3.weight"] @ x + state["classifier.3.bias"])
    return state["classifier.6.weight"] @ x + state["classifier.6.bias"]
