"""`camkit show` as a person runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.world import World, camkit, said


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cams.h5 and masks.h5 of the world."""
    folder = tmp_path_factory.mktemp("show")
    options = ("--scales", 1, "--no-flip", "--out", "cams.h5")
    assert camkit("cam", "--ckpt", world.ckpt, "--images", world.root, *options, cwd=folder).returncode == 0
    assert camkit("mask", "cams.h5", "--out", "masks.h5", cwd=folder).returncode == 0
    return folder


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def test_a_sheet_without_options(folder: Path, tmp_path: Path) -> None:
    result = camkit("show", folder / "cams.h5", cwd=tmp_path, fresh=True)
    assert result.returncode == 0, said(result)
    assert not result.stdout
    assert "sheet.png: " in said(result)
    assert size_of(tmp_path / "sheet.png")[0] == 2 * 240 + 8 + 2 * 16
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_columns_truth_and_the_worst_first(world: World, folder: Path, tmp_path: Path) -> None:
    stores = (folder / "cams.h5", folder / "masks.h5")
    options = ("--gt", world.root, "--list", "val", "--sort", "worst", "--names", "CAM,mask", "--tile", 100)
    result = camkit("show", *stores, *options, "--limit", 2, "--out", "worst.webp", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "showing 2 of 6 images" in said(result)
    assert size_of(tmp_path / "worst.webp")[0] == 4 * 100 + 3 * 8 + 2 * 16


def test_one_image_is_a_large_overlay(world: World, folder: Path, tmp_path: Path) -> None:
    result = camkit("show", folder / "masks.h5", "--id", world.ids[0], "--out", "overlay.png", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert size_of(tmp_path / "overlay.png") == (640, 480)


def test_a_store_from_a_pipe(folder: Path, tmp_path: Path) -> None:
    for arguments in ((), ("-",)):
        result = camkit(
            "show",
            *arguments,
            "--limit",
            2,
            "--out",
            "piped.png",
            cwd=tmp_path,
            input=(folder / "cams.h5").read_bytes(),
        )
        assert result.returncode == 0, said(result)
        assert size_of(tmp_path / "piped.png")[0] > 400


def test_a_page(world: World, folder: Path, tmp_path: Path) -> None:
    stores = (folder / "cams.h5", folder / "masks.h5")
    result = camkit("show", *stores, "--gt", world.root, "--html", "report.html", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "report.html: 12 images" in said(result)
    text = (tmp_path / "report.html").read_text()
    assert all(id in text for id in world.ids)
    piped = ("show", "--html", "piped.html", "--gt", world.root)
    assert camkit(*piped, cwd=tmp_path, input=(folder / "cams.h5").read_bytes()).returncode == 0
    assert (tmp_path / "piped.html").stat().st_size > 20_000


def test_photos_that_cannot_be_read_are_left_out(world: World, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(world.root / "JPEGImages", tmp_path / "photos")
    (tmp_path / "photos" / f"{world.ids[1]}.jpg").write_bytes(b"no photo")
    for options, out in ((("--out", "sheet.png"), "sheet.png"), (("--html", "page.html"), "page.html")):
        result = camkit("show", folder / "cams.h5", "--images", "photos", *options, cwd=tmp_path)
        assert result.returncode == 3, said(result)
        assert f"1 of 12 images failed: {world.ids[1]}" in said(result)
        assert "warning: 2030_000001: cannot read image" in said(result)
        assert (tmp_path / out).exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--class", "dgo"), 2, "do you mean dog?"),
        (("--sort", "best"), 2, "--gt"),
        (("--html", "page.html", "--out", "a.png"), 2, "not both"),
        (("--names", "a,b"), 2, "2 names for 1 stores"),
        (("--gt", "nowhere"), 4, "no folder of masks"),
        (("--out", "nowhere/a.png"), 4, "nowhere/a.png"),
    ],
)
def test_bad_input(folder: Path, tmp_path: Path, options: tuple[str, ...], code: int, message: str) -> None:
    result = camkit("show", folder / "cams.h5", *options, cwd=tmp_path)
    assert result.returncode == code, said(result)
    assert message in said(result)
    assert "Traceback" not in said(result)
    assert not list(tmp_path.iterdir())


def test_no_store_and_no_pipe(tmp_path: Path) -> None:
    result = camkit("show", cwd=tmp_path)
    assert result.returncode == 2
    assert "which store?" in said(result)
    assert camkit("show", "missing.h5", cwd=tmp_path).returncode == 4


def test_pictures_need_no_torch() -> None:
    code = "import sys, camkit.stages.show, camkit.view.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
