"""Settings that a method cannot run with."""

from __future__ import annotations

from typing import Any

import pytest

from camkit.errors import UsageError
from camkit.stages import dcsm, infercam


@pytest.mark.parametrize(
    ("changes", "option"),
    [({"scales": ()}, "scales"), ({"hiding_scales": ()}, "hiding-scales"), ({"centre_scales": ()}, "centre-scales")],
)
def test_no_scales_are_refused(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=f"--{option}: give at least one"):
        infercam.settings_of("paper", changes)
    with pytest.raises(UsageError, match="--scales: give at least one"):
        dcsm.settings_of("guided", {"scales": ()})
