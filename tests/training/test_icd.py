"""What a training of ICD shows its network, and the losses of a step; alone and on two ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

from camkit.errors import ImageError
from camkit.methods.icd import bottom_up_scores, top_down_scores
from camkit.methods.response import network_input
from camkit.models import zoo
from camkit.models.classifier import ClassifierNetwork
from camkit.models.icd import IcdNetwork, IcdPlan
from camkit.pipeline.device import Device
from camkit.pipeline.load import Failure
from camkit.settings.icd import IcdRecipe
from camkit.settings.recipe import Augmentation, Recipe
from camkit.store.reader import Reader, open_store
from camkit.store.schema import Header
from camkit.store.writer import Writer
from camkit.training.classify import Item
from camkit.training.classify import Sample as Seen
from camkit.training.icd import Batch, Sample, collate, load_sample, losses
from camkit.training.optimiser import make_optimiser
from camkit.training.planes import OUTSIDE, WithPlane, WithPlanes
from camkit.training.ranks import Ranks
from camkit.types import Activation, no_classes

CPU = Device(torch.device("cpu"), "float32")
PAPER = IcdRecipe()
FILL = (124, 116, 104)
load = partial(load_sample, augmentation=Augmentation(), num_classes=3, fill=FILL)


def photo_of(folder: Path, regions: np.ndarray) -> Item:
    """A photo whose colours say its superpixels."""
    levels = (20 * regions).astype(np.uint8)
    Image.fromarray(np.repeat(levels[..., None], 3, -1)).save(folder / "p.png")
    return Item("p", folder / "p.png", (1,))


def quarters(height: int, width: int) -> np.ndarray:
    rows, columns = np.indices((height, width))
    return (1 + 2 * (rows >= height // 2) + (columns >= width // 2)).astype(np.uint16)


@pytest.mark.parametrize("seed", range(6))
def test_superpixels_stay_on_their_pixels(tmp_path: Path, seed: int) -> None:
    regions = quarters(60, 80)
    item = WithPlane(photo_of(tmp_path, regions), regions)
    augmentation = Augmentation(scale_range=(0.5, 1.5), crop=72)
    sample = load(item, np.random.default_rng(seed), augmentation=augmentation)
    assert isinstance(sample, Sample)
    assert sample.superpixels.shape == sample.seen.photo.shape[:2] == (72, 72)
    outside = sample.superpixels == OUTSIDE
    assert (sample.seen.photo[outside] == FILL).all()
    expected = 20 * sample.superpixels[~outside]
    agree = np.abs(sample.seen.photo[~outside][:, 0].astype(int) - expected) <= 4
    assert agree.mean() > 0.85  # all but the seams between quarters
    assert set(np.unique(sample.superpixels)) <= {OUTSIDE, 1, 2, 3, 4}
    assert sample.seen.target.tolist() == [0, 1, 0]


def test_many_superpixels_keep_their_numbers(tmp_path: Path) -> None:
    regions = np.arange(300 * 300, dtype=np.uint32).reshape(300, 300)
    sample = load(WithPlane(photo_of(tmp_path, np.zeros((300, 300))), regions), np.random.default_rng(0))
    assert isinstance(sample, Sample)
    assert sample.superpixels.max() == 89_999
    mirrored = sample.superpixels[0, 0] != 0
    np.testing.assert_array_equal(sample.superpixels, regions[:, ::-1] if mirrored else regions)


def test_without_superpixels_the_photo_is_one(tmp_path: Path) -> None:
    sample = load(WithPlane(photo_of(tmp_path, quarters(20, 30)), None), np.random.default_rng(0))
    assert isinstance(sample, Sample)
    assert not sample.superpixels.any()


def store_of(path: Path, header: Header, **superpixels: np.ndarray) -> Reader:
    with Writer(path, header, list(superpixels)) as writer:
        for id, values in superpixels.items():
            writer.write(Activation(id, values, no_classes(), (values.shape[0], values.shape[1])))
        writer.finish()
    return open_store(path)


def test_what_does_not_fit_a_photo_is_told(tmp_path: Path) -> None:
    photo = photo_of(tmp_path, quarters(20, 30))
    failure = load(WithPlane(photo, quarters(30, 20)), np.random.default_rng(0))
    assert isinstance(failure, Failure)
    assert "is 30x20, but the store was made from a photo of 20x30" in str(failure.error)
    known = Failure("p", ImageError("cannot be read"))
    assert load(WithPlane(photo, known), np.random.default_rng(0)) is known
    gone = load(WithPlane(replace(photo, path=tmp_path / "gone.png"), quarters(20, 30)), np.random.default_rng(0))
    assert isinstance(gone, Failure)
    header = Header("superpixels", (), "")
    with store_of(tmp_path / "s.h5", header, p=quarters(20, 30) - 1) as store:
        items = WithPlanes([photo, replace(photo, id="q")], store)
        np.testing.assert_array_equal(items[0].plane, quarters(20, 30) - 1)
        assert len(items) == 2
        assert isinstance(items[1].plane, Failure)


def test_batches_are_filled_up_and_know_where() -> None:
    samples = [
        Sample(
            Seen(np.full((size, 50, 3), 9, np.uint8), np.eye(3, dtype=np.float32)[0]), np.full((size, 50), 2, np.int32)
        )
        for size in (40, 56)
    ]
    batch = collate(samples, device=CPU, fill=FILL)
    assert batch.seen.images.shape == (2, 3, 56, 50)
    assert batch.superpixels.dtype == torch.int64
    assert (batch.superpixels[0, 40:] == OUTSIDE).all()
    assert (batch.superpixels[0, :40] == 2).all()
    assert (batch.superpixels[1] == 2).all()
    assert batch.seen.images[0, :, 45, 0].tolist() == list(FILL)


def network_of(seed: int = 0) -> IcdNetwork:
    torch.manual_seed(seed)
    return IcdNetwork(zoo.build("toy", 3, width=4), IcdPlan(hidden=8)).train()


def batch_of(present: Sequence[Sequence[int]], seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    samples = []
    for classes in present:
        target = np.zeros(3, np.float32)
        target[list(classes)] = 1
        photo = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        samples.append(Sample(Seen(photo, target), rng.integers(0, 5, (48, 64), dtype=np.int32)))
    return collate(samples, device=CPU, fill=FILL)


step = partial(losses, recipe=PAPER, over="sum", with_superpixels=True, ranks=Ranks())


def test_a_step_has_three_losses_and_moves_the_means() -> None:
    network = network_of()
    found = step(network, batch_of([[0], [1], [0, 2]]), 0.0)
    assert list(found) == ["classification", "bottom_up", "top_down"]
    assert found["bottom_up"] < 0
    assert 0 < found["top_down"] < 1e-3
    late = step(network_of(), batch_of([[0], [1], [0, 2]]), 2.0)
    torch.testing.assert_close(late["top_down"], found["top_down"] * np.exp(10), rtol=1e-4, atol=0)
    assert (network.heads.positive + network.heads.negative)[:2].all()
    tenfold = step(network_of(), batch_of([[0], [1], [0, 2]]), 0.0, recipe=replace(PAPER, bottom_up_weight=10.0))
    torch.testing.assert_close(tenfold["bottom_up"], 10 * found["bottom_up"])


def test_without_a_top_down_branch_two_losses_are_left() -> None:
    torch.manual_seed(0)
    network = IcdNetwork(zoo.build("toy", 3, width=4), IcdPlan(hidden=8, top_down=False)).train()
    found = step(network, batch_of([[0], [1], [0, 2]]), 2.0)
    assert list(found) == ["classification", "bottom_up"]
    sum(found.values(), torch.zeros(())).backward()
    assert network.heads.directions.grad is not None
    assert network.heads.directions.grad.any()
    assert (network.heads.positive + network.heads.negative)[:2].all()


def test_copies_learn_as_the_trunk_and_the_last_layers_faster() -> None:
    network = network_of()
    optimiser = make_optimiser(network, ["heads.directions", "heads.adapted"], Recipe(rate=0.1, head_factor=10.0))
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    faster = {name for name, p in network.named_parameters() if rates[id(p)] == 1.0}
    assert faster == {"heads.directions", "heads.adapted.weight", "heads.adapted.bias"}
    assert len(rates) == len(list(network.parameters()))


def test_photos_of_several_classes_do_not_teach_directions() -> None:
    network = network_of()
    found = step(network, batch_of([[0, 1], [1, 2]]), 0.0)
    assert found["bottom_up"] == 0
    sum(found.values(), torch.zeros(())).backward()
    assert network.heads.directions.grad is not None
    assert not network.heads.directions.grad.any()
    network = network_of().eval()
    alone, mixed = (step(network, batch_of(classes), 0.0)["bottom_up"] for classes in ([[0]], [[0], [1, 2]]))
    torch.testing.assert_close(alone, mixed)
    assert alone < 0


def test_options_change_what_is_taught() -> None:
    batch = batch_of([[0], [1], [0, 2]])
    plain = step(network_of(), batch, 2.0)
    for changed in (
        step(network_of(), batch, 2.0, with_superpixels=False),
        step(network_of(), batch, 2.0, recipe=replace(PAPER, ignore_band=0.5)),
        step(network_of(), batch, 2.0, recipe=replace(PAPER, superpixel_vote="sign")),
    ):
        assert changed["top_down"] != plain["top_down"]
        torch.testing.assert_close(changed["bottom_up"], plain["bottom_up"])
    assert (
        step(network_of(), batch, 2.0, recipe=replace(PAPER, bottom_up="absolute"))["bottom_up"] != plain["bottom_up"]
    )


def test_filling_up_teaches_nothing() -> None:
    """In ICD's branches; the classifier sees the filling, as in every training."""
    batch = batch_of([[0], [1]])
    wider = Batch(batch.seen, batch.superpixels.clone())
    wider.superpixels[:, :, 32:] = OUTSIDE
    other = Batch(batch.seen._replace(images=batch.seen.images.clone()), wider.superpixels)
    other.seen.images[:, :, :, 60:] += 50
    results = []
    for one in (wider, other):
        network = network_of().eval()
        network.heads.norm.train()
        found = step(network, one, 2.0)
        results.append(torch.stack([found["bottom_up"], found["top_down"], network.heads.positive.sum()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-5)


class Colours(ClassifierNetwork):
    """Features are colours, mixed; the linear layer knows one part of the foreground."""

    published = ()
    native_stride = output_stride = 1

    def __init__(self) -> None:
        super().__init__()
        mix = nn.Conv2d(3, 16, 1).requires_grad_(requires_grad=False)
        self.stages = nn.ModuleDict(
            {"first": nn.Sequential(mix, nn.ReLU()), "second": nn.Identity(), "third": nn.Identity()}
        )
        self.head = nn.Linear(16, 2)

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        return dict(self.stages.items())

    def features(self, x: Tensor) -> Tensor:
        for stage in self.layers.values():
            x = stage(x)
        return x


@pytest.mark.parametrize("seed", range(5))
def test_both_branches_find_the_object_from_any_start(seed: int) -> None:
    """A square of two colours on another: the classifier looks for one of the two."""
    photos = torch.full((4, 3, 12, 12), 40.0)
    masks = torch.zeros(4, 12, 12, dtype=torch.bool)
    masks[:, 3:9, 2:9] = True
    photos[:, 0] += 160 * masks
    photos[:, 1, 3:5] += 40 * masks[:, 3:5]
    torch.manual_seed(seed)
    photos += 8 * torch.randn_like(photos)
    network = IcdNetwork(Colours(), IcdPlan(hidden=16)).train()
    with torch.no_grad():
        features = network.features(network_input(photos, network))
        network.weight[:] = features[:, :, 3:5, 2:9].mean((0, 2, 3)) - features[:, :, 6:].mean((0, 2, 3))
    batch = Batch(batch_of([[0]]).seen._replace(images=photos, targets=torch.eye(2)[[0, 1, 0, 1]]), masks.long())
    optimiser = make_optimiser(network, ["heads"], Recipe(rate=0.01))
    for number in range(80):
        optimiser.zero_grad()
        sum(step(network, batch, number / 30).values(), torch.zeros(())).backward()
        optimiser.step()
    network.eval()
    for scores in (bottom_up_scores, top_down_scores):
        found = scores(photos, torch.tensor([[0], [1], [0], [1]]), network)[:, 0] > 0
        assert (found == masks).float().mean() > 0.97


def rank_step(rank: int, folder: Path) -> None:
    """A rank's share of a batch, of which one half has a photo more, and other classes."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    network = still(network_of())
    share = [batch_of([[0], [1], [0, 2]]), batch_of([[1], [2, 0]], seed=1)][rank]
    module = nn.parallel.DistributedDataParallel(Step(network, Ranks(rank, 2)))
    (module(share) * len(share.superpixels) * 2 / 5).backward()
    torch.save(outcome(network), folder / f"{rank}.pt")
    dist.destroy_process_group()


class Step(nn.Module):
    def __init__(self, network: IcdNetwork, ranks: Ranks) -> None:
        super().__init__()
        self.network, self.ranks = network, ranks

    def forward(self, batch: Batch) -> Tensor:
        return sum(step(self.network, batch, 2.0, ranks=self.ranks).values(), torch.zeros(()))


def still(network: IcdNetwork) -> IcdNetwork:
    """Batch norms at rest: with them, photos in one batch depend on each other."""
    return network.eval()


def outcome(network: IcdNetwork) -> list[Tensor]:
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return [network.heads.positive, network.heads.negative, *gradients]


@pytest.mark.slow
def test_two_ranks_agree_with_one_process(tmp_path: Path) -> None:
    """Running means as well as gradients, although the shares differ in their photos, and in those of one class."""
    torch.multiprocessing.spawn(rank_step, (tmp_path,), nprocs=2)
    parts = [batch_of([[0], [1], [0, 2]]), batch_of([[1], [2, 0]], seed=1)]
    whole = Batch(
        parts[0].seen._replace(
            images=torch.cat([part.seen.images for part in parts]),
            targets=torch.cat([part.seen.targets for part in parts]),
        ),
        torch.cat([part.superpixels for part in parts]),
    )
    network = still(network_of())
    sum(step(network, whole, 2.0).values(), torch.zeros(())).backward()
    expected = outcome(network)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
