import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from camkit.errors import CheckpointError, OutputError, UsageError
from camkit.models import zoo
from camkit.models.checkpoint import load_classifier, save_classifier
from camkit.models.classifier import IMAGENET_MEAN, IMAGENET_STD
from tests.models.tiny import fill, tiny_checkpoint, tiny_state_dict
from tests.reference import layouts

X = torch.linspace(-2, 2, 3 * 40 * 48).reshape(1, 3, 40, 48).sin()


def logits(loaded):
    with torch.inference_mode():
        return loaded.network.logits(X)


def load(tmp_path, content, **options):
    torch.save(content, tmp_path / "c.pth")
    return load_classifier(tmp_path / "c.pth", **options)


@pytest.fixture
def state():
    return tiny_state_dict(classes=5, width=2)


@pytest.fixture
def expected(tmp_path, state):
    return logits(load(tmp_path, state))


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "module.model.", "net.", "_orig_mod.", "backbone.", "anything.at.all."]
)
def test_prefixes_are_stripped(tmp_path, state, expected, prefix):
    torch.testing.assert_close(logits(load(tmp_path, prefixed(state, prefix))), expected)


@pytest.mark.parametrize("prefix", ["backbone.", "module.encoder.backbone."])
def test_a_head_may_lie_outside_the_wrapped_trunk(tmp_path, state, expected, prefix):
    outside = prefix.removesuffix("backbone.")
    moved = {(outside if key.startswith("fc.") else prefix) + key: value for key, value in state.items()}
    torch.testing.assert_close(logits(load(tmp_path, moved)), expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s, "optimizer": {"state": {0: {"momentum": torch.ones(3)}}, "param_groups": []}},
        lambda s: {"model_state_dict": prefixed(s, "module."), "loss": torch.tensor(0.5)},
        lambda s: {"net": s},
        lambda s: {"ema": s, "step": 1},
        lambda s: {"checkpoint": {"state_dict": s}},
        lambda s: {"weights_of_best_epoch": s},
    ],
)
def test_nested_dicts_are_unwrapped(tmp_path, state, expected, wrap):
    torch.testing.assert_close(logits(load(tmp_path, wrap(state))), expected)


def test_a_head_with_a_name_of_its_own(tmp_path, state, expected):
    named = {
        key.replace("fc.", "head.fc.") if key.startswith("fc.") else f"backbone.{key}": value
        for key, value in state.items()
    }
    torch.testing.assert_close(logits(load(tmp_path, named)), expected)


def test_legacy_torch_files_and_safetensors(tmp_path, state, expected):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "new.safetensors")
    for name in ("old.pth", "new.safetensors"):
        torch.testing.assert_close(logits(load_classifier(tmp_path / name)), expected)


def test_half_precision_becomes_float32_and_counters_are_optional(tmp_path, state, expected):
    halved = {key: value.half() for key, value in state.items() if not key.endswith("num_batches_tracked")}
    loaded = load(tmp_path, halved)
    assert {parameter.dtype for parameter in loaded.network.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(loaded), expected, rtol=0.05, atol=0.05)


def test_what_training_programs_leave_beside_the_weights(tmp_path, state, expected):
    content = {"state_dict": state, "best": np.float64(0.5), "args": argparse.Namespace(lr=0.1, names=["a"])}
    torch.testing.assert_close(logits(load(tmp_path, content)), expected)


def test_weights_are_copies_of_the_file(tmp_path, state, expected):
    loaded = load(tmp_path, state)
    (tmp_path / "c.pth").write_bytes(b"")
    torch.testing.assert_close(logits(loaded), expected)


