"""Files that once broke camkit, kept beside some checkouts: each ends in a message, within bounds of memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from camkit import memory
from camkit.data.exchange.formats import READERS
from camkit.data.exchange.source import Ask
from camkit.data.images import read_image
from camkit.data.masks import read_mask
from camkit.data.toy.writing import write_world
from camkit.errors import CamkitError
from camkit.stages.info import describe_file
from camkit.store import open_store
from camkit.training.folder import TrainingFolder
from tests.attack.mutants import BUDGET, attack
from tests.attack.test_inputs import RUN, read_folder


@pytest.fixture
def files(shared: Path) -> Path:
    if not (shared / "attack").is_dir():
        pytest.skip("needs ../shared/attack")
    return shared / "attack"


def read_all(path: Path) -> None:
    with open_store(path) as store:
        assert [*store]


def read_import(format: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        source = READERS[format](path, Ask(classes=("cat",)))
        for id in source.files:
            source.read(id)

    return read


def train(path: Path) -> None:
    folder = TrainingFolder(path.parent / "training_deep.safetensors")
    folder.path.mkdir()
    for name in ("lock", "state.pt"):
        (folder.path / name).touch()
    shutil.copy(path, folder.path / "run.json")
    folder.begin(RUN, overwrite=False)


READ = {
    "bombs/maps1.h5": read_all, "bombs/maps5.h5": read_all, "bombs/masks.h5": read_all, "bombs/m/a.png": read_mask,
    "bombs/p16/a.png": read_image, "bombs/prgb/a.png": read_image, "bombs/npz/a.npz": read_import("npz"),
    "bombs/coco.json": read_import("coco"), "classes_surrogate.safetensors": describe_file,
    "memo_deep/camkit.json": read_folder, "memo_list/camkit.json": read_folder,
    "training_deep.safetensors.training/run.json": train,
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_files(files: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(files / name, tmp_path)
    monkeypatch.setattr("tests.attack.mutants.mutated", lambda data, seed: data)
    assert memory.budget() > BUDGET
    count = attack(READ[name], [tmp_path / Path(name).name], 1)  # in a process with little room
    assert dict(count.ends) == {"told": 1}, count.lost


def test_every_file_is_tried(files: Path) -> None:
    known = {*READ, "lpcam_double_flush.py", "lpcam_partial_image.py"}
    known |= {f"training_deep.safetensors.training/{name}" for name in ("lock", "state.pt")}
    assert {path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()} <= known


@pytest.mark.slow
@pytest.mark.parametrize("script", ["lpcam_double_flush.py", "lpcam_partial_image.py"])
def test_scripts(files: Path, tmp_path: Path, script: str) -> None:
    if "CAMKIT_ATTACK" not in os.environ:
        pytest.skip("tests/stages/test_lpcam_gather.py interrupts at every instant; CAMKIT_ATTACK runs this, too")
    write_world(tmp_path / "toy", train=12, val=0)
    environment = {**os.environ, "TOY": str(tmp_path / "toy"), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, str(files / script)], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert result.stdout.decode().splitlines()[-2:] == ["0 datasets differ: [] [] []", "same bytes: True"]


def test_damage_is_told_as_such(files: Path, tmp_path: Path) -> None:
    with pytest.raises(CamkitError, match="class names are not a list of names of one line"):
        describe_file(files / "classes_surrogate.safetensors")
