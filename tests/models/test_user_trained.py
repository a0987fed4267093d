"""Networks of the user's own, begun, written and read again."""

import sys

import pytest
import torch
from torch import nn

from camkit.errors import CheckpointError, UsageError
from camkit.models.checkpoint import load_classifier, load_start, save_classifier
from camkit.models.icd import IcdNetwork, IcdPlan, load_icd, ready_for_icd, save_icd
from camkit.models.user import start_user_model

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    def __init__(self, classes=1000):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.Identity(), nn.ReLU())
        self.fc = nn.Linear(6, classes)
    def features(self, x): return self.body(self.stem(x))
    def forward(self, x): return self.fc(self.features(x).mean(dim=(2, 3)))

class WithLayers(Net):
    @property
    def layers(self): return {"low": self.stem[0], "middle": self.stem, "high": self.body}

class Named(Net):
    @property
    def layers(self): return {"conv4": self.stem, "conv5": self.body[0], "top": self.body}

class Tied(Net):
    def __init__(self):
        super().__init__()
        self.alias = self.body

class Fixed(Net):
    @property
    def weight(self): return self.fc.weight * 1.0

class Convolution(Net):
    def __init__(self):
        super().__init__(3)
        self.fc = nn.Conv2d(6, 3, 1)
    def forward(self, x): return self.fc(self.features(x)).mean(dim=(2, 3))
