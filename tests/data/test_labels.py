import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camkit.data.classes import VOC_CLASSES
from camkit.data.images import find_images
from camkit.data.labels import classes_of_labels, find_labels, missing_labels, read_labels
from camkit.data.masks import write_mask
from camkit.errors import CamkitError, LabelError

IDS = ("2007_000032", "2007_000033", "deep/er/a b.c", "ü#1")
CAT, DOG, PERSON, PLANE = (VOC_CLASSES.index(name) for name in ("cat", "dog", "person", "aeroplane"))
EXPECTED = {"2007_000032": (CAT, PERSON), "2007_000033": (), "deep/er/a b.c": (PLANE,)}


def present(path: Path, ids=IDS, classes=VOC_CLASSES) -> dict[str, tuple[int, ...]]:
    return dict(read_labels(path, classes, ids).present)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestTables:
    @pytest.mark.parametrize(
        "text",
        [
            "2007_000032,person,cat\n2007_000033\ndeep/er/a b.c,aeroplane\n",
            "\ufeffid,classes\r\n2007_000032,cat,person\r\n2007_000033,\r\ndeep/er/a b.c,airplane",
            '"2007_000032","cat","Person"\n\n# note\n2007_000033,,\n"deep/er/a b.c", aeroplane\n',
            "2007_000032\tcat\tperson\n2007_000033\ndeep/er/a b.c\taeroplane\n",
            "2007_000032;cat;person\n2007_000033;\ndeep/er/a b.c;aeroplane\n",
            "image,label\n2007_000032,cat\n2007_000032,person\n2007_000033,\na b.c,aeroplane\n",
            "2007_000032.jpg,cat,person\nphotos/2007_000033.JPG\nphotos/deep/er/a b.c.png,aeroplane",
            f"2007_000032,{CAT},{PERSON}\n2007_000033\ndeep/er/a b.c,{PLANE}",
            "id,aeroplane,cat,person\n2007_000032,0,1,1\n2007_000033,0,0,0\ndeep/er/a b.c,1,0,0\n",
            "2007_000032,background,cat,person\n2007_000033,background\ndeep/er/a b.c,aeroplane\nelse,unicorn\n",
        ],
    )
    def test_ways_to_write_them(self, tmp_path, text):
        assert present(written(tmp_path / "labels.csv", text)) == EXPECTED

    def test_one_column_of_zeros_and_ones(self, tmp_path):
        assert present(written(tmp_path / "a.csv", "id,person\nx,1\ny,0\n"), "xy") == {"x": (PERSON,), "y": ()}

    def test_utf16_as_excel_writes_it(self, tmp_path):
        path = written(tmp_path / "a.txt", "2007_000032\tcat\r\nü#1\tdog".encode("utf-16"))
        assert present(path) == {"2007_000032": (CAT,), "ü#1": (DOG,)}

    def test_mask_values_are_numbers_in_files_named_so(self, tmp_path):
        path = written(tmp_path / "mask_labels.csv", "2007_000032,0,8,15,255\n2007_000033,0\ndeep/er/a b.c,1")
        assert present(path) == EXPECTED

    def test_nothing_is_said_of_numbers_where_there_are_names(self, tmp_path):
        path = written(tmp_path / "mask.csv", "2007_000032,cat")
        assert read_labels(path, VOC_CLASSES, IDS).source == f"table ({path})"

    @pytest.mark.parametrize(
        ("name", "text", "reading"),
        [
            ("mask.csv", "2007_000032,8", "mask values, class + 1"),
            ("a.csv", "2007_000032,7", "class indices from 0"),
            ("mask.json", '{"2007_000032": [8]}', "mask values, class + 1"),
            ("a.json", '{"2007_000032": [7]}', "class indices from 0"),
        ],
    )
    def test_how_numbers_were_read_is_said(self, tmp_path, name, text, reading):
        labels = read_labels(written(tmp_path / name, text), VOC_CLASSES, IDS)
        assert labels.present == {"2007_000032": (CAT,)}
        assert labels.source.endswith(f"({tmp_path / name}) whose numbers are {reading}")

    def test_numbers_of_other_images_must_be_in_range_too(self, tmp_path):
        with pytest.raises(LabelError, match=r"class index 20, but .*\nif they are mask values"):
            present(written(tmp_path / "a.csv", "2007_000032,8\nother,20"))
        with pytest.raises(LabelError, match="mask value 21"):
            present(written(tmp_path / "mask.csv", "2007_000032,8\nother,21"))
        assert present(written(tmp_path / "b.csv", "2007_000032,7\nother,a note")) == {"2007_000032": (CAT,)}
        assert present(written(tmp_path / "c.csv", "2007_000032,cat\nother,99")) == {"2007_000032": (CAT,)}

    def test_class_names_that_are_numbers(self, tmp_path):
        path = written(tmp_path / "a.csv", "a,7,3\nb,1")
        assert present(path, "ab", ("1", "3", "7")) == {"a": (1, 2), "b": (0,)}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("2007_000032,dinningtable\n", "1 classes .*: dinningtable\ndid you mean 'diningtable'"),
            ("2007_000032,cat,3\n", "not known: 3"),
            ("2007_000032,20\n", "class index 20, but 20 classes count from 0 to 19"),
            ("2007_000032,-1\n", "class index -1"),
            ("x,cat\ny,dog\n", "none of the 4 images: it speaks of x, y; images: 2007"),
            ("", "is empty"),
            ("2007_000032,c\0at", "zero bytes"),
        ],
    )
    def test_errors(self, tmp_path, text, message):
        with pytest.raises(LabelError, match=message):
            present(written(tmp_path / "labels.csv", text))

    def test_undecodable(self, tmp_path):
        with pytest.raises(LabelError, match="UTF-8"):
            present(written(tmp_path / "labels.csv", b"2007_000032,caf\xe9"))


