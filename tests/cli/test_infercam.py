"""InferCam as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from camkit import Inputs, Network, Output, Runtime
from camkit import infercam as infercam_stage
from camkit.settings.infercam import settings_of
from camkit.store.reader import open_store
from tests.support.world import World, camkit, said


def infercam(world: World, *options: object) -> list[object]:
    return ["infercam", "--ckpt", world.ckpt, "--images", world.root, "--scales", "1,0.5", *options]


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("infercam")
    result = camkit(*infercam(world, "--out", "maps.h5"), cwd=folder, fresh=True)
    assert result.returncode == 0, said(result)
    return folder / "maps.h5"


def test_maps_lie_in_0_1_and_notes_tell_what_was_done(made: Path, world: World) -> None:
    with open_store(made) as store:
        assert store.ids == world.ids
        for activation in store:
            assert activation.values.min() >= 0
            assert activation.values.max() <= 1
            height, width = activation.notes["seen"]
            assert (height, width) == activation.size
            patches = activation.notes["patches"]
            assert len(patches) == 4
            assert {c for patch in patches for c in patch["classes"]} == set(activation.classes)
            covered = np.zeros((height, width), bool)
            for patch in patches:
                top, left, bottom, right = patch["box"]
                covered[top:bottom, left:right] = True
                assert len(patch["hidden"]) == patch["rounds"] <= 5
            assert covered.all()


def test_info_and_show_tell_of_the_patches(made: Path, world: World) -> None:
    told = camkit("info", made, "--id", world.ids[0], cwd=made.parent)
    assert told.returncode == 0, said(told)
    lines = told.stdout.decode().splitlines()
    assert sum(": " in line and "rounds, hidden" in line for line in lines) == 4
    facts = json.loads(camkit("info", made, "--id", world.ids[0], "--json", cwd=made.parent).stdout)
    assert len(facts["notes"]["patches"]) == 4
    assert set(facts["notes"]["patches"][0]["classes"]) <= set(facts["classes"])
    unknown = camkit("info", made, "--id", "nobody", cwd=made.parent)
    assert unknown.returncode == 4
    assert "no record of 'nobody'" in said(unknown)
    shown = camkit("show", made, "--limit", "2", "--out", "sheet.png", cwd=made.parent)
    assert shown.returncode == 0, said(shown)


def test_notes_that_somebody_wrote_by_hand_break_nothing(made: Path, world: World, tmp_path: Path) -> None:
    strange = [
        {"seen": [0, 4], "patches": [{}]}, {"seen": "x", "patches": "y"}, {"patches": [3, None]},
        {"seen": [9, 9], "patches": [{"box": [1, 2, 3, "4"], "classes": ["x"], "rounds": None, "hidden": ["a"]}]},
        {"seen": [9, 9], "patches": [{"box": [0, 0, 9, 9], "classes": [99, 0], "rounds": "many", "hidden": [0.5]}]},
    ]  # fmt: skip
    path = tmp_path / "strange.h5"
    path.write_bytes(made.read_bytes())
    with h5py.File(path, "r+") as file:
        for id, notes in zip(world.ids, strange, strict=False):
            dataset = file["maps"][id]
            (name,) = [name for name in dataset.attrs if name not in ("classes", "size")]
            text = json.dumps(notes).encode()
            del dataset.attrs[name]
            dataset.attrs.create(name, np.bytes_(text))
    for id, _ in zip(world.ids, strange, strict=False):
        told = camkit("info", path, "--id", id, cwd=tmp_path)
        assert told.returncode in (0, 4), said(told)
    shown = camkit("show", path, "--limit", "5", "--out", "sheet.png", cwd=tmp_path)
    assert shown.returncode in (0, 3, 4), said(shown)


def test_it_pipes_continues_and_refuses_other_options(made: Path, world: World) -> None:
    again = camkit(*infercam(world, "--out", "maps.h5"), cwd=made.parent)
    assert again.returncode == 0
    assert "already done" in said(again)
    other = camkit(*infercam(world, "--out", "maps.h5", "--threshold", "0.5"), cwd=made.parent)
    assert other.returncode == 2
    assert "--threshold was 0.7 and is now 0.5" in said(other)
    piped = camkit(*infercam(world, "--limit", "3", "--fast"), cwd=made.parent)
    assert piped.returncode == 0, said(piped)
    judged = camkit("evaluate", "--gt", world.root, "--json", cwd=made.parent, input=piped.stdout)
    assert judged.returncode == 0, said(judged)
    assert json.loads(judged.stdout)["images"] == 3


@pytest.mark.parametrize(
    ("options", "patches", "rounds"),
    [
        (("--no-split",), 1, 5),
        (("--no-iterate",), 4, 1),
        (("--no-split", "--no-iterate"), 1, 1),
        (("--preset", "published"), 4, 5),
        (("--context", "16", "--fill", "zero", "--margin", "4"), 4, 5),
        (("--rounds", "2", "--stop", "0"), 4, 2),
        (("--fill", "image"), 4, 5),
        (("--preset", "paper"), 4, 5),
    ],
)
def test_options_do_what_they_say(
    world: World, tmp_path: Path, options: Sequence[str], patches: int, rounds: int
) -> None:
    result = camkit(*infercam(world, "--limit", "3", "--out", "maps.h5", *options), cwd=tmp_path)
    assert result.returncode == 0, said(result)
    with open_store(tmp_path / "maps.h5") as store:
        for activation in store:
            assert len(activation.notes["patches"]) == patches
            assert max(patch["rounds"] for patch in activation.notes["patches"]) <= rounds


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--threshold", "2"), "--threshold"),
        (("--rounds", "0"), "--rounds"),
        (("--fill", "red"), "--fill"),
        (("--hiding-scales", "none"), "--hiding-scales none: give numbers"),
        (("--hiding-scales", ""), "--hiding-scales : give numbers"),
        (("--centre-scales", ""), "--centre-scales : give numbers"),
        (("--scales", ""), "--scales : give numbers"),
        (("--preset", "published", "--context", "8"), "--context is not part of the published program"),
        (("--preset", "mine"), "--preset"),
    ],
)
def test_what_cannot_be_is_told(world: World, tmp_path: Path, options: Sequence[str], words: str) -> None:
    result = camkit(*infercam(world, "--out", "maps.h5", *options), cwd=tmp_path)
    assert result.returncode == 2
    assert words in " ".join(said(result).split())
    assert not (tmp_path / "maps.h5").exists()


@pytest.mark.parametrize(
    ("options", "pixels"),
    [((), lambda longer, classes: round(0.16 * longer)), (("--preset", "paper"), lambda _, classes: 10 * classes),
     (("--margin", "0.25"), lambda longer, _: round(longer / 4)), (("--margin", "7"), lambda *_: 7)],
)  # fmt: skip
def test_patches_overlap_by_the_margin(
    world: World, tmp_path: Path, options: Sequence[str], pixels: Callable[[int, int], int]
) -> None:
    """Patches end a margin below the lowest centre, and begin one above the highest."""
    run = camkit(*infercam(world, "--limit", "4", "--rounds", "1", "--out", "maps.h5", *options), cwd=tmp_path)
    assert run.returncode == 0, said(run)
    with open_store(tmp_path / "maps.h5") as store:
        for activation in store:
            (height, width), notes = activation.size, activation.notes
            margin = pixels(max(height, width), len(activation.classes))
            ys, xs = zip(*notes["centres"], strict=True)
            assert notes["patches"][0]["box"] == [0, 0, min(max(ys) + margin, height), min(max(xs) + margin, width)]
            assert notes["patches"][3]["box"] == [max(min(ys) - margin, 0), max(min(xs) - margin, 0), height, width]


def test_it_asks_other_methods_for_maps_too(made: Path, world: World, tmp_path: Path) -> None:
    some = ("--limit", 3, "--rounds", 2)
    options = ("-k", 3, "--foreground-score", 0, "--context-score", 1, "--context-low", 0)
    clustered = camkit(
        "lpcam-cluster", "--ckpt", world.ckpt, "--images", world.root, *options, "--out", "p.h5", cwd=tmp_path
    )
    assert clustered.returncode == 0, said(clustered)
    for name, more in (("lpcam", ("--prototypes", "p.h5")), ("dcsm", ()), ("cam", ())):
        run = camkit(*infercam(world, *some, "--response", name, *more, "--out", f"{name}.h5"), cwd=tmp_path)
        assert run.returncode == 0, said(run)
    with open_store(tmp_path / "cam.h5") as cams:
        for name in ("lpcam", "dcsm"):
            with open_store(tmp_path / f"{name}.h5") as store:
                assert store.header.provenance["parameters"]["response"] == name
                for activation in store:
                    assert 0 <= activation.values.min() < activation.values.max() <= 1
                    assert not np.array_equal(activation.values, cams.read(activation.id).values)
    with open_store(tmp_path / "lpcam.h5") as store:
        assert [parent["command"] for parent in store.header.provenance["parents"]] == ["lpcam-cluster"]


def test_prototypes_are_for_lpcam_alone(world: World, tmp_path: Path) -> None:
    wrong = camkit(*infercam(world, "--prototypes", "p.h5", "--out", "x.h5"), cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--response lpcam" in said(wrong)
    missing = camkit(*infercam(world, "--response", "lpcam", "--out", "x.h5"), cwd=tmp_path)
    assert missing.returncode == 2
    assert "prototypes" in said(missing)
    assert not (tmp_path / "x.h5").exists()


def test_patches_on_a_grid_share_passes_whatever_the_batch(world: World, tmp_path: Path) -> None:
    settings = settings_of(changes={"scales": (0.5,), "rounds": 2, "snap": 16})
    for batch in (1, 3):
        inputs, output = Inputs(world.root, limit=4), Output(tmp_path / f"{batch}.h5")
        summary = infercam_stage(inputs, Network(world.ckpt), output, Runtime(batch_size=batch), settings=settings)
        assert (summary.images, summary.failures) == (4, {})
    with open_store(tmp_path / "1.h5") as one, open_store(tmp_path / "3.h5") as other:
        assert one.header.provenance["parameters"]["snap"] == 16
        assert one.ids == other.ids == world.ids[:4]
        for id in one.ids:
            assert np.abs(one.read(id).values - other.read(id).values).max() < 2e-2
