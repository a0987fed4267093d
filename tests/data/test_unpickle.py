import collections
import io
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from camkit.data.unpickle import load_npy, load_pickle
from camkit.errors import LabelError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
DATA = {
    "text": ["é", b"bytes", bytearray(b"\xff"), None, True, False, -1, 2**70, 1.5, 2 + 1j, (), (1,), (1, 2, 3, 4)],
    1: {"nested": {}, "set": {1, "a"}, "frozen": frozenset([2])},
    2007000032: np.eye(3, dtype=np.float32)[1],
}
ARRAYS = [
    np.arange(6).astype(dtype).reshape(2, 3) for dtype in ("f4", "f8", "f2", "i8", "u1", "u2", ">i4", ">f8", "?", "c8")
] + [
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros((0, 4)), np.array(5), np.array(["aß", "b"]),
    np.array([b"x", b"yz"]), np.array([1, "a", None], dtype=object), np.arange(10)[::3],
]  # fmt: skip


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def same(left, right) -> bool:
    if isinstance(left, np.ndarray):
        alike = isinstance(right, np.ndarray) and left.dtype.newbyteorder("=") == right.dtype.newbyteorder("=")
        return alike and np.array_equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right and type(left) is type(right)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_data_of_every_protocol(protocol):
    assert same(load_pickle(io.BytesIO(pickle.dumps(DATA, protocol))), DATA)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_arrays_of_every_protocol(protocol, array):
    assert same(load_pickle(io.BytesIO(pickle.dumps(array, protocol))), array)


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_npy(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    assert same(load_npy(tmp_path / "a.npy"), array)


def test_npy_with_a_dict(tmp_path):
    np.save(tmp_path / "a.npy", DATA)
    assert same(load_npy(tmp_path / "a.npy"), DATA)


def test_scalars_and_ordered_dicts():
    scalars = [np.float32(1.5), np.int64(-3), np.bool_(True), np.float64(7)]
    assert load_pickle(io.BytesIO(pickle.dumps(scalars))) == scalars
    ordered = collections.OrderedDict(b=1, a=2)
    assert [*load_pickle(io.BytesIO(pickle.dumps(ordered))).items()] == [("b", 1), ("a", 2)]


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_module_names_of_numpy_1_and_2(module):
    raw = pickle.dumps(np.arange(3), 2)
    written = next(name for name in (b"numpy._core.multiarray", b"numpy.core.multiarray") if name in raw)
    assert same(load_pickle(io.BytesIO(raw.replace(written, module))), np.arange(3))


def test_a_pickle_of_python_2():
    """{'2007_000032': np.array([0., 1.], 'f4')} as Python 2 writes it: text and bytes are one."""
    raw = (
        b"\x80\x02}q\x00U\x0b2007_000032q\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85"
        b"U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x00\x00\x00\x00\x80?tbs."
    )
    assert same(load_pickle(io.BytesIO(raw)), {"2007_000032": np.array([0, 1], np.float32)})


class TestTorch:
    def test_tensors_without_torch(self, tmp_path):
        torch = pytest.importorskip("torch")
        base = torch.arange(24.0).reshape(2, 3, 4)
        tensors = {
            "plain": base, "turned": base.transpose(0, 2), "part": base[1, :, 1:3], "scalar": torch.tensor(5),
            "half": base.half(), "bools": base > 7, "bytes": base.byte(), "empty": torch.zeros(0, 3),
            "wide": base.bfloat16(), "expanded": torch.ones(1).expand(1, 1), "weight": torch.nn.Parameter(base),
        }  # fmt: skip
        np.save(tmp_path / "a.npy", tensors, allow_pickle=True)
        loaded = load_npy(tmp_path / "a.npy")
        for name, tensor in tensors.items():
            expected = tensor.detach().float() if name == "wide" else tensor.detach()
            assert same(np.ascontiguousarray(expected.numpy()), np.ascontiguousarray(loaded[name])), name

    def test_zip_format(self):
        torch = pytest.importorskip("torch")
        from torch.storage import TypedStorage

        storage = TypedStorage(wrap_storage=torch.arange(3.0).untyped_storage(), dtype=torch.float32, _internal=True)
        buffer = io.BytesIO()
        torch.save(storage, buffer)

        class Saved:
            def __reduce__(self):
                return torch.storage._load_from_bytes, (buffer.getvalue(),)

        assert same(load_pickle(io.BytesIO(pickle.dumps(Saved()))), np.arange(3, dtype=np.float32))

    def test_a_tensor_beyond_its_storage(self):
        torch = pytest.importorskip("torch")
        raw = pickle.dumps(torch.ones(2), 2)
        assert raw.count(b"K\x02\x85") == 1
        with pytest.raises(LabelError, match="beyond its storage"):
            load_pickle(io.BytesIO(raw.replace(b"K\x02\x85", b"K\x03\x85")))

    def test_importing_needs_no_torch(self, tmp_path):
        code = "import sys, camkit.data.labels, camkit.data.unpickle; sys.exit('torch' in sys.modules)"
        assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


class TestHostile:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_code_does_not_run(self, tmp_path, protocol):
        trace = tmp_path / "trace"
        raw = pickle.dumps({"a": [Evil(trace)]}, protocol)
        with pytest.raises(LabelError, match=r"refuses to load .*\.system"):
            load_pickle(io.BytesIO(raw), "labels.npy")
        np.save(tmp_path / "a.npy", {"a": Evil(trace)}, allow_pickle=True)
        with pytest.raises(LabelError, match=r"a\.npy: it would run code"):
            load_npy(tmp_path / "a.npy")
        assert not trace.exists()

    @pytest.mark.parametrize(
        "raw",
        [
            b"cos\nsystem\n(S'true'\ntR.",
            b"(S'true'\nios\nsystem\n.",
            b"(cos\nsystem\nS'true'\no.",
            b"cbuiltins\neval\n.",
            b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
            b"c__builtin__\n__import__\n.",
            b"\x82\x01.",
            b"Pid\n.",
            b"Nbuiltins\n.",
            b"cnumpy\ndtype\n(Vdatetime64\ntR.",
        ],
    )
    def test_operations_that_call(self, raw):
        with pytest.raises(LabelError):
            load_pickle(io.BytesIO(raw))

    @pytest.mark.parametrize(
        "raw",
        [
            b"\x80\x02]r\xff\xff\xff\x7f.",  # a memo of 2 billion places
            b"B\xff\xff\xff\x7f.",  # 2 GB of bytes that are not there
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
            b"}" + b")" + b"\x85" * 100_000 + b"Ns.",  # a key nested 100,000 deep
            b"(" * 100_000 + b".",
            b"0.", b"t.", b"a.", b"h\x01.", b".", b"", b"N", b"NN.", b"}NNb.", b"]}a(e.", b"NR.", b"N)R.",
        ],
    )  # fmt: skip
    def test_broken_or_absurd(self, raw):
        _load_or_refuse(raw)

    def test_dtypes_of_numpy_stay_as_they_are(self):
        raw = b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x89\x87R(K\x03X\x01\x00\x00\x00>NNNK\x00K\x00K\x00tb."
        load_pickle(io.BytesIO(raw))
        assert np.dtype("f4").byteorder == "="
        assert np.array([1], "f4").tobytes() == np.array([1], "<f4").tobytes()

    def test_copies_are_counted(self, monkeypatch):
        monkeypatch.setattr("camkit.data.pickle_machine._MAX_COPIED_BYTES", 1_000)
        text = pickle.dumps([b"x" * 400] * 2, 2)
        assert len(load_pickle(io.BytesIO(text))) == 2
        many = b"\x80\x02c_codecs\nencode\nq\x01X\x90\x01\x00\x00" + b"x" * 400 + b"q\x02X\x06\x00\x00\x00latin1q\x03"
        many += b"h\x01h\x02h\x03\x86R" * 3 + b"."
        with pytest.raises(LabelError, match="grows"):
            load_pickle(io.BytesIO(many))

    @pytest.mark.parametrize("shape", ["(99999999999,)", "(-1,)", "(2, 'a')", "(1,) * 99", "3"])
    @pytest.mark.parametrize("descr", ["'<f4'", "'|O'", "[('a', 'O')]", "'junk'", "'V'"])
    def test_headers_that_lie(self, tmp_path, shape, descr):
        header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"data")
        with pytest.raises(LabelError, match=r"a\.npy"):
            load_npy(tmp_path / "a.npy")

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=300))
    @example(b"(lp0\n.")
    def test_random_bytes(self, raw):
        _load_or_refuse(raw)

    @settings(max_examples=400, deadline=None)
    @given(st.data())
    def test_mutated_pickles(self, data):
        value = data.draw(st.sampled_from([DATA, *ARRAYS]))
        raw = bytearray(pickle.dumps(value, data.draw(st.sampled_from(PROTOCOLS))))
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        _load_or_refuse(bytes(raw))

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_mutated_npy(self, tmp_path, data):
        np.save(tmp_path / "a.npy", data.draw(st.sampled_from([DATA, *ARRAYS])))
        raw = bytearray((tmp_path / "a.npy").read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        (tmp_path / "a.npy").write_bytes(raw)
        try:
            load_npy(tmp_path / "a.npy")
        except LabelError as error:
            str(error).encode()


def _load_or_refuse(raw: bytes) -> None:
    try:
        load_pickle(io.BytesIO(raw))
    except LabelError as error:
        str(error).encode()
