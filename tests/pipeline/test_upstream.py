"""A store may have been written by anybody: it does not choose which folders are looked into."""

from __future__ import annotations

from pathlib import Path

import pytest

from camkit.data.lists import walk
from camkit.errors import InputError
from camkit.pipeline.upstream import PHOTOS, recorded_root


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(PHOTOS, raising=False)
    for name in ("here/photos", "stores/photos", "private/letters"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")


def test_photos_near_the_store_or_here_are_found(tmp_path: Path) -> None:
    for root in (tmp_path / "here", tmp_path / "here/photos", tmp_path / "stores/photos"):
        assert recorded_root(str(root), "a.h5", [tmp_path / "stores"]) == root


@pytest.mark.parametrize("root", ["private", "stores/../private", "stores/link", "here/link"])
def test_others_only_if_somebody_says_so(tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("stores", "here"):
        (tmp_path / folder / "link").symlink_to(tmp_path / "private")
    with pytest.raises(InputError, match="neither below its own folder nor below this one\nif that is right, give"):
        recorded_root(str(tmp_path / root), "a.h5", [tmp_path / "stores"])
    monkeypatch.setenv(PHOTOS, f"/nowhere:{tmp_path / 'private'}")
    assert recorded_root(str(tmp_path / root), "a.h5", [tmp_path / "stores"])


@pytest.mark.parametrize("root", ["/proc", "/"])
def test_the_whole_machine_is_no_folder_of_photos(tmp_path: Path, root: str) -> None:
    with pytest.raises(InputError, match="neither below"):
        recorded_root(root, "a.h5", [])


def test_links_that_lead_ever_on_end(tmp_path: Path) -> None:
    for level in range(40):
        folder = tmp_path / f"d{level}"
        folder.mkdir()
        if level:
            (tmp_path / f"d{level - 1}" / "a").symlink_to(folder)
    with pytest.raises(InputError, match="without end"):
        list(walk(tmp_path / "d0", (".jpg",)))