def test_facts_about_the_checkpoint(tmp_path, state):
    loaded = load(tmp_path, state)
    assert loaded.sha256 == hashlib.sha256((tmp_path / "c.pth").read_bytes()).hexdigest()
    assert (loaded.classes, loaded.input_size, loaded.output_stride) == (None, None, 16)
    assert (loaded.mean, loaded.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert loaded.path == tmp_path / "c.pth"


def test_aliases_of_irn_are_neither_needed_nor_reported(tmp_path):
    plain = tiny_state_dict("resnet50-irn", classes=4, width=2)
    aliased = plain | {alias: plain[key] for alias, key in layouts.irn_aliases(dict.fromkeys(plain, ())).items()}
    loaded = load(tmp_path, aliased)
    assert (loaded.arch, loaded.ignored) == ("resnet50-irn", ())
    torch.testing.assert_close(logits(loaded), logits(load(tmp_path, plain)))


def test_irn_and_torchvision_layouts_can_be_forced_on_each_other(tmp_path):
    irn = tiny_state_dict("resnet50-irn", classes=4, width=2)
    assert load(tmp_path, irn, arch="resnet50", output_stride=32).output_stride == 32
    assert load(tmp_path, tiny_state_dict("resnet50", width=2), arch="resnet50-irn").output_stride == 16


def test_vgg16_variants_for_class_maps(tmp_path):
    trunk = layouts.vgg16_trunk(2)
    on_conv5 = load(tmp_path, fill(trunk | {"classifier.weight": (3, 16, 1, 1)}))
    assert (on_conv5.num_classes, on_conv5.output_stride, on_conv5.network.features(X).shape) == (3, 8, (1, 16, 5, 6))
    dense = {"fc6.weight": (8, 16, 3, 3), "fc6.bias": (8,), "fc7.weight": (9, 8, 1, 1), "fc7.bias": (9,)}
    on_fc7 = load(tmp_path, fill(trunk | dense | {"fc8.weight": (3, 9, 1, 1)}))
    assert (on_fc7.num_classes, on_fc7.output_stride, on_fc7.network.features(X).shape) == (3, 8, (1, 9, 5, 6))


def test_grouped_and_wide_bottlenecks(tmp_path):
    shapes = layouts.resnet("resnet50", 3, 4)
    for key, shape in shapes.items():
        if key.endswith("conv2.weight"):
            shapes[key] = (shape[0], shape[1] // 2, 3, 3)
    loaded = load(tmp_path, fill(shapes))
    assert loaded.network.get_submodule("layer1.0.conv2").groups == 2


SAVED = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "input_size": 240, "output_stride": 8}


def saved(path, arch="resnet18", classes=("cat", "dog", "cow"), **changes):
    torch.manual_seed(0)
    network = zoo.build(arch, 3, width=2, output_stride=8)
    save_classifier(path, network, arch=arch, **({"classes": classes} | SAVED | changes))
    return network.eval()


@pytest.mark.parametrize("arch", list(zoo.ARCHITECTURES))
def test_own_checkpoints_bring_everything_back(tmp_path, arch):
    path = tmp_path / "own.safetensors"
    network = saved(path, arch)
    loaded = load_classifier(path)
    assert (loaded.arch, loaded.classes) == (arch, ("cat", "dog", "cow"))
    assert {name: getattr(loaded, name) for name in SAVED} == SAVED
    assert (loaded.network.mean, loaded.network.std) == (SAVED["mean"], SAVED["std"])
    with torch.inference_mode():
        torch.testing.assert_close(logits(loaded), network.logits(X), rtol=1e-4, atol=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["own.safetensors"]


def test_a_loaded_network_can_be_saved_again(tmp_path, state, expected):
    loaded = load(tmp_path, state, for_inference=False)
    save_classifier(
        tmp_path / "again", loaded.network, arch=loaded.arch, **({"classes": None} | SAVED | {"output_stride": 16})
    )
    torch.testing.assert_close(logits(load_classifier(tmp_path / "again")), expected)


def test_own_checkpoints_keep_published_keys(tmp_path):
    saved(tmp_path / "own")
    assert {key: tuple(value.shape) for key, value in load_file(tmp_path / "own").items()} == layouts.resnet(
        "resnet18", 3, 2
    )


def test_the_output_stride_asked_for_wins(tmp_path):
    saved(tmp_path / "own")
    assert load_classifier(tmp_path / "own", output_stride=16).output_stride == 16


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": ("cat",)}, "names 1 classes, but its classifier has 3"),
        ({"mean": (0.4, 0.5)}, "mean"),
        ({"std": (0.2, 0.0, 0.2)}, "std"),
        ({"std": (0.2, float("nan"), 0.2)}, "std"),
        ({"input_size": -3}, "input_size"),
        ({"output_stride": 2.5}, "output_stride"),
        ({"classes": [1, 2, 3]}, "class names"),
    ],
)
def test_descriptions_are_checked(tmp_path, changes, told):
    saved(tmp_path / "own", **changes)
    with pytest.raises(CheckpointError, match=told):
        load_classifier(tmp_path / "own")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "not readable"),
        ("{", "not readable"),
        ("[" * 100_000, "not readable"),
        (json.dumps({"kind": "affinity", "version": 1}), "kind 'affinity'"),
        (json.dumps({"kind": "classifier", "version": 9, "arch": "resnet18"}), "another version"),
        (json.dumps({"kind": "classifier", "version": 1, "arch": ["x"]}), "another version"),
        (json.dumps({"kind": "classifier", "version": 1, "arch": "resnet18"}), "mean"),
    ],
)
def test_damaged_descriptions(tmp_path, state, text, told):
    save_file(state, tmp_path / "own", metadata={"camkit": text})
    with pytest.raises(CheckpointError, match=told):
        load_classifier(tmp_path / "own")


