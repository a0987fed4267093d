#!/usr/bin/env bash
# LPCAM's Table 1, IRN's row of its Table 2 and the curves of its Figure 5 on PASCAL VOC 2012; segment-tables.sh: Table 3.
#   bash examples/lpcam-voc.sh resnet50_cls.pth VOC2012/ [OUT]
#   bash examples/lpcam-voc.sh --quick [OUT]
# The checkpoint is one of the IRN family (camkit classify-train --preset irn). For a look at it without either, on scenes
# that camkit draws: camkit toy-world toy/ --train 200 --val 40, then bash examples/lpcam-voc.sh toy toy/. Every line can
# be run again: what is there is kept.
set -euo pipefail
some() { echo "$@"; }  # --quick takes the first
if [ "${1:-}" = --quick ]; then source "$(dirname "$0")/quick.sh" && set -- toy "$world" "$out"; fi
[ $# -ge 2 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
ckpt=$1 voc=$2 out=${3:-lpcam-voc}
export CAMKIT_PHOTOS="$voc"  # stores may name photos there
mkdir -p "$out"
init=${INIT:-$ckpt}  # what IRN starts from: its authors take torchvision's ImageNet resnet50
irn=()               # its recipe: its authors', but for drawn scenes, which are few and small
[ "$ckpt" != toy ] || irn=(--optimiser adamw --rate 2e-3 --weight-decay 0.01)
[ "$ckpt" != toy ] || [ -n "${world:-}" ] || irn+=(--epochs 12 --batch-size 8 --crop 128)
all=train            # the photos IRN learns from: SBD's too, where they are
[ ! -f "$voc/ImageSets/Segmentation/train_aug.txt" ] || all=train_aug
common=(--ckpt "$ckpt" --images "$voc" --list train)

cluster() {  # NAME OPTIONS…: prototypes, foreground and context parted by CAM
    camkit lpcam-cluster "${common[@]}" --maps "$out/cam.h5" --out "$out/$1-prototypes.h5" "${@:2}"
}

judge() {  # NAME PROTOTYPES OPTIONS…: maps, and their figures: mIoU, FP, FN, precision and recall
    camkit lpcam-apply "${common[@]}" --prototypes "$out/$2-prototypes.h5" --out "$out/$1.h5" "${@:3}"
    camkit evaluate "$out/$1.h5" --gt "$voc" --list train --curve "$out/$1.png" | tee "$out/$1.txt"
}

# Table 1 (paper, mIoU: CAM 48.8, LPCAM-F 52.1, LPCAM 54.9); the curves are Figure 5 (d), seeds at every threshold
camkit cam "${common[@]}" --out "$out/cam.h5"
camkit evaluate "$out/cam.h5" --gt "$voc" --list train --curve "$out/cam.png" | tee "$out/cam.txt"
cluster lpcam
judge lpcam-f lpcam --foreground-only
judge lpcam lpcam

# as the authors' program does it: context centres score above 0.05 too, maps come to the grid by their nearest pixel
cluster published --preset published
judge published published

# Table 2, IRN (paper: seeds 48.8 and 54.9, pseudo masks 66.5 and 71.2): IRN learns from the maps, then they walk, with
# the thresholds of LPCAM's program
for method in cam lpcam; do
    maps=$out/$method-$all.h5
    if [ "$method" = cam ]; then
        camkit cam --ckpt "$ckpt" --images "$voc" --list "$all" --out "$maps"
    else
        camkit lpcam-apply --ckpt "$ckpt" --images "$voc" --list "$all" --prototypes "$out/lpcam-prototypes.h5" --out "$maps"
    fi
    camkit irn-train "$maps" --init "$init" "${irn[@]}" --foreground 0.45 --background 0.25 --out "$out/$method-irn.safetensors"
    camkit refine walk "$maps" --affinity irn --ckpt "$out/$method-irn.safetensors" --background 0.35 \
        --out "$out/$method-walked.h5"
    camkit evaluate "$out/$method-walked.h5" --gt "$voc" --list train | tee "$out/$method-walked.txt"
done

# Figure 5 (a) and (c): the threshold between foreground and context, and the number of clusters
for threshold in $(some 0.05 0.2 0.3 0.4); do
    cluster "threshold-$threshold" --threshold "$threshold"
    judge "threshold-$threshold" "threshold-$threshold"
done
for clusters in $(some 4 8 16 20); do
    cluster "clusters-$clusters" --clusters "$clusters"
    judge "clusters-$clusters" "clusters-$clusters"
done

# Figure 5 (b): which centres are prototypes, from the centres of Table 1
for score in $(some 0.5 0.7 0.8 0.95); do
    judge "foreground-score-$score" lpcam --foreground-score "$score"
    judge "context-score-$score" lpcam --context-score "$score"
done
judge context-low-0.05 lpcam --context-low 0.05

camkit show --prototypes "$out/lpcam-prototypes.h5" --html "$out/prototypes.html"
camkit show "$out/cam.h5" "$out/lpcam.h5" "$out/cam-walked.h5" "$out/lpcam-walked.h5" --gt "$voc" --list train --limit 50 --html "$out/report.html"
