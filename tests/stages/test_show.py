"""Which images are shown, how they are judged, and what becomes of them on a sheet and on a page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from camkit import Activation, Header, Writer, evaluate_predictions, open_store
from camkit.data.masks import read_mask, write_mask
from camkit.errors import InputError, PartialFailure, UsageError
from camkit.stages.exhibition import Exhibition, choose_ids, draw_all, first_ids, open_exhibition
from camkit.stages.pictures import Look, classes_with_maps, image_iou, page_card, predicted_mask, sheet_rows
from camkit.stages.show import Column, View, columns_of, history_line, show_sheet, write_report
from camkit.store.provenance import stage
from camkit.types import no_classes
from tests.reference import sweep as reference

CLASSES = ("ant", "bee", "cat")
SIZES = {"a": (90, 140), "b/c": (120, 80), "d": (100, 100), "é": (70, 70), "f": (40, 60)}
PRESENT = {"a": [0], "b/c": [0, 2], "d": [], "é": [1, 2], "f": [1]}


def truth_of(id: str) -> np.ndarray:
    mask = np.zeros(SIZES[id], np.uint8)
    for n, index in enumerate(PRESENT[id]):
        mask[10:30, 10 + 30 * n : 30 + 30 * n] = index + 1
    mask[:3] = 255
    return mask


def maps_of(id: str) -> np.ndarray:
    """[C_i, h, w] that find the truth but for noise that grows with the id's place."""
    masks = truth_of(id)[2::4, 2::4]
    rng = np.random.default_rng(len(id))
    noise = 0.15 * list(SIZES).index(id)
    maps = [np.clip((masks == index + 1) + noise * rng.random(masks.shape), 0, 1) for index in PRESENT[id]]
    return np.array(maps, np.float32).reshape(-1, *masks.shape)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """photos/, truth/ and stores of every kind."""
    rng = np.random.default_rng(0)
    for id, size in SIZES.items():
        path = tmp_path / "photos" / f"{id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        (tmp_path / "truth" / id).parent.mkdir(parents=True, exist_ok=True)
        write_mask(tmp_path / "truth" / f"{id}.png", truth_of(id))
    write(tmp_path, "maps", maps_of)
    write(tmp_path, "signed", lambda id: 2 * maps_of(id) - 1)
    write(tmp_path, "probs", lambda id: probs_of(maps_of(id)))
    write(tmp_path, "masks", truth_of)
    return tmp_path


def probs_of(maps: np.ndarray) -> np.ndarray:
    planes = np.concatenate([np.full((1, *maps.shape[1:]), 0.4, np.float32), maps])
    return planes / planes.sum(axis=0)


def write(
    root: Path,
    kind: str,
    values: Callable[[str], np.ndarray],
    *,
    ids: tuple[str, ...] = tuple(SIZES),
    name: str = "",
    classes: tuple[str, ...] = CLASSES,
) -> Path:
    path = root / f"{name or kind}.h5"
    with Writer(path, Header(kind, classes, str(root / "photos"), stage("cam", {"scales": [1.0]})), ids) as writer:
        for id in ids:
            present = no_classes() if kind in ("masks", "scores") else np.array(PRESENT[id], np.int64)
            writer.write(Activation(id, values(id), present, SIZES[id]))
        writer.finish()
    return path


def column(world: Path, name: str = "maps") -> Column:
    return Column(name, world / f"{name}.h5")


def chosen(view: View, *columns: Column, limit: int | None = None) -> list[str]:
    with open_exhibition(columns, view) as show:
        return [*first_ids(show, choose_ids(show), limit)]


def test_ids_by_name_class_list_and_limit(world: Path) -> None:
    maps = column(world)
    assert chosen(View(), maps) == ["a", "b/c", "d", "f", "é"]
    assert chosen(View(ids=("é.jpg", "c")), maps) == ["b/c", "é"]
    assert chosen(View(classes=("CAT",)), maps) == ["b/c", "é"]
    assert chosen(View(classes=("cat", "ant")), column(world, "masks")) == ["a", "b/c", "é"]
    (world / "list.txt").write_text("b/c\nf\n")
    assert chosen(View(list=str(world / "list.txt")), maps) == ["b/c", "f"]
    assert chosen(View(list=str(world / "list.txt"), classes=("ant",)), maps) == ["b/c"]
    assert chosen(View(), maps, limit=2) == ["a", "b/c"]
    assert chosen(View(limit=3), maps, limit=2) == ["a", "b/c", "d"]
    assert chosen(View(ids=("a", "d", "f")), maps, limit=2) == ["a", "d", "f"]