SAVING = """
import sys
from pathlib import Path
import torch
from camkit.models import zoo
from camkit.models.checkpoint import save_classifier

network = zoo.build("resnet18", 3, width=16)
facts = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2), "input_size": 240, "output_stride": 16}
while True:
    save_classifier(Path(sys.argv[1]), network, arch="resnet18", classes=("a", "b", "c"), **facts)
    print("saved", flush=True)
"""


@pytest.mark.slow
def test_a_kill_while_saving_leaves_a_whole_checkpoint(tmp_path):
    for attempt in range(3):
        command = [sys.executable, "-c", SAVING, str(tmp_path / "own")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            for _ in range(attempt + 1):
                assert process.stdout.readline() == b"saved\n"
            time.sleep(0.003 * attempt)
            process.kill()
        assert load_classifier(tmp_path / "own").classes == ("a", "b", "c")


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="missing"):
        saved(tmp_path / "missing" / "own")


def test_a_folded_network_is_not_saved(tmp_path, state):
    loaded = load(tmp_path, state)
    with pytest.raises(ValueError, match="for_inference"):
        save_classifier(tmp_path / "own", loaded.network, arch="resnet18", **({"classes": None} | SAVED))


def test_another_architecture_than_asked_for(tmp_path):
    path = tiny_checkpoint(tmp_path / "c.pth", "resnet38", width=1)
    with pytest.raises(CheckpointError, match="is not resnet18: it holds resnet38"):
        load_classifier(path, arch="resnet18")
    path = tiny_checkpoint(tmp_path / "c.pth", "resnet34", width=1)
    with pytest.raises(CheckpointError, match="is not resnet18: it holds resnet34"):
        load_classifier(path, arch="resnet18")
    with pytest.raises(UsageError, match="known are resnet38"):
        load_classifier(path, arch="lenet")


def test_others_may_read_a_saved_checkpoint(tmp_path: Path) -> None:
    network = zoo.build("resnet18", 3, width=8)
    save_classifier(
        tmp_path / "own.safetensors", network, arch="resnet18", classes=None, mean=network.mean, std=network.std,
        input_size=None, output_stride=None,
    )  # fmt: skip
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "own.safetensors").stat().st_mode == plain.stat().st_mode
