"""Files that are no checkpoints, or mean harm: one short CheckpointError each, and nothing runs."""

import io
import os
import pickle
import struct
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from camkit.errors import CheckpointError
from camkit.models.checkpoint import load_classifier
from tests.models.tiny import fill, tiny_state_dict
from tests.reference import layouts


def refused(path, **options):
    with pytest.raises(CheckpointError) as caught:
        load_classifier(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert message.count("\n") <= 1
    assert len(message) < 600
    return message


def refused_content(tmp_path, content, **options):
    torch.save(content, tmp_path / "c.pth")
    return refused(tmp_path / "c.pth", **options)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>\n<html><title>Sign in</title></html>", "web page.*login"),
        (b"\xef\xbb\xbf\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "git lfs pull"),
        (b"these are not the weights\n", "text file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
        (b"\x1f\x8b" + bytes(40), "gzip"),
        (b"PK\x03\x04" + bytes(40), "damaged"),
        (bytes(range(256)), "no checkpoint"),
        (struct.pack("<Q", 2**62) + b'{"a":1}', "damaged"),
        (struct.pack("<Q", 2) + b"{}", "no tensors"),
        (pickle.dumps({"weights": [1, 2]}), "no checkpoint"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, told):
    path = tmp_path / "c.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=told):
        load_classifier(path)
    refused(path)


def test_missing_files_and_folders(tmp_path):
    assert "No such file" in refused(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError):
        load_classifier(tmp_path / ("long" * 100))
    with pytest.raises(CheckpointError):
        load_classifier(tmp_path / "null\0byte")
    assert "not a file" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a file" in refused(tmp_path / "pipe")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cut_short(tmp_path, kind, share):
    path = tmp_path / "c.pth"
    state = tiny_state_dict(width=1)
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_pickle_bomb_is_refused_and_leaves_no_trace(tmp_path, legacy):
    trace = tmp_path / "trace"
    content = tiny_state_dict(width=1) | {"zz": Bomb(trace)}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=not legacy)
    assert "would run code (posix.system)" in refused(tmp_path / "c.pth")
    (tmp_path / "c.pth").write_bytes(pickle.dumps(Bomb(trace), 2))
    refused(tmp_path / "c.pth")
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_whole_modules_are_refused(tmp_path):
    assert "state_dict" in refused_content(tmp_path, torch.nn.Linear(2, 2))
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "script.pt")
    assert "TorchScript" in refused(tmp_path / "script.pt")


@pytest.mark.parametrize(
    "content", [[1, 2], torch.ones(3), {}, {"a": 1}, {"state_dict": {}}, {3: torch.ones(2)}, "text"]
)
def test_torch_files_without_a_state_dict(tmp_path, content):
    refused_content(tmp_path, content)


def test_other_zip_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.pth", "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
    assert "not a torch checkpoint" in refused(tmp_path / "c.pth")


def test_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    assert "unpacks to many times its size" in refused(tmp_path / "c.pth")


def test_a_tensor_that_claims_more_than_the_file_holds(tmp_path):
    state = tiny_state_dict(width=1)
    state["conv1.weight"] = torch.zeros(1).expand(2**20, 2**20, 7, 7)
    assert "claims more numbers" in refused_content(tmp_path, state)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(2, 3).to_sparse(),
        lambda: torch.empty(2, device="meta"),
        lambda: torch.quantize_per_tensor(torch.ones(2), 1, 0, torch.qint8),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_plain_numbers(tmp_path, make):
    refused_content(tmp_path, {"conv1.weight": make()})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(tmp_path, value):
    state = tiny_state_dict(width=1)
    state["layer3.0.conv1.weight"][0, 0, 0, 0] = value
    assert "layer3.0.conv1.weight holds NaN" in refused_content(tmp_path, state)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_that_are_not_floats(tmp_path, dtype):
    state = tiny_state_dict(width=1)
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"].to(dtype)
    assert str(dtype) in refused_content(tmp_path, state)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"layer1.0.conv1.weight": (1, 2, 3, 3)}, r"layer1.0.conv1.weight is \[1, 2, 3, 3\], but \[1, 1, 3, 3\]"),
        ({"fc.weight": (20, 9)}, r"is \[20, 9\], but \[20, 8\]"),
        ({"fc.weight": (0, 8)}, "no classifier"),
        ({"fc.weight": (8,)}, "no classifier"),
        ({"fc.weight": None, "fc.bias": None}, "no classifier: no fc.weight or classifier.weight"),
        ({"layer1.0.bn1.weight": None}, r"1 missing \(layer1.0.bn1.weight\)"),
        ({"layer1.0.se.weight": (3, 3)}, r"1 unknown \(layer1.0.se.weight\)"),
        ({"conv1.weight": ()}, "shapes make no resnet18"),
        ({"conv1.weight": None}, "shapes make no resnet18"),
        ({"layer1.0.conv2.weight": (1,)}, "shapes make no resnet18"),
        ({"layer1.0.conv2.weight": (1, 0, 3, 3)}, "layer1.0.conv2.weight hold no numbers"),
        ({"layer4.2.conv1.weight": (1, 1, 3, 3)}, "no network camkit knows"),
    ],
)
def test_state_dicts_that_do_not_fit(tmp_path, changes, told):
    shapes = layouts.resnet("resnet18", 20, 1) | changes
    state = fill({key: shape for key, shape in shapes.items() if shape is not None})
    torch.save(state, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=told):
        load_classifier(tmp_path / "c.pth")
    refused(tmp_path / "c.pth")


