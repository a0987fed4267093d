"""`superpixels` as a function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit import Inputs, Network, Output, Runtime, open_store
from camkit.data.images import read_image
from camkit.errors import UsageError
from camkit.methods.superpixels import segment
from camkit.models.checkpoint import load_classifier
from camkit.settings.superpixels import Felzenszwalb, Merging
from camkit.stages.superpixels import MergeBy, merge_by, superpixels
from camkit.upsample import upsample
from tests.reference.merging import mean_features, merge_slowly
from tests.support.world import World

FINE = Felzenszwalb(scale=1, min_size=3)


def scarce_memory(*_: object) -> np.ndarray:
    raise MemoryError


def index_error(*_: object) -> np.ndarray:
    raise IndexError("off by one")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_photo_too_large_for_memory_is_a_failure_and_a_bug_names_the_photo(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    inputs, output, runtime = Inputs(world.root, limit=2), Output(tmp_path / "s.h5"), Runtime(workers=workers)
    monkeypatch.setattr("camkit.stages.superpixels.segment", scarce_memory)
    failures = superpixels(inputs, output, runtime).failures
    assert failures[world.ids[0]].startswith("out of memory on an image of 64x48; use a smaller --resize")
    monkeypatch.setattr("camkit.stages.superpixels.segment", index_error)
    with pytest.raises(IndexError) as caught:
        superpixels(inputs, Output(tmp_path / "t.h5"), runtime)
    assert caught.value.__notes__ == [f"while computing {world.ids[0]}"]


def test_every_number_of_workers_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    for workers in (0, 2):
        summary = superpixels(Inputs(world.root), Output(tmp_path / f"{workers}.h5"), Runtime(workers=workers))
        assert (summary.images, summary.complete, summary.failures) == (12, True, {})
    assert (tmp_path / "0.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    with open_store(tmp_path / "0.h5") as store:
        assert store.header.provenance["parameters"] == {
            "scale": 100.0, "sigma": 0.8, "min_size": 20, "resize": "at most 1000"
        }  # fmt: skip
        assert "scipy" in store.header.provenance["versions"]
        for found in store:
            image, size = read_image(world.root / "JPEGImages" / f"{found.id}.jpg")
            assert found.size == size
            np.testing.assert_array_equal(found.values, segment(image, size, Felzenszwalb()))


def test_resized_photos_give_superpixels_of_the_photos_own_size(tmp_path: Path) -> None:
    halves = np.zeros((30, 40, 3), np.uint8)
    halves[:, 20:] = 255
    Image.fromarray(halves).save(tmp_path / "größe.png")
    for resize in (10, 80):
        out = tmp_path / f"{resize}.h5"
        superpixels(
            Inputs(tmp_path), Output(out), Runtime(workers=0), method=Felzenszwalb(sigma=0, min_size=1), resize=resize
        )
        with open_store(out) as store:
            values = store.read("größe").values
        assert values.shape == (30, 40)
        assert (values[:, :16] == values[0, 0]).all()
        assert (values[:, 24:] == values[0, -1]).all()
        assert values[0, 0] != values[0, -1]


def test_merged_superpixels_are_those_of_the_slow_program(world: World, tmp_path: Path) -> None:
    import torch

    from camkit.methods.layers import layer_features

    by = MergeBy(Merging(5), Network(world.ckpt), "layer3")
    superpixels(Inputs(world.root, limit=4), Output(tmp_path / "m.h5"), Runtime(workers=0), method=FINE, merge=by)
    classifier = load_classifier(world.ckpt).network
    with open_store(tmp_path / "m.h5") as store:
        assert store.header.provenance["checkpoint"]["name"] == "tiny.pth"
        assert store.header.provenance["parameters"].items() >= {"merge": 5, "merge_pairs": "adjacent"}.items()
        for found in store:
            image, size = read_image(world.root / "JPEGImages" / f"{found.id}.jpg")
            with torch.inference_mode():
                pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
                features = layer_features(pixels, classifier, "layer3")[0].numpy()
            regions = segment(image, size, FINE)
            means = mean_features(upsample(features, size), regions)
            np.testing.assert_array_equal(found.values, merge_slowly(regions, means, 5, adjacent=True))
            assert found.values.max() == min(4, regions.max())


def test_merging_in_threads_shards_and_continued_runs_gives_the_same(world: World, tmp_path: Path) -> None:
    by = MergeBy(Merging(6, "all"), Network(world.ckpt))
    for workers in (0, 2):
        output = Output(tmp_path / f"{workers}.h5")
        summary = superpixels(Inputs(world.root), output, Runtime(workers=workers), method=FINE, merge=by)
        assert (summary.images, summary.failures) == (12, {})
    assert (tmp_path / "0.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    for n in (0, 1):
        inputs = Inputs(world.root, shard=(n, 2))
        superpixels(inputs, Output(tmp_path / "shards.h5"), Runtime(workers=0), method=FINE, merge=by)
    with open_store(tmp_path / "0.h5") as whole, open_store(tmp_path / "shards.h5") as shards:
        assert all((whole.read(id).values == shards.read(id).values).all() for id in whole.ids)
        assert {int(found.values.max()) for found in whole} == {5}
    again = superpixels(Inputs(world.root), Output(tmp_path / "0.h5"), Runtime(workers=0), method=FINE, merge=by)
    assert again.already == 12
    with pytest.raises(UsageError, match=r"another run|--merge"):
        superpixels(Inputs(world.root), Output(tmp_path / "0.h5"), Runtime(workers=0), method=FINE)


def test_other_sizes_and_batches_are_merged_too(world: World, tmp_path: Path) -> None:
    by = MergeBy(Merging(4), Network(world.ckpt))
    runtime = Runtime(workers=0, batch_size=3)
    superpixels(Inputs(world.root), Output(tmp_path / "m.h5"), runtime, method=FINE, merge=by, resize=40)
    with open_store(tmp_path / "m.h5") as store:
        for found in store:
            assert found.values.shape == found.size
            assert 0 < found.values.max() <= 3


def test_options_of_merging_need_each_other(world: World, tmp_path: Path) -> None:
    assert merge_by(None, None, None, "adjacent", None, None, None) is None
    made = merge_by(64, world.ckpt, None, "all", None, None, 8)
    assert made == MergeBy(Merging(64, "all"), Network(world.ckpt, output_stride=8))
    with pytest.raises(UsageError, match="--merge 64 goes by a network's features: give --ckpt"):
        merge_by(64, None, None, "adjacent", None, None, None)
    with pytest.raises(UsageError, match="--ckpt is for merging: give --merge N too"):
        merge_by(None, world.ckpt, None, "adjacent", None, None, None)
    with pytest.raises(UsageError, match="--merge-pairs is for merging"):
        merge_by(None, None, None, "all", None, None, None)
    for option, runtime in (
        ("--device", Runtime(device="cpu")), ("--precision", Runtime(precision="float32")),
        ("--batch-size", Runtime(batch_size=1)),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"{option} is for merging"):
            merge_by(None, None, None, "adjacent", None, None, None, runtime)
        assert merge_by(64, world.ckpt, None, "all", None, None, 8, runtime) == made
    assert merge_by(None, None, None, "adjacent", None, None, None, Runtime(workers=0, on_error="stop")) is None
    with pytest.raises(UsageError, match="--layer conv9 is not in this network"):
        superpixels(Inputs(world.root), Output(tmp_path / "m.h5"), merge=MergeBy(Merging(), made.network, "conv9"))
    assert not list(tmp_path.iterdir())


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, camkit.stages.superpixels, camkit.stages.refine_superpixel;"
        "import camkit.cli.superpixels, camkit.cli.refine;"
        "sys.exit('torch' in sys.modules or 'skimage' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
