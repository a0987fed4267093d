"""Wrong things a person types or brings: one or two lines, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.store.reader import open_store
from tests.models.tiny import tiny_checkpoint, tiny_state_dict
from tests.support.world import World, camkit, draw_world, said

CAM = ("cam", "--scales", "1", "--no-flip", "--out", "out.h5")


def check_error(result: subprocess.CompletedProcess[bytes], exit_code: int, *expected: str) -> None:
    """The last lines are the error: at most two of them, naming what was expected, and no traceback."""
    text = said(result)
    assert result.returncode == exit_code, text
    assert "Traceback" not in text
    error = text[text.rindex("error: ") :].strip()
    assert len(error.splitlines()) <= 2, error
    for words in expected:
        assert words in error


def images(folder: Path) -> Path:
    """Photos of every awkward kind."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (30, 44, 3), dtype=np.uint8))
    photo.save(folder / "good.jpg")
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    photo.convert("P").save(folder / "palette.png")
    Image.fromarray(rng.integers(0, 65536, (30, 44), dtype=np.uint16)).save(folder / "sixteen.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(folder / "rotated.jpg", exif=exif)
    (folder / "truncated.jpg").write_bytes((folder / "good.jpg").read_bytes()[:700])
    (folder / "empty.jpg").touch()
    (folder / "page.jpg").write_text("<html>404</html>")
    return folder


def test_awkward_photos_are_read_and_broken_ones_listed(world: World, tmp_path: Path) -> None:
    photos = images(tmp_path / "photos")
    result = camkit(*CAM, "--ckpt", world.ckpt, "--images", photos, cwd=tmp_path)
    check_error(result, 3, "3 of 8 images failed: empty, page, truncated", "run the same command again")
    with open_store(tmp_path / "out.h5") as store:
        assert store.ids == ("cmyk", "good", "palette", "rotated", "sixteen")
        assert store.read("rotated").size == (44, 30)
        assert set(store.failures) == {"empty", "page", "truncated"}
    listed = camkit("info", "out.h5", "--failures", cwd=tmp_path).stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in listed] == ["empty", "page", "truncated"]

    Image.new("RGB", (20, 20)).save(photos / "empty.jpg")
    again = camkit(*CAM, "--ckpt", world.ckpt, "--images", photos, cwd=tmp_path)
    check_error(again, 3, "2 of 8 images failed: page, truncated")
    assert "continuing: 5 of 8 images are done" in said(again)

    stop = camkit(*CAM, "--overwrite", "--ckpt", world.ckpt, "--images", photos, "--on-error", "stop", cwd=tmp_path)
    check_error(stop, 4, "empty" if "empty" in said(stop) else "page")


def test_a_huge_image_is_refused_before_it_is_decoded(world: World, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    ihdr = b"\x00\x00\x00\rIHDR\x00\x01\x00\x00\x00\x01\x00\x00\x08\x02\x00\x00\x00"
    (tmp_path / "photos" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + ihdr + b"\0" * 4 + b"\0" * 100)
    result = camkit(*CAM, "--ckpt", world.ckpt, "--images", "photos", cwd=tmp_path)
    check_error(result, 3, "1 of 1 image failed: bomb")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploded",)


def write_bad_checkpoint(kind: str, path: Path) -> None:
    import torch

    if kind == "html":
        path.write_text("<!DOCTYPE html><html><body>Sign in to Drive</body></html>")
    elif kind == "bomb":
        path.write_bytes(pickle.dumps({"fc.weight": Bomb()}))
    elif kind == "torch bomb":
        torch.save({"fc.weight": Bomb()}, path)
    elif kind == "truncated":
        tiny_checkpoint(path)
        path.write_bytes(path.read_bytes()[:-5000])
    elif kind == "empty":
        path.touch()
    elif kind == "unknown":
        torch.save({"encoder.weight": torch.zeros(3, 3)}, path)
    elif kind == "incomplete":
        state = tiny_state_dict()
        del state["layer3.0.conv1.weight"]
        torch.save(state, path)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("html", "web page"),
        ("bomb", "safely"),
        ("torch bomb", "would run code"),
        ("truncated", "bad.pth"),
        ("empty", "empty"),
        ("unknown", "encoder.weight"),
        ("incomplete", "layer3.0.conv1.weight"),
        ("missing", "bad.pth"),
    ],
)
def test_bad_checkpoints(world: World, tmp_path: Path, kind: str, expected: str) -> None:
    write_bad_checkpoint(kind, tmp_path / "bad.pth")
    result = camkit(*CAM, "--ckpt", "bad.pth", "--images", world.root, cwd=tmp_path)
    check_error(result, 4, "bad.pth", expected)
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "out.h5").exists()


