"""A file appears whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from camkit.data.reading import reason
from camkit.errors import OutputError


def write_whole(path: Path, write: Callable[[IO[bytes]], Any], what: str = "") -> None:
    """Have `write` fill a file that takes the place of `path` when it is complete. `what` names it in errors."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("xb") as file:
            write(file)
        unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {what}{path}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):  # it is there only when the above failed
            unfinished.unlink()
