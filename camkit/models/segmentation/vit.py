"""Plain vision transformers as timm names them, DINOv2's with registers among them: patch tokens as a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.models.classifier import Shapes
from camkit.types import Size

SIGNATURE = "blocks.0.attn.qkv.weight"
CHANNELS_OF_HEAD = 64
EPSILON = 1e-6


@dataclass(frozen=True)
class ViTPlan:
    """positions: rows of the table; it has one for the class token too where they are one more than a square."""

    width: int
    depth: int
    hidden: int
    patch: int
    positions: int
    registers: int = 0
    scaled: bool = False  # LayerScale

    @property
    def side(self) -> int:
        return math.isqrt(self.positions)

    @property
    def class_has_position(self) -> bool:
        return self.side**2 != self.positions

    @property
    def heads(self) -> int:
        return max(1, self.width // CHANNELS_OF_HEAD)


def read_plan(shapes: Shapes) -> ViTPlan:
    width, _, patch, _ = shapes["patch_embed.proj.weight"]
    plan = ViTPlan(
        width=width,
        depth=len({key.split(".")[1] for key in shapes if key.startswith("blocks.")}),
        hidden=shapes["blocks.0.mlp.fc1.weight"][0],
        patch=patch,
        positions=shapes["pos_embed"][1],
        registers=shapes.get("reg_token", (1, 0))[1],
        scaled="blocks.0.ls1.gamma" in shapes,
    )
    if plan.side**2 + plan.class_has_position != plan.positions:
        raise ValueError(f"{plan.positions} positions are no square of patches")
    return plan


class Scaled(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """[B, N, D]; seen [B, N, N] bool: which tokens each one attends to; None: all."""
        batch, count, width = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=None if seen is None else seen[:, None])
        return self.proj(found.transpose(1, 2).reshape(batch, count, width))


class Perceptron(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, plan: ViTPlan) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(plan.width, eps=EPSILON) for _ in range(2))
        self.attn = Attention(plan.width, plan.heads)
        self.mlp = Perceptron(plan.width, plan.hidden)
        self.scaled = plan.scaled
        if plan.scaled:
            self.ls1, self.ls2 = (Scaled(plan.width) for _ in range(2))

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        found = self.attn(self.norm1(x), seen)
        x = x + (self.ls1(found) if self.scaled else found)
        found = self.mlp(self.norm2(x))
        return x + (self.ls2(found) if self.scaled else found)


class PatchEmbedding(nn.Module):
    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class ViT(nn.Module):
    """Features: the normed patch tokens, [B, D, h, w] with h = ceil(H / patch); photos are filled up with zeros."""

    def __init__(self, plan: ViTPlan) -> None:
        super().__init__()
        self.plan = plan
        self.cls_token = nn.Parameter(torch.zeros(1, 1, plan.width))
        if plan.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, plan.registers, plan.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, plan.positions, plan.width))
        self.patch_embed = PatchEmbedding(plan.width, plan.patch)
        self.blocks = nn.ModuleList(Block(plan) for _ in range(plan.depth))
        self.norm = nn.LayerNorm(plan.width, eps=EPSILON)

    @property
    def prefix(self) -> int:
        """Tokens before those of patches."""
        return 1 + self.plan.registers

    def tokens(self, x: Tensor) -> tuple[Tensor, Size]:
        """[B, 3, H, W] → what enters the first block, [B, prefix + h · w, D], and (h, w)."""
        x = F.pad(x, (0, -x.shape[3] % self.plan.patch, 0, -x.shape[2] % self.plan.patch))
        x = self.patch_embed(x)
        size = (x.shape[2], x.shape[3])
        extra = int(self.plan.class_has_position)
        patches = x.flatten(2).transpose(1, 2) + self._positions(size)
        first = self.cls_token + self.pos_embed[:, :extra].sum(1, keepdim=True)
        before = [first, self.reg_token] if self.plan.registers else [first]
        return torch.cat([*(token.expand(len(x), -1, -1) for token in before), patches], dim=1), size

    def _positions(self, size: Size) -> Tensor:
        """[1, h · w, D] of a grid of this size."""
        side = self.plan.side
        table = self.pos_embed[:, int(self.plan.class_has_position) :]
        if size == (side, side):
            return table
        grid = table.view(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid.float(), size=size, mode="bicubic", antialias=True, align_corners=False)
        return grid.flatten(2).transpose(1, 2).to(table.dtype)

    def features(self, x: Tensor) -> Tensor:
        x, size = self.tokens(x)
        for block in self.blocks:
            x = block(x)
        return as_grid(self.norm(x)[:, self.prefix :], size)


def as_grid(tokens: Tensor, size: Size) -> Tensor:
    """[B, h · w, D] → [B, D, h, w]."""
    return tokens.transpose(1, 2).unflatten(2, size)
