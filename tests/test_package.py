"""What `import camkit` gives."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import camkit

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_installed_one() -> None:
    assert camkit.__version__ == version("camkit")


@pytest.mark.parametrize("name", camkit.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(camkit, name).__name__ == name


def test_the_stub_is_the_list() -> None:
    """Each line has the shape that `camkit/__init__.py` reads, and type checkers take for a public name."""
    tree = ast.parse((ROOT / "camkit" / "__init__.pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = [(alias.name, alias.asname) for node in imports for alias in node.names]
    assert [(name, name) for name in camkit.__all__] == sorted(names)
    assert all(len(node.names) == 1 and node.lineno == node.end_lineno for node in imports)
    assert set(camkit.__all__) < set(dir(camkit))


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = camkit.nothing


def test_importing_it_imports_nothing_large() -> None:
    code = "import sys, camkit; print({'numpy', 'torch', 'importlib.metadata'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == "set()\n"
