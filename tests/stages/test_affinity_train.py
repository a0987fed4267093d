"""`affinity_train` and `irn_train` as functions: what learns and what rests, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from camkit import Output, Runtime, open_store, refine_walk
from camkit.errors import UsageError
from camkit.models.affinity import load_affinity
from camkit.stages.info import describe_file, lines_of
from camkit.stages.training import Start
from camkit.types import AffinityKind
from tests.models.tiny import tiny_checkpoint
from tests.support.affinity import KINDS, classifier, maps_of, masks_store, refused, train, written
from tests.support.world import World, draw_world


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes longer than these trainings."""
    monkeypatch.setattr("camkit.stages.affinities._draw", lambda rows, path, *, title: None)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> World:
    return draw_world(tmp_path_factory.mktemp("photos"), count=6)


@pytest.fixture(scope="module")
def cams(photos: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cams") / "cams.h5"
    return written(path, photos, [maps_of(photos, id) for id in photos.ids])


@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_taken_as_they_are_teach_the_same(cams: Path, tmp_path: Path, kind: AffinityKind) -> None:
    train(kind, cams, tmp_path / "maps.safetensors")
    train(kind, tmp_path / "maps.labels.h5", tmp_path / "masks.safetensors")
    assert not (tmp_path / "masks.labels.h5").exists()
    maps, masks = (load_file(tmp_path / f"{name}.safetensors") for name in ("maps", "masks"))
    assert all(torch.equal(masks[key], value) for key, value in maps.items())


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_of_it_is_what_a_walk_takes(cams: Path, tmp_path: Path, kind: AffinityKind) -> None:
    start = Start(init=classifier(tmp_path / "start.safetensors"))
    out = tmp_path / "x.safetensors"
    trained = train(kind, cams, out, start, {"crop": 64, "epochs": 2}, input_size=56)
    loaded = load_affinity(out, kind)
    assert (loaded.arch, loaded.input_size, loaded.crop) == ("toy", 56, 64)
    assert loaded.network.mean == (0.4, 0.4, 0.4)
    losses = ("loss_background", "loss_foreground", "loss_different")
    for row in trained.history:
        assert row["loss"] == pytest.approx(sum(row[name] or 0.0 for name in losses))
    assert trained.best == trained.history[-1]
    walked = refine_walk(cams, Output(tmp_path / "walked.h5"), Runtime(workers=0), affinity=kind, ckpt=out)
    assert (walked.images, walked.failures) == (6, {})
    with open_store(tmp_path / "walked.h5") as store:
        assert store.header.provenance["parameters"]["resize"] == "56"
        assert all(np.isfinite(found.values).all() for found in store)
    whole = tmp_path / "whole.safetensors"
    train(kind, cams, whole, start, {"crop": None, "resize": 40, "batch_size": 2})
    assert (load_affinity(whole, kind).input_size, load_affinity(whole, kind).crop) == (40, 0)
    refine_walk(cams, Output(tmp_path / "again.h5"), Runtime(workers=0), affinity=kind, ckpt=whole)


def parts_that_changed(before: Path, after: Path) -> tuple[set[str], set[str]]:
    """Keys of the trunk with other numbers, and with the same."""
    one, other = load_file(before), load_file(after)
    shared = {key for key in one if key in other}
    changed = {key for key in shared if not torch.equal(one[key], other[key])}
    return changed, shared - changed


def norms_of(path: Path) -> set[str]:
    """Scales, offsets and statistics of batch norms."""
    state = load_file(path)
    names = {key.removesuffix("running_mean") for key in state if key.endswith("running_mean")}
    return {key for key in state if key.rsplit(".", 1)[0] + "." in names}


@pytest.mark.parametrize("arch", ["toy", "resnet18", "resnet38"])
def test_of_affinitynet_all_but_the_stem_and_norms_learns(cams: Path, tmp_path: Path, arch: str) -> None:
    width = 2 if arch == "resnet38" else 4
    start = classifier(tmp_path / "start.safetensors", arch, width)
    train("affinitynet", cams, tmp_path / "x.safetensors", Start(init=start), {"epochs": 2})
    changed, same = parts_that_changed(start, tmp_path / "x.safetensors")
    stem = load_affinity(tmp_path / "x.safetensors", "affinitynet").network.trunk.stem_names
    rests = {key for key in changed | same if key.split(".")[0] in stem} | norms_of(start)
    assert same == rests
    assert changed


@pytest.mark.parametrize("arch", ["toy", "resnet50-irn"])
def test_of_irn_the_branches_alone_learn(cams: Path, tmp_path: Path, arch: str) -> None:
    start = classifier(tmp_path / "start.safetensors", arch, 4)
    for epochs in (1, 2):
        train("irn", cams, tmp_path / f"{epochs}.safetensors", Start(init=start), {"epochs": epochs})
        changed, same = parts_that_changed(start, tmp_path / f"{epochs}.safetensors")
        assert not changed
        assert norms_of(start) <= same
    changed, same = parts_that_changed(tmp_path / "1.safetensors", tmp_path / "2.safetensors")
    assert {key for key in changed | same if key.startswith("fc_edge")} == changed


def test_norms_learn_where_they_are_to(cams: Path, tmp_path: Path) -> None:
    start = classifier(tmp_path / "start.safetensors")
    train("affinitynet", cams, tmp_path / "x.safetensors", Start(init=start), {"freeze_norm": False, "freeze": ()})
    changed, same = parts_that_changed(start, tmp_path / "x.safetensors")
    assert same == set()
    train("irn", cams, tmp_path / "i.safetensors", Start(init=start), {"freeze_norm": False})
    changed, same = parts_that_changed(start, tmp_path / "i.safetensors")
    assert changed == set()  # its trunk is frozen all the same


def test_a_stem_that_does_not_learn_rests_though_norms_learn(cams: Path, tmp_path: Path) -> None:
    """As modules that are frozen by their names do."""
    start = classifier(tmp_path / "start.safetensors")
    for name, freeze in (("stem", ("stem",)), ("names", ("trunk.stem", "trunk.stem_norm"))):
        train(
            "affinitynet", cams, tmp_path / f"{name}.safetensors", Start(init=start),
            {"freeze_norm": False, "freeze": freeze},
        )  # fmt: skip
    frozen, by_name = (load_file(tmp_path / f"{name}.safetensors") for name in ("stem", "names"))
    before = load_file(start)
    stem = {key for key in before if key.split(".")[0] in ("stem", "stem_norm")}
    assert {key for key in stem if not torch.equal(by_name[key], before[key])} == set()
    assert {key for key in stem if not torch.equal(frozen[key], before[key])} == set()
    assert all(torch.equal(frozen[key], value) for key, value in by_name.items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_the_kind_goes_on_with_all_its_weights(cams: Path, tmp_path: Path, kind: AffinityKind) -> None:
    """At a rate too small to change a number; from anything else the branches begin anew."""
    first, still = tmp_path / "first.safetensors", {"rate": 1e-30, "weight_decay": 0.0}
    train(kind, cams, first)
    train(kind, cams, tmp_path / "more.safetensors", Start(init=first), still)
    before, after = load_file(first), load_file(tmp_path / "more.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    for factor in (1.0, 50.0):  # nothing is new in it that would have to learn faster
        changes = {"head_factor": factor, "rate": 0.001}
        train(kind, cams, tmp_path / f"{factor}.safetensors", Start(init=first), changes)
    assert parts_that_changed(tmp_path / "1.0.safetensors", tmp_path / "50.0.safetensors")[0] == set()
    start = classifier(tmp_path / "start.safetensors")
    for seed in (0, 1):
        train(kind, cams, tmp_path / f"{seed}.safetensors", Start(init=start), {**still, "seed": seed})
    changed, _ = parts_that_changed(tmp_path / "0.safetensors", tmp_path / "1.safetensors")
    own = {"f8_3.weight", "f8_4.weight", "f8_5.weight", "f9.weight"}
    assert own <= changed if kind == "affinitynet" else "fc_edge1.0.weight" in changed
    assert {key for key in changed if not key.startswith(("f8_", "f9", "fc_edge"))} == set()


@pytest.mark.parametrize(("kind", "other"), [KINDS, KINDS[::-1]])
def test_a_network_of_the_other_kind_is_no_start(
    cams: Path, tmp_path: Path, kind: AffinityKind, other: AffinityKind
) -> None:
    train(other, cams, tmp_path / "other.safetensors")
    refused(cams, tmp_path, f"of kind '{other}'", kind=kind, start=Start(init=tmp_path / "other.safetensors"))


def test_what_has_no_effect_on_a_network_to_go_on_with_is_refused(cams: Path, tmp_path: Path) -> None:
    """As it is where the start is a classifier."""
    train("affinitynet", cams, tmp_path / "first.safetensors")
    first = tmp_path / "first.safetensors"
    refused(cams, tmp_path, "--width", start=Start(init=first, width=8))
    refused(cams, tmp_path, "is not resnet18", start=Start(init=first, arch="resnet18"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"radius": 1}, "--radius 1: give a number from 2 to 20"),
        ({"radius": 21}, "--radius 21: give a number from 2 to 20"),
        ({"radius": -5}, "--radius -5"),
        ({"start": Start()}, "what to train?"),
        ({"start": Start(arch="vgg16", width=2)}, "vgg16 has no levels"),
        ({"start": Start(arch="resnet99")}, "--arch resnet99 is not known"),
        ({"start": Start(init=Path("no.pth"))}, "no.pth"),
        ({"start": Start(init=Path("toy"), width=4)}, "--width is for networks that start from nothing"),
        ({"name": "x.pth"}, "give a name that ends so"),
        ({"name": "no/x.safetensors"}, "is no folder"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_trained_is_told(
    cams: Path, tmp_path: Path, kind: AffinityKind, options: Mapping[str, Any], told: str
) -> None:
    refused(cams, tmp_path, told, kind, **options)


def test_modules_that_are_not_there_or_are_all_there_is(cams: Path, tmp_path: Path) -> None:
    train("affinitynet", cams, tmp_path / "x.safetensors")  # labels, which are made before
    for freeze, told in ((("trunk.block9",), "no such module"), (("trunk", "f8_3", "f8_4", "f8_5", "f9"), "nothing")):
        with pytest.raises(UsageError, match=told):
            train("affinitynet", cams, tmp_path / "y.safetensors", changes={"freeze": freeze})
    assert not (tmp_path / "y.safetensors").exists()


@pytest.mark.parametrize("value", [0, 2])
def test_labels_of_one_kind_alone_are_survived(photos: World, tmp_path: Path, value: int) -> None:
    masks = masks_store(tmp_path / "masks.h5", photos, lambda mask: np.full_like(mask, value))
    for kind in KINDS:
        trained = train(kind, masks, tmp_path / f"{kind}.safetensors")
        row = trained.history[-1]
        learned = {name for name in ("background", "foreground", "different") if row[f"loss_{name}"]}
        assert learned == {0: {"background"}, 2: {"foreground"}}[value]


def test_published_classifiers_are_starts(cams: Path, tmp_path: Path) -> None:
    """The IRN family's has its keys under another name."""
    path = tiny_checkpoint(tmp_path / "published.pth", "resnet50-irn", width=4)
    for kind in KINDS:
        train(kind, cams, tmp_path / f"{kind}.safetensors", Start(init=path))
        assert load_affinity(tmp_path / f"{kind}.safetensors", kind).arch == "resnet50-irn"
    published, ours = torch.load(path), load_file(tmp_path / "irn.safetensors")
    assert torch.equal(ours["layer3.1.conv2.weight"], published["resnet50.layer3.1.conv2.weight"])


def test_bfloat16_learns_nearly_the_same(cams: Path, tmp_path: Path) -> None:
    rows = []
    for precision in ("float32", "bfloat16"):
        runtime = Runtime(precision=precision, workers=0)  # type: ignore[arg-type]
        trained = train("irn", cams, tmp_path / f"{precision}.safetensors", runtime=runtime)
        rows.append([value for name, value in trained.history[-1].items() if name.startswith("loss")])
    assert rows[0] != rows[1]
    np.testing.assert_allclose(rows[1], rows[0], rtol=0.1, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_info_describes_it(cams: Path, tmp_path: Path, kind: AffinityKind) -> None:
    """As it does every other checkpoint."""
    train(kind, cams, tmp_path / "x.safetensors")
    facts = describe_file(tmp_path / "x.safetensors")
    assert (facts["kind"], facts["arch"]) == ("checkpoint", "toy")
    assert facts["provenance"]["command"] == ("affinity-train" if kind == "affinitynet" else "irn-train")
    assert kind in "\n".join(lines_of(facts))