class TestXml:
    def test_objects(self, voc):
        expected = {"a": (PLANE, DOG), "b": ()}
        labels = read_labels(voc / "Annotations", VOC_CLASSES, "abc")
        assert (labels.source, labels.present) == (f"VOC XML annotations ({voc / 'Annotations'})", expected)
        assert present(voc, "abc") == expected
        assert present(voc, ["photos/a", "b"]) == {"photos/a": (PLANE, DOG), "b": ()}
        assert classes_of_labels(voc) == classes_of_labels(voc / "Annotations") == ("aeroplane", "dog")

    def test_only_wanted_files_are_opened(self, voc):
        written(voc / "Annotations/c.xml", "damaged")
        assert present(voc, "ab") == {"a": (PLANE, DOG), "b": ()}
        with pytest.raises(LabelError, match=r"c\.xml is not XML"):
            present(voc, "abc")

    @pytest.mark.parametrize(
        "text",
        [
            '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotation>&b;</annotation>',
            '<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotation/>',
        ],
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_document_types_are_refused(self, voc, text, encoding):
        written(voc / "Annotations/a.xml", text.encode(encoding))
        with pytest.raises(LabelError, match="document type"):
            present(voc, "a")

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("<a>" * 300_000, "32 deep"),
            ("<annotation><object><name>" + "c&#97;" * 300_000 + "</name></object></annotation>", "10,000 characters"),
            ("<annotation><object><name>" + "a<b/>" * 300_000 + "</name></object></annotation>", "10,000 characters"),
        ],
    )
    def test_what_would_take_a_time_that_grows_with_its_square_is_refused(self, voc, text, told):
        written(voc / "Annotations/a.xml", text)
        with pytest.raises(LabelError, match=rf"a\.xml.*{told}"):
            present(voc, "a")

    @pytest.mark.parametrize("text", ["", "<a>", "<a></b>", "<?xml version='1.0' encoding='klingon'?><a/>", "\0"])
    def test_damaged(self, voc, text):
        with pytest.raises(LabelError, match=r"a\.xml"):
            written(voc / "Annotations/a.xml", text) and present(voc, "a")


class TestFolders:
    def test_a_folder_per_class(self, folder):
        root = folder("cat/1.jpg", "dog/1.jpg", "dog/sub/2.jpg", "Person/3.png", "loose.jpg")
        assert present(root, ("cat/1", "dog/1", "dog/sub/2")) == {"cat/1": (CAT,), "dog/1": (DOG,), "dog/sub/2": (DOG,)}
        assert present(root, ("1", "sub/2", "3", "4")) == {"1": (CAT, DOG), "sub/2": (DOG,), "3": (PERSON,)}
        with pytest.raises(LabelError, match="not known: dogg\ndid you mean 'dog'"):
            present(folder("dogg/9.jpg"), ("9",))

    def test_classes_of_folders(self, folder):
        assert classes_of_labels(folder("b/1.jpg", "a/2.jpg")) == ("a", "b")

    def test_masks(self, voc):
        expected = {"a": (0,), "b": (), "c": (19,)}
        assert present(voc / "SegmentationClass", ["a", "b", "c"]) == expected
        assert classes_of_labels(voc / "SegmentationClass") is None
        with pytest.raises(LabelError, match="mask value 20, but there are 19 classes"):
            present(voc / "SegmentationClass", "abc", VOC_CLASSES[:19])

    def test_masks_in_folders(self, tmp_path):
        write_mask(tmp_path / "train/x.png", np.array([[CAT + 1, 255]], np.uint8))
        assert present(tmp_path, ("train/x", "y")) == {"train/x": (CAT,)}

    def test_masks_of_many_classes(self, tmp_path):
        write_mask(tmp_path / "x.png", np.array([[255, 300, 65535]], np.uint16))
        assert present(tmp_path, ("x",), [f"class_{i}" for i in range(300)]) == {"x": (254, 299)}

    def test_nothing_of_use(self, folder, tmp_path):
        with pytest.raises(LabelError, match="folders there: things; classes: aeroplane"):
            present(folder("things/a.jpg"))
        with pytest.raises(LabelError, match="does not exist"):
            present(tmp_path / "gone")


