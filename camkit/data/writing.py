"""A file appears whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from camkit.data.reading import reason
from camkit.errors import OutputError
from camkit.temporary import open_unfinished


def write_whole(path: Path, write: Callable[[IO[bytes]], Any], what: str = "") -> None:
    """Have `write` fill a file that takes the place of `path` when it is complete. `what` names it in errors."""
    unfinished: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished, file = open_unfinished(path)
        with file:
            write(file)
            file.flush()
            unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {what}{path}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):  # it is there only when the above failed
            if unfinished is not None:
                unfinished.unlink()
