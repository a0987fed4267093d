"""A store of a kind that commands have never heard of: they take it by what its row in the table says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camkit import Activation, Header, Output, Writer, crf, evaluate_predictions, export_store, mask, open_store
from camkit.data.masks import write_mask
from camkit.errors import UsageError
from camkit.stages.affinities import _check_source
from camkit.stages.exhibition import Column, View
from camkit.stages.refine_superpixel import refine_superpixel
from camkit.stages.refine_walk import refine_walk
from camkit.stages.show import show_sheet
from camkit.store import KINDS
from camkit.types import no_classes

CLASSES = ("cat", "dog")
SIZE = (16, 20)
HEADING = 50


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, their truth and their superpixels; and two more kinds: `heat`, which is as maps, and `nothing`."""
    monkeypatch.setitem(KINDS, "heat", replace(KINDS["maps"], name="heat"))
    monkeypatch.setitem(KINDS, "nothing", replace(KINDS["scores"], name="nothing", group="nothing"))
    random = np.random.default_rng(0)
    for id in "ab":
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*SIZE, 3), np.uint8)).save(tmp_path / "photos" / f"{id}.png")
        write_mask(tmp_path / "truth" / f"{id}.png", random.integers(0, 3, SIZE).astype(np.uint8))
    regions = (np.arange(SIZE[1]) // 5)[None].repeat(SIZE[0], 0).astype(np.uint16)
    write(tmp_path, "superpixels", {id: Activation(id, regions, no_classes(), SIZE) for id in "ab"})
    maps = {id: Activation(id, random.random((2, 4, 5), np.float32), np.array([0, 1]), SIZE) for id in "ab"}
    for kind in ("maps", "heat"):
        write(tmp_path, kind, maps)
    scores = {id: Activation(id, random.random(2, np.float32), no_classes(), SIZE) for id in "ab"}
    write(tmp_path, "nothing", scores)
    return tmp_path


def write(folder: Path, kind: str, records: dict[str, Activation]) -> None:
    with Writer(folder / f"{kind}.h5", Header(kind, CLASSES, str(folder / "photos")), list(records)) as writer:
        for activation in records.values():
            writer.write(activation)
        assert writer.finish()


def made(folder: Path, kind: str) -> dict[str, bytes]:
    """What commands make of the store, by command."""
    store, out = folder / f"{kind}.h5", folder / f"of-{kind}"
    out.mkdir()
    mask(store, Output(out / "mask.h5"), threshold=0.4)
    crf(store, Output(out / "crf.h5"))
    refine_superpixel(store, folder / "superpixels.h5", Output(out / "average.h5"))
    refine_superpixel(store, folder / "superpixels.h5", Output(out / "vote.h5"), how="vote", threshold=0.4)
    refine_walk(store, Output(out / "walk.h5"), affinity="colour")
    export_store(store, out / "png", "png")
    export_store(store, out / "psa", "psa")
    show_sheet([Column("column", store)], out / "sheet.png", View(truth=folder / "truth"))
    report, _ = evaluate_predictions(store, folder / "truth")
    sheet = np.asarray(Image.open(out / "sheet.png"))[HEADING:]  # that names the kind
    (out / "sheet.png").unlink()
    found = {path.name: path.read_bytes() for path in out.rglob("*.[pn]*") if path.suffix in (".png", ".npy")}
    for path in out.glob("*.h5"):
        with open_store(path) as one:
            found[path.name] = b"".join(activation.values.tobytes() for activation in one)
    return {**found, "sheet": sheet.tobytes(), "miou": repr(report.miou).encode()}


def test_a_row_in_the_table_is_enough(folder: Path) -> None:
    expected, found = made(folder, "maps"), made(folder, "heat")
    assert found.keys() == expected.keys()
    assert len(found) == 11
    assert [name for name in found if found[name] != expected[name]] == []
    with open_store(folder / "of-heat/average.h5") as store:
        assert store.header.kind == "heat"


def test_refusals_name_the_kinds_of_the_table(folder: Path) -> None:
    def refused(function: object, *arguments: object, **options: object) -> str:
        with pytest.raises(UsageError) as refusal:
            function(*arguments, **options)  # type: ignore[operator]
        return str(refusal.value)

    store = folder / "nothing.h5"
    takes = "takes maps, signed scores, probs, masks or heat"
    assert refused(mask, store, Output(folder / "o.h5")) == (
        f"a nothing store has nothing to make masks of; camkit mask {takes}"
    )
    assert refused(crf, store, Output(folder / "o.h5")).endswith(f"is a nothing store; camkit crf {takes}")
    assert refused(evaluate_predictions, store, folder / "truth") == (
        f"a nothing store says nothing about pixels; evaluate {takes}"
    )
    said = refused(show_sheet, [Column("column", store)], folder / "sheet.png", View())
    assert said == f"column is a nothing store, which says nothing about pixels; camkit show {takes}"
    walked = refused(refine_walk, store, Output(folder / "o.h5"), affinity="colour")
    assert walked.endswith("is a nothing store; --affinity colour takes maps, signed, probs, heat")
    with open_store(store) as reader, pytest.raises(UsageError, match="take maps"):
        _check_source(reader, [store], "n", folder / "o.h5", None)
