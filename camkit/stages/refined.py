"""Whether a classifier's maps are refined by layers of its own, as SEAM's are; said wherever maps are made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from camkit.errors import UsageError

if TYPE_CHECKING:
    from camkit.methods.seam import Refiner
    from camkit.models.classifier import LoadedClassifier

log = logging.getLogger("camkit")


def refiner_of(loaded: LoadedClassifier, refined: bool | None) -> Refiner | None:
    """The network, where its maps are to be refined: where it can, unless `refined` is False."""
    if loaded.network.refines_maps:
        return None if refined is False else cast("Refiner", loaded.network)
    if refined is not None:
        option = "--refined" if refined else "--plain"
        raise UsageError(f"{option} is for checkpoints of SEAM: {loaded.arch} has plain maps only; leave {option} out")
    return None


def told(loaded: LoadedClassifier, refined: bool | None) -> Mapping[str, bool]:
    """For the provenance, of networks whose maps may be either; and a word to the user."""
    chosen = refiner_of(loaded, refined) is not None
    if not loaded.network.refines_maps:
        return {}
    log.info("maps: %s", "refined, as SEAM's are (--plain: not)" if chosen else "plain, not refined as SEAM's are")
    return {"refined": chosen}