def test_only_images_that_all_stores_have(world: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = Column("other", write(world, "masks", truth_of, ids=("a", "f"), name="other"))
    with caplog.at_level(logging.INFO, "camkit"):
        assert chosen(View(), column(world), other) == ["a", "f"]
    assert "left out: 3 images" in caplog.text
    far = Column("far", write(world, "masks", truth_of, ids=("d",), name="far"))
    with pytest.raises(InputError, match="other, far have no image in common: a, f against d"):
        chosen(View(), other, far)


def slow_iou(mask: np.ndarray, id: str) -> float:
    matrix, _, _ = reference.confusion([mask], [truth_of(id)], len(CLASSES))
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
    return float(np.mean([matrix[c, c] / union[c] for c in range(len(union)) if union[c]]))


@pytest.mark.parametrize("kind", ["maps", "signed", "probs", "masks"])
def test_worst_and_best_go_by_the_iou_of_the_image(world: Path, kind: str) -> None:
    view = View(truth=world / "truth", sort="worst")
    worst = chosen(view, column(world, kind))
    with open_exhibition([column(world, kind)], view) as show, open_store(world / f"{kind}.h5") as store:
        threshold = show.look.thresholds[0]
        ious = {a.id: slow_iou(predicted_mask(a, kind, threshold, 3), a.id) for a in store}
        cards = draw_all(show, list(SIZES), page_card, {})
        assert {card.id: card.ious[0] for card in cards} == pytest.approx(ious)
    assert worst == sorted(SIZES, key=lambda id: (ious[id], id))
    assert ious[worst[0]] < 1 or kind == "masks"
    best = chosen(replace(view, sort="best"), column(world, kind))
    assert best == sorted(SIZES, key=lambda id: (-ious[id], id))


def test_images_without_truth_are_not_sorted(world: Path, caplog: pytest.LogCaptureFixture) -> None:
    (world / "truth" / "d.png").unlink()
    with caplog.at_level(logging.INFO, "camkit"):
        assert "d" not in chosen(View(truth=world / "truth", sort="best"), column(world))
    assert "1 images without ground truth" in caplog.text
    assert "d" in chosen(View(truth=world / "truth"), column(world))


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 12))
def test_iou_of_an_image_equals_the_slow_one(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 3, 255], (height, width)).astype(np.uint8)
    mask = rng.choice([0, 1, 2, 3, 255], (height, width)).astype(np.uint8)
    matrix, _, _ = reference.confusion([mask], [truth], 3)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
    expected = [matrix[c, c] / union[c] for c in range(4) if union[c]]
    found = image_iou(mask, truth, 3)
    assert found == (pytest.approx(np.mean(expected)) if expected else None)


def test_the_images_iou_agrees_with_evaluate(world: Path) -> None:
    for kind in ("maps", "signed", "probs"):
        path = write(world, kind, with_values(kind), ids=("b/c",), name=f"one-{kind}")
        report, _ = evaluate_predictions([path], world / "truth", thresholds=[0.3] if kind == "maps" else None)
        with open_store(path) as store:
            mask = predicted_mask(store.read("b/c"), kind, 0.3 if kind == "maps" else None, 3)
        assert image_iou(mask, truth_of("b/c"), 3) == pytest.approx(report.miou)


def with_values(kind: str) -> Callable[[str], np.ndarray]:
    noisy = {id: np.clip(maps_of(id) + 0.4 * np.random.default_rng(3).random(maps_of(id).shape), 0, 1) for id in SIZES}
    return {"maps": noisy.__getitem__, "signed": lambda id: 2 * noisy[id] - 1, "probs": lambda id: probs_of(noisy[id])}[
        kind
    ]


def rows_of(show: Exhibition, id: str) -> list:
    (rows,) = draw_all(show, [id], sheet_rows, {})
    return rows


def test_a_row_for_each_class_that_has_maps(world: Path) -> None:
    columns = [column(world, "maps"), column(world, "masks"), column(world, "signed")]
    with open_exhibition(columns, View(truth=world / "truth", tile=64)) as show:
        first, second = rows_of(show, "b/c")
        assert [tile is not None for tile in first.tiles] == [True] * 5
        assert [tile is not None for tile in second.tiles] == [False, False, True, False, True]
        assert first.captions[:2] == ("b/c", "ant, cat")
        assert first.captions[3] == "IoU 100.0 %"
        assert (first.first, second.first, set(second.captions)) == (True, False, {""})
        assert {tile.size for tile in first.tiles} == {(43, 64)}
        (alone,) = rows_of(show, "d")
        assert all(alone.tiles)
        assert alone.captions[1] == ""
    with open_exhibition(columns, View(classes=("cat",))) as show:
        assert len(rows_of(show, "b/c")) == 1
    with open_exhibition([column(world, "masks")], View()) as show:
        assert len(rows_of(show, "b/c")) == 1