def test_find_labels(voc, folder, caplog):
    images = find_images(voc)
    labels = find_labels(images, VOC_CLASSES, images.paths)
    assert labels is not None
    assert labels.present == {"a": (PLANE, DOG), "b": ()}
    assert missing_labels(labels, images.paths) == f"1 of 3 images have no labels in {labels.source}: c"
    assert missing_labels(labels, ["a", "b"]) is None
    for path in (voc / "Annotations").iterdir():
        path.unlink()
    by_masks = find_labels(images, VOC_CLASSES, images.paths)
    assert by_masks is not None
    assert by_masks.source == f"masks ({voc / 'SegmentationClass'})"
    for path in (voc / "SegmentationClass").iterdir():
        path.rename(voc / path.name)
    assert find_labels(images, VOC_CLASSES, images.paths) is None
    for id in "ab":
        (voc / f"{id}.png").rename(voc / f"SegmentationClass/{id}.png")
    assert find_labels(images, VOC_CLASSES, images.paths) is None
    masks = voc / "SegmentationClass"
    told = f"the masks in {masks} are not taken as labels: {{}} of 3 images have none there: {{}}"
    assert caplog.messages == [told.format(3, "a, b, c"), told.format(1, "c")]
    assert find_labels(images, VOC_CLASSES, ["a", "b"]) is not None
    other = find_images(folder("x.jpg"))
    assert find_labels(other, VOC_CLASSES, other.paths) is None


def test_real_masks_agree_with_the_json(voc_animals):
    images = find_images(voc_animals, list="val")
    from_masks = find_labels(images, VOC_CLASSES, images.paths)
    assert from_masks is not None
    assert len(from_masks.present) == 222
    assert from_masks.present == present(voc_animals / "mask_image_labels.json", images.paths)


def test_a_store_is_left_to_others(tmp_path):
    with pytest.raises(LabelError, match="HDF5"):
        present(written(tmp_path / "scores.h5", b"\x89HDF\r\n\x1a\n and more"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("id,class\nx,dog,cat\ny,dog", ("cat", "dog")),
        ("x,1,2", None),
        ('{"x": ["b", "a"]}', ("a", "b")),
        ('{"x": [1]}', None),
        ("", None),
    ],
)
def test_classes_of_text(tmp_path, text, names):
    assert classes_of_labels(written(tmp_path / "labels", text)) == names


IDS_OF_ANY_KIND = st.lists(
    st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), min_size=1).filter(
        lambda id: id == id.strip() and not id.startswith("#") and "/" not in (id[0], id[-1])
    ),
    min_size=1, max_size=6, unique=True,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(ids=IDS_OF_ANY_KIND, data=st.data())
def test_ids_survive_csv_and_json(tmp_path_factory, ids, data):
    expected = {id: tuple(sorted(data.draw(st.sets(st.integers(0, 19), max_size=3)))) for id in ids}
    folder = tmp_path_factory.mktemp("ids")
    buffer = io.StringIO()
    rows = [[id, *(VOC_CLASSES[index] for index in found)] for id, found in expected.items()]
    csv.writer(buffer).writerows([["id", "class"], *rows])
    assert present(written(folder / "a.csv", buffer.getvalue()), ids) == expected
    assert present(written(folder / "a.json", json.dumps(expected)), ids) == expected


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(
        ["a.csv", "a.tsv", "a.json", "a.jsonl", "a.npy", "mask.json", "plain", "xml/a.xml", "m/a.png"]
    ),
    content=st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.text(st.sampled_from('a,1"[]{}:.<>\n\t'), max_size=60).map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "cat", "id", "classes"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["a", "id", "classes", "images", "annotations", "categories"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_anything(tmp_path_factory, name, content):
    path = tmp_path_factory.mktemp("any") / name
    path.parent.mkdir(exist_ok=True)
    written(path, content)
    target = path.parent if path.suffix in (".xml", ".png") else path
    for read in (lambda: read_labels(target, VOC_CLASSES, ["a"]), lambda: classes_of_labels(target)):
        try:
            read()
        except CamkitError as error:
            str(error).encode()


def test_photos_are_no_masks(folder):
    root = folder("a.png")
    Image.new("RGB", (4, 3), (1, 2, 3)).save(root / "a.png")
    with pytest.raises(CamkitError, match="colour"):
        present(root, "a")
