"""What is handed out: wheel and source hold what the package needs; the files around it agree with each other."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from camkit.cli.main import COMMANDS
from camkit.pipeline.device import choose_device

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    build = "from setuptools import build_meta; print(build_meta.build_wheel({!r}))".format(str(tmp_path / "dist"))
    source = tmp_path / "source"
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    kept = [name for name in names if name.startswith("camkit/") or name in ("pyproject.toml", "README.md", "LICENSE")]
    if not any(kept):
        pytest.skip("not in a clone")
    for name in kept:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "dist").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("camkit-*.whl")
    assert {name for name in kept if name.startswith("camkit/")} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_files_around_it_agree() -> None:
    assert f"version: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert PROJECT["requires-python"].removeprefix(">=") in workflow
    assert "tests/run.sh" in workflow
    assert 'ENTRYPOINT ["camkit"]' in (ROOT / "Dockerfile").read_text()
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for word in contributing.split("`"):
        if word.startswith(("camkit/", "tests/")) and "NAME" not in word and " " not in word:
            assert (ROOT / word).exists(), word
    assert len(COMMANDS) == len(set(COMMANDS))


def test_windows_gets_a_clear_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ImportError, match="WSL"):
        runpy.run_path(str(ROOT / "camkit/__init__.py"))


def test_apples_gpu_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    device = choose_device("mps")
    assert (device.torch_device.type, device.precision) == ("mps", "float32")
