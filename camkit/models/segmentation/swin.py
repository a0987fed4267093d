"""Swin transformers: attention inside of windows, every second time shifted by half of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.models.classifier import Shapes
from camkit.models.state import State

DROP_PATH = 0.3
"""While it learns, this share of the photos goes without the last block; the others' share grows up to it."""

CHANNELS_OF_HEAD = 32
"""As published."""

FAR = -100.0
"""Added to the attention between positions that only the shift brought into one window."""

SIZES: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "swin-t": (96, (2, 2, 6, 2)),
    "swin-s": (96, (2, 2, 18, 2)),
    "swin-b": (128, (2, 2, 18, 2)),
}
"""Channels of the first stage as published, and blocks of each; a narrower one is known by its depth and heads."""

BLOCK = re.compile(r"layers\.(\d{1,3})\.blocks\.(\d+)\.")

QUADRANTS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Row and column of the four neighbours that merging puts side by side."""


@dataclass(frozen=True)
class SwinPlan:
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    hidden: tuple[int, ...]  # of the perceptrons
    patch: int = 4
    window: int = 7


def read_plan(shapes: Shapes) -> SwinPlan:
    """Shapes without `backbone.`."""
    depths = depths_of(shapes)
    tables = [shapes[f"layers.{stage}.blocks.0.attn.relative_position_bias_table"] for stage in range(len(depths))]
    width, _, patch, _ = shapes["patch_embed.proj.weight"]
    return SwinPlan(
        width=width,
        depths=depths,
        heads=tuple(table[1] for table in tables),
        hidden=tuple(shapes[f"layers.{stage}.blocks.0.mlp.fc1.weight"][0] for stage in range(len(depths))),
        patch=patch,
        window=(round(tables[0][0] ** 0.5) + 1) // 2,
    )


def depths_of(shapes: Shapes) -> tuple[int, ...]:
    """Blocks of each stage."""
    blocks = {match.groups() for key in shapes if (match := BLOCK.match(key))}
    stages = sorted({stage for stage, _ in blocks}, key=int)
    return tuple(sum(stage == other for other, _ in blocks) for stage in stages)


class WindowAttention(nn.Module):
    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, apart: Tensor | None) -> Tensor:
        """[windows, positions, D]; apart [windows of a photo, positions, positions]: added to the attention."""
        count, positions, channels = x.shape
        q, k, v = self.qkv(x).view(count, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[relative_positions(self.window, x.device)].permute(2, 0, 1)[None]
        if apart is not None:
            bias = (bias + apart[:, None]).repeat(count // len(apart), 1, 1, 1)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(found.transpose(1, 2).reshape(count, positions, channels))


def relative_positions(window: int, device: torch.device) -> Tensor:
    """[positions, positions]: the row of the bias table for each pair of a window's positions."""
    at = torch.arange(window, device=device)
    rows, columns = (axis.flatten() for axis in torch.meshgrid(at, at, indexing="ij"))
    down, right = (axis[:, None] - axis[None] + window - 1 for axis in (rows, columns))
    return down * (2 * window - 1) + right


