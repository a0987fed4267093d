from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from camkit.errors import UsageError
from camkit.methods.cam import cam, multi_scale_cam
from camkit.methods.infercam import Inference, Patch, Views, _window, infer_cam, infer_photos, passes_of, plan
from camkit.methods.response import normalise, sum_responses
from camkit.methods.split import centre_of_mass, quarters, wrapped_quarters
from camkit.settings.infercam import GPU_SNAP, PRESETS, InferCamSettings
from camkit.types import Activation
from tests.methods.test_response import TinyClassifier, as_batch, photo
from tests.reference import infercam as reference

SCALES = (1.0, 0.5)
PAPER = Inference(margin=None)
ONCE = Views(SCALES, SCALES, SCALES)
COLOUR = [255 * value for value in TinyClassifier.mean]


def run(
    images: torch.Tensor, classes: list[list[int]], inference: Inference = PAPER, views: Views = ONCE,
    size: tuple[int, int] | None = None,
) -> tuple[torch.Tensor, list[dict[str, object]]]:  # fmt: skip
    seen = size or (images.shape[-2], images.shape[-1])
    return infer_cam(
        images, torch.tensor(classes), seen, response=partial(cam, classifier=TinyClassifier()), inference=inference,
        views=views, mean_colour=COLOUR,
    )  # fmt: skip


def patches_of(note: dict[str, object]) -> list[dict[str, object]]:
    found = note["patches"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("classes", [[1], [0, 2], [0, 1, 3]])
@pytest.mark.parametrize("seed", [3, 4])
def test_the_paper_preset_equals_the_slow_reference(classes: list[int], seed: int) -> None:
    equals_the_slow_reference(classes, seed)


@pytest.mark.parametrize("classes", [[1], [0, 2], [0, 1, 3]])
@pytest.mark.parametrize(
    "changes",
    [
        {"margin": 0.16},
        {"margin": 3},
        {"context": 8},
        {"fill": "image"},
        {"fill": "zero", "context": 5},
    ],
)
def test_what_the_paper_does_not_ask_equals_it_too(classes: list[int], changes: dict[str, Any]) -> None:
    equals_the_slow_reference(classes, 4, **changes)


def equals_the_slow_reference(classes: list[int], seed: int, **changes: Any) -> None:
    network, image = TinyClassifier(), photo(44, 60, seed)

    def features(pixels: np.ndarray) -> np.ndarray:
        normalised = (pixels / 255 - np.array(network.mean)) / np.array(network.std)
        return network.features(torch.from_numpy(normalised.astype(np.float32)).permute(2, 0, 1)[None])[0].numpy()

    slow = reference.infer_cam(image, classes, features, network.weight.numpy(), SCALES, **changes)
    maps, notes = run(as_batch(image), [classes], replace(PAPER, **changes))
    patches = patches_of(notes[0])
    assert [tuple(patch["box"]) for patch in patches] == slow.boxes  # type: ignore[arg-type]
    assert [patch["rounds"] for patch in patches] == [len(shares) for shares in slow.shares]
    for patch, shares in zip(patches, slow.shares, strict=True):
        np.testing.assert_allclose(patch["hidden"], shares, atol=5e-3)  # type: ignore[arg-type]
    # a pixel at the threshold may fall on either side of it, and changes what is seen around it
    difference = np.abs(maps[0].numpy() - slow.maps)
    assert np.quantile(difference, 0.99) < 5e-3
    assert difference.max() < 0.1


def test_without_splitting_and_hiding_it_is_cam() -> None:
    image = as_batch(photo(40, 52))
    maps, notes = run(image, [[2, 3]], Inference(split=False, rounds=1))
    expected = multi_scale_cam(image, torch.tensor([[2, 3]]), (40, 52), classifier=TinyClassifier(), scales=SCALES)
    torch.testing.assert_close(maps, expected)
    assert notes[0] == {
        "seen": [40, 52], "centres": [],
        "patches": [{"box": [0, 0, 40, 52], "classes": [2, 3], "rounds": 1, "hidden": [notes_share(maps)]}],
    }  # fmt: skip


def notes_share(maps: torch.Tensor) -> float:
    return round(float((maps[0] > 0.7).any(0).double().mean()), 6)


SETTINGS = st.builds(
    Inference,
    split=st.booleans(), rounds=st.integers(1, 4), threshold=st.sampled_from([0.0, 0.4, 0.7, 1.0]),
    stop=st.sampled_from([0.0, 0.01, 0.5]), fill=st.sampled_from(["mean", "image", "zero", "dataset"]),
    margin=st.sampled_from([None, 0, 0.2, 3, 100]), many_classes=st.sampled_from(["per-class", "whole"]),
)  # fmt: skip
SETTINGS = st.builds(replace, SETTINGS, context=st.sampled_from([0, 5, 200])) | st.builds(
    replace, SETTINGS, published=st.just(True)
)


@settings(max_examples=60, deadline=None)
@given(
    inference=SETTINGS, height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 99),
    flip=st.booleans(),
    classes=st.lists(st.integers(-1, 3), min_size=1, max_size=4, unique=True).map(lambda c: sorted(c, reverse=True)),
)  # fmt: skip
def test_maps_lie_in_0_1_and_the_union_never_falls_below_a_patch(
    inference: Inference, height: int, width: int, seed: int, flip: bool, classes: list[int]
) -> None:
    views = replace(ONCE, flip=flip)
    maps, notes = run(as_batch(photo(height, width, seed)), [classes], inference, views)
    assert maps.shape == (1, len(classes), height, width)
    assert maps.min() >= 0
    assert maps.max() <= 1
    for row, c in enumerate(classes):
        assert c >= 0 or (maps[0, row] == 0).all()
    for patch in patches_of(notes[0]):
        top, left, bottom, right = patch["box"]  # type: ignore[misc]
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        assert 1 <= patch["rounds"] <= inference.rounds  # type: ignore[operator]
        shares = patch["hidden"]
        assert all(-1e-6 <= share <= 1 for share in shares)  # type: ignore[attr-defined]
        assert sum(shares) <= 1 + 1e-5  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), rounds=st.integers(1, 3), many=st.booleans())
