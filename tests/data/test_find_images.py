import os
from pathlib import Path

import pytest
from PIL import Image

from camkit.data.images import find_images
from camkit.data.lists import IdIndex
from camkit.errors import InputError, UsageError


def ids(*arguments, **options) -> list[str]:
    return [*find_images(*arguments, **options).paths]


def test_a_folder_is_walked_and_sorted_by_id(folder):
    root = folder("b.JPG", "a/x y.png", "a/ü.v2.webp", ".hidden/h.jpg", "a/.h.png", "z.tiff", "a-1.bmp")
    (root / "notes.txt").write_text("no image")
    found = find_images(root)
    assert [*found.paths] == ["a-1", "a/x y", "a/ü.v2", "b", "z"]
    assert found.paths["a/ü.v2"] == root / "a/ü.v2.webp"
    assert found.root == root
    assert found.voc is None


def test_limit_keeps_the_first_in_order_of_ids(folder):
    root = folder("c.jpg", "a.jpg", "b.jpg")
    assert ids(root, limit=2) == ["a", "b"]
    assert ids(root, limit=9) == ["a", "b", "c"]
    with pytest.raises(UsageError):
        find_images(root, limit=0)


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("d/a.jpg", "d/a.JPG"), ("cat.jpg", "cat/deep/x.jpg")])
def test_two_images_that_no_store_could_hold_both(folder, names):
    with pytest.raises(InputError) as error:
        find_images(folder(*names))
    assert all(name in str(error.value) for name in names)


