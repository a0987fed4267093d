"""`camkit superpixels` and `camkit refine superpixel` as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from camkit.methods.superpixels import average, vote
from camkit.store.reader import open_store
from tests.cli.test_bad_input import check_error, images
from tests.support.world import World, camkit, draw_world, said


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with superpixels, maps and masks of the world."""
    folder = tmp_path_factory.mktemp("superpixels")
    for command in (
        ("superpixels", "--images", world.root, "--workers", "0", "--out", "superpixels.h5"),
        ("cam", "--ckpt", world.ckpt, "--images", world.root, "--scales", "1", "--no-flip", "--out", "cams.h5"),
        ("mask", "cams.h5", "--out", "masks.h5"),
    ):
        result = camkit(*command, cwd=folder)
        assert result.returncode == 0, said(result)
    return folder


def test_maps_become_averages_and_masks_votes(made: Path, world: World, tmp_path: Path) -> None:
    refine = ("refine", "superpixel", made / "cams.h5", "--superpixels", made / "superpixels.h5")
    result = camkit(*refine, "--size", "full", "--dtype", "float32", "--out", "out.h5", cwd=tmp_path, fresh=True)
    assert result.returncode == 0, said(result)
    assert said(result).startswith("out.h5: 12 images in ")
    piped = camkit("refine", "superpixel", "--superpixels", made / "superpixels.h5", "--out", "-", cwd=tmp_path,
                   input=(made / "masks.h5").read_bytes())  # fmt: skip
    assert piped.returncode == 0, said(piped)
    (tmp_path / "votes.h5").write_bytes(piped.stdout)
    with (
        open_store(made / "superpixels.h5") as regions, open_store(made / "masks.h5") as masks,
        open_store(tmp_path / "out.h5") as maps, open_store(tmp_path / "votes.h5") as votes,
    ):  # fmt: skip
        for id in world.ids:
            numbers = regions.read(id).values
            found = maps.read(id).values
            np.testing.assert_array_equal(average(found, numbers), found)
            np.testing.assert_array_equal(votes.read(id).values, vote(masks.read(id).values, numbers, 255))
    for store in ("out.h5", "votes.h5"):
        judged = camkit("evaluate", store, "--gt", world.root, "--json", cwd=tmp_path)
        assert json.loads(judged.stdout)["miou"] > 0, said(judged)


def test_info_tells_how_they_were_made(made: Path, world: World) -> None:
    told = camkit("info", "superpixels.h5", cwd=made)
    assert told.returncode == 0, said(told)
    text = told.stdout.decode()
    assert "holds        superpixels of 12 images (uint16)" in text
    assert "made by      camkit superpixels (min_size=20, resize=at most 1000, scale=100, sigma=0.8)" in text
    assert "labels:" not in text
    one = camkit("info", "superpixels.h5", "--id", world.ids[0], cwd=made)
    assert "superpixels 48x64" in one.stdout.decode()


@pytest.mark.parametrize("command", [("mask", "--out", "m.h5"), ("evaluate", "--gt", "."), ("show", "--out", "s.png")])
def test_commands_that_want_classes_name_the_kind(made: Path, world: World, command: tuple[str, ...]) -> None:
    name, *options = [str(world.root) if option == "." else option for option in command]
    check_error(camkit(name, "superpixels.h5", *options, cwd=made), 2, "a superpixels store")


def test_shards_merge_into_what_one_run_writes(made: Path, world: World, tmp_path: Path) -> None:
    for n in (1, 2):
        options = ("--images", world.root, "--workers", "0", "--shard", f"{n}/2", "--out", f"{n}.h5")
        assert camkit("superpixels", *options, cwd=tmp_path).returncode == 0
    merged = camkit("merge", "1.h5", "2.h5", "--out", "all.h5", cwd=tmp_path)
    assert merged.returncode == 0, said(merged)
    assert (tmp_path / "all.h5").read_bytes() == (made / "superpixels.h5").read_bytes()


def test_broken_photos_are_listed_and_then_fail_to_be_refined(made: Path, tmp_path: Path) -> None:
    photos = images(tmp_path / "photos")
    result = camkit("superpixels", "--images", photos, "--workers", "2", "--out", "sp.h5", cwd=tmp_path)
    check_error(result, 3, "3 of 8 images failed: empty, page, truncated", "run the same command again")
    with open_store(tmp_path / "sp.h5") as store:
        assert store.ids == ("cmyk", "good", "palette", "rotated", "sixteen")
        assert store.read("rotated").values.shape == (44, 30)
    stopped = camkit("superpixels", "--images", photos, "--on-error", "stop", "--out", "s.h5", cwd=tmp_path)
    check_error(stopped, 4, "empty: cannot read image")
    refined = camkit("refine", "superpixel", made / "cams.h5", "--superpixels", "sp.h5", "--out", "r.h5", cwd=tmp_path)
    check_error(refined, 4, "have no image in common", "camkit superpixels")


