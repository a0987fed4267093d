"""What a page shows: the methods compared, and a card for every image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from camkit.evaluate.comparison import Difference
from camkit.evaluate.report import Report


@dataclass(frozen=True, slots=True)
class Method:
    """One column of pictures. `about` says in a line how it was made; no report where there is no ground truth.

    difference  to the first method, where that was asked for
    agreement   how well the saliency that its network learned from fits labels, under the names of camkit.agreement
    """

    name: str
    report: Report | None
    seconds: float | None = None
    about: str = ""
    difference: Difference | None = None
    agreement: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """One image. Pictures are encoded thumbnails (JPEG, PNG, WebP); `pictures` and `ious` have one per method.

    size  (H, W) of the photo
    """

    id: str
    classes: tuple[str, ...]
    photo: bytes
    truth: bytes | None
    pictures: tuple[bytes | None, ...]
    ious: tuple[float | None, ...]
    size: tuple[int, int]