def test_no_images_and_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"\.jpeg"):
        find_images(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        find_images(tmp_path / "nowhere")


def test_one_image_file(folder):
    root = folder("one.jpg", "two.jpg")
    assert dict(find_images(root / "one.jpg").paths) == {"one": root / "one.jpg"}


def test_names_that_are_not_utf8(folder):
    root = folder("a.jpg")
    (root / "a.jpg").rename(os.fsdecode(os.fsencode(root) + b"/\xff.jpg"))
    with pytest.raises(InputError, match="not UTF-8") as error:
        find_images(root)
    str(error.value).encode()


def test_links_are_followed_but_not_in_circles(folder, tmp_path):
    root, elsewhere = folder("a.jpg"), folder("b.jpg", root="elsewhere")
    (root / "linked").symlink_to(elsewhere)
    (root / "circle").symlink_to(root)
    (elsewhere / "back").symlink_to(root)
    (root / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    os.mkfifo(root / "pipe.jpg")
    assert ids(root) == ["a", "broken", "linked/b", "self"]


def test_a_text_file_of_paths(folder, tmp_path):
    root = folder("x/a.jpg", "x/deep/b c.png", "y/c.jpg")
    listing = tmp_path / "photos" / "x" / "images.lst"
    listing.write_text("# mine\n a.jpg\n\ndeep/b c.png\r\na.jpg\n" + str(root / "y/c.jpg"), encoding="utf-8-sig")
    found = find_images(listing)
    assert dict(found.paths) == {
        "x/a": root / "x/a.jpg", "x/deep/b c": root / "x/deep/b c.png", "y/c": root / "y/c.jpg",
    }  # fmt: skip
    assert found.root == root
    listing.write_text("a.jpg\n../y/c.jpg\n")
    assert ids(listing) == ["x/a", "y/c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("\n# nothing\n", "empty"), ("gone.jpg\nlost.jpg\n", "2 of 2 images"), ("list.txt\n", "not images")],
)
def test_a_text_file_that_names_no_images(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        find_images(tmp_path / "list.txt")


def test_ids_that_would_leave_the_store(tmp_path):
    for name in ("...jpg", "..jpg"):
        Image.new("RGB", (4, 3)).save(tmp_path / name, "JPEG")
        (tmp_path / "list.txt").write_text(name)
        with pytest.raises(InputError, match="cannot go by the id"):
            find_images(tmp_path / "list.txt")


def test_names_too_long_for_the_disk(folder):
    name = "x" * 5_000
    with pytest.raises(InputError, match="does not exist"):
        find_images(Path(name))
    with pytest.raises(InputError, match="no list"):
        find_images(folder("a.jpg"), list=name)


def test_many_files_of_one_name():
    ids = [f"{number:05d}/rgb" for number in range(20_000)]
    index = IdIndex.of(ids)
    assert all(index.match(f"/data/{id}.png") == id for id in ids)
    assert index.match("rgb") is None


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"\xff\xfe\x00", b"caf\xe9\n"])
def test_a_binary_file_is_neither_image_nor_list(tmp_path, content):
    (tmp_path / "what").write_bytes(content)
    with pytest.raises(InputError):
        find_images(tmp_path / "what")


class TestVoc:
    def test_ids_are_below_jpegimages(self, voc):
        found = find_images(voc)
        assert [*found.paths] == ["a", "b", "c"]
        assert found.voc is not None
        assert found.voc.masks == voc / "SegmentationClass"
        assert found.root == voc / "JPEGImages"

    def test_a_root_further_down(self, voc, tmp_path):
        (tmp_path / "outer/VOCdevkit").mkdir(parents=True)
        voc.rename(tmp_path / "outer/VOCdevkit/VOC2012")
        assert ids(tmp_path / "outer", list="val") == ["b", "c"]
        assert ids(tmp_path / "outer/VOCdevkit", list="val") == ["b", "c"]

    def test_splits(self, voc):
        assert ids(voc, list="val") == ["b", "c"]
        assert ids(voc, list="cat_val") == ["a", "b"]
        with pytest.raises(InputError, match=r"splits there: val, cat_val"):
            find_images(voc, list="test")

    def test_missing_photos_of_a_split_are_errors(self, voc):
        (voc / "JPEGImages/b.jpg").unlink()
        with pytest.raises(InputError, match=r"names 1 ids.*: b"):
            find_images(voc, list="val")

    def test_real_root(self, voc_animals):
        found = find_images(voc_animals, list="val")
        assert len(found.paths) == 222
        assert all(path.is_file() for path in found.paths.values())


class TestList:
    @pytest.mark.parametrize(
        "line",
        [
            "d/x y",
            "d/x y.jpg",
            "./d/x y.jpg",
            "/a/d/x y.png",
            "x y",
            "d/x y\r",
            "\ufeffd/x y",
            "# no\n\nd/x y\nd/x y\n",
        ],
    )
    def test_ways_to_name_an_image(self, folder, tmp_path, line):
        (tmp_path / "list.txt").write_text(line, newline="")
        assert ids(folder("d/x y.jpg", "d/x.jpg", "other.jpg"), list=str(tmp_path / "list.txt")) == ["d/x y"]

    def test_two_columns(self, folder, tmp_path):
        (tmp_path / "list.txt").write_text(
            "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png\n2007_000033 -1\n2007_000034\t1"
        )
        names = [f"2007_0000{number}" for number in (32, 33, 34, 35)]
        assert ids(folder(*(f"{name}.jpg" for name in names)), list=str(tmp_path / "list.txt")) == names[:3]

    def test_the_deepest_trailing_path_wins(self, folder, tmp_path):
        root = folder("x.jpg", "d/x.jpg")
        for line, id in {"/data/d/x.jpg": "d/x", "/x.jpg": "x", "./x": "x", "e/x.jpg": "x"}.items():
            (tmp_path / "list.txt").write_text(line)
            assert ids(root, list=str(tmp_path / "list.txt")) == [id]

    def test_a_name_that_could_be_two(self, folder, tmp_path):
        (tmp_path / "list.txt").write_text("x\n")
        with pytest.raises(InputError):
            find_images(folder("c/x.jpg", "d/x.jpg"), list=str(tmp_path / "list.txt"))

    def test_ids_with_marks(self, folder, tmp_path):
        names = ["#1", "a.b", " padded", "a.jpg", "line\u2028break"]
        (tmp_path / "list.txt").write_text("\n".join(names))
        root = folder(*(f"{name}.png" for name in names), "no.png")
        assert ids(root, list=str(tmp_path / "list.txt")) == sorted(names)

    def test_unknown_ids_are_counted(self, folder, tmp_path):
        (tmp_path / "list.txt").write_text("a\n" + "\n".join(f"no{number}" for number in range(5)))
        with pytest.raises(InputError, match=r"names 5 ids .* 1 images .*: no0, no1, no2 …"):
            find_images(folder("a.jpg"), list=str(tmp_path / "list.txt"))

    @pytest.mark.parametrize("text", ["", "\n\n# a\n"])
    def test_empty(self, folder, tmp_path, text):
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(InputError, match="empty"):
            find_images(folder("a.jpg"), list=str(tmp_path / "list.txt"))

    def test_missing(self, folder):
        with pytest.raises(InputError, match="no list"):
            find_images(folder("a.jpg"), list="val")


def test_a_folder_named_like_an_image(folder):
    assert ids(folder("a.jpg/b.jpg")) == ["a.jpg/b"]


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
    root = folder("d/a.jpg")
    scandir = os.scandir

    def refuse(path: Path):
        if str(path).endswith("/d"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        find_images(root)


def test_paths_are_a_mapping(folder):
    paths = find_images(folder("a.jpg", "b.jpg")).paths
    assert "a" in paths
    assert "c" not in paths
    assert paths.get("c") is None
    assert paths == dict(paths)
    assert Image.open(paths["b"]).size == (4, 3)