def test_more_rounds_never_lower_a_map(seed: int, rounds: int, many: bool) -> None:
    image, classes = as_batch(photo(30, 26, seed)), [[0, 1, 2]] if many else [[3, 1]]
    fewer, _ = run(image, classes, Inference(rounds=rounds, stop=0.0))
    more, _ = run(image, classes, Inference(rounds=rounds + 1, stop=0.0))
    assert (more >= fewer - 1e-6).all()


def test_the_batch_does_not_change_what_is_seen() -> None:
    first, second, third = photo(36, 40, 1), photo(36, 40, 2), photo(36, 40, 3)
    classes = [[0, -1, -1], [1, 2, -1], [0, 1, 3]]
    together, notes = run(as_batch(first, second, third), classes)
    for n, image in enumerate((first, second, third)):
        alone, note = run(as_batch(image), [classes[n]])
        assert note[0] == notes[n]
        torch.testing.assert_close(together[n : n + 1], alone, atol=1e-4, rtol=0)
    assert (together[0, 1:] == 0).all()


def test_a_blind_response_is_split_in_the_middle_and_stops() -> None:
    maps, notes = infer_cam(
        as_batch(photo(40, 60)), torch.tensor([[1]]), (10, 15), inference=Inference(), views=ONCE, mean_colour=COLOUR,
        response=lambda images, classes: images.new_zeros(*classes.shape, 5, 5),
    )  # fmt: skip
    assert maps.shape == (1, 1, 10, 15)
    assert (maps == 0).all()
    assert notes[0]["centres"] == [[20, 30]]
    assert [patch["hidden"] for patch in patches_of(notes[0])] == [[0.0]] * 4


