"""Chunks that are compressed here, for HDF5 to read."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from camkit.store import Header, Writer, codec, open_store
from camkit.types import Activation

DTYPES = st.sampled_from(["<f2", "<f4", "u1", "<u2", "<u4", ">u2", ">f4"])


@given(DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))))
def test_any_reader_of_hdf5_gets_the_values_back(values: np.ndarray) -> None:
    check(values)


@pytest.mark.parametrize("strided", [False, True])
def test_large_planes_are_chunks_of_their_own(strided: bool) -> None:
    values = np.random.default_rng(0).random((4, 700, 400)).astype(np.float32)
    assert check(values[::2].transpose(0, 2, 1) if strided else values)[0] == 1


def check(values: np.ndarray) -> tuple[int, ...]:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        codec._write_chunks(file, "x", values, codec.compress(values))
    with h5py.File(stream) as file:
        np.testing.assert_array_equal(file["x"][()], values)
        return file["x"].chunks or ()


def test_what_goes_wrong_while_compressing_reaches_the_caller_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scarce(values: np.ndarray) -> list[bytes]:
        raise MemoryError("no room")

    ids, out, header = ["a", "b"], tmp_path / "m.h5", Header("masks", ("cat",), "")
    one, other = (Activation(id, np.ones((3, 4), np.uint8), np.empty(0, np.int64), (3, 4)) for id in ids)
    with Writer(out, header, ids, part_records=1) as writer:
        writer.write(one)
    monkeypatch.setattr("camkit.store.writer.compress", scarce)
    with pytest.raises(MemoryError, match="no room"), Writer(out, header, ids) as writer:
        writer.write(other)
    monkeypatch.undo()
    with Writer(out, header, ids) as writer:
        assert writer.done == {"a"}
        writer.write(other)
        assert writer.finish()
    with open_store(out) as store:
        assert store.ids == tuple(ids)
