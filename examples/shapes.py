"""Draws a VOC root of discs, squares and triangles, and trains a small classifier on its image-level labels alone.

python examples/shapes.py shapes/ shapes.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter

from camkit import save_classifier
from camkit.data.masks import write_mask
from camkit.models.classifier import Network
from camkit.models.zoo import build

NAMES = ("disc", "square", "triangle")
SIDE = 96
SCENES = 400
SHOWN = 60  # scenes that are written to disk; the others only train
EPOCHS = 12


def draw_scene(rng: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """One or two speckled shapes on clouds: picture and mask."""
    picture = Image.fromarray(rng.integers(40, 215, (6, 6, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for half, shape in enumerate(rng.choice(3, rng.integers(1, 3), replace=False)):
        radius = int(rng.integers(14, 22))
        x, y = half * SIDE // 2 + SIDE // 4, int(rng.integers(radius + 2, SIDE - radius - 2))
        stencil = Image.new("L", (SIDE, SIDE))
        sides = (72, 4, 3)[shape]
        ImageDraw.Draw(stencil).regular_polygon((x, y, radius), sides, rotation=float(rng.integers(-20, 20)), fill=255)
        speckles = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
        picture.paste(speckles.filter(ImageFilter.BoxBlur(1)), mask=stencil)
        mask[np.asarray(stencil) > 127] = shape + 1
    return picture, mask


def write_scene(root: Path, id: str, picture: Image.Image, mask: np.ndarray) -> None:
    picture.save(root / "JPEGImages" / f"{id}.jpg", quality=92)
    write_mask(root / "SegmentationClass" / f"{id}.png", mask)


def train(pictures: torch.Tensor, labels: torch.Tensor) -> Network:
    """pictures [N, 3, H, W] in [0, 255], labels [N, 3] of 0 and 1."""
    network = build("resnet18", len(NAMES), width=16, output_stride=8)
    mean, std = (torch.tensor(colour).view(3, 1, 1) * 255 for colour in (network.mean, network.std))
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=EPOCHS * (len(pictures) // 20))
    for epoch in range(EPOCHS):
        total = 0.0
        for chosen in torch.randperm(len(pictures))[: len(pictures) // 20 * 20].split(20):
            batch = pictures[chosen] if epoch % 2 else pictures[chosen].flip(-1)
            loss = F.binary_cross_entropy_with_logits(network.logits((batch - mean) / std), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen) / len(pictures)
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total:.3f}")
    return network.eval()


def main(root: Path, checkpoint: Path) -> None:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    for folder in ("JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    scenes = [draw_scene(rng) for _ in range(SCENES)]
    for n, (picture, mask) in enumerate(scenes[:SHOWN]):
        write_scene(root, f"scene-{n:03d}", picture, mask)
    pictures = torch.from_numpy(np.stack([np.asarray(p) for p, _ in scenes[SHOWN:]])).permute(0, 3, 1, 2).float()
    labels = torch.tensor([[float((mask == c + 1).any()) for c in range(3)] for _, mask in scenes[SHOWN:]])
    network = train(pictures, labels)
    save_classifier(
        checkpoint, network, arch="resnet18", classes=NAMES,
        mean=network.mean, std=network.std, input_size=SIDE, output_stride=network.output_stride,
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
