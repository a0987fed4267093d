import sys

import pytest
import torch

from camkit.errors import CamkitError, CheckpointError, UsageError
from camkit.models.checkpoint import load_classifier

MODULE = """
import torch
from torch import nn

class Own(nn.Module):
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    def __init__(self, classes=3):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=4, padding=1)
        self.last = nn.Conv2d(4, classes, 1, bias=False)
    def features(self, x): return self.stem(x).relu()
    @property
    def weight(self): return self.last.weight
    def forward(self, x): return self.last(self.features(x)).mean(dim=(2, 3))

class Timm(nn.Module):
    pretrained_cfg = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.head_of_mine = nn.Linear(4, 2)
    def get_classifier(self): return self.head_of_mine
    def forward_features(self, x): return self.stem(x).relu()
    def forward(self, x): return self.head_of_mine(self.forward_features(x).mean(dim=(2, 3)))

class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.classifier = nn.Linear(4, 2)
    def forward(self, x): return self.classifier(self.features(x).mean(dim=(2, 3)))

class Maximum(Stack):
    def forward(self, x): return self.classifier(self.features(x).amax(dim=(2, 3)))

class OwnLogits(Maximum):
    def logits(self, x): return self.forward(x)
    def pool(self, features): return self.classifier(features.amax(dim=(2, 3)))

class Tokens(Stack):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2))

class Narrow(Stack):
    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(5, 2)

class NoHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3)

class Fussy(Stack):
    def forward(self, x): raise RuntimeError("only 224 x 224, please\\nreally")

def needs_arguments(classes): return Own(classes)
def breaks(): raise KeyError("no such config")
def leaves(): raise SystemExit(2)
def a_number(): return 3
value = 5
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the module `own_networks` in it."""
    (tmp_path / "own_networks.py").write_text(MODULE)
    (tmp_path / "broken_networks.py").write_text("import nothing_like_this\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("own_networks", "broken_networks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    sys.modules.pop("own_networks", None)


def checkpoint(folder, **state):
    torch.manual_seed(0)
    depth, classes = state.pop("depth", 4), state.pop("classes", 2)
    names = state.pop("names", ("features.0", "classifier"))
    content = {
        f"{names[0]}.weight": torch.randn(4, 3, 3, 3),
        f"{names[0]}.bias": torch.randn(4),
        f"{names[1]}.weight": torch.randn(classes, depth, *state.pop("kernel", ())),
    }
    if state.pop("bias", True):
        content[f"{names[1]}.bias"] = torch.randn(classes)
    torch.save({"state_dict": {f"module.{key}": value for key, value in (content | state).items()}}, folder / "c.pth")
    return folder / "c.pth"


X = torch.linspace(-1, 1, 3 * 40 * 48).reshape(1, 3, 40, 48).sin()


def test_a_network_by_the_protocol(folder):
    path = checkpoint(folder, names=("stem", "last"), classes=3, kernel=(1, 1), bias=False)
    loaded = load_classifier(path, model="own_networks:Own")
    assert (loaded.arch, loaded.num_classes, loaded.classes, loaded.output_stride) == (
        "own_networks:Own",
        3,
        None,
        None,
    )
    assert (loaded.mean, loaded.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert loaded.network.weight.shape == (3, 4)
    assert loaded.network.features(X).shape == (1, 4, 10, 12)
    assert list(loaded.network.layers) == ["stem", "last"]
    assert not loaded.network.training
    torch.testing.assert_close(loaded.network.logits(X), loaded.network.network(X))


def test_a_timm_like_network(folder):
    loaded = load_classifier(checkpoint(folder, names=("stem", "head_of_mine")), model="own_networks:Timm")
    assert (loaded.mean, loaded.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert list(loaded.network.layers) == ["stem"]
    torch.testing.assert_close(loaded.network.logits(X), loaded.network.network(X))


def test_a_torchvision_like_network(folder):
    loaded = load_classifier(checkpoint(folder), model="own_networks:Stack")
    torch.testing.assert_close(loaded.network.logits(X), loaded.network.network(X))


def test_own_logits_and_pooling_are_used(folder):
    loaded = load_classifier(checkpoint(folder), model="own_networks:OwnLogits")
    torch.testing.assert_close(loaded.network.logits(X), loaded.network.network(X))
    torch.testing.assert_close(loaded.network.pool(loaded.network.features(X)), loaded.network.network(X))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("own_networks", "give package.module:factory"),
        (":Own", "give package.module:factory"),
        ("own_networks:", "give package.module:factory"),
        ("not_there:Own", "No module named 'not_there'"),
        ("broken_networks:Own", "nothing_like_this"),
        ("..own:Own", "importable"),
        ("own_networks:Missing", "no attribute 'Missing'"),
        ("own_networks:value", "not callable"),
        ("own_networks:needs_arguments", "callable without arguments"),
        ("own_networks:breaks", "KeyError: 'no such config'"),
        ("own_networks:leaves", "SystemExit"),
        ("own_networks:a_number", "gave int, not a torch.nn.Module"),
        ("own_networks:Maximum", "its forward is not the mean of its features"),
        ("own_networks:Tokens", "features of one image are"),
        ("own_networks:Fussy", "only 224 x 224"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(folder, model, told):
    with pytest.raises(UsageError) as caught:
        load_classifier(checkpoint(folder), model=model)
    message = str(caught.value)
    assert told in message
    assert f"--model {model}" in message
    assert message.count("\n") <= 1


def test_a_network_without_a_linear_layer(folder):
    torch.save({"features.weight": torch.ones(4, 3, 3, 3), "features.bias": torch.ones(4)}, folder / "c.pth")
    with pytest.raises(UsageError, match=r"NoHead is no classifier\n.*get_classifier"):
        load_classifier(folder / "c.pth", model="own_networks:NoHead")


def test_a_linear_layer_that_does_not_fit_the_features(folder):
    with pytest.raises(CamkitError, match=r"\[1, 4, 62, 94\], but \[1, 5, h, w\] fits its weight"):
        load_classifier(checkpoint(folder, depth=5), model="own_networks:Narrow")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"extra.weight": torch.ones(1)}, r"1 unknown \(extra.weight\)"),
        ({"names": ("features.0", "fc")}, r"2 missing \(classifier.weight, classifier.bias\), 2 unknown \(fc.weight"),
        ({"classes": 9}, r"classifier.weight is \[9, 4\], but \[2, 4\]"),
        ({"classifier.bias": torch.full((2,), torch.nan)}, "classifier.bias holds NaN"),
    ],
)
def test_the_checkpoint_must_fit_exactly(folder, changes, told):
    with pytest.raises(CheckpointError, match=told):
        load_classifier(checkpoint(folder, **changes), model="own_networks:Stack")