def test_what_was_hidden_is_filled_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second round sees the patch with one half in the patch's mean colour, mirrored in the mirror image."""
    seen: list[torch.Tensor] = []

    def left_half(images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        maps = torch.zeros(len(images), 1, *images.shape[-2:])
        maps[: len(images) // 2, :, :, :10] = 1
        maps[len(images) // 2 :, :, :, 10:] = 1
        return maps

    image = as_batch(photo(20, 20))
    views = Views((1.0,), (1.0,), (1.0,))
    inference = Inference(split=False, rounds=2)
    infer_cam(
        image, torch.tensor([[0]]), (20, 20), response=left_half, inference=inference, views=views, mean_colour=COLOUR
    )
    torch.testing.assert_close(seen[0][:1], image)
    straight, mirrored = seen[1]
    colour = image.mean((2, 3))[0]
    torch.testing.assert_close(straight[:, :, :10], colour[:, None, None].expand(3, 20, 10))
    torch.testing.assert_close(straight[:, :, 10:], image[0, :, :, 10:])
    torch.testing.assert_close(mirrored, straight.flip(-1))
    seen.clear()
    infer_cam(
        image, torch.tensor([[0]]), (20, 20), response=left_half, inference=replace(inference, published=True),
        views=views, mean_colour=COLOUR,
    )  # fmt: skip
    unturned = seen[1][1]
    torch.testing.assert_close(unturned[:, :, :10], colour[:, None, None].expand(3, 20, 10))
    torch.testing.assert_close(unturned[:, :, 10:], image[0].flip(-1)[:, :, 10:])


def test_context_is_seen_but_not_kept() -> None:
    shapes: set[tuple[int, int]] = set()

    def response(images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        shapes.add((images.shape[-2], images.shape[-1]))
        return cam(images, classes, TinyClassifier())

    image, views = as_batch(photo(40, 40)), Views((1.0,), (1.0,), (1.0,))
    _, notes = infer_cam(
        image, torch.tensor([[1]]), (40, 40), response=response, inference=Inference(rounds=1, context=7), views=views,
        mean_colour=COLOUR,
    )  # fmt: skip
    sizes = set()
    for patch in patches_of(notes[0]):
        top, left, bottom, right = patch["box"]  # type: ignore[misc]
        sizes.add((min(40, bottom + 7) - max(0, top - 7), min(40, right + 7) - max(0, left - 7)))
    assert shapes - {(40, 40)} == sizes - {(40, 40)}


def test_the_published_boxes_begin_before_the_end() -> None:
    """As in the authors' run: centres at columns 4 and 97 of 203, margin 20."""
    found = wrapped_quarters([(168, 4), (90, 97)], (203, 203), 20)
    assert found == [(0, 0, 188, 117), (0, 187, 188, 203), (70, 0, 203, 117), (70, 187, 203, 203)]
    assert quarters([(168, 4), (90, 97)], (203, 203), 20)[1] == (0, 0, 188, 203)


def test_the_published_program_splits_where_we_do(oracles: Path) -> None:
    """Its maps of one class and of two → its centres and boxes; and its numbers are those of the preset."""
    from camkit.settings.infercam import settings_of

    described = json.loads((oracles / "infercam.json").read_text())
    numbers, preset = described["params"], settings_of("published", {})
    assert (preset.threshold, preset.stop, preset.rounds) == tuple(
        numbers[name] for name in ("threshold", "stop", "max_rounds")
    )
    assert (list(preset.scales), preset.flip) == (numbers["scales"], numbers["flip"])
    maps = np.load(oracles / "psa_cam.npz")
    for id, told in described["images"].items():
        height, width = told["size_hw"]
        centres = [centre_of_mass(one, (height, width)) for one in maps[f"{id}_norm_cam"]]
        assert [list(centre) for centre in centres] == list(told["mass_center_int_yx"].values())
        parts = plan(0, torch.arange(len(centres)), centres, (height, width), settings_of("published", {}))
        assert [in_their_order(patch.box) for patch in parts] == told["split_boxes_y0y1x0x1"]


def in_their_order(box: Sequence[int]) -> list[int]:
    top, left, bottom, right = box
    return [top, bottom, left, right]


def infer_as_published(oracles: Path, folder: Path, ids: Sequence[str]) -> list[Activation]:
    import camkit
    from camkit.settings.infercam import settings_of
    from tests.support.oracles import seeded_checkpoint

    described = json.loads((oracles / "infercam.json").read_text())["images"]
    rows = [f"{id},{','.join(map(str, described[id]['label_idx']))}\n" for id in ids]
    (folder / "labels.csv").write_text("".join(rows))
    (folder / "list.txt").write_text("\n".join(ids))
    camkit.infercam(
        camkit.Inputs(oracles / "images", list=str(folder / "list.txt"), labels=folder / "labels.csv"),
        camkit.Network(seeded_checkpoint(oracles, "resnet38_cls", folder / "published.pth")),
        camkit.Output(folder / "maps.h5", dtype="float32"),
        settings=settings_of("published", {}),
        size="full",
    )
    with camkit.open_store(folder / "maps.h5") as store:
        assert list(store.ids) == ids
        return list(store)


@pytest.mark.slow
def test_parity_with_the_published_programs_narrow_patches(
    oracles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the quickest photo; and PSA's maps, which say where it is split, are compared too."""
    id = "2007_000003"
    told = json.loads((oracles / "infercam.json").read_text())["images"][id]
    planned: list[Patch] = []
    sums: list[torch.Tensor] = []

    def narrow(*arguments: Any) -> list[Patch]:
        planned.extend(plan(*arguments))
        return [patch for patch in planned if patch.size[1] == 16]

    def kept(*arguments: Any, **options: Any) -> torch.Tensor:
        sums.append(sum_responses(*arguments, **options))
        return sums[-1].clone()

    monkeypatch.setattr("camkit.methods.infercam.plan", narrow)
    monkeypatch.setattr("camkit.methods.infercam.sum_responses", kept)
    (activation,) = infer_as_published(oracles, tmp_path, [id])
    cams = normalise(*sums)[0].numpy()
    np.testing.assert_allclose(cams, np.load(oracles / "psa_cam.npz")[f"{id}_norm_cam"], rtol=0, atol=2e-3)
    assert [in_their_order(patch.box) for patch in planned] == told["split_boxes_y0y1x0x1"]
    patches = activation.notes["patches"]
    assert [in_their_order(patch["box"]) for patch in patches] == told["split_boxes_y0y1x0x1"][1::2]
    assert [patch["rounds"] for patch in patches] == told["png"]["rounds_per_split"][1::2]
    expected = np.load(oracles / "infercam.npz")[f"{id}_png_maps"]
    assert not expected[..., 117:187].any()  # the wide patches end at column 117
    np.testing.assert_allclose(activation.values[..., 117:], expected[..., 117:], rtol=0, atol=5e-3)


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("CAMKIT_ORACLES") != "all", reason="takes minutes: CAMKIT_ORACLES=all")
def test_parity_with_the_published_program(oracles: Path, tmp_path: Path) -> None:
    described = json.loads((oracles / "infercam.json").read_text())["images"]
    expected = np.load(oracles / "infercam.npz")
    for activation in infer_as_published(oracles, tmp_path, sorted(described)):
        told = described[activation.id]
        patches = activation.notes["patches"]
        assert [in_their_order(patch["box"]) for patch in patches] == told["split_boxes_y0y1x0x1"]
        assert [patch["rounds"] for patch in patches] == told["png"]["rounds_per_split"]
        difference = np.abs(activation.values - expected[f"{activation.id}_png_maps"])
        print(activation.id, difference.max())
        assert difference.max() <= 5e-3


@given(
    seen=st.tuples(st.integers(1, 90), st.integers(1, 90)), snap=st.integers(1, 40), context=st.integers(0, 9),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)  # fmt: skip
def test_windows_grow_to_the_grid_as_far_as_the_image_goes(
    seen: tuple[int, int], snap: int, context: int, corners: tuple[float, float, float, float]
) -> None:
    top, left, bottom, right = (round(share * seen[n % 2]) for n, share in enumerate(corners))
    box = (min(top, bottom), min(left, right), max(top, bottom), max(left, right))
    plain = _window(box, seen, Inference(context=context))
    grown = _window(box, seen, Inference(context=context, snap=snap))
    assert plain == tuple(max(0, box[n] - context) if n < 2 else min(seen[n % 2], box[n] + context) for n in range(4))
    for n in (0, 1):
        assert 0 <= grown[n] <= plain[n]
        assert plain[n + 2] <= grown[n + 2] <= seen[n]
        length = grown[n + 2] - grown[n]
        assert length == min(seen[n], -(-(plain[n + 2] - plain[n]) // snap) * snap)


def together(
    images: list[torch.Tensor], classes: list[list[int]], inference: Inference
) -> tuple[list[torch.Tensor], list[dict[str, Any]], list[tuple[int, ...]]]:
    """Maps, notes, and the shape of every pass."""
    passes: list[tuple[int, ...]] = []

    def response(photos: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        passes.append(tuple(photos.shape))
        return cam(photos, asked, classifier=TinyClassifier())

    found, notes = infer_photos(
        [image[0] for image in images], [torch.tensor(c) for c in classes], [(11, 15)] * len(images),
        response=response, inference=inference, views=ONCE, mean_colour=COLOUR,
    )  # fmt: skip
    return found, notes, passes


def test_photos_of_all_sizes_share_passes_and_get_the_maps_they_get_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [as_batch(photo(height, 60, seed)) for seed, height in enumerate((44, 46, 60, 44))]
    classes, snapped = [[1], [0, 2], [0, 1, 3], [2]], Inference(snap=32, rounds=2)
    found, notes, passes = together(images, classes, snapped)
    alone = [together([image], [asked], snapped) for image, asked in zip(images, classes, strict=True)]
    for maps, note, one in zip(found, notes, alone, strict=True):
        torch.testing.assert_close(maps, one[0][0], atol=1e-4, rtol=1e-4)
        assert [patch["box"] for patch in note["patches"]] == [patch["box"] for patch in one[1][0]["patches"]]
    assert len(passes) < 0.9 * sum(len(one[2]) for one in alone)
    monkeypatch.setattr("camkit.methods.infercam.LARGEST_PASS", 5000)
    small, _, more = together(images, classes, snapped)
    assert len(more) > len(passes)
    assert max(shape[0] * shape[2] * shape[3] for shape in more) <= 2 * 5000
    for maps, one in zip(small, found, strict=True):
        torch.testing.assert_close(maps, one, atol=1e-4, rtol=1e-4)


def test_a_grid_of_one_pixel_is_the_exact_mode_but_for_rounding() -> None:
    images, classes = [as_batch(photo(44, 60, 3)), as_batch(photo(30, 50, 4))], [[1], [0, 1, 3]]
    found, _, _ = together(images, classes, Inference(snap=1))
    for image, asked, maps in zip(images, classes, found, strict=True):
        exact, _ = run(image, [asked], Inference(), size=(11, 15))
        torch.testing.assert_close(maps, exact[0], atol=1e-4, rtol=1e-4)


def test_batches_on_a_gpu_have_few_sizes() -> None:
    assert [passes_of(n) for n in (1, 2, 3, 4, 5, 8, 9, 33)] == [1, 2, 4, 4, 8, 8, 16, 64]


def test_the_grid_is_the_default_on_a_gpu_alone() -> None:
    assert [InferCamSettings().on(device).snap for device in ("cpu", "cuda")] == [0, GPU_SNAP]
    assert PRESETS["published"].on("cuda").snap == 0
    assert InferCamSettings(snap=0).on("cuda").snap == 0
    with pytest.raises(UsageError, match="--snap is not part of the published program"):
        replace(PRESETS["published"], snap=32)
