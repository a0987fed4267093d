"""Which response map InferCam asks: CAM, or the maps of another method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from camkit.errors import UsageError
from camkit.pipeline.device import Device
from camkit.settings.infercam import Response
from camkit.stages.dcsm import DcsmSettings
from camkit.stages.gradient_layers import response_of
from camkit.stages.network import Network, load_icd_network
from camkit.stages.prototypes import directions_of, open_prototypes
from camkit.stages.refined import refiner_of, told

if TYPE_CHECKING:
    from camkit.methods.response import ResponseMap
    from camkit.models.classifier import LoadedClassifier


@dataclass(frozen=True)
class Asked:
    """How to make the response map of a classifier.

    parents   the histories of the stores it needs
    on_cells  its grid is that of the features
    load      reads a network that is more than a classifier
    told      what the provenance is to hold besides
    """

    of: Callable[[LoadedClassifier], ResponseMap]
    parents: Sequence[Mapping[str, Any]] = ()
    on_cells: bool = True
    load: Callable[[Network, Device], LoadedClassifier] | None = None
    told: Callable[[LoadedClassifier], Mapping[str, Any]] = lambda loaded: {}


@contextmanager
def asked_response(name: Response, prototypes: Path | str | None, refined: bool | None = None) -> Iterator[Asked]:
    """prototypes: for lpcam, their store; refined: for cam, as in camkit.stages.cam."""
    if refined is not None and name != "cam":
        raise UsageError(f"--refined and --plain are for --response cam, not for {name}")
    if prototypes is not None and name != "lpcam":
        raise UsageError(f"--prototypes is for --response lpcam, not for {name}")
    if name == "lpcam":
        with open_prototypes(prototypes) as (store, history):

            def lpcam_of(loaded: LoadedClassifier) -> ResponseMap:
                from camkit.methods.lpcam import lpcam

                return partial(lpcam, classifier=loaded.network, directions=directions_of(store, loaded))

            yield Asked(lpcam_of, [history])
    elif name == "dcsm":
        yield Asked(partial(response_of, settings=DcsmSettings()), on_cells=False)
    elif name == "icd":
        yield Asked(icd_of, load=load_icd_network)
    elif name == "cam":
        yield Asked(partial(cam_of, refined=refined), told=partial(told, refined=refined))
    else:
        raise UsageError(f"--response {name} is not known; known are {', '.join(get_args(Response))}")


def icd_of(loaded: LoadedClassifier) -> ResponseMap:
    """The positive part of its final scores."""
    from camkit.methods.icd import top_down_scores
    from camkit.methods.signed import positive_scores
    from camkit.models.icd import IcdNetwork

    assert isinstance(loaded.network, IcdNetwork)
    return partial(positive_scores, scorer=partial(top_down_scores, network=loaded.network))


def cam_of(loaded: LoadedClassifier, refined: bool | None) -> ResponseMap:
    from camkit.methods.cam import cam
    from camkit.methods.seam import refined_cam

    refiner = refiner_of(loaded, refined)
    return partial(cam, classifier=loaded.network) if refiner is None else partial(refined_cam, network=refiner)