def test_many_classes_are_cut_and_counted(tmp_path: Path) -> None:
    look = Look(tuple(map(str, range(50))), ("maps", "masks", "signed"), (None,) * 3, 64)
    found = classes_with_maps([np.arange(3, 9), np.array([40]), np.array([1, 3])], look)
    assert found == [1, 3, 4, 5, 6, 7, 8]
    assert classes_with_maps([np.array([1])], Look(("a",), ("probs",), (None,), 64)) == []
    names = tuple(f"class {n}" for n in range(9))
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "photos" / "x.png")
    with Writer(tmp_path / "s.h5", Header("maps", names, str(tmp_path / "photos")), ["x"]) as writer:
        writer.write(Activation("x", np.zeros((9, 10, 10), np.float32), np.arange(9), (40, 40)))
        writer.finish()
    with open_exhibition([Column("s", tmp_path / "s.h5")], View()) as show:
        rows = rows_of(show, "x")
    assert len(rows) == 6
    assert rows[0].captions[0] == "x (+3 classes)"


def test_a_sheet_a_large_overlay_and_the_same_bytes(world: Path) -> None:
    view = View(truth=world / "truth")
    columns = [column(world, kind) for kind in ("maps", "signed", "probs", "masks")]
    assert show_sheet(columns, world / "one.png", view) == 7
    assert show_sheet(columns, world / "two.png", replace(view, workers=0)) == 7
    assert (world / "one.png").read_bytes() == (world / "two.png").read_bytes()
    assert show_sheet(columns[:1], world / "large.webp", View(ids=("b/c",), classes=("cat",))) == 1
    with Image.open(world / "large.webp") as picture:
        assert picture.size == (427, 640)
    show_sheet(columns[:1], world / "both.png", View(ids=("b/c",), tile=120))
    with Image.open(world / "both.png") as picture:
        assert picture.size == (168, 120)
    assert show_sheet(columns[:2], world / "two columns.png", View(ids=("b/c",))) == 2


def test_thresholds(world: Path) -> None:
    columns = [column(world, "maps"), column(world, "signed"), column(world, "probs")]
    report, _ = evaluate_predictions([world / "maps.h5"], world / "truth")

    def found(view: View, *columns: Column) -> tuple[float | None, ...]:
        with open_exhibition(columns, view) as show:
            return show.look.thresholds

    assert found(View(), *columns) == (None, None, None)
    assert found(View(truth=world / "truth"), *columns) == (0.3, None, None)
    assert found(View(threshold=0.5), *columns) == (0.5, None, None)
    assert found(View(truth=world / "truth"), replace(columns[0], report=report)) == (report.threshold,)


def test_failures_are_told_and_the_rest_is_drawn(world: Path) -> None:
    (world / "photos" / "a.jpg").write_bytes(b"not a photo")
    (world / "photos" / "f.jpg").unlink()
    Image.new("RGB", (50, 50)).save(world / "photos" / "d.jpg")
    with pytest.raises(PartialFailure, match="3 of 5 images failed: a, d, f"):
        show_sheet([column(world)], world / "sheet.png", View())
    assert (world / "sheet.png").exists()
    with pytest.raises(InputError, match=r"none of 1 images could be drawn; d: .*50x50.*100x100"):
        show_sheet([column(world)], world / "none.png", View(ids=("d",)))
    assert not (world / "none.png").exists()
    write_mask(world / "truth" / "é.png", np.full(SIZES["é"], 9, np.uint8))
    failures: dict[str, str] = {}
    with open_exhibition([column(world)], View(truth=world / "truth")) as show:
        assert not list(draw_all(show, ["é"], sheet_rows, failures))
    assert "holds the value 9" in failures["é"]


def test_what_cannot_be_shown(world: Path) -> None:
    maps = column(world)
    scores = write(world, "scores", lambda id: np.ones(3, np.float32))
    other = write(world, "masks", truth_of, name="other", classes=("ant", "bee", "dog"))
    for columns, view, error, message in (
        ([Column("s", scores)], View(), UsageError, "scores store, which says nothing about pixels"),
        ([maps, Column("o", other)], View(), UsageError, "maps and o are about different classes"),
        ([maps], View(sort="worst"), UsageError, "--gt"),
        ([maps], View(classes=("antt",)), UsageError, "no such class; do you mean ant"),
        ([maps], View(classes=("zebra",)), UsageError, "there are ant, bee, cat"),
        ([maps], View(ids=("b/x",)), UsageError, "do you mean b/c"),
        ([maps], View(images=world / "truth" / "b"), InputError, "none of the 5 images is in"),
        ([maps], View(images=world / "nowhere"), InputError, "does not exist"),
        ([maps], View(truth=world / "nowhere"), InputError, "no folder of masks"),
        ([maps], View(truth=world / "truth" / "b"), InputError, "b has no ground truth for the images"),
        ([maps], View(list="val"), InputError, "no list val"),
    ):
        with pytest.raises(error, match=message):
            chosen(view, *columns)
    with pytest.raises(UsageError, match=r"16,000\n.*--limit"):
        show_sheet([maps], world / "sheet.png", View(tile=4000))
    assert not (world / "sheet.png").exists()
    (world / "photos").rename(world / "moved")
    with pytest.raises(InputError, match=r"photos, which is not there\ngive --images"):
        chosen(View(), maps)
    assert chosen(View(images=world / "moved"), maps)


