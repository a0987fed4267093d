"""InferCam's mask-refinement loss on drawn scenes: where saliency fits, where it conflicts, and without.

    python -m tests.bench.bench_amr FOLDER [--scenes 100] [--fresh 60] [--epochs 12] [--seeds 3] [--how infercam]

Pseudo masks: maps of the toy classifier (`--fast`), then a CRF. Good saliency: the true masks as 8-bit pictures of half
the size. Conflicting: on every third scene that of another one. A light network on the toy trunk learns from each: the
loss of the background weighted by how well saliency fits, by one weight, or what is not salient as background in the
labels; mIoU of what it sees of fresh scenes, at one scale, without tags. Run again, it goes on from what is in FOLDER.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import camkit
from camkit.agreement import agreement_words
from camkit.data.masks import read_mask
from camkit.settings.infercam import FAST, settings_of
from camkit.settings.segmentation import ALPHA, Teaching
from camkit.stages.demo import CHECKPOINT
from camkit.stages.evaluate import evaluate_predictions
from camkit.stages.info import describe_file
from camkit.stages.pseudo_masks import Photos
from camkit.stages.training import Start, recipe_of

EVERY = 3
"""One scene in so many has saliency that looks elsewhere."""
START = Start(init=CHECKPOINT, arch="light")
ALWAYS = ALPHA * math.expm1(1)
"""The weight where saliency fits to the pixel."""
WAYS: Mapping[str, Mapping[str, object]] = {
    "adaptive": {},
    "fixed": {"saliency_weight": ALWAYS},
    "hard background": {"saliency_hard": True},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name, usual in (("scenes", 100), ("fresh", 60), ("epochs", 12), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--how", choices=("infercam", "lpcam"), default="infercam")
    asked = parser.parse_args()
    logging.getLogger("camkit").setLevel(logging.ERROR)
    asked.folder.mkdir(parents=True, exist_ok=True)
    world = asked.folder / "world"
    camkit.toy_world(world, train=asked.scenes, val=asked.fresh, seed=7)
    pseudo = pseudo_masks(asked.folder, world, asked.how)
    print(f"{asked.how}, CRF, of the {asked.scenes} scenes learned from, with tags: {miou(pseudo, world, 'train'):.1f}")
    saliency = {"good": asked.folder / "good", "conflicting": asked.folder / "conflicting"}
    for name, folder in saliency.items():
        draw_saliency(world, folder, conflicting=name == "conflicting")
    print(f"{'saliency':<13}{'background':<17}{'mIoU of each seed':<26}{'mean':<7}agreement in training")
    for kind, ways in (("none", ["-"]), *((kind, [*WAYS]) for kind in saliency)):
        for way in ways:
            name = f"{kind}-{way}".replace(" ", "-")
            found = [
                one_seed(asked.folder / f"{name}-{seed}", world, pseudo, saliency.get(kind), way, seed, asked.epochs)
                for seed in range(asked.seeds)
            ]
            told = "  ".join(f"{figure:.1f}" for figure in found)
            print(f"{kind:<13}{way:<17}{told:<26}{np.mean(found):<7.1f}{agreement(asked.folder / name)}", flush=True)


def pseudo_masks(folder: Path, world: Path, how: str) -> Path:
    inputs, network = camkit.Inputs(world, "train"), camkit.Network(CHECKPOINT)
    maps = folder / f"{how}.h5"
    if how == "infercam":
        camkit.infercam(inputs, network, camkit.Output(maps), settings=settings_of(changes=FAST))
    else:
        camkit.lpcam_cluster(inputs, network, camkit.Output(folder / "prototypes.h5"))
        camkit.lpcam_apply(folder / "prototypes.h5", inputs, network, camkit.Output(maps))
    probs = folder / f"{how}-crf.h5"
    camkit.crf([maps], camkit.Output(probs), preset="irn")
    return probs


def draw_saliency(world: Path, folder: Path, *, conflicting: bool) -> None:
    folder.mkdir(exist_ok=True)
    ids = (world / "ImageSets/Segmentation/train.txt").read_text().split()
    for number, id in enumerate(ids):
        elsewhere = conflicting and number % EVERY == 0
        shown = read_mask(world / "SegmentationClass" / f"{ids[number - 1] if elsewhere else id}.png")
        with Image.open(world / "JPEGImages" / f"{id}.jpg") as photo:
            size = (photo.width // 2, photo.height // 2)
        grey = Image.fromarray(np.where((shown > 0) & (shown < 255), 255, 0).astype(np.uint8))
        grey.resize(size, Image.Resampling.BILINEAR).save(folder / f"{id}.png")


def one_seed(place: Path, world: Path, pseudo: Path, saliency: Path | None, way: str, seed: int, epochs: int) -> float:
    ckpt, seen = place.with_name(f"{place.name}.safetensors"), place.with_name(f"{place.name}.h5")
    changes = {"epochs": epochs, "seed": seed, "resize": 160, "crop": 128}
    camkit.segment_train(
        [pseudo], START, ckpt, recipe_of("light", START, changes), photos=Photos(list="train"),
        teaching=Teaching(**WAYS.get(way, {})), saliency=saliency,  # type: ignore[arg-type] # by name
    )  # fmt: skip
    camkit.segment(camkit.Inputs(world, "val"), ckpt, camkit.Output(seen), changes={"scales": (1.0,), "flip": False})
    return miou(seen, world, "val")


def miou(store: Path, world: Path, split: str) -> float:
    report, _ = evaluate_predictions([store], world, list=split)
    return 100 * (report.miou or 0.0)


def agreement(first: Path) -> str:
    """Of the first seed's last epoch."""
    return agreement_words(describe_file([first.with_name(f"{first.name}-0.safetensors")])["figures"])


if __name__ == "__main__":
    main()
