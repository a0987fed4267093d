import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from camkit.data.images import image_size, read_image
from camkit.errors import ImageError, UsageError

GRADIENT = np.linspace(0, 255, 6 * 8).reshape(6, 8)
COLOURS = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT[:, ::-1]], axis=-1).astype(np.uint8)


def saved(path: Path, image: Image.Image | np.ndarray, **options) -> Path:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    checked = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + checked + b"\0\0\0\x09IDATnot data"


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "ppm", "PNG"])
def test_lossless_formats(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", COLOURS)
    image, size = read_image(path)
    assert np.array_equal(image, COLOURS)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert size == image_size(path) == (6, 8)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp", "gif"])
def test_lossy_formats(tmp_path, suffix):
    image, size = read_image(saved(tmp_path / f"a.{suffix}", COLOURS))
    assert image.shape == (6, 8, 3)
    assert size == (6, 8)
    assert np.abs(image.astype(int) - COLOURS).mean() < 40


class TestModes:
    def grey(self, path: Path) -> np.ndarray:
        image, _ = read_image(path)
        assert np.array_equal(image[..., 0], image[..., 1])
        assert np.array_equal(image[..., 0], image[..., 2])
        return image[..., 0]

    def test_grey_and_one_bit(self, tmp_path):
        grey = GRADIENT.astype(np.uint8)
        assert np.array_equal(self.grey(saved(tmp_path / "a.png", grey)), grey)
        bits = Image.fromarray(grey > 100)
        assert bits.mode == "1"
        assert np.array_equal(self.grey(saved(tmp_path / "b.png", bits)), (grey > 100) * 255)

    @pytest.mark.parametrize("suffix", ["png", "tif", "ppm", "big-endian.tif"])
    def test_16_bits_are_scaled_not_clipped(self, tmp_path, suffix):
        values = (GRADIENT * 257).astype(np.uint16)
        path = tmp_path / f"a.{suffix}"
        if suffix == "ppm":
            path.write_bytes(b"P5 8 6 65535\n" + values.astype(">u2").tobytes())
        elif suffix == "big-endian.tif":
            saved(path, Image.frombytes("I;16B", (8, 6), values.astype(">u2").tobytes()))
        else:
            saved(path, values)
        assert np.array_equal(self.grey(path), np.rint(values / 257))

    def test_dark_16_bits_stay_dark(self, tmp_path):
        assert self.grey(saved(tmp_path / "a.png", np.full((2, 2), 200, np.uint16))).max() == 1

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([[0, 0.5, 1]], [[0, 128, 255]]),
            ([[0, 127.6, 255]], [[0, 128, 255]]),
            ([[0, 32768, 65535]], [[0, 128, 255]]),
            ([[0, 4e5, 1e6]], [[0, 102, 255]]),
            ([[np.nan, -np.inf, 1]], [[0, 0, 255]]),
            ([[0, 0, 0]], [[0, 0, 0]]),
            ([[-5, -1, -2]], [[0, 0, 0]]),
        ],
    )
    def test_floats(self, tmp_path, values, expected):
        path = saved(tmp_path / "a.tif", np.array(values, np.float32))
        assert np.array_equal(self.grey(path), expected)

    def test_32_bit_integers(self, tmp_path):
        assert np.array_equal(self.grey(saved(tmp_path / "a.tif", np.array([[0, 7, 255]], np.int32))), [[0, 7, 255]])

    def test_transparency_lies_on_white(self, tmp_path):
        rgba = np.dstack([COLOURS, np.full((6, 8), 255, np.uint8)])
        rgba[0, :, 3] = 0
        rgba[1, :, 3] = 128
        image, _ = read_image(saved(tmp_path / "a.png", rgba))
        assert (image[0] == 255).all()
        assert np.allclose(image[1], COLOURS[1] * (128 / 255) + 127, atol=2)
        assert np.array_equal(image[2:], COLOURS[2:])

    def test_grey_with_transparency(self, tmp_path):
        values = np.dstack([np.full((2, 2), 9, np.uint8), np.array([[0, 255], [255, 0]], np.uint8)])
        image = Image.fromarray(values)
        assert image.mode == "LA"
        assert np.array_equal(self.grey(saved(tmp_path / "a.png", image)), [[255, 9], [9, 255]])

    def test_palette_and_its_transparent_colour(self, tmp_path):
        image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
        image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
        read, _ = read_image(saved(tmp_path / "a.png", image))
        assert read.tolist() == [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]]
        read, _ = read_image(saved(tmp_path / "b.png", image, transparency=1))
        assert read[:, 1].tolist() == [[255] * 3] * 2

    def test_transparent_colour_of_rgb(self, tmp_path):
        image, _ = read_image(saved(tmp_path / "a.png", COLOURS, transparency=tuple(int(v) for v in COLOURS[3, 3])))
        assert (image[3, 3] == 255).all()

    @pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
    def test_jpeg_modes(self, tmp_path, mode):
        image = Image.new("RGB", (32, 32), (200, 40, 90)).convert(mode)
        read, _ = read_image(saved(tmp_path / "a.jpg", image, quality=95))
        assert np.abs(read[16, 16].astype(int) - image.convert("RGB").getpixel((0, 0))).max() < 8

    def test_lab(self, tmp_path):
        read, _ = read_image(saved(tmp_path / "a.tif", Image.new("LAB", (4, 4), (128, 128, 128))))
        assert read.shape == (4, 4, 3)

    @pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
    def test_only_the_first_frame(self, tmp_path, suffix):
        frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        image, size = read_image(path)
        assert size == (4, 5)
        assert image[2, 2, 0] > 200
        assert image[2, 2, 2] < 50


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
    @pytest.mark.parametrize("longest", [None, 24, 96])
    def test_upright(self, tmp_path, orientation, suffix, longest):
        stored = Image.fromarray(COLOURS).resize((64, 48), Image.Resampling.BILINEAR)
        path = tmp_path / f"a.{suffix}"
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
        image, size = read_image(path, longest)
        assert size == image_size(path) == (upright.height, upright.width)
        if longest:
            scale = longest / 64
            resized = (round(upright.width * scale), round(upright.height * scale))
            upright = upright.resize(resized, Image.Resampling.BICUBIC)
        assert image.shape[:2] == (upright.height, upright.width)
        assert np.abs(image.astype(int) - np.array(upright)).max() <= (2 if longest else 0)

    @pytest.mark.parametrize("value", [0, 9, 77])
    def test_values_that_mean_nothing(self, tmp_path, value):
        exif = Image.Exif()
        exif[0x0112] = value
        assert read_image(saved(tmp_path / "a.jpg", COLOURS, exif=exif))[1] == (6, 8)

    def test_a_damaged_exif_block(self, tmp_path):
        path = saved(tmp_path / "a.jpg", COLOURS, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
        assert read_image(path)[0].shape == (6, 8, 3)


class TestLongest:
    @pytest.mark.parametrize(("height", "width"), [(30, 40), (40, 30), (1, 500), (500, 1), (7, 7)])
    @pytest.mark.parametrize("longest", [1, 13, 500, 777])
    def test_the_longer_side_is_exact(self, tmp_path, height, width, longest):
        image, size = read_image(saved(tmp_path / "a.png", np.zeros((height, width), np.uint8)), longest)
        assert size == (height, width)
        assert max(image.shape[:2]) == longest
        assert min(image.shape[:2]) == max(1, round(min(size) * longest / max(size)))

    def test_a_large_jpeg_looks_the_same_drafted(self, tmp_path):
        rng = np.random.default_rng(0)
        noise = Image.fromarray(rng.integers(0, 255, (30, 41, 3), np.uint8))
        noise = noise.resize((1641, 1203), Image.Resampling.BICUBIC)
        path = saved(tmp_path / "a.jpg", noise, quality=95)
        image, size = read_image(path, 200)
        assert size == (1203, 1641)
        expected = Image.open(path).resize((200, 147), Image.Resampling.BICUBIC)
        assert np.abs(image.astype(int) - np.array(expected)).mean() < 1.5

    def test_nonsense(self, tmp_path):
        path = saved(tmp_path / "a.png", COLOURS)
        with pytest.raises(UsageError):
            read_image(path, 0)
        with pytest.raises(ImageError, match="after resizing"):
            read_image(path, 1_000_000)


class TestDamaged:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "empty"),
            (b"<html>404 not found</html>", "no image format"),
            (b"\xff\xd8\xff", "cannot read"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image format"),
            (png_header(2**31 - 1, 2**31 - 1), "limit"),
            (png_header(25_000, 25_000), "the limit is"),
            (png_header(0, 10), "cannot read"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_content(self, tmp_path, content, message):
        path = tmp_path / "a.jpg"
        path.write_bytes(content)
        for read in (read_image, image_size):
            with pytest.raises(ImageError, match=message) as error:
                read(path)
            assert str(path) in str(error.value)

    @pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "bmp"])
    def test_truncated(self, tmp_path, suffix):
        path = saved(tmp_path / f"a.{suffix}", Image.effect_noise((80, 60), 90).convert("RGB"))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ImageError, match="cannot read image"):
            read_image(path)

    def test_missing_and_folder(self, tmp_path):
        with pytest.raises(ImageError, match="does not exist"):
            read_image(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match="folder"):
            read_image(tmp_path)

    def test_too_many_pixels_are_not_decoded(self, tmp_path):
        path = saved(tmp_path / "a.png", COLOURS)
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(ImageError, match="8 x 6 px, the limit is 47"):
            read_image(path, max_pixels=47)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_anything(self, tmp_path, data):
        """Mutated files of every format give an image or an ImageError."""
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"]))
        Image.fromarray(COLOURS).save(buffer, format, **({} if format in ("BMP", "PPM", "GIF") else {"exif": exif}))
        content = bytearray(buffer.getvalue())
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path = tmp_path / "a.jpg"
        path.write_bytes(content)
        try:
            image, size = read_image(path, 10, max_pixels=1_000_000)
        except ImageError:
            return
        assert image.shape == (*image.shape[:2], 3)
        assert size == image_size(path)
