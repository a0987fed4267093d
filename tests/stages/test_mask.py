"""`mask` as a function: its input by any name, and options that have no effect."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from camkit import Activation, Header, Output, Writer, mask, open_store
from camkit.errors import InputError, UsageError
from camkit.stages.mask import _check_there
from camkit.types import no_classes
from tests.reference.icd_seeds import seeds_slowly


def write_store(path: Path, kind: str, values: np.ndarray, classes: np.ndarray) -> None:
    with Writer(path, Header(kind, ("ant", "bee"), ""), ["a"]) as writer:
        writer.write(Activation("a", values, classes, (4, 6)))
        writer.finish()


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """One photo, the bee at 0.4 everywhere."""
    write_store(tmp_path / "maps.h5", "maps", np.full((1, 4, 6), 0.4, np.float32), np.array([1]))
    return tmp_path / "maps.h5"


def value_of(path: Path) -> int:
    with open_store(path) as store:
        (value,) = np.unique(store.read("a").values)
    return int(value)


def test_the_threshold_has_a_default_and_counts_for_maps(maps: Path, tmp_path: Path) -> None:
    mask(maps, Output(tmp_path / "default.h5"))
    assert value_of(tmp_path / "default.h5") == 2
    mask([str(maps)], Output(tmp_path / "text.h5"), threshold=0.3)
    assert (tmp_path / "default.h5").read_bytes() == (tmp_path / "text.h5").read_bytes()
    mask(str(maps), Output(tmp_path / "high.h5"), threshold=0.5)
    assert value_of(tmp_path / "high.h5") == 0


def test_pngs_in_a_folder_named_by_text(maps: Path, tmp_path: Path) -> None:
    mask(maps, Output(), png=str(tmp_path / "masks"))
    assert [path.name for path in (tmp_path / "masks").glob("*.png")] == ["a.png"]


@pytest.mark.parametrize("kind", ["masks", "probs"])
def test_a_threshold_that_would_have_no_effect_is_refused(kind: str, tmp_path: Path) -> None:
    values = np.zeros((4, 6), np.uint8) if kind == "masks" else np.ones((1, 4, 6), np.float32)
    write_store(tmp_path / "store.h5", kind, values, no_classes())
    with pytest.raises(UsageError, match=rf"^--threshold is for maps, but .*store\.h5 holds {kind}$"):
        mask(tmp_path / "store.h5", Output(tmp_path / "out.h5"), threshold=0.3)
    assert not (tmp_path / "out.h5").exists()
    mask(tmp_path / "store.h5", Output(tmp_path / "out.h5"))
    assert value_of(tmp_path / "out.h5") == 0


SCORES = np.array([[[1, 0.5], [-1, 0]], [[-1, 1], [-1, -1]]])
CAMS = np.array([[[1, 1], [1, 1]], [[1, 0.1], [1, 1]]])


def write_planes(path: Path, records: dict[str, np.ndarray], kind: str = "signed", classes: int = 2) -> Path:
    """Photos of 2×2 pixels, with planes [C, 2, 2] of the first so many classes."""
    with Writer(path, Header(kind, ("ant", "bee", "cow")[:classes], ""), list(records)) as writer:
        for id, values in records.items():
            writer.write(Activation(id, values.astype(np.float32), np.arange(len(values)), (2, 2)))
        writer.finish()
    return path


def test_seeds_of_signed_scores(tmp_path: Path) -> None:
    scores = write_planes(tmp_path / "scores.h5", {"a": SCORES, "b": -SCORES[:1], "c": SCORES[:0]})
    cams = write_planes(tmp_path / "cams.h5", {"a": CAMS, "b": CAMS, "c": CAMS}, "maps")
    mask(scores, Output(tmp_path / "alone.h5"))
    mask(scores, Output(tmp_path / "seeds.h5"), rule="icd", cams=str(cams))
    with open_store(tmp_path / "alone.h5") as alone, open_store(tmp_path / "seeds.h5") as seeds:
        assert alone.read("a").values.tolist() == [[1, 2], [0, 255]]
        assert seeds.read("a").values.tolist() == [[1, 1], [0, 255]]
        assert seeds.read("b").values.tolist() == alone.read("b").values.tolist() == [[0, 0], [1, 0]]
        assert not seeds.read("c").values.any()
        assert len(seeds.header.provenance["parents"]) == 2
    with pytest.raises(UsageError, match="--overwrite"):
        mask(scores, Output(tmp_path / "alone.h5"), cams=cams)


RAW = np.array([[[10, 5], [-3, 1]], [[0.2, 0.8], [0.1, -9]]])
"""Of the contested pixel, top right: the ant's largest is 10, the bee's 0.8."""


def test_contested_pixels_go_by_cams_of_all_classes_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scores = write_planes(tmp_path / "scores.h5", {"a": SCORES})
    own = np.maximum(RAW, 0) / RAW.max(axis=(1, 2), keepdims=True)
    seeds = {}
    for name, planes, kind in (("raw", RAW, "signed"), ("maps", own, "maps")):
        cams = write_planes(tmp_path / f"{name}.h5", {"a": planes}, kind)
        caplog.clear()
        mask(scores, Output(tmp_path / f"{name}-seeds.h5"), cams=cams)
        assert ("each class is divided by its own largest" in caplog.text) == (kind == "maps")
        with open_store(tmp_path / f"{name}-seeds.h5") as store:
            seeds[name] = store.read("a").values
    joint = np.maximum(RAW, 0) / 10
    for name, cams in (("raw", joint), ("maps", own)):
        expected = seeds_slowly(SCORES, np.array([0, 1]), 255, cams)
        np.testing.assert_array_equal(seeds[name], expected)
    assert (seeds["raw"][0, 1], seeds["maps"][0, 1]) == (1, 2)


def test_saliency_of_another_size(tmp_path: Path) -> None:
    scores = write_planes(tmp_path / "scores.h5", {"a": np.array([[[-1, -1], [1, 1]]])})
    (tmp_path / "saliency").mkdir()
    levels = np.repeat([[0, 0, 255, 255]], 4, axis=0).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "saliency" / "a.png")
    mask(scores, Output(tmp_path / "seeds.h5"), saliency=str(tmp_path / "saliency"))
    with open_store(tmp_path / "seeds.h5") as seeds:
        assert seeds.read("a").values.tolist() == [[0, 255], [255, 1]]


def draw_saliency(folder: Path, id: str, level: int) -> None:
    folder.mkdir(exist_ok=True)
    Image.new("L", (2, 2), level).save(folder / f"{id}.png")


def test_other_saliency_maps_are_another_run(tmp_path: Path) -> None:
    scores = write_planes(tmp_path / "scores.h5", {"a": -SCORES[:1], "b": -SCORES[:1]})
    folder, output = tmp_path / "saliency", Output(tmp_path / "seeds.h5")
    for id in "abz":
        draw_saliency(folder, id, 200)
    mask(scores, output, saliency=folder)
    draw_saliency(folder, "z", 0)  # not asked for
    draw_saliency(folder, "a", 200)
    assert mask(scores, output, saliency=folder).already == 2
    draw_saliency(folder, "a", 0)
    with pytest.raises(UsageError, match=r"in the input store \(saliency maps\), the images .* changed"):
        mask(scores, output, saliency=folder)
    (folder / "b.png").unlink()
    (folder / "b.png").symlink_to(tmp_path / "nowhere")
    assert mask(scores, Output(tmp_path / "other.h5"), saliency=folder).failures.keys() == {"b"}


def test_many_images_are_looked_up_at_once() -> None:
    ids = tuple(f"{n:08}" for n in range(30_000))
    begun = time.process_time()
    with pytest.raises(InputError, match="of any image"):
        _check_there(SimpleNamespace(ids=ids), tuple(f"x{id}" for id in ids), "there are no maps")  # type: ignore[arg-type]
    assert time.process_time() - begun < 1


def test_maps_that_do_not_fit_the_scores(tmp_path: Path) -> None:
    scores = write_planes(tmp_path / "scores.h5", {"a": SCORES, "b": SCORES})
    output = Output(tmp_path / "out.h5")
    with pytest.raises(UsageError, match="has other classes than the scores"):
        mask(scores, output, cams=write_planes(tmp_path / "three.h5", {"a": CAMS}, "maps", classes=3))
    with pytest.raises(InputError, match=r"has no maps of any image: z against a, b"):
        mask(scores, output, cams=write_planes(tmp_path / "z.h5", {"z": CAMS}, "maps"))
    with pytest.raises(UsageError, match="is both input and output"):
        mask(scores, Output(tmp_path / "z.h5", overwrite=True), cams=tmp_path / "z.h5")
    one = write_planes(tmp_path / "one.h5", {"a": CAMS[:1]}, "maps")
    failures = mask(scores, output, cams=one).failures
    assert "is about other classes" in failures["a"]
    assert "has no record of 'b'" in failures["b"]
