"""ICD's numbers: METHODS.md's section on it, and the paper's sections 3 and 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from camkit.errors import UsageError
from camkit.settings.option import check, option

Features = Literal["conv4", "conv5", "fc6", "concat"]
Structure = Literal["a", "b", "c", "d"]
Form = Literal["square", "absolute", "sigmoid"]
Vote = Literal["mean", "sign"]
Reads = Literal["normalised", "features"]
Branch = Literal["top-down", "bottom-up", "cam"]

HIDDEN, LARGEST_HIDDEN = 1024, 1 << 14

PUBLISHED = {"bottom_up_weight": 10, "superpixel_vote": "sign", "ignore_band": 0.2}
"""Where the authors' program differs from the paper."""

OF_BRANCH = ("structure", "hidden", "superpixel_vote", "ignore_band")
"""What is about the top-down branch alone."""


@dataclass(frozen=True)
class IcdRecipe:
    """What ICD learns, and how. Defaults are the paper's."""

    features: Features = option("conv5", "That directions are learned in (Table 5).")
    structure: Structure = option(
        "c",
        "What adapted scores read (Table 6): a) the features, b) an fc7 of their own, c) the features, an fc6 and fc7 "
        "of their own, d) as c, but the classifier's fc6 and fc7.",
    )
    hidden: int | None = option(
        None, "Channels of b's and c's own fc6 and fc7. Default: {usual}, fewer in narrower networks.",
        low=1, high=LARGEST_HIDDEN, metavar="N", facts={"usual": f"{HIDDEN:,}"},
    )  # fmt: skip
    bottom_up: Form = option("square", "Form of the bottom-up loss (Table 4).")
    bottom_up_weight: float = option(
        1.0, "Of that loss. The authors' program: {published}.", low=0, outside="low",
        facts={"published": PUBLISHED["bottom_up_weight"]},
    )  # fmt: skip
    superpixel_vote: Vote = option(
        "mean",
        "A superpixel's score: its mean, or the mean of those of its scores whose sign prevails. The authors' program: "
        "{published}.",
        facts={"published": PUBLISHED["superpixel_vote"]},
    )
    ignore_band: float = option(
        0.0, "Scores below this share of the photo's largest teach nothing. The authors' program: {published}.",
        low=0, high=1, outside="high", facts={"published": PUBLISHED["ignore_band"]},
    )  # fmt: skip
    top_down: bool = option(
        True, "A branch that learns the final scores. Without it there are those along the directions alone (Table 5).",
        flags=["--top-down/--no-top-down"],
    )  # fmt: skip
    top_down_warmup: float = option(2.0, "The top-down loss gets its weight so slowly.", low=0, metavar="EPOCHS")

    def __post_init__(self) -> None:
        check(self)
        default = type(self).__dataclass_fields__
        of_branch = [name for name in OF_BRANCH if getattr(self, name) != default[name].default]
        if of_branch and not self.top_down:
            raise UsageError(f"--{of_branch[0].replace('_', '-')} has no effect with --no-top-down: leave it out")
        if self.hidden is not None and self.structure in ("a", "d"):
            raise UsageError(f"--hidden {self.hidden} has no effect on --structure {self.structure}: leave it out")
