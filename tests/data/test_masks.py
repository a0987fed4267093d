import io
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from camkit.data.masks import find_masks, read_mask, voc_palette, write_mask
from camkit.errors import ImageError, InputError, OutputError

MASK = np.array([[0, 1, 20], [255, 15, 0]], np.uint8)


def test_palette_is_that_of_voc():
    palette = voc_palette()
    assert (palette.shape, palette.dtype) == ((256, 3), np.uint8)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: tuple(palette[index].tolist()) for index in known} == known
    assert len(np.unique(palette, axis=0)) == 256


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_is_read(tmp_path, dtype):
    mask = MASK.astype(dtype) * (257 if dtype == np.uint16 else 1)
    path = tmp_path / "deep" / "a.png"
    write_mask(path, mask)
    read = read_mask(path)
    assert np.array_equal(read, mask)
    assert read.dtype == dtype
    assert [*path.parent.iterdir()] == [path]
    buffer = io.BytesIO()
    write_mask(buffer, mask)
    assert buffer.getvalue() == path.read_bytes()


def test_every_index_survives_with_its_colour(tmp_path):
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_mask(tmp_path / "a.png", mask)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image.convert("RGB")), voc_palette()[mask])
    assert np.array_equal(read_mask(tmp_path / "a.png"), mask)


def test_rgb_in_voc_colours(tmp_path):
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(voc_palette()[every]).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), every)
    Image.fromarray(np.dstack([voc_palette()[MASK], MASK])).save(tmp_path / "b.png")
    assert np.array_equal(read_mask(tmp_path / "b.png"), MASK)


def test_a_strange_colour_is_named(tmp_path):
    colours = voc_palette()[MASK].copy()
    colours[1, 2] = (1, 2, 3)
    Image.fromarray(colours).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"colour \(1, 2, 3\) at row 1, column 2"):
        read_mask(tmp_path / "a.png")


def test_grey_and_one_bit(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), MASK)
    Image.fromarray(MASK > 1).save(tmp_path / "b.png")
    assert read_mask(tmp_path / "b.png").tolist() == [[0, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_few_bits(tmp_path, bits):
    mask = np.arange(2**bits, dtype=np.uint8).reshape(2, -1)
    image = Image.fromarray(mask)
    image.putpalette(voc_palette()[: 2**bits].tobytes())
    image.save(tmp_path / "a.png", bits=bits)
    assert np.array_equal(read_mask(tmp_path / "a.png"), mask)


@pytest.mark.parametrize("suffix", ["jpg", "gif", "bmp"])
def test_other_formats_are_no_masks(tmp_path, suffix):
    Image.fromarray(MASK).save(tmp_path / f"a.{suffix}")
    with pytest.raises(ImageError):
        read_mask(tmp_path / f"a.{suffix}")


def test_damaged(tmp_path):
    write_mask(tmp_path / "a.png", np.tile(MASK, (99, 99)))
    content = (tmp_path / "a.png").read_bytes()
    for wrong in (b"", b"\x89PNG", content[:900], content[: len(content) // 2]):
        (tmp_path / "a.png").write_bytes(wrong)
        with pytest.raises(ImageError, match=r"a\.png"):
            read_mask(tmp_path / "a.png")
    with pytest.raises(ImageError, match="does not exist"):
        read_mask(tmp_path / "b.png")
    Image.fromarray(np.dstack([MASK, MASK])).save(tmp_path / "c.png")
    with pytest.raises(ImageError, match="LA"):
        read_mask(tmp_path / "c.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_header(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + checked + b"\0\0\0\x04IDAT____")
    with pytest.raises(ImageError):
        read_mask(tmp_path / "a.png")


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file"):
        write_mask(tmp_path / "file" / "a.png", MASK)
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match=r"a\.png"):
        write_mask(tmp_path / "a.png", MASK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "file"]
    with pytest.raises(ValueError, match="uint8 or uint16"):
        write_mask(tmp_path / "b.png", MASK.astype(np.int64))


def test_a_failure_leaves_the_old_mask(tmp_path, monkeypatch):
    write_mask(tmp_path / "a.png", MASK)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        write_mask(tmp_path / "a.png", MASK * 0)
    assert np.array_equal(read_mask(tmp_path / "a.png"), MASK)
    assert len([*tmp_path.iterdir()]) == 1


def test_a_kill_leaves_a_whole_mask(tmp_path):
    """A process that writes one mask over and over is killed; what lies there is one of its masks."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from camkit.data.masks import write_mask\n"
        "masks = [np.full((300, 400), value, np.uint8) for value in range(3)]\n"
        "write_mask(Path(sys.argv[1]), masks[0]); print('started', flush=True)\n"
        "while True: [write_mask(Path(sys.argv[1]), mask) for mask in masks]"
    )
    path = tmp_path / "a.png"
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.05)
            writer.kill()
        mask = read_mask(path)
        assert mask.shape == (300, 400)
        assert len(np.unique(mask)) == 1
        assert [*find_masks(tmp_path)] == ["a"]


class TestFind:
    def test_folder(self, tmp_path):
        write_mask(tmp_path / "b c.png", MASK)
        write_mask(tmp_path / "d/a.PNG", MASK)
        (tmp_path / "notes.txt").write_text("")
        assert dict(find_masks(tmp_path)) == {"b c": tmp_path / "b c.png", "d/a": tmp_path / "d/a.PNG"}

    def test_voc_root(self, voc):
        assert [*find_masks(voc)] == ["a", "b", "c"]
        assert find_masks(voc)["a"] == voc / "SegmentationClass/a.png"
        (voc / "SegmentationClass").rename(voc / "SegmentationClassAug")
        assert [*find_masks(voc)] == ["a", "b", "c"]

    def test_nothing(self, voc, tmp_path):
        for path in (tmp_path / "gone", voc / "Annotations"):
            with pytest.raises(InputError):
                find_masks(path)
        (voc / "SegmentationClass").rename(tmp_path / "elsewhere")
        with pytest.raises(InputError, match="SegmentationClassAug"):
            find_masks(voc)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_anything(tmp_path: Path, data: st.DataObject):
    write_mask(tmp_path / "a.png", MASK)
    content = bytearray((tmp_path / "a.png").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.png").write_bytes(content)
    try:
        mask = read_mask(tmp_path / "a.png")
    except ImageError:
        return
    assert mask.ndim == 2
    assert mask.dtype in (np.uint8, np.uint16)
