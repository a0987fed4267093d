#!/usr/bin/env bash
# ICD's Tables 1 to 6 on PASCAL VOC 2012, seeds and score maps of train; segment-tables.sh goes on to Tables 7 and 8.
#   bash examples/icd-voc.sh vgg16.pth VOC2012/ [OUT]
#   bash examples/icd-voc.sh --quick [OUT]
# The checkpoint holds ImageNet weights of VGG16: torchvision's, whose fc6 and fc7 are thinned out, or the variant with 1,024 channels. Every
# network is trained on train_aug: about a dozen trainings, hours each on a GPU. Every line can be run again: what is there is kept.
set -euo pipefail
some() { echo "$@"; }  # --quick takes the first
layer=conv5_3
if [ "${1:-}" = --quick ]; then source "$(dirname "$0")/quick.sh" && set -- toy "$world" "$out" && layer=block3; fi
[ $# -ge 2 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
init=$1 voc=$2 out=${3:-icd-voc}
export CAMKIT_PHOTOS="$voc"  # stores may name photos there
mkdir -p "$out"
all=train
[ ! -f "$voc/ImageSets/Segmentation/train_aug.txt" ] || all=train_aug
superpixels=$out/superpixels.h5

learn() {  # NAME OPTIONS…: a network of its own
    camkit icd-train --images "$voc" --list "$all" --init "$init" --out "$out/$1.safetensors" "${@:2}"
}

scores() {  # NAME NETWORK BRANCH [SPLIT]: signed scores
    camkit icd-apply --ckpt "$out/$2.safetensors" --images "$voc" --list "${4:-train}" --branch "$3" --out "$out/$1.h5"
}

seeds() {  # NAME PAPER [CAMS]: seeds of the scores of that name, before and after the CRF; the paper's figures in brackets
    local contested=()
    [ $# -lt 3 ] || contested=(--cams "$out/$3.h5")
    camkit mask "$out/$1.h5" --rule icd "${contested[@]}" --out "$out/$1-seeds.h5"
    camkit crf "$out/$1-seeds.h5" --preset icd --masks --out "$out/$1-crf.h5"
    camkit evaluate -q "$out/$1-seeds.h5" --gt "$voc" --list train --json > "$out/$1-seeds.json"
    camkit evaluate -q "$out/$1-crf.h5" --gt "$voc" --list train --json > "$out/$1-crf.json"
    printf '  %-24s %6s %6s   [%s]\n' "$1" "$(miou "$1-seeds")" "$(miou "$1-crf")" "$2"
}

miou() {
    sed -n 's/^  "miou": //p' "$out/$1.json" | LC_ALL=C awk '{printf "%.1f", 100 * $1}'
}

camkit superpixels --images "$voc" --list "$all" --merge 64 --ckpt "$init" --layer "$layer" --out "$superpixels"
averaged=(--superpixels "$superpixels")
learn icd "${averaged[@]}"
camkit icd-apply --ckpt "$out/icd.safetensors" --images "$voc" --list "$all" --branch cam --raw --out "$out/cam.h5"
scores icd icd top-down "$all"  # of all: what Tables 7 and 8 begin from
scores bottom-up icd bottom-up

# Table 1, pixel AP (paper: CAM 46.3, ICD 57.0), and Table 2, seeds at ±T (paper, T = 0, 0.1, 0.3, 0.5: CAM 35.1 53.6 62.9 68.5,
# ICD 59.5 65.3 72.1 75.2); T is a share of the largest score of either sign, as evaluate and icd-apply have it by default
camkit cam --signed --ckpt "$out/icd.safetensors" --images "$voc" --list train --out "$out/cam-balanced.h5"
for name in cam-balanced icd; do
    camkit evaluate "$out/$name.h5" --gt "$voc" --list train --margins 0,0.1,0.3,0.5 | tee "$out/$name.txt"
done

echo "Table 3: what each step adds                  seeds    CRF"
seeds bottom-up "49.9" cam
camkit refine superpixel "$out/bottom-up.h5" --superpixels "$superpixels" --out "$out/refined.h5"
seeds refined "54.0" cam
seeds icd "59.9, with CRF 62.2" cam

echo "Table 4: the form of the bottom-up loss"
for form in $(some absolute:58.3 sigmoid:52.9); do
    learn "${form%:*}" --bottom-up "${form%:*}" "${averaged[@]}"
    scores "${form%:*}" "${form%:*}" top-down
    seeds "${form%:*}" "with CRF ${form#*:}" cam
done

echo "Table 5: features of the bottom-up estimation"
for features in $(some conv4:43.8,47.0 fc6:40.0,42.4 concat:41.3,44.1); do
    name=${features%:*}
    learn "features-$name" --features "$name" --no-top-down
    scores "features-$name" "features-$name" bottom-up
    seeds "features-$name" "${features#*:}" cam
done

echo "Table 6: structures of the top-down branch"
for structure in $(some a:50.4,42.9 b:57.2,58.8 d:59.2,62.0); do
    name=${structure%:*}
    learn "structure-$name" --structure "$name" "${averaged[@]}"
    scores "structure-$name" "structure-$name" top-down
    seeds "structure-$name" "${structure#*:}" cam
done

camkit show "$out/icd.h5" "$out/icd-crf.h5" --gt "$voc" --list train --limit 50 --html "$out/report.html"
