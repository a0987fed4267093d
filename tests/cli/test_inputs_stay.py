"""No command replaces what it reads, nor a picture that camkit did not draw: real commands, all bytes compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.test_bad_input import check_error
from tests.support.icd import tiny_icd
from tests.support.segment import SMALL
from tests.support.world import World, camkit, draw_world, said

BOTH = "is both input and output; choose another"
LABELS = "is both input and output; the labels would be kept there; choose another"
NO_STORE = "give a name that ends in .h5"
NOT_OURS = "is there already, and camkit did not draw it; choose another"
PHOTOS, TRUTH = "voc/JPEGImages", "voc/SegmentationClass"
PHOTO = "2030_000000"
NETWORK = ("--ckpt", "tiny.pth", "--images", "voc")
QUICK = ("--scales", "1", "--no-flip")
TRAIN = ("--epochs", "1", "--arch", "toy", "--width", "4", "--crop", "32")

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "classify": (("classify", *NETWORK, "--labels", "scores.h5", "--out", "scores.h5"), BOTH),
    "classify, ckpt": (("classify", *NETWORK, "--out", "tiny.pth"), NO_STORE),
    "classify, text": (("classify", *NETWORK, "--labels", "scores.h5", "--tsv", "--out", "scores.h5"), BOTH),
    "cam": (("cam", *NETWORK, *QUICK, "--labels", "scores.h5", "--out", "scores.h5"), BOTH),
    "cam, one photo": (("cam", "--ckpt", "tiny.pth", "--images", "photo.jpg", "--out", "photo.jpg"), NO_STORE),
    "cam, by a link": (("cam", *NETWORK, *QUICK, "--labels", "scores.h5", "--out", "link.h5"), BOTH),
    "infercam": (
        ("infercam", *NETWORK, "--response", "lpcam", "--prototypes", "prototypes.h5", "--out", "prototypes.h5"), BOTH
    ),
    "dcsm": (("dcsm", *NETWORK, "--labels", "scores.h5", "--out", "scores.h5"), BOTH),
    "lpcam-cluster, maps": (("lpcam-cluster", *NETWORK, "--maps", "cams.h5", "--out", "cams.h5"), BOTH),
    "lpcam-cluster": (("lpcam-cluster", *NETWORK, "--labels", "scores.h5", "--out", "scores.h5"), BOTH),
    "lpcam-apply": (("lpcam-apply", *NETWORK, "--prototypes", "prototypes.h5", "--out", "prototypes.h5"), BOTH),
    "icd-apply": (
        ("icd-apply", "--ckpt", "icd.safetensors", "--images", "voc", "--labels", "scores.h5", "--out", "scores.h5"),
        BOTH,
    ),
    "superpixels": (("superpixels", "--images", "photo.jpg", "--workers", "0", "--out", "photo.jpg"), NO_STORE),
    "superpixels, list": (
        ("superpixels", "--images", "voc", "--list", "ids.txt", "--workers", "0", "--out", "ids.txt"), NO_STORE
    ),
    "crf": (("crf", "cams.h5", "--out", "cams.h5"), BOTH),
    "crf, a shard": (("crf", "cams.h5", "probs.h5", "--out", "./probs.h5"), BOTH),
    "refine superpixel": (
        ("refine", "superpixel", "cams.h5", "--superpixels", "superpixels.h5", "--out", "superpixels.h5"), BOTH
    ),
    "refine walk": (("refine", "walk", "cams.h5", "--affinity", "colour", "--out", "cams.h5"), BOTH),
    "mask": (("mask", "cams.h5", "--out", "cams.h5"), BOTH),
    "mask, cams": (("mask", "signed.h5", "--cams", "cams.h5", "--out", "cams.h5"), BOTH),
    "mask, png": (("mask", "cams.h5", "--png", PHOTOS), BOTH),
    "mask, saliency": (("mask", "signed.h5", "--saliency", TRUTH, "--png", TRUTH), BOTH),
    "mask, others' png": (("mask", "cams.h5", "--png", TRUTH), "holds files that camkit mask did not write"),
    "merge": (("merge", "cams.h5", "more.h5", "--out", "cams.h5"), BOTH),
    "import": (("import", "voc/SegmentationClass", "--format", "png", "--out", "voc/SegmentationClass"), BOTH),
    "masks": (("masks", "voc", "--out", "voc"), BOTH),
    "export": (("export", "masks.h5", PHOTOS, "--format", "png"), BOTH),
    "export, list": (("export", "masks.h5", "new", "--format", "deeplab", "--list", "masks.h5"), BOTH),
    "export, list over a photo": (
        ("export", "masks.h5", "new", "--format", "deeplab", "--list", f"{PHOTOS}/{PHOTO}.jpg"), BOTH
    ),
    "evaluate": (("evaluate", "cams.h5", "--gt", "voc", "--curve", "cams.h5"), "give a name that ends in .png"),
    "evaluate, truth": (("evaluate", "cams.h5", "--gt", "voc", "--curve", f"{TRUTH}/{PHOTO}.png"), NOT_OURS),
    "evaluate, a store's odd name": (("evaluate", "store.png", "--gt", "voc", "--curve", "store.png"), NOT_OURS),
    "review": (("review", "cams.h5", "--out", "photo.jpg"), NOT_OURS),
    "show": (("show", "cams.h5", "--out", "photo.jpg"), NOT_OURS),
    "show, truth": (("show", "cams.h5", "--out", f"{TRUTH}/{PHOTO}.png"), NOT_OURS),
    "show, a store": (("show", "store.png", "--out", "store.png"), BOTH),
    "show, a page": (("show", "store.html", "--html", "store.html"), BOTH),
    "show, prototypes": (("show", "--prototypes", "prototypes.h5", "--out", "photo.jpg"), NOT_OURS),
    "show, prototypes' page": (("show", "--prototypes", "prototypes.html", "--html", "prototypes.html"), BOTH),
    "classify-train": (
        ("classify-train", "--images", PHOTOS, "--labels", "tags.curve.csv", *TRAIN, "--out", "tags.safetensors"), BOTH
    ),
    "classify-train, a picture": (
        ("classify-train", "--images", "voc", *TRAIN, "--out", "mine.safetensors"), NOT_OURS
    ),
    "icd-train": (
        ("icd-train", "--images", PHOTOS, "--labels", "tags.curve.csv", *TRAIN, "--out", "tags.safetensors"), BOTH
    ),
    "affinity-train": (("affinity-train", "x.labels.h5", *TRAIN, "--out", "x.safetensors"), LABELS),
    "irn-train": (("irn-train", "x.labels.h5", *TRAIN, "--out", "x.safetensors"), LABELS),
    "segment-train": (
        ("segment-train", "masks.curve.csv", "--trunk", "toy", *TRAIN[2:], "--out", "masks.safetensors"), BOTH
    ),
    "segment": (("segment", "--ckpt", "seg.safetensors", "--images", "voc", "--out", "seg.safetensors"), NO_STORE),
    "demo": (("demo", "voc", "--no-open"), NOT_OURS),
}  # fmt: skip
WITHOUT_OVERWRITE = ("evaluate", "review", "show")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of every kind, checkpoints, and files of the user's whose names are in the way."""
    folder = tmp_path_factory.mktemp("stay")
    world: World = draw_world(folder, count=3, sizes=((40, 48),))
    tiny_icd(folder / "icd.safetensors")
    maps = ("cam", *NETWORK, *QUICK)
    for command in (
        ("classify", *NETWORK, "--out", "scores.h5"),
        (*maps, "--limit", "2", "--out", "cams.h5"),
        (*maps, "--list", "last.txt", "--out", "more.h5"),
        ("icd-apply", "--ckpt", "icd.safetensors", "--images", "voc", "--out", "signed.h5"),
        ("lpcam-cluster", *NETWORK, "--clusters", "2", "--out", "prototypes.h5"),
        ("superpixels", "--images", "voc", "--workers", "0", "--out", "superpixels.h5"),
        ("mask", "cams.h5", "--out", "masks.h5"),
        ("crf", "more.h5", "--out", "probs.h5"),
        ("segment-train", "masks.h5", *SMALL, "--epochs", "1", "--out", "seg.safetensors"),
    ):
        (folder / "last.txt").write_text(world.ids[2])
        result = camkit(*command, cwd=folder)
        assert result.returncode == 0, said(result)
    for name in ("store.png", "store.html", "x.labels.h5"):
        shutil.copy(folder / "cams.h5", folder / name)
    shutil.copy(folder / "masks.h5", folder / "masks.curve.csv")
    shutil.copy(folder / "prototypes.h5", folder / "prototypes.html")
    shutil.copy(world.root / "JPEGImages" / f"{PHOTO}.jpg", folder / "photo.jpg")
    for name in ("mine.curve.png", "voc/sheet.png"):
        shutil.copy(world.root / "SegmentationClass" / f"{PHOTO}.png", folder / name)
    (folder / "tags.curve.csv").write_text("".join(f"{id},cat\n" for id in world.ids))
    (folder / "ids.txt").write_text("\n".join(world.ids))
    (folder / "link.h5").symlink_to("scores.h5")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_stays(folder: Path, case: str) -> None:
    command, told = CASES[case]
    if command[0] not in WITHOUT_OVERWRITE:
        command = (*command, "--overwrite")
    before = content(folder)
    check_error(camkit(*command, cwd=folder), 2, told)
    assert content(folder) == before


def test_every_command_that_writes_is_asked() -> None:
    from camkit.cli.main import COMMANDS

    assert {command[0] for command, _ in CASES.values()} == set(COMMANDS) - {"info", "toy-world"}


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg", "sheet.webp"])
def test_what_camkit_drew_is_drawn_anew(folder: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    out.touch()
    for _ in range(2):
        result = camkit("show", "cams.h5", "--out", out, cwd=folder)
        assert result.returncode == 0, said(result)
    out.write_bytes(out.read_bytes()[:40])
    check_error(camkit("show", "cams.h5", "--out", out, cwd=folder), 2, NOT_OURS)


def test_a_curve_that_camkit_drew_is_drawn_anew(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        result = camkit("evaluate", "cams.h5", "--gt", "voc", "--curve", tmp_path / "curve.png", cwd=folder)
        assert result.returncode == 0, said(result)
