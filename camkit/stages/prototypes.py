"""Prototypes for a classifier: read from their store, held against the checkpoint, folded into what LPCAM needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.data.reading import examples
from camkit.errors import StoreError
from camkit.pipeline.upstream import STANDARD_INPUT_NAME, reads_standard_input
from camkit.settings.lpcam import AS_STORED, Hyperparameters, Thresholds, check_context
from camkit.store.pipe import receive_store
from camkit.store.prototypes import Centres, PrototypeStore, Side, read_prototypes
from camkit.store.provenance import sha256_file, stage

if TYPE_CHECKING:
    import torch

    from camkit.methods.lpcam import Directions
    from camkit.models.classifier import LoadedClassifier

log = logging.getLogger("camkit")


@contextmanager
def open_prototypes(path: Path | str | None) -> Iterator[tuple[PrototypeStore, Mapping[str, Any]]]:
    """The store and its history; `-`, or None when standard input is a pipe, is the one on standard input."""
    question = "which prototypes? give --prototypes FILE, or pipe them in from camkit lpcam-cluster"
    if not reads_standard_input([] if path is None else [Path(path)], question):
        assert path is not None
        store = read_prototypes(Path(path))
        yield store, _history(store, Path(path))
        return
    with receive_store() as spooled:
        store = read_prototypes(spooled, STANDARD_INPUT_NAME)
        yield store, _history(store, spooled)


def _history(store: PrototypeStore, path: Path) -> Mapping[str, Any]:
    """With a digest of the file: prototypes that are made anew, or changed by hand, may have the same history."""
    known, digest = store.header.provenance, sha256_file(path)
    if not known:
        return stage("a store without a history", {"sha256": [digest]})
    return {**known, "parameters": {**(known.get("parameters") or {}), "store_sha256": digest}}


def directions_of(store: PrototypeStore, loaded: LoadedClassifier, thresholds: Thresholds = AS_STORED) -> Directions:
    """What `camkit.methods.lpcam.lpcam` needs, on the classifier's device. Classes that fall back to CAM are told."""
    import torch

    from camkit.methods.lpcam import fold

    check_fit(store, loaded)
    weight = loaded.network.weight.detach().float()
    folded: dict[Side, dict[int, torch.Tensor]] = {"foreground": {}, "context": {}}
    for number, found in store.of_class.items():
        for side, chosen in folded.items():
            centres = found.side(side)
            kept = kept_centres(centres, side, number, weight, store, thresholds)
            chosen[number] = torch.from_numpy(centres.values[kept]).to(weight.device)
    if thresholds.foreground_only:
        folded["context"] = {}
    directions = fold(folded["foreground"], folded["context"], weight)
    _tell_fallbacks(directions, store.header.classes or loaded.classes)
    return directions


def check_fit(store: PrototypeStore, loaded: LoadedClassifier) -> None:
    """StoreError unless the prototypes are of features and classes such as the checkpoint's."""
    channels = loaded.network.weight.shape[1]
    ckpt = loaded.path.name
    if store.channels != channels:
        raise StoreError(
            f"{store.name} has prototypes of {store.channels} channels, but the features of {ckpt} have {channels}\n"
            "give the checkpoint that they were made with, or cluster anew with this one"
        )
    known = len(store.header.classes)
    last = max(store.of_class)
    if (known and known != loaded.num_classes) or last >= loaded.num_classes:
        raise StoreError(
            f"{store.name} is about {known or f'at least {last + 1}'} classes, {ckpt} about {loaded.num_classes}\n"
            "give the checkpoint that the prototypes were made with, or cluster anew with this one"
        )
    before = (store.header.provenance.get("checkpoint") or {}).get("sha256")
    if before == loaded.sha256:
        return
    if known and loaded.classes and store.header.classes != tuple(loaded.classes):
        raise StoreError(
            f"{store.name} is about other classes than {ckpt}: {class_difference(store.header.classes, loaded.classes)}"
            "\ngive the checkpoint that the prototypes were made with, or cluster anew with this one"
        )
    if before is not None:
        log.warning("%s was made with another checkpoint than %s; its features may mean other things", store.name, ckpt)


def class_difference(there: Sequence[str], here: Sequence[str]) -> str:
    """How the class names of a store differ from the classifier's, in words."""
    if len(there) != len(here):
        return f"{len(there)} there and {len(here)} here"
    number = next(number for number, pair in enumerate(zip(there, here, strict=True)) if pair[0] != pair[1])
    return f"class {number} is {there[number]} there and {here[number]} here"


def kept_centres(
    centres: Centres, side: Side, number: int, weight: torch.Tensor, store: PrototypeStore, thresholds: Thresholds
) -> np.ndarray:
    """[K] bool: as the store says, or by the thresholds that are given; what is not given is as when it was made."""
    from camkit.stages.lpcam_centres import kept_of

    own = {"foreground": ("foreground_score",), "context": ("context_score", "context_low")}[side]
    given = {name: value for name in own if (value := getattr(thresholds, name)) is not None}
    if not given:
        return centres.kept
    made = store.header.provenance.get("parameters") or {}
    known = {field.name for field in fields(Hyperparameters)}
    before = {name: value for name, value in made.items() if name in known and isinstance(value, int | float)}
    merged = Hyperparameters(**{**before, **given})
    if side == "context":
        check_context(merged)
    return kept_of(side, scores_of(centres, number, weight), merged)


def scores_of(centres: Centres, number: int, weight: torch.Tensor) -> np.ndarray:
    """[K] those of the store, else of the classifier."""
    import torch

    from camkit.methods.lpcam import scores

    if centres.scores is not None:
        return centres.scores
    return scores(torch.from_numpy(centres.values).to(weight.device), weight)[:, number].cpu().numpy()


def _tell_fallbacks(directions: Directions, names: tuple[str, ...] | None) -> None:
    found = directions.falls_back.nonzero().flatten().tolist()
    if found:
        shown = [names[number] if names else str(number) for number in found]
        log.info("no foreground prototype for %s: their CAM is used", examples(shown, 8))
