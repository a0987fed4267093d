"""Every command as a person runs it, and through pipes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit.data.masks import read_mask
from camkit.store.reader import open_store
from tests.support.world import World, camkit, said


@pytest.fixture(scope="module")
def cams(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cams")
    result = camkit("cam", "--ckpt", world.ckpt, "--images", world.root, "--out", "cams.h5", cwd=folder)
    assert result.returncode == 0, said(result)
    assert "cams.h5: 12 images" in said(result)
    assert "labels: VOC XML" in said(result)
    assert not result.stdout
    return folder / "cams.h5"


def test_cam_writes_maps_of_the_present_classes(world: World, cams: Path) -> None:
    with open_store(cams) as store:
        assert store.ids == world.ids
        assert store.header.kind == "maps"
        assert store.header.image_root == str(world.root / "JPEGImages")
        assert store.header.provenance["command"] == "cam"
        for activation in store:
            height, width = activation.size
            assert activation.values.shape == (len(activation.classes), -(-height // 4), -(-width // 4))
            assert activation.values.min() >= 0
            assert activation.values.max() <= 1


def test_running_again_says_that_it_is_done(world: World, cams: Path) -> None:
    before = cams.read_bytes()
    again = camkit("cam", "--ckpt", world.ckpt, "--images", world.root, "--out", cams, cwd=cams.parent)
    assert again.returncode == 0
    assert "already done, 12 images" in said(again)
    other = camkit("cam", "--ckpt", world.ckpt, "--images", world.root, "--out", cams, "--no-flip", cwd=cams.parent)
    assert other.returncode == 2
    assert "flip" in said(other)
    assert "--overwrite" in said(other)
    assert cams.read_bytes() == before


def test_the_same_run_gives_the_same_bytes(world: World, cams: Path, tmp_path: Path) -> None:
    options = ("--ckpt", world.ckpt, "--images", world.root, "--workers", 0)
    camkit("cam", *options, "--out", tmp_path / "again.h5", cwd=tmp_path, fresh=True)
    assert (tmp_path / "again.h5").read_bytes() == cams.read_bytes()


def test_results_do_not_depend_on_batches(world: World, cams: Path, tmp_path: Path) -> None:
    options = ("--ckpt", world.ckpt, "--images", world.root, "--batch-size", 3)
    camkit("cam", *options, "--out", tmp_path / "batched.h5", cwd=tmp_path)
    with open_store(cams) as one, open_store(tmp_path / "batched.h5") as other:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.values, b.values, atol=2e-3)


def test_three_shards_merged_equal_one_run(world: World, cams: Path, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        options = ("--ckpt", world.ckpt, "--images", world.root, "--shard", f"{n}/3", "--out", f"{n}.h5")
        result = camkit("cam", *options, cwd=tmp_path)
        assert result.returncode == 0, said(result)
    assert camkit("merge", "1.h5", "2.h5", "3.h5", "--out", "all.h5", cwd=tmp_path, fresh=True).returncode == 0
    assert (tmp_path / "all.h5").read_bytes() == cams.read_bytes()
    scored = camkit("evaluate", "1.h5", "2.h5", "3.h5", "--gt", world.root, "--json", cwd=tmp_path)
    whole = camkit("evaluate", cams, "--gt", world.root, "--json", cwd=tmp_path)
    assert json.loads(scored.stdout)["miou"] == json.loads(whole.stdout)["miou"]


def test_shards_with_one_output_join_by_themselves(world: World, cams: Path, tmp_path: Path) -> None:
    for n in (1, 2, 3):
        options = ("--ckpt", world.ckpt, "--images", world.root, "--shard", f"{n}/3", "--out", "all.h5")
        assert camkit("cam", *options, cwd=tmp_path).returncode == 0
    assert (tmp_path / "all.h5").read_bytes() == cams.read_bytes()


def test_the_pipe(world: World, cams: Path, tmp_path: Path) -> None:
    program = f"'{sys.executable}' -m camkit"
    line = (
        f"{program} cam --ckpt '{world.ckpt}' --images '{world.root}' | {program} mask --threshold 0.4 "
        f"| {program} evaluate --gt '{world.root}' --json"
    )
    piped = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, capture_output=True, check=False)
    assert piped.returncode == 0, piped.stderr.decode()
    assert list(tmp_path.iterdir()) == []
    direct = camkit("evaluate", cams, "--gt", world.root, "--threshold", "0.4", "--json", cwd=tmp_path)
    assert json.loads(piped.stdout)["miou"] == pytest.approx(json.loads(direct.stdout)["miou"], abs=1e-12)


def test_masks_as_pngs_equal_those_in_a_store(world: World, cams: Path, tmp_path: Path) -> None:
    assert camkit("mask", cams, "--png", "masks", cwd=tmp_path).returncode == 0
    assert camkit("mask", cams, "--out", "masks.h5", cwd=tmp_path).returncode == 0
    with open_store(tmp_path / "masks.h5") as store:
        assert store.ids == world.ids
        for activation in store:
            path = tmp_path / "masks" / f"{activation.id}.png"
            np.testing.assert_array_equal(read_mask(path), activation.values)
            assert activation.values.shape == activation.size
            with Image.open(path) as image:
                assert image.mode == "P"
    of_folder = camkit("evaluate", "masks", "--gt", world.root, "--json", cwd=tmp_path)
    of_store = camkit("evaluate", "masks.h5", "--gt", world.root, "--json", cwd=tmp_path)
    assert json.loads(of_folder.stdout)["miou"] == json.loads(of_store.stdout)["miou"]
    again = camkit("mask", cams, "--png", "masks", cwd=tmp_path)
    assert "already done" in said(again)
    refused = camkit("mask", cams, "--png", "masks", "--threshold", "0.5", cwd=tmp_path)
    assert refused.returncode == 2
    assert "threshold" in said(refused)


def test_perfect_masks_score_one(world: World, tmp_path: Path) -> None:
    result = camkit(
        "evaluate", world.root / "SegmentationClass", "--gt", world.root, "--list", "val", "--json", cwd=tmp_path
    )
    report = json.loads(result.stdout)
    assert report["miou"] == 1
    assert report["images"] == 6
    assert report["split"] == "val"
    assert 0 < report["ignored"] < 0.1


def test_evaluate_prints_tables_csv_and_a_curve(world: World, cams: Path, tmp_path: Path) -> None:
    table = camkit("evaluate", cams, "--gt", world.root, "--curve", "curve.png", cwd=tmp_path)
    text = table.stdout.decode()
    for expected in ("background", "mean", "pixel AP", "classes in the image", "best of 100", "ignored"):
        assert expected in text
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size[0] > 400
    rows = list(
        csv.DictReader(io.StringIO(camkit("evaluate", cams, "--gt", world.root, "--csv", cwd=tmp_path).stdout.decode()))
    )
    assert rows[0]["class"] == "background"
    assert rows[-1]["class"] == "mean"


def test_gates_exit_with_1(world: World, cams: Path, tmp_path: Path) -> None:
    run = camkit("evaluate", cams, "--gt", world.root, "--json", cwd=tmp_path)
    (tmp_path / "before.json").write_bytes(run.stdout)
    passes = camkit(
        "evaluate", cams, "--gt", world.root, "--max-drop", "before.json", "--min-miou", "0.1", cwd=tmp_path
    )
    assert passes.returncode == 0, said(passes)
    fails = camkit("evaluate", cams, "--gt", world.root, "--min-miou", "99.5", cwd=tmp_path)
    assert fails.returncode == 1
    assert "below the gate 99.5" in said(fails)
    assert b"background" in fails.stdout
    dropped = camkit(
        "evaluate", cams, "--gt", world.root, "--threshold", "0.95", "--max-drop", "before.json:0.1", cwd=tmp_path
    )
    assert dropped.returncode == 1
    assert "baseline" in said(dropped)


def test_classify_scores_tags_and_average_precision(world: World, tmp_path: Path) -> None:
    network = ("--ckpt", world.ckpt, "--images", world.root)
    result = camkit("classify", *network, "--out", "scores.h5", cwd=tmp_path, fresh=True)
    assert result.returncode == 0, said(result)
    assert b"mAP" in result.stdout
    tags = camkit("classify", *network, "--tsv", cwd=tmp_path).stdout.decode().splitlines()
    assert tags[0] == "id\tclasses"
    assert [line.split("\t")[0] for line in tags[1:]] == list(world.ids)
    lines = [json.loads(line) for line in camkit("classify", *network, "--jsonl", cwd=tmp_path).stdout.splitlines()]
    with open_store(tmp_path / "scores.h5") as store:
        for activation, line, tag in zip(store, lines, tags[1:], strict=True):
            np.testing.assert_allclose(list(line["scores"].values()), activation.values, atol=1e-6)
            assert line["classes"] == tag.split("\t")[1:]
    report = json.loads(camkit("classify", *network, "--json", cwd=tmp_path).stdout)
    assert 0 < report["mean_average_precision"] < 1
    (tmp_path / "tags.tsv").write_text("\n".join(tags))
    for labels in ("tags.tsv", "scores.h5"):
        out = f"from-{labels}.h5"
        assert camkit("cam", *network, "--labels", labels, "--scales", "1", "--out", out, cwd=tmp_path).returncode == 0
    with open_store(tmp_path / "from-tags.tsv.h5") as one, open_store(tmp_path / "from-scores.h5.h5") as other:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.classes, b.classes)
            np.testing.assert_array_equal(a.values, b.values)


def test_info_of_stores_and_checkpoints(world: World, cams: Path, tmp_path: Path) -> None:
    text = camkit("info", cams, cwd=tmp_path).stdout.decode()
    for expected in ("maps of 12 images (float16)", "aeroplane", "camkit cam", "scales=1,0.5,1.5,2", "resnet18"):
        assert expected in text
    assert json.loads(camkit("info", cams, "--json", cwd=tmp_path).stdout)["images"] == 12
    piped = camkit("info", cwd=tmp_path, input=cams.read_bytes())
    assert b"maps of 12 images" in piped.stdout
    checkpoint = camkit("info", world.ckpt, cwd=tmp_path).stdout.decode()
    assert "resnet18, output stride 16" in checkpoint


def test_photos_of_ones_own_without_labels(world: World, tmp_path: Path) -> None:
    photos = tmp_path / "holiday photos" / "día 1"
    photos.mkdir(parents=True)
    Image.new("RGB", (50, 30), "olive").save(photos / "a b.v2.jpg")
    Image.new("L", (30, 50), 90).save(photos / "ü.png")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing {n}" for n in range(20)))
    options = ("--ckpt", world.ckpt, "--images", "holiday photos", "--classes", names, "--out", "maps.h5")
    result = camkit("cam", *options, cwd=tmp_path)
    assert result.returncode == 0, said(result)
    assert "the classifier predicts" in said(result)
    with open_store(tmp_path / "maps.h5") as store:
        assert store.ids == ("día 1/a b.v2", "día 1/ü")
        assert store.header.classes[0] == "thing 0"
    assert camkit("mask", "maps.h5", "--png", "out", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "día 1" / "a b.v2.png").exists()


def test_a_network_of_ones_own(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.trunk = torch.nn.Conv2d(3, 6, 4, stride=4)\n"
        "        self.fc = torch.nn.Linear(6, 20, bias=False)\n"
        "    @property\n"
        "    def weight(self): return self.fc.weight\n"
        "    def features(self, x): return self.trunk(x).relu()\n"
        "def build(): return Net()\n"
    )
    code = "import torch, mine; torch.manual_seed(0); torch.save(mine.build().state_dict(), 'mine.pth')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    options = ("--ckpt", "mine.pth", "--model", "mine:build", "--images", world.root, "--out", "maps.h5")
    result = camkit("cam", *options, cwd=tmp_path)
    assert result.returncode == 0, said(result)


def test_a_folder_of_pngs_is_one_run_and_nobody_elses(world: World, cams: Path, tmp_path: Path) -> None:
    strange = tmp_path / "truth"
    strange.mkdir()
    (strange / "precious.png").write_bytes(b"drawn by hand")
    for options in ((), ("--overwrite",)):
        refused = camkit("mask", cams, "--png", "truth", *options, cwd=tmp_path)
        assert refused.returncode == 2
        assert "did not write" in said(refused)
    assert (strange / "precious.png").read_bytes() == b"drawn by hand"
    few = ("cam", "--ckpt", world.ckpt, "--images", world.root, "--limit", "2", "--out", "few.h5")
    assert camkit(*few, cwd=tmp_path).returncode == 0
    assert camkit("mask", cams, "--png", "masks", cwd=tmp_path).returncode == 0
    (tmp_path / "masks" / "mine.png").write_bytes(b"drawn by hand")
    assert camkit("mask", "few.h5", "--png", "masks", "--overwrite", cwd=tmp_path).returncode == 0
    assert sorted(path.stem for path in (tmp_path / "masks").glob("*.png")) == [*world.ids[:2], "mine"]


def test_photos_of_the_same_names_in_another_folder_are_another_run(world: World, tmp_path: Path) -> None:
    for folder, colour in (("one", "olive"), ("two", "navy")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (40, 30), colour).save(tmp_path / folder / "a.png")
    options = ("cam", "--ckpt", world.ckpt, "--out", "maps.h5", "--scales", "1", "--images")
    assert camkit(*options, "one", cwd=tmp_path).returncode == 0
    changed = camkit(*options, "two", cwd=tmp_path)
    assert changed.returncode == 2
    assert "the images were in" in said(changed)
    assert "already done" in said(camkit(*options, tmp_path / "one", cwd=tmp_path))