def test_a_checkpoint_of_another_architecture(world: World, tmp_path: Path) -> None:
    result = camkit(*CAM, "--ckpt", world.ckpt, "--arch", "resnet38", "--images", world.root, cwd=tmp_path)
    check_error(result, 4, "resnet38")
    result = camkit(*CAM, "--ckpt", world.ckpt, "--arch", "vit", "--images", world.root, cwd=tmp_path)
    check_error(result, 2, "resnet38")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("labels.csv", "{0},cat\n{1},unicorn\n", "unicorn"),
        ("labels.csv", "nothing,cat\nnowhere,dog\n", "nothing"),
        ("labels.csv", "{0},cat\n", "11 of 12 images have no labels"),
        ("labels.json", "[1, 2", "labels.json"),
        ("labels.npy", "not numpy", "labels.npy"),
        ("labels.csv", "", "labels.csv"),
    ],
)
def test_bad_labels(world: World, tmp_path: Path, name: str, content: str, expected: str) -> None:
    (tmp_path / name).write_text(content.format(*world.ids))
    result = camkit(*CAM, "--ckpt", world.ckpt, "--images", world.root, "--labels", name, cwd=tmp_path)
    check_error(result, 4, expected)
    assert not (tmp_path / "out.h5").exists()
    assert not (tmp_path / "out.h5.parts").exists()


@pytest.mark.parametrize(
    ("options", "exit_code", "expected"),
    [
        (("--list", "empty.txt"), 4, "empty"),
        (("--list", "strange.txt"), 4, "1 ids that are not among the 12 images"),
        (("--list", "test"), 4, "train, val"),
        (("--images", "nowhere"), 4, "nowhere"),
        (("--images", "nothing"), 4, "no images"),
        (("--scales", "1,huge"), 2, "--scales"),
        (("--scales", "0"), 2, "--scales"),
        (("--size", "half"), 2, "--size"),
        (("--shard", "4/3"), 2, "--shard"),
        (("--resize", "-1"), 2, "--resize"),
        (("--device", "abacus"), 2, "--device"),
        (("--classes", "nowhere.txt"), 4, "nowhere.txt"),
        (("--output-stride", "7"), 2, "output-stride"),
    ],
)
def test_bad_options(world: World, tmp_path: Path, options: tuple[str, str], exit_code: int, expected: str) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "strange.txt").write_text(f"{world.ids[0]}\nstranger\n")
    (tmp_path / "nothing").mkdir()
    result = camkit(*CAM, "--ckpt", world.ckpt, "--images", world.root, *options, cwd=tmp_path)
    check_error(result, exit_code, expected)