def test_wrong_words_are_told(made: Path, tmp_path: Path) -> None:
    cams, regions = made / "cams.h5", made / "superpixels.h5"
    for arguments, words in (
        (("walks", cams, "--superpixels", regions), "no command camkit refine walks; do you mean walk?"),
        ((cams, "--superpixels", regions), "there is no command"),
        (("superpixel", cams), "--superpixels"),
    ):
        result = camkit("refine", *arguments, "--out", "r.h5", cwd=tmp_path)
        assert result.returncode == 2
        assert words in said(result)
        assert "Traceback" not in said(result)
    check_error(
        camkit("refine", "superpixel", cams, "--superpixels", cams, "--out", "r.h5", cwd=tmp_path), 2, "holds maps"
    )
    result = camkit("superpixels", "--images", tmp_path, "--scale", "inf", "--out", "s.h5", cwd=tmp_path)
    assert result.returncode == 2
    assert "--scale" in said(result)
    result = camkit("superpixels", "--images", made.parent / "nowhere", "--out", "s.h5", cwd=tmp_path)
    check_error(result, 4, "does not exist")
    assert not list(tmp_path.iterdir())


def test_merging_by_a_network(made: Path, world: World, tmp_path: Path) -> None:
    merge = ("superpixels", "--images", world.root, "--scale", "1", "--merge", "5", "--workers", "1")
    result = camkit(*merge, "--ckpt", world.ckpt, "--layer", "layer4", "--out", "merged.h5", cwd=tmp_path)
    assert result.returncode == 0, said(result)
    with open_store(tmp_path / "merged.h5") as store:
        assert {int(found.values.max()) for found in store} <= set(range(5))
    told = camkit("info", "merged.h5", cwd=tmp_path).stdout.decode()
    assert "layer=layer4, merge=5, merge_pairs=adjacent" in told
    assert "checkpoint tiny.pth, resnet18" in told
    refine = ("refine", "superpixel", made / "cams.h5", "--superpixels", "merged.h5", "--out", "refined.h5")
    assert camkit(*refine, cwd=tmp_path).returncode == 0
    check_error(camkit(*merge, "--out", "m.h5", cwd=tmp_path), 2, "give --ckpt, any classifier checkpoint")
    wrong = camkit(*merge, "--ckpt", world.ckpt, "--layer", "conv5_3", "--out", "m.h5", cwd=tmp_path)
    check_error(wrong, 2, "--layer conv5_3 is not in this network; it has layer1")
    alone = camkit("superpixels", "--images", world.root, "--ckpt", world.ckpt, "--out", "m.h5", cwd=tmp_path)
    check_error(alone, 2, "--ckpt is for merging: give --merge N too")
    alone = camkit("superpixels", "--images", world.root, "--device", "cpu", "--out", "m.h5", cwd=tmp_path)
    check_error(alone, 2, "--device is for merging: give --merge N too")


def start(world: World, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "camkit", "superpixels", "--images", str(world.root), "--workers", "2"]
    return subprocess.Popen(
        [*command, "--out", "out.h5"], cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def members(session: int) -> set[int]:
    """The live processes of a session."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended
            continue
        if int(of) == session and state not in "ZX":
            found.add(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_killed_or_interrupted_runs_leave_no_process_and_go_on(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "world", count=160, sizes=((90, 110), (110, 90)))
    undisturbed = camkit("superpixels", "--images", world.root, "--workers", "0", "--out", "whole.h5", cwd=tmp_path)
    assert undisturbed.returncode == 0, said(undisturbed)
    run = start(world, tmp_path)
    wait_until(lambda: list(tmp_path.glob("out.h5.parts/*.h5")))
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.communicate()
    wait_until(lambda: not members(run.pid))

    run = start(world, tmp_path)
    assert run.stderr is not None
    parts = len(list(tmp_path.glob("out.h5.parts/*.h5")))
    assert b"continuing: " in run.stderr.readline()
    wait_until(lambda: len(list(tmp_path.glob("out.h5.parts/*.h5"))) > parts)
    os.killpg(run.pid, signal.SIGINT)
    text = run.communicate()[1].decode()
    assert "Traceback" not in text
    assert run.returncode == 130, text
    wait_until(lambda: not members(run.pid))

    last = camkit("superpixels", "--images", world.root, "--workers", "1", "--out", "out.h5", cwd=tmp_path)
    assert last.returncode == 0, said(last)
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not (tmp_path / "out.h5.parts").exists()
