"""The commands of LPCAM, as a user runs them."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from camkit import open_store
from camkit.store.prototypes import read_prototypes
from tests.support.warm import Running
from tests.support.world import World, camkit, draw_world, said, start_camkit

CLUSTER = ("lpcam-cluster", "--ckpt", "toy", "--images", ".")
OPTIONS = ("-k", 3, "--threshold", 0.4, "--foreground-score", 0, "--context-score", 1, "--context-low", 0)


@pytest.fixture(scope="module")
def prototypes(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prototypes") / "p.h5"
    common = ("--ckpt", world.ckpt, "--images", world.root)
    run = camkit("lpcam-cluster", *common, *OPTIONS, "--out", out, cwd=out.parent, fresh=True)
    assert run.returncode == 0, said(run)
    lines = re.findall(
        r"^(\w+): foreground (\d+) of (\d+) kept, context (\d+) of (\d+); ([\d,]+) of ([\d,]+) features; "
        r"converged after [\d and]+ rounds$",
        said(run), re.MULTILINE,
    )  # fmt: skip
    assert len(lines) == len(read_prototypes(out).of_class)
    assert re.search(r"p\.h5: 12 images in .* s$", said(run), re.MULTILINE)
    return out


def test_from_photos_to_figures(world: World, prototypes: Path, tmp_path: Path) -> None:
    common = ("--ckpt", world.ckpt, "--images", world.root)
    apply = camkit("lpcam-apply", "--prototypes", prototypes, *common, "--out", "maps.h5", cwd=tmp_path, fresh=True)
    assert apply.returncode == 0, said(apply)
    figures = camkit("evaluate", "maps.h5", "--gt", world.root, "--json", cwd=tmp_path)
    assert 0 < json.loads(figures.stdout)["miou"] < 1
    history = camkit("info", "maps.h5", cwd=tmp_path).stdout.decode()
    assert "camkit lpcam-apply" in history
    assert re.search(r"camkit lpcam-cluster \(clusters=3.*, store_sha256=[0-9a-f]{12}…,", history)


def test_stores_travel_through_pipes(world: World, prototypes: Path, tmp_path: Path) -> None:
    common = ("--ckpt", world.ckpt, "--images", world.root)
    made = camkit("lpcam-cluster", *common, *OPTIONS, cwd=tmp_path)
    assert made.stdout == prototypes.read_bytes()
    maps = camkit("lpcam-apply", *common, "--limit", 3, cwd=tmp_path, input=made.stdout)
    assert maps.returncode == 0, said(maps)
    info = json.loads(camkit("info", "--json", cwd=tmp_path, input=maps.stdout).stdout)
    assert (info["kind"], info["images"]) == ("maps", 3)
    by_maps = camkit("lpcam-cluster", *common, "--maps", "-", "-k", 2, "--out", "q.h5", cwd=tmp_path, input=maps.stdout)
    assert by_maps.returncode == 0, said(by_maps)
    assert "left out: 9 images" in said(by_maps)


def test_info_tells_what_was_clustered(prototypes: Path, tmp_path: Path) -> None:
    facts = json.loads(camkit("info", prototypes, "--json", cwd=tmp_path).stdout)
    assert facts["kind"] == "prototypes"
    assert facts["channels"] == 64
    store = read_prototypes(prototypes)
    assert set(facts["prototypes"]) == {store.header.classes[number] for number in store.of_class}
    lines = camkit("info", prototypes, cwd=tmp_path).stdout.decode()
    piped = camkit("info", cwd=tmp_path, input=prototypes.read_bytes()).stdout.decode()
    assert lines.splitlines()[1:] == piped.splitlines()[1:]
    for name, sides in facts["prototypes"].items():
        assert f"{name}: foreground {sides['foreground']['kept']} of {sides['foreground']['centres']}" in lines


def test_thresholds_and_variants(world: World, prototypes: Path, tmp_path: Path) -> None:
    common = ("--prototypes", prototypes, "--ckpt", world.ckpt, "--images", world.root, "--limit", 4)
    camkit("cam", "--ckpt", world.ckpt, "--images", world.root, "--limit", 4, "--out", "cam.h5", cwd=tmp_path)
    strict = camkit("lpcam-apply", *common, "--foreground-score", 1, "--out", "strict.h5", cwd=tmp_path)
    assert "no foreground prototype for aeroplane" in said(strict)
    only = camkit("lpcam-apply", *common, "--foreground-only", "--out", "only.h5", cwd=tmp_path)
    assert only.returncode == 0, said(only)
    with (
        open_store(tmp_path / "cam.h5") as cam, open_store(tmp_path / "strict.h5") as strict_store,
        open_store(tmp_path / "only.h5") as only_store,
    ):  # fmt: skip
        for id in cam.ids:
            np.testing.assert_allclose(strict_store.read(id).values, cam.read(id).values, atol=2e-3)
            assert not np.allclose(only_store.read(id).values, cam.read(id).values, atol=2e-2)
    changed = camkit("lpcam-apply", *common, "--out", "only.h5", cwd=tmp_path)
    assert changed.returncode == 2
    assert "--foreground-only was on and is now not given" in said(changed)


def test_a_store_made_by_hand_is_enough(world: World, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "hand.h5", "w") as file:
        for number in range(20):
            file[f"prototypes/{number}/foreground"] = np.random.default_rng(number).random((3, 64), np.float32)
            file[f"prototypes/{number}/context"] = np.random.default_rng(-number - 1 & 99).random((2, 64), np.float32)
    common = ("--ckpt", world.ckpt, "--images", world.root, "--limit", 3)
    apply = camkit("lpcam-apply", "--prototypes", "hand.h5", *common, "--out", "maps.h5", cwd=tmp_path)
    assert apply.returncode == 0, said(apply)
    assert "no foreground prototype" not in said(apply)
    history = camkit("info", "maps.h5", cwd=tmp_path).stdout.decode()
    assert "a store without a history" in history
    assert "class 7: foreground 3 of 3" in camkit("info", "hand.h5", cwd=tmp_path).stdout.decode()
    shown = camkit("show", "--prototypes", "hand.h5", "--images", world.root, cwd=tmp_path)
    assert (shown.returncode, "does not say what its prototypes look like" in said(shown)) == (2, True)


def test_prototypes_are_shown(world: World, prototypes: Path, tmp_path: Path) -> None:
    names = read_prototypes(prototypes).header.classes
    number = min(read_prototypes(prototypes).of_class)
    one = camkit("show", "--prototypes", prototypes, "--class", names[number], "--out", "one.png", cwd=tmp_path)
    assert one.returncode == 0, said(one)
    assert "one.png: the prototypes of 1 class\n" in said(one)
    everything = camkit("show", "--prototypes", prototypes, "--tile", 32, "--out", "all.png", cwd=tmp_path)
    assert everything.returncode == 0, said(everything)
    small, large = Image.open(tmp_path / "one.png"), Image.open(tmp_path / "all.png")
    assert large.height > 3 * small.height / 2
    page = camkit("show", "--prototypes", "-", "--html", "p.html", cwd=tmp_path, input=prototypes.read_bytes())
    assert page.returncode == 0, said(page)
    text = (tmp_path / "p.html").read_text()
    assert text.count("data:image/jpeg;base64,") == len(read_prototypes(prototypes).of_class)
    assert "://" not in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "--prototypes", "p.h5", "--gt", "."), 2, "--prototypes goes with --images, --class"),
        (("show", "--prototypes", "p.h5", "--images", "none"), 4, "there are no images at none"),
        (("show", "--prototypes", "p.h5", "--class", "unicorn"), 2, "--class unicorn: the store has no such class"),
        (("show", "--prototypes", "p.h5", "--out", "p.gif"), 2, "pictures end in"),
        (("show", "p.h5"), 4, "p.h5 holds 'prototypes'; this command reads maps"),
        (("mask", "p.h5", "--out", "m.h5"), 4, "p.h5 holds 'prototypes'"),
        (("lpcam-apply", "--prototypes", "none.h5", "--ckpt", "toy", "--images", "."), 4, "none.h5 does not exist"),
        (("lpcam-apply", "--ckpt", "toy", "--images", "."), 2, "which prototypes"),
        ((*CLUSTER, "--memory", "2", "--out", "q.h5"), 2, "--memory 2"),
        ((*CLUSTER, "--seed", "-1", "--out", "q.h5"), 2, "--seed"),
        ((*CLUSTER, "--map-resize", "bilinear", "--out", "q.h5"), 2, "--map-resize is about the maps of --maps"),
        ((*CLUSTER, "--context-low", "0.9", "--out", "q.h5"), 2, "--context-low 0.9 is not below --context-score 0.9"),
        ((*CLUSTER, "--shard", "1/2"), 2, "not on standard output; give --out FILE"),
    ],
)
def test_errors_are_told_in_a_line_or_two(
    prototypes: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "p.h5").write_bytes(prototypes.read_bytes())
    run = camkit(*arguments, cwd=tmp_path)
    assert (run.returncode, message in said(run)) == (code, True), said(run)
    assert len(said(run).splitlines()) <= 5
    assert [path.name for path in tmp_path.iterdir()] == ["p.h5"]


def test_a_failed_photo_is_exit_code_3(world: World, tmp_path: Path) -> None:
    own = draw_world(tmp_path / "own", count=4)
    (own.root / "JPEGImages" / f"{own.ids[1]}.jpg").write_bytes(b"")
    command = ("lpcam-cluster", "--ckpt", own.ckpt, "--images", own.root, *OPTIONS, "--out", "p.h5")
    for _ in range(2):
        run = camkit(*command, cwd=tmp_path)
        assert (run.returncode, f"1 of 4 images failed: {own.ids[1]}" in said(run)) == (3, True), said(run)
    assert "failed       1 images" in camkit("info", "p.h5", cwd=tmp_path).stdout.decode()
    assert own.ids[1] in camkit("info", "--failures", "p.h5", cwd=tmp_path).stdout.decode()


@pytest.mark.slow
def test_killed_runs_end_as_one_that_was_left_alone(tmp_path: Path) -> None:
    world = draw_world(tmp_path / "world", count=120, sizes=((40, 48), (48, 40)))
    options = ("-k", 2, "--threshold", 0.4, "--memory", "64K", "--out", "out.h5")

    def start(folder: Path) -> Running:
        return start_camkit("lpcam-cluster", "--ckpt", world.ckpt, "--images", world.root, *options, cwd=folder)

    alone, killed = tmp_path / "alone", tmp_path / "killed"
    alone.mkdir()
    killed.mkdir()
    whole = start(alone)
    begun = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - begun
    moments, kills = random.Random(1), 0
    while not (killed / "out.h5").exists():
        run = start(killed)
        if kills < 6:
            time.sleep(moments.uniform(0.4, 1) * seconds)
            run.send_signal(signal.SIGKILL)
            kills += run.wait() == -signal.SIGKILL
        text = run.communicate()[1].decode()
        assert run.returncode in (0, -signal.SIGKILL), text
    assert kills
    assert (killed / "out.h5").read_bytes() == (alone / "out.h5").read_bytes()
    assert start(killed).wait() == 0
    assert sorted(path.name for path in killed.iterdir()) == ["out.h5"]
