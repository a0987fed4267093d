"""What AffinityNet and IRN are shown, and the losses of a step; alone and on two ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from PIL import Image
from torch import Tensor, nn

from camkit.errors import StoreError
from camkit.methods.response import normalised
from camkit.methods.walk.affinity import boundary_affinity, feature_affinity
from camkit.models import zoo
from camkit.models.affinity import AffinityNet, BoundaryNet, start_affinity
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.recipe import Augmentation, Recipe
from camkit.training.affinity import Batch, collate, load_sample, losses
from camkit.training.classify import Item
from camkit.training.optimiser import make_optimiser
from camkit.training.planes import Warped, WithPlane
from camkit.training.ranks import Ranks
from camkit.types import AffinityKind
from tests.reference import pairs as reference
from tests.reference import walk

CPU = Device(torch.device("cpu"), "float32")
FILL = (124, 116, 104)
KINDS: tuple[AffinityKind, ...] = ("affinitynet", "irn")
load = partial(load_sample, augmentation=Augmentation(), num_classes=3, fill=FILL)
step = partial(losses, epochs_done=0.0, radius=3, ranks=Ranks())


def photo_of(folder: Path, labels: np.ndarray) -> Item:
    """A photo whose colours say its labels; undecided is white."""
    levels = np.where(labels > 3, 250, 40 * labels).astype(np.uint8)
    Image.fromarray(np.repeat(levels[..., None], 3, -1)).save(folder / "p.png")
    return Item("p", folder / "p.png", ())


def quarters(height: int, width: int) -> np.ndarray:
    """Background, two classes, undecided."""
    rows, columns = np.indices((height, width))
    below, right = rows >= height // 2, columns >= width // 2
    return np.where(below & right, 255, 2 * below + 1 * right).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_labels_stay_on_their_pixels(tmp_path: Path, seed: int) -> None:
    labels = quarters(60, 80)
    augmentation = Augmentation(scale_range=(0.5, 1.5), crop=72)
    sample = load(WithPlane(photo_of(tmp_path, labels), labels), np.random.default_rng(seed), augmentation=augmentation)
    assert isinstance(sample, Warped)
    assert sample.photo.shape[:2] == sample.plane.shape == (72, 72)
    filled = (sample.photo == FILL).all(axis=-1)
    assert (sample.plane[filled] == -1).all()
    inside = ~filled
    expected = np.where(sample.plane[inside] == -1, 250, 40 * sample.plane[inside])
    agree = np.abs(sample.photo[inside][:, 0].astype(int) - expected) <= 6
    assert agree.mean() > 0.85  # all but the seams between quarters
    assert set(np.unique(sample.plane).tolist()) <= {-1, 0, 1, 2}


def test_jitter_changes_colours_alone(tmp_path: Path) -> None:
    labels = quarters(20, 30)
    item = WithPlane(photo_of(tmp_path, labels), labels)
    plain, varied = (
        load(item, np.random.default_rng(3), augmentation=Augmentation(jitter=jitter)) for jitter in (0.0, 0.3)
    )
    assert isinstance(plain, Warped)
    assert isinstance(varied, Warped)
    np.testing.assert_array_equal(plain.plane, varied.plane)
    assert (plain.photo != varied.photo).any()


@pytest.mark.parametrize(("dtype", "undecided"), [(np.uint8, 255), (np.uint16, 65535), (np.uint16, 256)])
def test_numbers_beyond_the_classes_are_undecided(tmp_path: Path, dtype: type, undecided: int) -> None:
    labels = np.array([[0, 1, 2, 3], [4, undecided, 3, 0]], dtype)
    sample = load(
        WithPlane(photo_of(tmp_path, labels), labels), np.random.default_rng(0), augmentation=Augmentation(flip=False)
    )
    assert isinstance(sample, Warped)
    assert sample.plane.tolist() == [[0, 1, 2, 3], [-1, -1, 3, 0]]


def test_many_classes_keep_their_numbers(tmp_path: Path) -> None:
    labels = np.arange(40_000, dtype=np.uint16).reshape(200, 200)
    item = WithPlane(photo_of(tmp_path, np.zeros((200, 200))), labels)
    sample = load(item, np.random.default_rng(0), num_classes=39_998, augmentation=Augmentation(flip=False))
    assert isinstance(sample, Warped)
    assert sample.plane[-1, -1] == -1
    np.testing.assert_array_equal(sample.plane.ravel()[:-1], np.arange(39_999))


def test_what_cannot_be_shown_is_told(tmp_path: Path) -> None:
    labels = quarters(20, 30)
    photo = photo_of(tmp_path, labels)
    other = load(WithPlane(photo, quarters(30, 20)), np.random.default_rng(0))
    assert isinstance(other, Failure)
    assert "is 30x20, but the store was made from a photo of 20x30" in str(other.error)
    known = Failure("p", StoreError("damaged"))
    assert load(WithPlane(photo, known), np.random.default_rng(0)) is known
    gone = load(WithPlane(replace(photo, path=tmp_path / "gone.png"), labels), np.random.default_rng(0))
    assert isinstance(gone, Failure)
    assert "gone.png" in str(gone.error)


@pytest.mark.parametrize(
    ("sizes", "canvas"),
    [([(40, 50), (56, 33)], (64, 64)), ([(448, 448)], (448, 448)), ([(1, 1)], (32, 32)), ([(65, 16)], (80, 32))],
)
def test_batches_are_filled_up_undecided(sizes: Sequence[tuple[int, int]], canvas: tuple[int, int]) -> None:
    samples = [Warped(np.full((*size, 3), 9, np.uint8), np.full(size, 2, np.int32)) for size in sizes]
    batch = collate(samples, device=CPU, fill=FILL)
    assert batch.images.shape == (len(sizes), 3, *canvas)
    assert batch.labels.shape == (len(sizes), *canvas)
    assert (batch.images.dtype, batch.labels.dtype) == (torch.float32, torch.int64)
    for images, labels, (height, width) in zip(batch.images, batch.labels, sizes, strict=True):
        inside = torch.zeros(canvas, dtype=torch.bool)
        inside[:height, :width] = True
        assert (labels[inside] == 2).all()
        assert (labels[~inside] == -1).all()
        assert (images[:, inside] == 9).all()
        assert (torch.tensor(FILL) == images[:, ~inside].T).all()


def network_of(kind: AffinityKind, seed: int = 0) -> AffinityNet | BoundaryNet:
    """Batch norms at rest: with them, photos in one batch depend on each other."""
    torch.manual_seed(seed)
    return start_affinity(zoo.build("toy", 3, width=4), "toy", kind).eval()


def batch_of(photos: int, seed: int = 0, size: tuple[int, int] = (32, 48)) -> Batch:
    """Photos of a few pieces, of which some are undecided; each has more that are known than the one before."""
    rng = np.random.default_rng(seed)
    samples = []
    for n in range(photos):
        pieces = rng.choice([-1, 0, 1, 2], (4, 4), p=[0.6 - 0.1 * n, 0.2, 0.1, 0.1 + 0.1 * n])
        labels = np.kron(pieces, np.ones((size[0] // 4, size[1] // 4), int)).astype(np.int32)
        samples.append(Warped(rng.integers(0, 256, (*size, 3), dtype=np.uint8), labels))
    return collate(samples, device=CPU, fill=FILL)


@pytest.mark.parametrize("radius", [2, 5])
def test_a_step_of_affinitynet_has_the_published_loss(radius: int) -> None:
    network, batch = network_of("affinitynet"), batch_of(3)
    found = step(network, batch, radius=radius)
    with torch.no_grad():
        features = network(normalised(batch.images, network.mean, network.std)).numpy()
    labels = np.stack([reference.majorities(plane, 8) for plane in batch.labels.numpy()])
    expected, counts = reference.losses(labels, radius, lambda n, a, b: walk.feature_affinity(features[n], a, b))
    assert min(counts.values()) > 0
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("radius", [2, 4])
def test_a_step_of_irn_has_the_published_loss(radius: int) -> None:
    network, batch = network_of("irn"), batch_of(2)
    found = step(network, batch, radius=radius)
    with torch.no_grad():
        edges = torch.sigmoid(network(normalised(batch.images, network.mean, network.std))).double().numpy()
    labels = batch.labels[:, ::4, ::4].numpy()
    expected, counts = reference.losses(labels, radius, lambda n, a, b: walk.boundary_affinity(edges[n], a, b))
    assert min(counts.values()) > 0
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [-1, 0, 2])
def test_labels_of_one_kind_alone(kind: AffinityKind, label: int) -> None:
    """Nothing is different; undecided photos teach nothing at all, and cost nothing."""
    network, batch = network_of(kind), batch_of(2)
    found = step(network, Batch(batch.images, torch.full_like(batch.labels, label)))
    learns = {-1: set(), 0: {"background"}, 2: {"foreground"}}[label]
    assert {name for name, loss in found.items() if loss.item() != 0} == learns
    sum(found.values(), torch.zeros(())).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients if gradient is not None) == bool(learns)


@pytest.mark.parametrize("kind", KINDS)
def test_what_classes_are_called_does_not_matter(kind: AffinityKind) -> None:
    network, batch = network_of(kind), batch_of(3)
    renamed = Batch(batch.images, torch.tensor([0, 2, 1, -1])[batch.labels])
    assert step(network, batch) == step(network, renamed)


@pytest.mark.parametrize("kind", KINDS)
def test_undecided_photos_do_not_thin_the_loss(kind: AffinityKind) -> None:
    """Means are over the pairs that count, in whichever photos they are."""
    network, batch = network_of(kind), batch_of(3)
    alone = Batch(batch.images[:1], batch.labels[:1])
    beside = Batch(batch.images, torch.cat([batch.labels[:1], torch.full_like(batch.labels[1:], -1)]))
    for name, loss in step(network, alone).items():
        torch.testing.assert_close(step(network, beside)[name], loss, rtol=1e-4, atol=1e-6)


def halves() -> Batch:
    """Left of a line, which is elsewhere in each photo, background, right of it a class; a little noise."""
    rng = np.random.default_rng(0)
    samples = []
    for line in (24, 32, 40, 28):
        labels = np.zeros((64, 64), np.int32)
        labels[:, line:] = 1
        photo = np.where(labels[..., None] > 0, (200, 60, 60), (60, 120, 180)) + rng.integers(-9, 10, (64, 64, 3))
        samples.append(Warped(photo.astype(np.uint8), labels))
    return collate(samples, device=CPU, fill=FILL)


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_told_apart_is_learned(kind: AffinityKind) -> None:
    """IRN's trunk is not even asked to: colours are there to be found."""
    network, batch = network_of(kind), halves()
    if kind == "irn":
        network.trunk.requires_grad_(requires_grad=False)
    optimiser = make_optimiser(network, network.own_modules, Recipe(rate=0.02, head_factor=10.0, momentum=0.9))
    course = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = sum(step(network, batch).values(), torch.zeros(()))
        loss.backward()
        optimiser.step()
        course.append(loss.item())
    assert course[-1] < 0.4 * course[0]
    with torch.no_grad():
        found = network(normalised(batch.images, network.mean, network.std))[0]
    right = feature_affinity(found, 2)[0] if kind == "affinitynet" else boundary_affinity(torch.sigmoid(found), 2)[0]
    line = 24 // network.stride
    within = torch.cat([right[1:-1, 1 : line - 2], right[1:-1, line + 2 : -2]], dim=1)
    assert float(right[1:-1, line - 1].mean()) < 0.5 < float(within.mean())