def test_no_output_and_a_store_for_a_terminal(world: World, tmp_path: Path) -> None:
    import pty

    controller, terminal = pty.openpty()
    for options in ((), ("--out", "-")):
        result = subprocess.run(
            [sys.executable, "-m", "camkit", "merge", "a.h5", "b.h5", *options],
            cwd=tmp_path, stdout=terminal, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert result.returncode == 2
        assert b"--out FILE" in result.stderr
    os.close(controller)
    os.close(terminal)


def write_bad_store(kind: str, path: Path, good: Path) -> None:
    import h5py

    if kind == "not hdf5":
        path.write_text("id,cat\n")
    elif kind == "truncated":
        path.write_bytes(good.read_bytes()[:-2000])
    elif kind == "empty":
        path.touch()
    elif kind != "missing":
        path.write_bytes(good.read_bytes())
        with h5py.File(path, "r+") as file:
            if kind == "newer":
                file.attrs["version"] = 99
            elif kind == "unfinished":
                del file.attrs["complete"]
            elif kind == "foreign":
                del file.attrs["format"]


@pytest.fixture(scope="module")
def good_store(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    assert camkit(*CAM, "--ckpt", world.ckpt, "--images", world.root, cwd=folder).returncode == 0
    return folder / "out.h5"


@pytest.mark.parametrize("kind", ["not hdf5", "truncated", "empty", "missing", "newer", "unfinished", "foreign"])
def test_bad_stores(world: World, good_store: Path, tmp_path: Path, kind: str) -> None:
    write_bad_store(kind, tmp_path / "bad.h5", good_store)
    for command in (
        ("evaluate", "bad.h5", "--gt", world.root),
        ("mask", "bad.h5", "--out", "m.h5"),
        ("info", "bad.h5"),
    ):
        check_error(
            camkit(*command, cwd=tmp_path), 4, "bad.h5", {"newer": "newer", "unfinished": "not finished"}.get(kind, "")
        )


def test_an_empty_pipe_blames_the_command_before(tmp_path: Path, world: World) -> None:
    check_error(camkit("evaluate", "--gt", world.root, cwd=tmp_path, input=b""), 4, "the command before it failed")
    check_error(camkit("evaluate", "--gt", world.root, cwd=tmp_path), 2, "which store")
    check_error(camkit("mask", "-", "--out", "m.h5", cwd=tmp_path, input=b"rubbish" * 99), 4, "not a camkit store")


def test_truth_of_another_size_and_missing_ids_are_stated(good_store: Path, world: World, tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    truth.mkdir()
    for id in world.ids[2:]:
        mask = Image.open(world.root / "SegmentationClass" / f"{id}.png")
        (mask.resize((9, 9)) if id == world.ids[2] else mask).save(truth / f"{id}.png")
    Image.new("L", (9, 9)).save(truth / "another.png")
    result = camkit("evaluate", good_store, "--gt", truth, cwd=tmp_path)
    check_error(result, 3, f"1 of 10 images failed: {world.ids[2]}")
    assert "size mismatch" in said(result)
    text = result.stdout.decode()
    assert "no prediction for 1 id" in text
    assert "no ground truth for 2 ids" in text
    nothing = camkit("evaluate", good_store, "--gt", tmp_path, "--list", "x", cwd=tmp_path)
    assert nothing.returncode == 4


def test_gates_with_a_bad_baseline(good_store: Path, world: World, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text("{}")
    for name in ("base.json", "nowhere.json"):
        check_error(camkit("evaluate", good_store, "--gt", world.root, "--max-drop", name, cwd=tmp_path), 4, "")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A limit on file size stands for a full disk: writes fail with an OSError in the same places."""
    big = draw_world(tmp_path / "big", count=8, sizes=((200, 300),))
    command = [sys.executable, "-m", "camkit", *CAM, "--ckpt", str(big.ckpt), "--images", str(big.root)]
    command += ["--size", "full", "--dtype", "float32"]
    full = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=False, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)),
    )  # fmt: skip
    check_error(full, 4, "out.h5")
    assert not (tmp_path / "out.h5").exists()
    after = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert after.returncode == 0, said(after)
    assert not (tmp_path / "out.h5.parts").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(world: World, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = camkit(*CAM[:-1], "locked/out.h5", "--ckpt", world.ckpt, "--images", world.root, cwd=tmp_path)
    check_error(result, 4, "locked")


def test_outputs_that_cannot_be(world: World, good_store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_error(camkit("mask", good_store, "--out", "file/m.h5", cwd=tmp_path), 4, "file")
    check_error(camkit("mask", good_store, "--out", ".", cwd=tmp_path), 2, "not a regular file")
    check_error(camkit("mask", good_store, "--png", "file", cwd=tmp_path), 4, "file")
    (tmp_path / "precious.h5").write_text("my thesis")
    check_error(camkit("mask", good_store, "--out", "precious.h5", cwd=tmp_path), 2, "precious.h5", "--overwrite")
    forced = camkit("mask", good_store, "--out", "precious.h5", "--overwrite", cwd=tmp_path)
    check_error(forced, 2, "precious.h5 is no store")
    assert (tmp_path / "precious.h5").read_text() == "my thesis"
    check_error(
        camkit("mask", good_store, "--out", good_store, "--overwrite", cwd=tmp_path), 2, "both input and output"
    )
    check_error(camkit("mask", good_store, "--out", "m.h5", "--png", "m", cwd=tmp_path), 2, "not both")


def slow_run(world: World, folder: Path) -> subprocess.Popen[bytes]:
    """A run that takes seconds: many photos, every scale."""
    command = [sys.executable, "-m", "camkit", "cam", "--ckpt", str(world.ckpt), "--images", str(world.root)]
    return subprocess.Popen(
        [*command, "--resize", "900", "--out", "out.h5"], cwd=folder, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for_lock(folder: Path) -> None:
    for _ in range(600):
        if list(folder.glob("out.h5.parts/lock-*")):
            return
        time.sleep(0.05)
    pytest.fail("the run did not start")


def test_two_runs_writing_one_output(world: World, tmp_path: Path) -> None:
    first = slow_run(world, tmp_path)
    try:
        wait_for_lock(tmp_path)
        second = slow_run(world, tmp_path)
        text = second.communicate(timeout=60)[1].decode()
        assert second.returncode == 4
        assert str(first.pid) in text
    finally:
        first.kill()
        first.wait()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_runs_continue(world: World, tmp_path: Path, signal_number: signal.Signals) -> None:
    run = slow_run(world, tmp_path)
    wait_for_lock(tmp_path)
    time.sleep(0.5)
    run.send_signal(signal_number)
    text = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 130
    assert text.strip().endswith("error: interrupted; the same command continues what was on its way to a file")
    assert (tmp_path / "out.h5.parts").exists()


def test_a_reader_that_closes_the_pipe_early(world: World, good_store: Path, tmp_path: Path) -> None:
    program = f"'{sys.executable}' -m camkit"
    text = {}
    for command in (f"mask '{good_store}'", f"info '{good_store}' --json", f"info '{good_store}'"):
        line = f"({program} {command}; echo code $? >&2) | true"
        result = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=False)
        text[command.split()[0]] = result.stderr.decode()
        if command.startswith("info"):
            assert result.stderr == b"code 0\n"
    assert "Traceback" not in text["mask"]
    assert "closed by its reader" in text["mask"]
    assert "code 4" in text["mask"]


def test_a_bug_is_told_apart_from_bad_input(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = torch.nn.Linear(3, 20, bias=False)\n"
        "    @property\n"
        "    def weight(self): return self.fc.weight\n"
        "    def features(self, x):\n"
        "        if x.shape[-1] != 96: raise IndexError('my bug')\n"
        "        return x\n"
        "def build(): return Net()\n"
    )
    import torch

    torch.save({"fc.weight": torch.zeros(20, 3)}, tmp_path / "mine.pth")
    options = ("--ckpt", "mine.pth", "--model", "mine:build", "--images", world.root)
    result = camkit(*CAM, *options, cwd=tmp_path)
    check_error(result, 70, "my bug", "--debug")
    traceback = camkit(*CAM, *options, "--debug", cwd=tmp_path)
    assert "Traceback" in said(traceback)


def test_exact_json_even_when_quiet(good_store: Path, world: World, tmp_path: Path) -> None:
    result = camkit("evaluate", good_store, "--gt", world.root, "--json", "-q", cwd=tmp_path)
    assert json.loads(result.stdout)["format"] == "camkit evaluation"
    assert not result.stderr
