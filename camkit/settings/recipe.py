"""Every number that shapes a training, and the recipes of the papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from camkit.errors import UsageError
from camkit.settings.option import check, option, preset_of
from camkit.types import Pooling

Optimiser = Literal["sgd", "adamw"]
Schedule = Literal["poly", "poly-epoch", "cosine", "constant"]
LossOver = Literal["mean", "sum"]
Range = tuple[float, float]
Preset = Literal["scratch", "finetune", "efficientnet", "psa", "irn", "dcsm", "icd"]
"""Those of classifiers."""

USUAL_DECAY = 0.999


@dataclass(frozen=True)
class Augmentation:
    """How a photo is varied before the network sees it.

    resize     None: as it is, but at most LARGEST_SIDE
    long_side  instead of the two above
    crop       filled with the mean colour where the photo is smaller; None: all of it
    jitter     brightness, contrast and saturation change by up to this share, hue by a third of it
    """

    resize: int | None = option(
        None, "Longer side of a photo before it is varied.", low=1, metavar="N|native", nothing="native"
    )
    scale_range: Range = option((1.0, 1.0), "Random factor on that size.", low=0.01, high=16, metavar="LOW,HIGH")
    long_side: tuple[int, int] | None = option(
        None, "Random longer side, instead.", low=16, high=10_000, metavar="LOW,HIGH"
    )
    crop: int | None = option(None, "Side of a random square of it.", low=1, metavar="N|none", nothing="none")
    flip: bool = option(True, "Mirror every other photo.", flags=["--flip/--no-flip"])
    jitter: float = option(0.0, "How much colours vary.", low=0.0, high=1.0)


@dataclass(frozen=True)
class Recipe:
    """Optimisation, and what is trained.

    rate         the new layers' is `head_factor` times that
    clip         None: any norm
    ema          the average is then validated and saved; None: there is none
    norm_learns  scale and offset of batch norms learn
    freeze       modules whose weights stay as they are; `stem` stands for the trunk's first ones
    """

    epochs: int = option(15, "How often every photo is seen.", low=1, metavar="N")
    batch_size: int = option(16, "Photos a step, over all GPUs.", low=1, metavar="N")
    accumulate: int = option(
        1, "They go through the network in so many parts, one after the other: less memory.", low=1, metavar="N"
    )
    rate: float = option(0.01, "Learning rate of the trunk.", low=0.0, outside="low")
    head_factor: float = option(10.0, "The classifier learns so many times as fast.", low=0.0)
    optimiser: Optimiser = option("sgd", "What takes the steps.")
    momentum: float = option(0.9, "Of sgd.", low=0.0, high=1.0)
    weight_decay: float = option(5e-4, "How strongly weights are drawn to zero.", low=0.0)
    schedule: Schedule = option("poly", "Of the rate.")
    power: float = option(0.9, "Of poly: (1 - t)^power.", low=0.0)
    warmup: float = option(0.0, "The rate rises so long.", low=0.0, metavar="EPOCHS")
    clip: float | None = option(None, "Largest norm of the gradient.", low=0.0)
    ema: float | None = option(
        None, "Judge and keep a moving average of the weights ({usual}).", low=0.0, high=1.0, outside="both",
        metavar="DECAY", facts={"usual": USUAL_DECAY},
    )  # fmt: skip
    pooling: Pooling = option("average", "Of the scores at all positions.")
    loss_over: LossOver = option(
        "mean",
        "A photo's classification loss: the mean of the classes' losses, or their sum, whose gradient is p - y for "
        "each class. {default}.",
    )
    freeze_norm: bool = option(False, "Batch norms keep their statistics.", flags=["--freeze-norm/--train-norm"])
    norm_learns: bool = True
    rest_epochs: int = option(
        0, "First the classifier's own layers learn alone, for so many epochs; what lies below them rests. {default}.",
        low=0, metavar="N",
    )  # fmt: skip
    freeze: tuple[str, ...] = option((), "Modules that do not learn (stem,layer1).", metavar="NAME,…")
    seed: int = option(0, "Of all that is drawn at random.", low=0)
    augmentation: Augmentation = Augmentation()


PRESETS: Mapping[str, Recipe] = {
    # from nothing: a small network on small photos
    "scratch": Recipe(
        epochs=30, batch_size=32, optimiser="adamw", rate=2e-3, head_factor=1.0, weight_decay=0.02,
        schedule="cosine", warmup=1.0,
        augmentation=Augmentation(resize=320, scale_range=(0.6, 1.4), crop=224, jitter=0.2),
    ),
    "finetune": Recipe(
        rate=0.01, freeze_norm=True, augmentation=Augmentation(scale_range=(0.5, 1.5), crop=321, jitter=0.3)
    ),
    # from ImageNet weights on a CPU: four epochs of 3,000 photos are enough, a few hundred photos want more
    "efficientnet": Recipe(
        epochs=4, batch_size=16, optimiser="adamw", rate=4e-4, head_factor=5.0, weight_decay=0.02, schedule="cosine",
        warmup=0.2, ema=0.998, augmentation=Augmentation(resize=320, scale_range=(0.6, 1.5), crop=288, jitter=0.2),
    ),
    # Both programs hand the weight decay to SGD a second time, as its momentum: they train without any to speak of.
    "psa": Recipe(
        epochs=15, batch_size=16, rate=0.1, momentum=5e-4, weight_decay=5e-4, freeze_norm=True, norm_learns=False,
        freeze=("stem",),
        augmentation=Augmentation(long_side=(256, 512), crop=448, jitter=0.3),
    ),
    "irn": Recipe(
        epochs=5, batch_size=16, rate=0.1, momentum=1e-4, weight_decay=1e-4, freeze_norm=True,
        freeze=("stem",), augmentation=Augmentation(long_side=(320, 640), crop=512),
    ),
    # 30,000 steps of the classifier's layers, then 20,000 of all; with 2 of train_aug's 10,582 photos: 6 epochs and 4
    "dcsm": Recipe(
        epochs=10, rest_epochs=6, batch_size=2, rate=1e-5, head_factor=1.0, schedule="constant", pooling="maximum",
        loss_over="sum",
        augmentation=Augmentation(resize=500, scale_range=(0.7, 1.4)),
    ),
    "icd": Recipe(
        epochs=20, batch_size=32, rate=1e-3, schedule="poly-epoch", loss_over="sum",
        augmentation=Augmentation(scale_range=(0.5, 1.5), crop=321),
    ),
    # of affinities
    "affinitynet": Recipe(
        epochs=8, batch_size=8, rate=0.1, momentum=5e-4, weight_decay=5e-4, freeze_norm=True, norm_learns=False,
        freeze=("stem",), augmentation=Augmentation(crop=448, jitter=0.3),
    ),
    "boundary": Recipe(
        epochs=3, batch_size=32, rate=0.1, head_factor=1.0, momentum=1e-4, weight_decay=1e-4, freeze_norm=True,
        norm_learns=False, freeze=("trunk",), augmentation=Augmentation(scale_range=(0.5, 1.5), crop=512),
    ),
    # of segmentation; steps are counted as epochs of VOC's 10,582 photos
    "light": Recipe(
        epochs=10, batch_size=8, optimiser="adamw", rate=2e-4, weight_decay=0.02, schedule="cosine", warmup=0.2,
        ema=0.998, augmentation=Augmentation(resize=320, scale_range=(0.6, 1.5), crop=288, jitter=0.2),
    ),
    "deeplabv2": Recipe(
        epochs=19, batch_size=10, accumulate=2, rate=2.5e-4, freeze_norm=True,
        augmentation=Augmentation(scale_range=(0.5, 1.5), crop=321),
    ),
    "largefov": Recipe(
        epochs=38, batch_size=16, rate=1e-3, warmup=1.5,
        augmentation=Augmentation(scale_range=(0.75, 2.0), crop=497, jitter=0.3),
    ),
    "upernet-swin": Recipe(
        epochs=60, batch_size=16, optimiser="adamw", rate=6e-5, weight_decay=0.01, power=1.0, warmup=2.3,
        augmentation=Augmentation(scale_range=(0.5, 2.0), crop=512, jitter=0.3),
    ),
    # its program, too, hands SGD the weight decay in place of the momentum
    "resnet38": Recipe(
        epochs=30, batch_size=4, rate=7e-4, momentum=1e-5, weight_decay=0.0, freeze_norm=True,
        augmentation=Augmentation(scale_range=(0.7, 1.3), crop=321),
    ),
}  # fmt: skip


def preset(name: str) -> Recipe:
    return preset_of(PRESETS, name)


def check_recipe(recipe: Recipe) -> None:
    """UsageError for numbers that cannot work."""
    augmentation = recipe.augmentation
    low, high = augmentation.scale_range
    shortest, longest = augmentation.long_side or (1, 1)
    alone, epochs = recipe.rest_epochs, recipe.epochs
    check(recipe)
    check(augmentation)
    wrong = {
        f"--long-side {shortest},{longest}: give the smaller one first": not 0 < shortest <= longest,
        f"--scale-range {low:g},{high:g}: give a low and a high factor above 0, the low one first": not 0 < low <= high,
        f"--rest-epochs {alone}: of --epochs {epochs} none is left for all layers": alone >= epochs,
        f"--clip {recipe.clip}: give a norm above 0": recipe.clip is not None and not recipe.clip > 0,
        "--scale-range and --long-side both set the photos' size: give one": augmentation.long_side is not None
        and augmentation.scale_range != (1.0, 1.0),
        "--resize and --long-side both set the photos' size: give one": augmentation.long_side is not None
        and augmentation.resize is not None,
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(message)