class Step(nn.Module):
    def __init__(self, network: AffinityNet | BoundaryNet, ranks: Ranks) -> None:
        super().__init__()
        self.network, self.ranks = network, ranks

    def forward(self, batch: Batch) -> Tensor:
        return sum(step(self.network, batch, ranks=self.ranks).values(), torch.zeros(()))


def shares() -> list[Batch]:
    """Of one batch: one has a photo more, and the other's know more."""
    return [batch_of(3), batch_of(2, seed=9)._replace(labels=batch_of(5, seed=9).labels[3:])]


def rank_step(rank: int, folder: Path) -> None:
    """A rank's share as the loop weights it: ranks average their gradients."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    share = shares()[rank]
    for kind in KINDS:
        network = network_of(kind)
        module = nn.parallel.DistributedDataParallel(Step(network, Ranks(rank, 2)))
        (module(share) * len(share.images) * 2 / 5).backward()
        torch.save([parameter.grad for parameter in network.parameters()], folder / f"{kind}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_have_the_gradient_of_one_process(tmp_path: Path) -> None:
    """Though the shares differ in their photos, and in how many pairs of which kind these have."""
    torch.multiprocessing.spawn(rank_step, (tmp_path,), nprocs=2)
    whole = Batch(*(torch.cat(parts) for parts in zip(*shares(), strict=True)))
    for kind in KINDS:
        network = network_of(kind)
        sum(step(network, whole).values(), torch.zeros(())).backward()
        expected = [parameter.grad for parameter in network.parameters()]
        assert any(bool(gradient.any()) for gradient in expected if gradient is not None)
        for rank in (0, 1):
            found = torch.load(tmp_path / f"{kind}-{rank}.pt", weights_only=True)
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
