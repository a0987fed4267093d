"""AffinityNet's and IRN's checkpoints: read, refused, and what their networks give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from camkit.errors import CheckpointError
from camkit.methods.response import normalised
from camkit.methods.walk.affinity import embed
from camkit.models.affinity import load_affinity
from camkit.types import AffinityKind
from tests.models.tiny import fill, tiny_checkpoint
from tests.reference import layouts
from tests.support.oracles import seeded_checkpoint

LAYOUTS = {
    "resnet38": layouts.affinitynet("resnet38", 4),
    "resnet50": layouts.affinitynet("resnet50", 4),
    "irn": layouts.irn(4),
}


def written(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, folder / "c.pth")
    return folder / "c.pth"


def photo(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(2).standard_normal((1, 3, height, width)).astype(np.float32))


@pytest.mark.parametrize("trunk", ["resnet38", "resnet50"])
@pytest.mark.parametrize("wrapped", ["", "module."])
def test_affinitynet_embeds_at_stride_8(tmp_path: Path, trunk: str, wrapped: str) -> None:
    state = {wrapped + key: value for key, value in fill(LAYOUTS[trunk]).items()}
    loaded = load_affinity(written(tmp_path, state), "affinitynet")
    assert (loaded.arch, loaded.network.stride) == (trunk, 8)
    with torch.inference_mode():
        found = loaded.network(photo(41, 58))
    assert found.shape == (1, 448, 6, 8)
    assert float(found.std()) > 0.01


@pytest.mark.slow
def test_affinitynet_gives_the_published_embedding(oracles: Path, tmp_path: Path) -> None:
    path = seeded_checkpoint(oracles, "resnet38_aff", tmp_path / "aff.pth")
    state = torch.load(path)
    state["f9.weight"] *= 0.15
    network = load_affinity(written(tmp_path, state), "affinitynet").network
    with Image.open(oracles / "images" / "2007_000001.png") as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()
    with torch.inference_mode():
        found = embed(network, normalised(pixels, network.mean, network.std), network.stride)
    expected = np.load(oracles / "psa_rw.npz")["2007_000001_f9_elu_f16"].astype(np.float32)
    np.testing.assert_allclose(found, expected, atol=2.5e-3)  # half the distance of float16 numbers near 4


def test_irn_is_read_from_among_its_aliases_and_other_branches(tmp_path: Path) -> None:
    state = fill(LAYOUTS["irn"])
    network = load_affinity(written(tmp_path, state), "irn").network
    x = photo(48, 62)
    with torch.inference_mode():
        found = network(x)
        levels = network.trunk.levels(x)
        assert [level.shape[2:] for level in levels] == [(12, 16), (12, 16), (6, 8), (3, 4), (3, 4)]
        slow = []
        for number, level in enumerate(levels, start=1):
            values = F.conv2d(level, state[f"fc_edge{number}.0.weight"])
            values = F.group_norm(values, 4, state[f"fc_edge{number}.1.weight"], state[f"fc_edge{number}.1.bias"])
            values = F.interpolate(values, (12, 16), mode="bilinear", align_corners=False)
            slow.append(values.relu())
        expected = F.conv2d(torch.cat(slow, dim=1), state["fc_edge6.weight"], state["fc_edge6.bias"])[:, 0]
    assert found.shape == (1, 12, 16)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("layout", "kind", "told"),
    [
        ("resnet38", "irn", "give --affinity affinitynet"),
        ("irn", "affinitynet", "give --affinity irn"),
    ],
)
def test_one_kind_is_not_the_other(tmp_path: Path, layout: str, kind: AffinityKind, told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        load_affinity(written(tmp_path, fill(LAYOUTS[layout])), kind)


@pytest.mark.parametrize("kind", ["affinitynet", "irn"])
def test_a_classifier_is_refused(tmp_path: Path, kind: AffinityKind) -> None:
    for arch in ("resnet18", "resnet38", "resnet50-irn", "vgg16"):
        with pytest.raises(CheckpointError, match=f"{arch} classifier"):
            load_affinity(tiny_checkpoint(tmp_path / "c.pth", arch), kind)
    with pytest.raises(CheckpointError, match="no network camkit knows"):
        load_affinity(written(tmp_path, {"a": torch.ones(2)}), kind)
    with pytest.raises(CheckpointError, match="kind 'classifier'"):
        load_affinity(Path(__file__).parents[2] / "camkit/models/toy.safetensors", kind)


@pytest.mark.parametrize(
    ("layout", "key", "shape", "told"),
    [
        ("resnet38", "f9.weight", None, "f9.weight"),
        ("resnet38", "f8_4.weight", (128, 7, 1, 1), "f8_4.weight is"),
        ("resnet38", "f9.weight", (0, 448, 1, 1), "f9.weight hold no numbers"),
        ("resnet50", "layer3.0.conv2.weight", None, "missing"),
        ("irn", "fc_edge3.1.bias", (31,), "fc_edge3.1.bias is"),
        ("irn", "fc_edge6.bias", None, "missing"),
        ("irn", "fc_edge1.0.weight", (), "its shapes make no"),
        ("irn", "fc_edge1.0.weight", (30, 4, 1, 1), "its shapes make no"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, layout: str, key: str, shape: tuple[int, ...] | None, told: str
) -> None:
    state = fill(LAYOUTS[layout])
    del state[key]
    if shape is not None:
        state[key] = torch.zeros(shape)
    with pytest.raises(CheckpointError, match=told) as caught:
        load_affinity(written(tmp_path, state), "irn" if layout == "irn" else "affinitynet")
    assert str(caught.value).count("\n") <= 1


def test_weights_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    state = fill(LAYOUTS["resnet50"])
    state["f8_3.weight"][0] = float("nan")
    with pytest.raises(CheckpointError, match=r"f8_3.weight holds NaN"):
        load_affinity(written(tmp_path, state), "affinitynet")
