#!/usr/bin/env bash
# InferCam's Tables 1 to 4 on PASCAL VOC 2012, and Table 1 of its supplement; segment-tables.sh goes on to Table 5.
#   bash examples/infercam-voc.sh resnet38_cls.pth VOC2012/ [OUT]
#   bash examples/infercam-voc.sh --quick [OUT]
# The checkpoint is the one that the AffinityNet ("PSA") authors publish. On a GPU: about an hour, and as long again for the
# random walk's network. Every line can be run again: what is there is kept.
set -euo pipefail
some() { echo "$@"; }  # --quick takes the first
if [ "${1:-}" = --quick ]; then source "$(dirname "$0")/quick.sh" && set -- toy "$world" "$out"; fi
[ $# -ge 2 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
ckpt=$1 voc=$2 out=${3:-infercam-voc}
export CAMKIT_PHOTOS="$voc"  # stores may name photos there
mkdir -p "$out"

maps() {  # NAME SPLIT OPTIONS…: maps, and their figures, with mIoU by the number of classes
    camkit infercam --preset paper --ckpt "$ckpt" --images "$voc" --list "$2" --out "$out/$1-$2.h5" "${@:3}"
    camkit evaluate "$out/$1-$2.h5" --gt "$voc" --list "$2" --curve "$out/$1-$2.png" | tee "$out/$1-$2.txt"
}

# Table 1 (paper: CAM 48.0 train, 46.8 val; InferCam 52.2 and 50.7) and Table 3 (by number of classes)
for list in train val; do
    camkit cam --ckpt "$ckpt" --images "$voc" --list "$list" --out "$out/cam-$list.h5"
    camkit evaluate "$out/cam-$list.h5" --gt "$voc" --list "$list" | tee "$out/cam-$list.txt"
    maps infercam "$list"
done

# Table 1, CAM + RW (paper: CAM 58.1, InferCam 64.2 on train): AffinityNet learns from the maps of train_aug, then they walk
for method in cam infercam; do
    maps=$out/$method-train_aug.h5
    numbers=() && [ "$method" = cam ] || numbers=(--preset paper)
    camkit "$method" "${numbers[@]}" --ckpt "$ckpt" --images "$voc" --list train_aug --out "$maps"
    camkit affinity-train "$maps" --init "$ckpt" --out "$out/$method-affinity.safetensors"
    camkit refine walk "$maps" --affinity affinitynet --ckpt "$out/$method-affinity.safetensors" --out "$out/$method-walked.h5"
    camkit evaluate "$out/$method-walked.h5" --gt "$voc" --list train | tee "$out/$method-walked.txt"
    camkit crf "$out/$method-walked.h5" --out "$out/$method-crf.h5"
    camkit evaluate "$out/$method-crf.h5" --gt "$voc" --list train | tee "$out/$method-crf.txt"
done

# Table 2 (paper: 49.9 split only, 50.2 iterate only)
maps split-only train --no-iterate
maps iterate-only train --no-split

# supplement, Table 1 (paper: 50.8 51.6 52.1 52.2 51.6 50.4), and what hides
for threshold in $(some 0.4 0.5 0.6 0.8 0.9); do
    maps "threshold-$threshold" train --threshold "$threshold"
done
maps fill-zero train --fill zero
maps fill-image train --fill image  # the mean colour of the photo, where the program takes that of the patch

# as the authors' program does it
maps published train --preset published

# Table 4 (paper: 52.7 train, 51.8 val): the classifier trained further on the patches
camkit classify-train --init "$ckpt" --preset psa --rate 0.01 --images "$voc" --list train_aug --val val \
    --patches "$out/cam-train_aug.h5" --out "$out/retrained.safetensors"
ckpt=$out/retrained.safetensors
maps retrained train
maps retrained val

camkit show "$out/cam-train.h5" "$out/infercam-train.h5" "$out/infercam-walked.h5" --gt "$voc" --list train \
    --limit 50 --html "$out/report.html"