class Perceptron(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    def __init__(self, channels: int, heads: int, hidden: int, window: int, *, shifted: bool, drop: float) -> None:
        super().__init__()
        self.window, self.shift, self.drop = window, window // 2 if shifted else 0, drop
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.mlp = Perceptron(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[B, h, w, D], of any size."""
        x = x + self._drop(self._attend(self.norm1(x)))
        return x + self._drop(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        window, shift = self.window, self.shift
        x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
        rows, columns = x.shape[1] // window, x.shape[2] // window
        apart = far_apart((rows, columns), window, shift, x) if shift else None
        x = torch.roll(x, (-shift, -shift), (1, 2)) if shift else x
        windows = x.view(batch, rows, window, columns, window, channels).transpose(2, 3)
        found = self.attn(windows.reshape(-1, window**2, channels), apart)
        x = found.view(batch, rows, columns, window, window, channels).transpose(2, 3)
        x = x.reshape(batch, rows * window, columns * window, channels)
        x = torch.roll(x, (shift, shift), (1, 2)) if shift else x
        return x[:, :height, :width]

    def _drop(self, x: Tensor) -> Tensor:
        if not self.training or not self.drop:
            return x
        kept = torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) >= self.drop
        return x * kept / (1 - self.drop)


def far_apart(grid: tuple[int, int], window: int, shift: int, like: Tensor) -> Tensor:
    """[windows, positions, positions] of a shifted grid of so many windows: FAR where the shift joined two borders."""
    regions = []
    for count in grid:
        at = torch.arange(count * window, device=like.device)
        last = (count - 1) * window
        regions.append((at >= last).long() + (at >= last + window - shift).long())
    region = 3 * regions[0][:, None] + regions[1][None]
    windows = region.view(grid[0], window, grid[1], window).transpose(1, 2).reshape(-1, window**2)
    return (windows[:, :, None] != windows[:, None]).to(like.dtype) * FAR


class Merging(nn.Module):
    """Half as many rows and columns, twice as many channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        return self.reduction(self.norm(torch.cat([x[:, row::2, column::2] for row, column in QUADRANTS], dim=-1)))


class Stage(nn.Module):
    def __init__(self, plan: SwinPlan, number: int) -> None:
        super().__init__()
        channels, before = plan.width * 2**number, sum(plan.depths[:number])
        share = DROP_PATH / max(1, sum(plan.depths) - 1)
        self.blocks = nn.ModuleList(
            SwinBlock(channels, plan.heads[number], plan.hidden[number], plan.window, shifted=n % 2 == 1, drop=drop)
            for n, drop in enumerate(share * (before + n) for n in range(plan.depths[number]))
        )
        self.downsample = Merging(channels) if number + 1 < len(plan.depths) else None


class PatchEmbedding(nn.Module):
    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(3, channels, patch, patch)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, h, w, D]."""
        x = F.pad(x, (0, -x.shape[3] % self.patch, 0, -x.shape[2] % self.patch))
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class Swin(nn.Module):
    """Levels: what the stages give, each behind a norm of its own, [B, D · 2^i, h, w] at strides 4, 8, 16, 32."""

    def __init__(self, plan: SwinPlan) -> None:
        super().__init__()
        self.plan = plan
        self.patch_embed = PatchEmbedding(plan.width, plan.patch)
        self.layers = nn.ModuleList(Stage(plan, number) for number in range(len(plan.depths)))
        for number in range(len(plan.depths)):
            self.add_module(f"norm{number}", nn.LayerNorm(plan.width * 2**number))

    @property
    def channels(self) -> list[int]:
        return [self.plan.width * 2**number for number in range(len(self.plan.depths))]

    def levels(self, x: Tensor) -> list[Tensor]:
        found = []
        x = self.patch_embed(x)
        for number, stage in enumerate(self.layers):
            for block in stage.blocks:  # type: ignore[union-attr] # a Stage's
                x = block(x)
            found.append(self.get_submodule(f"norm{number}")(x).permute(0, 3, 1, 2).contiguous())
            x = x if stage.downsample is None else stage.downsample(x)  # type: ignore[operator]
        return found


def fits(name: str, shapes: Shapes) -> bool:
    """Shapes without `backbone.`. S and B have one depth: they are told apart by the heads of their first stage."""
    width, depths = SIZES[name]
    table = shapes.get("layers.0.blocks.0.attn.relative_position_bias_table", ())
    return depths_of(shapes) == depths and table[1:] == (width // CHANNELS_OF_HEAD,)


def from_mmsegmentation(state: State) -> State:
    """mmsegmentation's keys → the published ones; its merging orders channels another way."""
    names = {
        "backbone.stages.": "backbone.layers.",
        ".attn.w_msa.": ".attn.",
        ".ffn.layers.0.0.": ".mlp.fc1.",
        ".ffn.layers.1.": ".mlp.fc2.",
        "patch_embed.projection": "patch_embed.proj",
    }
    adapted = {}
    for key, value in state.items():
        own = key
        for theirs, ours in names.items():
            own = own.replace(theirs, ours)
        adapted[own] = _reordered(value) if ".downsample." in own and value.ndim else value
    return adapted


def _reordered(weights: Tensor) -> Tensor:
    """[…, 4 · C]: channel by channel → quadrant by quadrant."""
    channels = weights.shape[-1] // 4
    if 4 * channels != weights.shape[-1]:
        return weights  # no merging's: it will be said when the shapes are checked
    by_channel = weights.reshape(*weights.shape[:-1], channels, 4)
    return by_channel[..., [0, 2, 1, 3]].transpose(-1, -2).reshape(weights.shape)
