# Sourced by the recipes: `bash examples/RECIPE.sh --quick [OUT]` runs every line of a recipe within minutes, on a few drawn
# scenes, with the classifier of the toy world and trainings cut short. It shows that all works; its figures mean nothing.
# Of a loop over `some` values it takes the first. Makes $world, a folder in VOC's layout, and $labels, the same tags as
# COCO's instances JSON; camkit is the shortened one.

out=${2:-quick-$(basename "$0" .sh)}
world=$out/world labels=$out/instances.json
mkdir -p "$out"
command camkit toy-world -q "$world" --train 8 --val 4
cp "$world/ImageSets/Segmentation/train.txt" "$world/ImageSets/Segmentation/train_aug.txt"
python3 - "$world" "$labels" <<'PYTHON'
import json, sys
from pathlib import Path
from xml.etree import ElementTree

world, labels = map(Path, sys.argv[1:])
names = (world / "classes.txt").read_text().split()
photos = sorted((world / "JPEGImages").glob("*.jpg"))
annotations = [
    {"id": 100 * number + place, "image_id": number, "category_id": 1 + names.index(name.text)}
    for number, photo in enumerate(photos)
    for place, name in enumerate(ElementTree.parse(world / "Annotations" / f"{photo.stem}.xml").iter("name"))
]
content = {
    "images": [{"id": number, "file_name": photo.name} for number, photo in enumerate(photos)],
    "categories": [{"id": 1 + number, "name": name} for number, name in enumerate(names)],
    "annotations": annotations,
}
labels.write_text(json.dumps(content))
PYTHON

some() { echo "$1"; }

camkit() {
    local name=$1 short=() given=()
    case $name in
        cam | icd-apply | lpcam-apply) short=(--scales 1 --no-flip) ;;
        infercam) short=(--scales 1 --no-flip --rounds 2) ;;
        dcsm) short=(--limit 1) ;;
        lpcam-cluster) short=(--rounds 5) ;;
        segment) short=(--limit 1 --scales 0.5 --resize 64) ;;
        segment-train) short=(--arch light --epochs 1 --batch-size 2 --resize 64 --crop 64) ;;
        *-train) short=(--epochs 1 --batch-size 2 --crop 64) ;;
    esac
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --classes) given+=(--classes "$world/classes.txt") && shift ;;
            --epochs | --arch) shift ;;
            *) given+=("$1") ;;
        esac
        shift
    done
    command camkit "$name" "${short[@]}" "${given[@]}"
}