"""
CLASSES = ("cat", "dog")
X = torch.linspace(-1, 1, 3 * 40 * 48).reshape(1, 3, 40, 48).sin()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "trained_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "trained_networks", raising=False)
    yield tmp_path
    sys.modules.pop("trained_networks", None)


def started(model="trained_networks:Net", classes=CLASSES, seed=0):
    torch.manual_seed(seed)
    return start_user_model(model, len(classes), None, keep_head=False)[0]


def saved(folder, network, classes=CLASSES, **changes):
    described = {
        "arch": network.model, "classes": classes, "mean": network.mean, "std": (0.2, 0.3, 0.4),
        "input_size": 300, "output_stride": network.output_stride,
    }  # fmt: skip
    save_classifier(folder / "own.safetensors", network, **described | changes)
    return folder / "own.safetensors"


@pytest.mark.parametrize("name", ["Net", "WithLayers", "Tied", "Convolution"])
def test_a_network_for_other_classes_gets_a_fresh_linear_layer_and_comes_back_as_it_was_saved(folder, name):
    network = started(f"trained_networks:{name}")
    assert network.training
    assert network.num_classes == 2
    assert network.get_submodule(network.head_name) is network.network.fc
    loaded = load_classifier(saved(folder, network), model=f"trained_networks:{name}")
    assert (loaded.arch, loaded.classes, loaded.input_size) == (f"trained_networks:{name}", CLASSES, 300)
    assert (loaded.mean, loaded.std, loaded.output_stride) == ((0.5, 0.5, 0.5), (0.2, 0.3, 0.4), None)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network.logits(X), network.eval().logits(X))


def test_keys_are_those_of_the_users_own_network(folder):
    loaded = load_classifier(saved(folder, started()), model="trained_networks:Net")
    own = loaded.network.network.state_dict()
    assert {key.removeprefix("network.") for key in loaded.network.state_dict()} == set(own)


def test_a_linear_layer_of_as_many_classes_stays_the_factorys(folder):
    network = started("trained_networks:Convolution", ("a", "b", "c"))
    torch.manual_seed(0)
    again = sys.modules["trained_networks"].Convolution()
    torch.testing.assert_close(network.network.fc.weight, again.fc.weight)


def test_starting_weights_are_taken_and_a_classifier_of_the_same_classes_too(folder):
    path = saved(folder, started())
    network, arch, kept = load_start(path, CLASSES, model="trained_networks:Net")
    assert (arch, kept) == ("trained_networks:Net", True)
    before = load_classifier(path, model="trained_networks:Net").network
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before.parameters(), strict=True))
    other, _, kept = load_start(path, ("cat", "cow", "dog"), model="trained_networks:Net")
    assert (kept, other.num_classes, other.mean) == (False, 3, (0.5, 0.5, 0.5))
    assert torch.equal(other.network.body[0].weight, network.network.body[0].weight)
    renamed, _, kept = load_start(path, ("cow", "dog"), model="trained_networks:Net")
    assert not kept
    assert not torch.equal(renamed.weight, network.weight)


def test_foreign_weights_without_a_classifier_are_a_start(folder):
    torch.manual_seed(3)
    state = {key: value for key, value in started().network.state_dict().items() if not key.startswith("fc.")}
    torch.save(state, folder / "trunk.pth")
    network, _, kept = load_start(folder / "trunk.pth", CLASSES, model="trained_networks:Net")
    assert not kept
    assert torch.equal(network.network.stem[0].weight, state["stem.0.weight"])


def test_a_weight_that_is_made_of_others_cannot_be_replaced(folder):
    with pytest.raises(UsageError, match="has 1000 classes, but 2 are to be learned"):
        started("trained_networks:Fixed")


def test_the_largest_score_is_pooled_if_the_recipe_says_so(folder):
    network = started().eval()
    network.pooling = "maximum"
    with torch.inference_mode():
        features = network.features(X)
        dense = torch.einsum("cd,bdhw->bchw", network.weight, features) + network.network.fc.bias[:, None, None]
        torch.testing.assert_close(network.logits(X), dense.amax(dim=(2, 3)))


def test_a_file_says_which_factory_it_needs_but_runs_none(folder, monkeypatch):
    path = saved(folder, started())
    with pytest.raises(CheckpointError, match="made by trained_networks:Net: give --model trained_networks:Net"):
        load_classifier(path)
    with pytest.raises(CheckpointError, match="give --model trained_networks:Net"):
        load_start(path, CLASSES)
    (folder / "trained_networks.py").unlink()
    monkeypatch.delitem(sys.modules, "trained_networks")
    with pytest.raises(UsageError, match=r"--model trained_networks:Net: ModuleNotFoundError: .*trained_networks"):
        load_classifier(path, model="trained_networks:Net")


def test_a_model_beside_a_checkpoint_of_the_zoo_is_refused(folder):
    with pytest.raises(UsageError, match="which holds toy: leave it out"):
        load_classifier("toy", model="trained_networks:Net")


@pytest.mark.parametrize("changes", [{"model": 3}, {"model": None}, {"kind": "affinitynet", "model": "a:b"}])
def test_a_damaged_description_is_refused(folder, changes):
    from camkit.models.description import checked_description

    sound = {"kind": "classifier", "version": 1, "model": "a:b", "mean": [0.5] * 3, "std": [0.5] * 3}
    assert checked_description(folder / "x", sound)["model"] == "a:b"
    with pytest.raises(CheckpointError):
        checked_description(folder / "x", sound | changes)


@pytest.mark.parametrize(("name", "channels"), [("WithLayers", (4, 4)), ("Named", (4, 6))])
def test_icd_reads_levels_that_are_named(folder, name, channels):
    network = started(f"trained_networks:{name}")
    ready, fresh = ready_for_icd(network, kept=False)
    assert fresh == ("network.fc",)
    icd = IcdNetwork(ready, IcdPlan(hidden=4))
    assert icd.heads.norm.mean.shape == (channels[1],)
    save_icd(
        folder / "icd.safetensors", icd, arch=network.model, classes=CLASSES, mean=icd.mean, std=icd.std,
        input_size=None, output_stride=icd.output_stride,
    )  # fmt: skip
    loaded = load_icd(folder / "icd.safetensors", model=network.model)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network.adapted(X), icd.eval().adapted(X))
    classifier = load_classifier(folder / "icd.safetensors", model=network.model)
    with torch.inference_mode():
        torch.testing.assert_close(classifier.network.logits(X), network.eval().logits(X))


def test_icd_needs_levels_that_are_named(folder):
    with pytest.raises(UsageError, match=r"Net does not say where\ngive it `layers`"):
        IcdNetwork(started(), IcdPlan(hidden=4))


def test_a_network_with_identities_of_its_own_can_be_saved(folder):
    network = started()
    assert any(isinstance(module, nn.Identity) for module in network.modules())
    assert saved(folder, network).is_file()
