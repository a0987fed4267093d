import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camkit.data.classes import COCO_CLASSES, COCO_IDS, VOC_CLASSES, ClassIndex, default_classes, read_classes
from camkit.errors import LabelError


def classes_in(tmp_path: Path, text: str) -> tuple[str, ...]:
    (tmp_path / "classes.txt").write_text(text, newline="")
    return read_classes(str(tmp_path / "classes.txt"))


def test_standard_sets():
    assert len(set(VOC_CLASSES)) == 20
    assert len(set(COCO_CLASSES)) == len(COCO_IDS) == 80
    assert dict(zip(COCO_IDS, COCO_CLASSES, strict=True))[90] == "toothbrush"
    assert dict(zip(COCO_IDS, COCO_CLASSES, strict=True))[44] == "bottle"
    assert (read_classes("voc"), read_classes("coco")) == (VOC_CLASSES, COCO_CLASSES)
    assert (default_classes(20), default_classes(80)) == (VOC_CLASSES, COCO_CLASSES)
    assert default_classes(2) == ("class_0", "class_1")


@pytest.mark.parametrize(
    "text",
    [
        "cat\nhot dog\n",
        "\ufeffcat\r\nhot dog",
        "background\ncat\n\n hot dog \n",
        "_background_\ncat\nhot dog",
        "0 cat\n1 hot dog",
        "1,cat\n2,hot dog",
        "0: cat\n1: hot dog",
        "0,background\n1,cat\n2,hot dog",
        '["cat", "hot dog"]',
        '{"0": "cat", "1": "hot dog"}',
        '{"2": "hot dog", "0": "background", "1": "cat"}',
    ],
)
def test_files(tmp_path, text):
    assert classes_in(tmp_path, text) == ("cat", "hot dog")


def test_numbers_that_do_not_count_up_are_part_of_the_names(tmp_path):
    assert classes_in(tmp_path, "7 eleven\n2 cv") == ("7 eleven", "2 cv")
    assert classes_in(tmp_path, "0\n1\n2") == ("0", "1", "2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no class"),
        ("background\n", "no class"),
        ("cat\ndog\ncat\n", "more than once: cat"),
        ("[1, 2]", "list of class names"),
        ('{"a": "cat"}', "index -> name"),
        ('{"0": "cat", "2": "dog"}', "count up"),
        ("[" * 100_000, "not JSON"),
        ("{cat", "not JSON"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    with pytest.raises(LabelError, match=message):
        classes_in(tmp_path, text)


def test_missing():
    with pytest.raises(LabelError, match="neither voc, coco nor a file"):
        read_classes("imagenet")


def test_names_that_mean_the_same():
    voc, coco = ClassIndex(VOC_CLASSES), ClassIndex(COCO_CLASSES)
    for name in ("aeroplane", "airplane", "Airplane", "AERO_PLANE"):
        assert voc.find(name) == 0
        assert coco.find(name) == 4
    pairs = {"dining table": "diningtable", "tv": "tvmonitor", "couch": "sofa", "potted-plant": "pottedplant"}
    for ours, theirs in (pairs | {"motorcycle": "motorbike"}).items():
        assert voc.find(ours) == voc.find(theirs) == VOC_CLASSES.index(theirs)
        assert coco.find(ours) == coco.find(theirs) is not None
    assert voc.find("giraffe") is None
    assert voc.nearest("dinningtable") == "diningtable"
    assert voc.nearest("qqqq") is None


def test_exact_names_win():
    index = ClassIndex(["TV", "tv", "couch", "sofa"])
    assert [index.find(name) for name in ("TV", "tv", "couch", "sofa")] == [0, 1, 2, 3]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary()
    | st.text().map(str.encode)
    | st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything(tmp_path, content):
    (tmp_path / "classes").write_bytes(content)
    try:
        names = read_classes(str(tmp_path / "classes"))
    except LabelError:
        return
    assert len(set(names)) == len(names) > 0
