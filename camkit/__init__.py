"""camkit turns image tags into segmentation masks. Every command is a function here too.

The public names stand in `__init__.pyi`, where type checkers look for them. They are imported when first asked for:
`import camkit` costs nothing, and reading a store does not need torch.
"""

import sys
from importlib import import_module
from typing import Any

if sys.platform == "win32":  # nothing is lost in a kill because of file locks and signals that Windows lacks
    raise ImportError("camkit needs Linux or macOS; on Windows run it in WSL, the Windows Subsystem for Linux")


def _homes() -> dict[str, str]:
    """The module of every public name, from the lines `from MODULE import NAME as NAME` of `__init__.pyi`."""
    with open(f"{__path__[0]}/__init__.pyi", encoding="utf-8") as stub:  # noqa: PTH123 - pathlib takes its time
        lines = [line.split() for line in stub if line.startswith("from ")]
    return {name: home for _, home, _, name, *_ in lines}


_HOMES = _homes()
__all__ = sorted(_HOMES)  # noqa: PLE0605 - a list all the same


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("camkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'camkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
