#!/usr/bin/env bash
# IRN's row of LPCAM's Table 2 on COCO 2014 (paper: seeds CAM 33.1, LPCAM 35.8; pseudo masks 42.5 and 46.8 on train);
# segment-tables.sh goes on to Table 3.
#   bash examples/lpcam-coco.sh resnet50_cls.pth train2014/ instances_train2014.json MASKS/ [OUT]
#   bash examples/lpcam-coco.sh --quick [OUT]
# The checkpoint is one of the IRN family for the 80 classes (camkit classify-train --preset irn --classes coco). MASKS holds a
# PNG for each photo with 0 for background and 1 to 80 for the classes in COCO's order. INIT=resnet50.pth names what IRN
# starts from. The maps alone may be made by array jobs beforehand: the same commands with --shard, see infercam-coco.sh.
set -euo pipefail
if [ "${1:-}" = --quick ]; then
    source "$(dirname "$0")/quick.sh" && set -- toy "$world/JPEGImages" "$labels" "$world/SegmentationClass" "$out"
fi
[ $# -ge 4 ] || { sed -n '2,5s/^# *//p' "$0" >&2; exit 2; }
ckpt=$1 images=$2 labels=$3 masks=$4 out=${5:-lpcam-coco}
export CAMKIT_PHOTOS="$images"  # stores may name photos there
mkdir -p "$out"
init=${INIT:-$ckpt}
common=(--ckpt "$ckpt" --images "$images" --classes coco)

camkit cam "${common[@]}" --labels "$labels" --out "$out/cam.h5"
camkit lpcam-cluster "${common[@]}" --preset coco --maps "$out/cam.h5" --out "$out/prototypes.h5"
camkit lpcam-apply "${common[@]}" --labels "$labels" --prototypes "$out/prototypes.h5" --out "$out/lpcam.h5"

for method in cam lpcam; do
    camkit evaluate "$out/$method.h5" --gt "$masks" | tee "$out/$method.txt"
    camkit irn-train "$out/$method.h5" --init "$init" --foreground 0.45 --background 0.25 --out "$out/$method-irn.safetensors"
    camkit refine walk "$out/$method.h5" --affinity irn --ckpt "$out/$method-irn.safetensors" --background 0.35 \
        --out "$out/$method-walked.h5"
    camkit evaluate "$out/$method-walked.h5" --gt "$masks" | tee "$out/$method-walked.txt"
done