def test_a_page_of_all_images(world: Path) -> None:
    columns = [replace(column(world), seconds=12.0), column(world, "masks")]
    assert write_report(columns, world / "page.html", View(truth=world / "truth"), title="Five images") == 5
    text = (world / "page.html").read_text()
    assert "Five images" in text
    assert "b/c" in text
    assert write_report(columns, world / "bare.html", View(limit=2), title="Two") == 2
    with pytest.raises(UsageError, match="ends in"):
        write_report(columns, world / "page.png", View(), title="")


def test_cards_hold_small_pictures_and_the_best_threshold(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from camkit.view import page

    written = {}

    def keep(path: Path, methods: list, cards: object, *, title: str, lead: str) -> None:
        written.update(methods=list(methods), cards=list(cards), lead=lead)  # type: ignore[call-overload]

    monkeypatch.setattr(page, "write_page", keep)
    report, _ = evaluate_predictions([world / "maps.h5"], world / "truth")
    columns = [column(world, kind) for kind in ("maps", "signed", "probs", "masks")]
    view = View(truth=world / "truth", classes=("cat",))
    write_report(columns, world / "p.html", view, title="t", lead="l")
    methods, cards = written["methods"], written["cards"]
    assert [method.name for method in methods] == ["maps", "signed", "probs", "masks"]
    assert methods[0].report.miou == report.miou
    assert methods[0].about == "cam (scales=1)"
    assert [card.id for card in cards] == ["b/c", "é"]
    assert cards[0].classes == ("ant", "cat")
    assert cards[0].size == SIZES["b/c"]
    for card in cards:
        for data in (card.photo, card.truth, *card.pictures):
            assert data[:2] == b"\xff\xd8"
    with open_store(world / "maps.h5") as store:
        mask = predicted_mask(store.read("é"), "maps", report.threshold, 3)
    assert cards[1].ious[0] == image_iou(mask, read_mask(world / "truth" / "é.png"), 3)
    assert cards[1].ious[3] == 1.0
    given = replace(columns[0], report=replace(report, threshold=0.99))
    write_report([given], world / "p.html", view, title="t")
    assert written["methods"][0].report.threshold == 0.99


def test_columns_are_named_by_their_files(tmp_path: Path) -> None:
    with columns_of([tmp_path / "x.h5", tmp_path / "y.h5"]) as columns:
        assert [one.name for one in columns] == ["x", "y"]
    with columns_of([Path("1/x.h5"), Path("2/x.h5")]) as columns:
        assert [one.name for one in columns] == ["1/x.h5", "2/x.h5"]
    with columns_of([Path("x.h5")], ["mine"]) as columns:
        assert columns == [Column("mine", Path("x.h5"))]
    with pytest.raises(UsageError, match="1 names for 2 stores"), columns_of([Path("x"), Path("y")], ["a"]):
        pass


def test_the_history_in_a_line() -> None:
    cam = stage("cam", {"scales": [1.0, 0.5], "flip": True}, checkpoint={"name": "r.pth", "sha256": "0"})
    assert history_line(cam) == "cam (r.pth, flip=True, scales=1,0.5)"
    assert history_line(stage("mask", {"threshold": 0.3}, parents=[cam])).endswith(
        "scales=1,0.5) → mask (threshold=0.3)"
    )
    assert history_line({}) == ""


def test_figures_fail_for_images_that_are_not_shown(world: Path) -> None:
    write_mask(world / "truth" / "f.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(PartialFailure, match="1 of 3 images failed: f"):
        write_report([column(world)], world / "page.html", View(truth=world / "truth", limit=2), title="t")
    assert (world / "page.html").exists()


def test_a_class_that_one_store_has_and_another_has_not(world: Path) -> None:
    with Writer(world / "few.h5", Header("maps", CLASSES, ""), ["b/c"]) as writer:
        writer.write(Activation("b/c", maps_of("b/c")[1:], np.array([2]), SIZES["b/c"]))
        writer.finish()
    with open_exhibition([column(world), Column("few", world / "few.h5")], View()) as show:
        first, second = rows_of(show, "b/c")
    assert [tile is not None for tile in first.tiles] == [True, True, False]
    assert [tile is not None for tile in second.tiles] == [False, True, True]
    with pytest.raises(InputError, match="few does not say where its photos are; give --images"):
        chosen(View(), Column("few", world / "few.h5"))
