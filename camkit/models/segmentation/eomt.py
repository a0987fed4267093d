"""EoMT: a vision transformer whose last blocks also carry queries, each of which finds a mask and its class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camkit.models.classifier import Shapes
from camkit.models.segmentation.backbone import backbone_shapes
from camkit.models.segmentation.layers import resized
from camkit.models.segmentation.network import SegmentationNetwork
from camkit.models.segmentation.vit import EPSILON, ViT, as_grid, read_plan
from camkit.models.state import State, rename
from camkit.types import Size

QUERY_BLOCKS = {12: 3, 24: 4, 40: 5}
"""Blocks that carry queries, for so many blocks in all, where a file does not tell."""

SMALLEST = 1e-7
"""Score of a class that no query speaks for."""


class ChannelNorm(nn.LayerNorm):
    """Over the channels of each position."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Upscale(nn.Module):
    """Twice as fine."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(width, width, 2, 2)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = ChannelNorm(width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv2(F.gelu(self.conv1(x))))


class EoMT(SegmentationNetwork):
    """Logits are logarithms of the published scores, at the photo's own size: softmax makes these sum to 1.

    It is for inference. Its program matches queries with objects, which no mask of pixels to be ignored has.
    """

    backbone: ViT
    attn_mask_probs: Tensor
    scores = ("class_head",)
    output_stride = 1

    def __init__(self, trunk: str, shapes: Shapes, outputs: int | None = None) -> None:
        super().__init__(trunk)
        self.backbone = ViT(read_plan(backbone_shapes(shapes)))
        width = self.backbone.plan.width
        self.q = nn.Embedding(shapes["q.weight"][0], width)
        self.class_head = nn.Linear(width, shapes["class_head.weight"][0])
        layers = [nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)]
        self.mask_head = nn.Sequential(*layers)
        upscales = {key.split(".")[1] for key in shapes if key.startswith("upscale.")}
        self.upscale = nn.Sequential(*(Upscale(width) for _ in upscales))
        depth = self.backbone.plan.depth
        blocks = shapes.get("attn_mask_probs", (QUERY_BLOCKS.get(depth, 4),))[0]
        if not 0 < blocks <= depth:
            raise ValueError(f"{blocks} of {depth} blocks carry queries")
        self.register_buffer("attn_mask_probs", torch.zeros(blocks))

    @property
    def num_classes(self) -> int:
        return self.class_head.out_features - 2

    def predictions(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Masks [B, Q, h, w] and classes with `no object` last [B, Q, 2 + C], as logits; the final ones last.

        Training fades the masks out of attention (`attn_mask_probs`, 1 to 0). Only where they never began to fade does
        the network find its objects with them, and predict before each block too.
        """
        x, size = self.backbone.tokens(x)
        masked = bool((self.attn_mask_probs == 1).all())
        found = []
        first = len(self.backbone.blocks) - len(self.attn_mask_probs)
        for number, block in enumerate(self.backbone.blocks):
            if number == first:
                x = torch.cat([self.q.weight[None].expand(len(x), -1, -1), x], dim=1)
            seen = None
            if masked and number >= first:
                found.append(self._predict(self.backbone.norm(x), size))
                seen = self._seen(found[-1][0], x, size)
            x = block(x, seen)
        return [*found, self._predict(self.backbone.norm(x), size)]

    def _predict(self, x: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        queries, patches = x[:, : self.q.num_embeddings], x[:, self.q.num_embeddings + self.backbone.prefix :]
        maps = self.upscale(as_grid(patches, size))
        return torch.einsum("bqd,bdhw->bqhw", self.mask_head(queries), maps), self.class_head(queries)

    def _seen(self, masks: Tensor, x: Tensor, size: Size) -> Tensor:
        """[B, N, N]: a query sees the patches inside of its mask, and all other tokens."""
        seen = torch.ones(len(x), x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)
        queries = self.q.num_embeddings
        seen[:, :queries, queries + self.backbone.prefix :] = resized(masks, size).flatten(2) > 0
        return seen

    def logits(self, x: Tensor) -> Tensor:
        masks, classes = self.predictions(x)[-1]
        patch = self.backbone.plan.patch
        whole = [-(-side // patch) * patch for side in x.shape[-2:]]
        masks = resized(masks, whole)[..., : x.shape[-2], : x.shape[-1]].sigmoid()
        scores = torch.einsum("bqhw,bqc->bchw", masks, classes.softmax(-1)[..., :-1])
        return scores.clamp_min(SMALLEST).log()

    def published_state(self) -> State:
        return rename(super().published_state(), {"backbone.": "encoder.backbone."})


def from_eomt(state: State) -> State:
    return rename(state, {"encoder.backbone.": "backbone."})
