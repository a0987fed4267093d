"""Settings that a method cannot run with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camkit.errors import UsageError
from camkit.pipeline.output import Output
from camkit.pipeline.select import Inputs
from camkit.settings import dcsm, infercam
from camkit.stages.cam import cam
from camkit.stages.icd_apply import icd_apply
from camkit.stages.network import Network


@pytest.mark.parametrize(
    ("changes", "option"),
    [({"scales": ()}, "scales"), ({"hiding_scales": ()}, "hiding-scales"), ({"centre_scales": ()}, "centre-scales")],
)
def test_no_scales_are_refused(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=f"--{option}: give at least one"):
        infercam.settings_of("paper", changes)
    with pytest.raises(UsageError, match="--scales: give at least one"):
        dcsm.settings_of("guided", {"scales": ()})


@pytest.mark.parametrize("method", [cam, icd_apply])
@pytest.mark.parametrize("scales", [(), (1.0, 0.0)])
def test_maps_need_scales(method: Callable[..., Any], scales: tuple[float, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--scales: give at least one, all above 0"):
        method(Inputs(tmp_path), Network("toy-icd"), Output(tmp_path / "m.h5"), scales=scales)
