"""What is in a checkpoint: of which kind, on which trunk. Whoever reads one asks here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from camkit.models import zoo
from camkit.models.segmentation.table import find_segmenter
from camkit.models.state import State
from camkit.types import AffinityKind

CheckpointKind = Literal["classifier", "icd", "affinitynet", "irn", "segmentation"]
"""What camkit writes and reads. ICD's is a classifier too; the others are not."""
SEGMENTATION = "a segmentation network, for camkit segment"

SIGNATURES: Mapping[AffinityKind, str] = {"affinitynet": "f8_5.weight", "irn": "fc_edge1.0.weight"}
"""A published key that no network of another kind has. SEAM's has f8_3, f8_4 and f9 like AffinityNet, but no f8_5."""

TITLES: Mapping[AffinityKind, str] = {
    "affinitynet": "an AffinityNet checkpoint (pair affinities)",
    "irn": "an IRN checkpoint (boundaries and displacements)",
}
OF_SEGMENTATION = r"(^|\.)(aspp|decoder|decode_head|aux_classifier|classifier\.0\.convs|segmentation_head)"


@dataclass(frozen=True, eq=False)
class Contents:
    """What a checkpoint holds.

    kind   what camkit reads it as; None: neither its description nor its keys are those of such a network
    arch   of the trunk, by the description if there is one; None: no trunk that camkit knows
    state  all tensors, under the trunk's own keys if it is known; the linear layer of a classifier is `head`
    """

    kind: CheckpointKind | None
    arch: str | None
    state: State

    @property
    def pairs(self) -> AffinityKind | None:
        """The kind, if it is one of pairs."""
        return next((kind for kind in SIGNATURES if kind == self.kind), None)

    @property
    def other(self) -> str | None:
        """What people call it if keys tell that it is no classifier, whether or not camkit can read it."""
        for kind, signature in SIGNATURES.items():
            if any(f".{key}".endswith(f".{signature}") for key in self.state):
                return TITLES[kind]
        if self.kind == "segmentation":
            return SEGMENTATION
        return "a segmentation network" if any(re.search(OF_SEGMENTATION, key) for key in self.state) else None


def recognise(tensors: State, own: Mapping[str, Any] | None = None) -> Contents:
    """own: camkit's description. What it says may be wrong: whoever reads the checkpoint checks it."""
    found = zoo.find_trunk(tensors)
    arch, state = found or (None, tensors)
    if own is None and find_segmenter(tensors) is not None:
        return Contents("segmentation", arch, state)
    if own is None:
        return Contents(_kind_of(state) if arch else None, arch, state)
    kind = next((kind for kind in get_args(CheckpointKind) if kind == own.get("kind")), None)
    return Contents(kind, arch and str(own.get("arch")), state)


def has_head(state: State) -> bool:
    """Whether there is a linear layer, or a 1×1 convolution in its place."""
    head = state.get("head.weight")
    return head is not None and head.ndim in (2, 4) and len(head) > 0


def _kind_of(state: State) -> CheckpointKind | None:
    pairs = next((kind for kind, signature in SIGNATURES.items() if signature in state), None)
    return pairs or ("classifier" if has_head(state) else None)
