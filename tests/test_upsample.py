import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camkit.errors import InputError
from camkit.upsample import upsample
from tests.reference import upsample as reference

lengths = st.integers(1, 24)


@given(st.integers(0, 999), lengths, lengths, lengths, lengths)
def test_is_bilinear_interpolation(seed: int, h: int, w: int, H: int, W: int) -> None:
    maps = np.random.default_rng(seed).uniform(-1, 1, size=(2, h, w)).astype(np.float32)
    result = upsample(maps, (H, W))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, reference.upsample(maps, (H, W)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((94, 125), (375, 500)),
        ((47, 63), (333, 500)),
        ((375, 500), (94, 125)),
        ((1, 1), (30, 40)),
        ((480, 640), (333, 1001)),
    ],
)
def test_agrees_with_torch(source: tuple[int, int], target: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(0).random((2, *source), dtype=np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(maps)[None], size=target, mode="bilinear")
    np.testing.assert_allclose(upsample(maps, target), expected[0].numpy(), rtol=0, atol=1e-6)


def test_keeps_maps_of_the_right_size() -> None:
    maps = np.random.default_rng(0).random((2, 5, 6), dtype=np.float32)
    np.testing.assert_array_equal(upsample(maps, (5, 6)), maps)


def test_leaves_its_input_alone() -> None:
    maps = np.random.default_rng(0).random((1, 5, 6), dtype=np.float32)
    before = maps.copy()
    for size in [(5, 9), (9, 6), (9, 9)]:
        upsample(maps, size)
    np.testing.assert_array_equal(maps, before)


def test_half_precision_and_no_classes() -> None:
    assert upsample(np.ones((1, 2, 2), dtype=np.float16), (4, 4)).dtype == np.float32
    assert upsample(np.empty((0, 2, 2), dtype=np.float16), (4, 4)).shape == (0, 4, 4)
    assert upsample(np.empty((0, 0, 0), dtype=np.float16), (4, 4)).shape == (0, 4, 4)


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 5)])
def test_impossible_maps(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        upsample(np.zeros(shape, dtype=np.float32), (4, 4))
