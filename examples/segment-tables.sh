#!/usr/bin/env bash
# The papers' last tables: InferCam's Table 5, LPCAM's Table 3, ICD's Tables 7 and 8. Networks learn from pseudo masks.
#   bash examples/segment-tables.sh TABLE MASKS WEIGHTS VAL [OUT]
#   bash examples/segment-tables.sh --quick [OUT]
# TABLE is one of those at the end of this file. MASKS are of train_aug (COCO: of train2014), as the recipes leave them:
#   infercam-voc.sh infercam-crf.h5    lpcam-voc.sh lpcam-walked.h5    lpcam-coco.sh lpcam-walked.h5    icd-voc.sh icd-crf.h5
# WEIGHTS hold ImageNet's of the table's network: resnet101, vgg16 (torchvision's files) or a Swin. VAL is VOC2012/, or of COCO
# the folder val2014/, with TRUTH=MASKS/ its masks. SALIENCY=FOLDER, grey pictures of the photos of MASKS, adds the rows with saliency.
# Each training takes hours on a GPU (torchrun shares it among several). Every line can be run again: what is there is kept.
set -euo pipefail
some() { echo "$@"; }  # --quick takes the first
if [ "${1:-}" = --quick ]; then
    source "$(dirname "$0")/quick.sh"
    command camkit cam -q --ckpt toy --images "$world" --list train --scales 1 --no-flip --out "$out/cam.h5"
    camkit crf -q "$out/cam.h5" --masks --out "$out/quick-masks.h5"
    SALIENCY=$world/Saliency size=64
    set -- all "$out/quick-masks.h5" toy "$world" "$out"
fi
[ $# -ge 4 ] || { sed -n '2,8s/^# *//p' "$0" >&2; exit 2; }
table=$1 masks=$2 weights=$3 val=$4 out=${5:-segment-tables}
truth=${TRUTH:-$val}
export CAMKIT_PHOTOS="${CAMKIT_PHOTOS:-$val}"  # MASKS may name photos there: of COCO give train2014/
size=${size:-683}  # of UperNet: what its program fits into 2,048×512 has this longer side, for most photos
mkdir -p "$out"
split=()
[ ! -d "$val/ImageSets" ] || split=(--list val)

learn() {  # NAME PRESET OPTIONS…
    camkit segment-train "$masks" --init "$weights" --preset "$2" --out "$out/$1.safetensors" "${@:3}"
}

judge() {  # NAME NETWORK PAPER OPTIONS of camkit segment…: mIoU of val beside the paper's
    camkit segment --ckpt "$out/$2.safetensors" --images "$val" "${split[@]}" --masks --out "$out/$1.h5" "${@:4}"
    camkit evaluate -q "$out/$1.h5" --gt "$truth" "${split[@]}" --json > "$out/$1.json"
    printf '  %-34s %6s   [%s]\n' "$1" "$(sed -n 's/^  "miou": //p' "$out/$1.json" | LC_ALL=C awk '{printf "%.1f", 100 * $1}')" "$3"
}

# The paper names no scales of the test; its programs' DeepLab looks at 1, 0.75 and 0.5, here mirrored too.
infercam-table5() {
    learn infercam deeplabv2
    judge infercam infercam "no saliency: 66.2" --preset deeplabv2 --flip --crf
    [ -n "${SALIENCY:-}" ] || return 0
    learn infercam-saliency deeplabv2 --saliency "$SALIENCY"
    judge infercam-saliency infercam-saliency 70.8 --preset deeplabv2 --flip --crf
}

# 20,000 steps of 10 photos are 19 epochs of train_aug. The paper gives a batch of 5, which its program takes twice a step.
lpcam-table3-voc-deeplab() {
    learn lpcam-deeplab deeplabv2
    judge lpcam-deeplab lpcam-deeplab "IRN 68.6, of CAM 63.5" --preset deeplabv2
    judge lpcam-deeplab-crf lpcam-deeplab "with CRF" --preset deeplabv2 --crf
}

# 100,000 steps of 10 photos are 12 epochs of train2014.
lpcam-table3-coco-deeplab() {
    learn lpcam-coco-deeplab deeplabv2 --rate 2e-4 --epochs 12
    judge lpcam-coco-deeplab lpcam-coco-deeplab "IRN 44.5, of CAM 42.0" --preset deeplabv2
    judge lpcam-coco-deeplab-crf lpcam-coco-deeplab "with CRF" --preset deeplabv2 --crf
}

# 40,000 steps of 16 photos. Nobody says how large the Swin was.
lpcam-table3-voc-swin() {
    learn lpcam-swin upernet-swin --arch "${SWIN:-upernet-swin-s}" --resize "$size" --input-size "$size"
    judge lpcam-swin-once lpcam-swin "IRN 71.1, of CAM 65.9" --preset upernet-swin --scales 1 --no-flip
    judge lpcam-swin lpcam-swin "six scales, mirrored" --preset upernet-swin
}

# 80,000 steps
lpcam-table3-coco-swin() {
    learn lpcam-coco-swin upernet-swin --arch "${SWIN:-upernet-swin-s}" --resize "$size" --input-size "$size" --epochs 15
    judge lpcam-coco-swin-once lpcam-coco-swin "IRN 47.0, of CAM 44.0" --preset upernet-swin --scales 1 --no-flip
    judge lpcam-coco-swin lpcam-coco-swin "six scales, mirrored" --preset upernet-swin
}

# The paper's saliency is in the seeds: rows I.+S. begin from masks of camkit mask --rule icd --saliency, and then camkit crf.
icd-table7() {
    learn icd-vgg16 largefov
    judge icd-vgg16 icd-vgg16 "61.2, from masks with saliency 64.0" --preset largefov --crf
}

icd-table8() {
    learn icd-resnet101 deeplabv2
    judge icd-resnet101 icd-resnet101 "64.1, from masks with saliency 67.8" --preset deeplabv2 --crf
}

echo "mIoU on val [the paper's]"
case $table in
    infercam-table5 | lpcam-table3-voc-deeplab | lpcam-table3-voc-swin | lpcam-table3-coco-deeplab | lpcam-table3-coco-swin) "$table" ;;
    icd-table7 | icd-table8) "$table" ;;
    all) for one in infercam-table5 lpcam-table3-{voc,coco}-{deeplab,swin} icd-table{7,8}; do "$one"; done ;;
    *) echo "no table $table; the tables are: $(grep -oE '^(infercam|lpcam|icd)-[a-z0-9-]+' "$0" | tr '\n' ' ')" >&2; exit 2 ;;
esac
