"""Folders of the user's that bear the names of camkit's are left as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from camkit.errors import CamkitError, OutputError
from camkit.store import merge_stores, open_store
from camkit.store.parts import Parts
from camkit.training.folder import TrainingFolder
from tests.store.conftest import IDS, header, write


def users(folder: Path, name: str = "thesis.txt") -> Path:
    folder.mkdir()
    (folder / name).write_text("mine")
    return folder


def unchanged(folder: Path, name: str = "thesis.txt") -> bool:
    return [path.name for path in folder.iterdir()] == [name] and (folder / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["thesis.txt", "run.json", "part-000000-0-of-1.h5"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_without_the_marker_stays(tmp_path: Path, name: str, overwrite: bool) -> None:
    folder = users(tmp_path / "a.h5.parts", name)
    with pytest.raises(CamkitError, match="not of camkit's making"):
        write(tmp_path / "a.h5", IDS, overwrite=overwrite)
    write(tmp_path / "b.h5", IDS)
    with pytest.raises(OutputError, match="not of camkit's making"):
        merge_stores([tmp_path / "b.h5"], tmp_path / "a.h5", overwrite=overwrite)
    assert unchanged(folder, name)


def test_nothing_is_done_through_a_link(tmp_path: Path) -> None:
    assert write(tmp_path / "b.h5", IDS)
    (tmp_path / "a.h5.parts").symlink_to(users(tmp_path / "precious"))
    with pytest.raises(OutputError, match="is a link"):
        write(tmp_path / "a.h5", IDS)
    (tmp_path / "empty").mkdir()
    (tmp_path / "b.h5.parts").symlink_to(tmp_path / "empty")
    assert write(tmp_path / "b.h5", IDS)  # finished: the link is no leftover
    assert unchanged(tmp_path / "precious")
    assert (tmp_path / "b.h5.parts").is_symlink()


def test_a_usage_error_empties_nothing(tmp_path: Path) -> None:
    folder = users(tmp_path / "a.h5.parts")
    (tmp_path / "a.h5").write_text("no store")
    with pytest.raises(CamkitError):
        write(tmp_path / "a.h5", IDS)
    assert unchanged(folder)


def test_what_others_put_among_the_parts_stays(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "a.h5")
    with parts.gate():
        (parts.path / "thesis.txt").write_text("mine")
    assert write(tmp_path / "a.h5", IDS)
    assert (parts.path / "thesis.txt").read_text() == "mine"
    assert write(tmp_path / "a.h5", IDS, header(scales=[2]), overwrite=True)  # the next run enters it
    with open_store(tmp_path / "a.h5") as store:
        assert store.ids == tuple(sorted(IDS))


@pytest.mark.parametrize("name", ["thesis.txt", "state.pt", "best.safetensors"])
def test_a_training_folder_of_the_users_stays(tmp_path: Path, name: str) -> None:
    folder = users(tmp_path / "n.safetensors.training", name)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not of camkit's making"):
            TrainingFolder(tmp_path / "n.safetensors").begin({"command": "x"}, overwrite=overwrite)
        TrainingFolder(tmp_path / "n.safetensors").remove_leftovers({"command": "x"})
    assert unchanged(folder, name)
    (tmp_path / "m.safetensors.training").symlink_to(folder)
    with pytest.raises(OutputError, match="is a link"):
        TrainingFolder(tmp_path / "m.safetensors").begin({"command": "x"}, overwrite=True)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"command": "x", "parameters": [1]}', "[]", '{"parents": 3}'])
def test_a_damaged_memo_of_a_training_is_told(tmp_path: Path, text: str) -> None:
    folder = TrainingFolder(tmp_path / "n.safetensors")
    folder.path.mkdir()
    for name, content in {"lock": "", "run.json": text, "state.pt": "{}"}.items():
        (folder.path / name).write_text(content)
    with pytest.raises(CamkitError, match="unfinished training"):
        folder.begin({"command": "x", "parameters": {}}, overwrite=False)
    assert (folder.path / "state.pt").exists()