def test_checkpoints_of_other_programs_are_named(tmp_path):
    trunk = {key: value for key, value in tiny_state_dict("resnet38", width=1).items() if key != "fc8.weight"}
    affinity = trunk | fill({"f8_3.weight": (4, 8, 1, 1), "f8_5.weight": (4, 64, 1, 1), "f9.weight": (12, 15, 1, 1)})
    assert "AffinityNet" in refused_content(tmp_path, affinity)
    assert "no classifier" in refused_content(tmp_path, trunk)
    edges = layouts.resnet_trunk((3, 4, 6, 3), bottleneck=True, width=1, prefix="resnet50.")
    edges |= {"fc_edge1.0.weight": (32, 64, 1, 1)}
    assert "IRN" in refused_content(tmp_path, fill(edges))
    deeplab = layouts.resnet_trunk((3, 4, 6, 3), bottleneck=True, width=1, prefix="backbone.")
    deeplab |= {"classifier.0.convs.0.0.weight": (4, 32, 1, 1), "classifier.4.weight": (21, 4, 1, 1)}
    assert "segmentation" in refused_content(tmp_path, fill(deeplab))


def test_vgg19_is_not_taken_for_vgg16(tmp_path):
    deeper = tiny_state_dict("vgg16", width=1) | fill({f"features.{n}.weight": (8, 8, 3, 3) for n in (30, 32, 34)})
    assert "no network camkit knows" in refused_content(tmp_path, deeper)


def test_an_unknown_network_is_told_what_is_known(tmp_path):
    message = refused_content(tmp_path, {"patch_embed.weight": torch.ones(2, 2), "blocks.0.weight": torch.ones(2)})
    assert "patch_embed.weight" in message
    assert "resnet50-irn" in message
    assert "--model" in message


def complaint(path):
    try:
        load_classifier(path)
    except CheckpointError as error:
        return str(error)
    return ""


LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
STARTS = [b"", b"PK\x03\x04", b"\x80\x02", LEGACY_START, b"\x10" + bytes(7) + b"{"]
SHORT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SHORT
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
@example(start=b"", rest=b"(" * 300)
def test_random_bytes_give_one_kind_of_error(tmp_path, start, rest):
    (tmp_path / "c.pth").write_bytes(start + rest)
    assert complaint(tmp_path / "c.pth")


def _whole(legacy):
    buffer = io.BytesIO()
    torch.save(tiny_state_dict(classes=2, width=1), buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


SMALL = {name: tiny_state_dict(name, classes=2, width=1) for name in ("resnet18", "resnet38", "vgg16", "resnet50-irn")}
WHOLE = {legacy: _whole(legacy) for legacy in (True, False)}


@SHORT
@given(
    legacy=st.booleans(),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_checkpoints_load_or_are_refused(tmp_path, legacy, places):
    damaged = bytearray(WHOLE[legacy])
    for place, byte in places:
        damaged[int(place * len(damaged))] = byte
    (tmp_path / "c.pth").write_bytes(damaged)
    assert complaint(tmp_path / "c.pth").count("\n") <= 1


@SHORT
@given(
    arch=st.sampled_from(["resnet18", "resnet38", "vgg16", "resnet50-irn"]),
    place=st.floats(0, 0.999),
    shape=st.lists(st.integers(0, 3), max_size=5),
)
def test_wrong_shapes_load_or_are_refused(tmp_path, arch, place, shape):
    state = dict(SMALL[arch])
    keys = [key for key in state if key.endswith("weight")]
    state[keys[int(place * len(keys))]] = torch.ones(shape)
    torch.save(state, tmp_path / "c.pth")
    assert complaint(tmp_path / "c.pth").count("\n") <= 1
