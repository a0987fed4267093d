#!/usr/bin/env bash
# InferCam's Table 2 of the supplement on COCO 2014 (paper: CAM 29.4, InferCam 29.8 on train), and the maps after a random walk.
#   bash examples/infercam-coco.sh CHECKPOINT train2014/ instances_train2014.json MASKS/ [OUT]
#   bash examples/infercam-coco.sh --quick [OUT]
# MASKS holds a PNG for each photo with 0 for background and 1 to 80 for the classes in COCO's order. The maps alone may be
# made by an array job beforehand: the same commands with --shard $SLURM_ARRAY_TASK_ID/N; the last job joins the parts.
set -euo pipefail
if [ "${1:-}" = --quick ]; then
    source "$(dirname "$0")/quick.sh" && set -- toy "$world/JPEGImages" "$labels" "$world/SegmentationClass" "$out"
fi
[ $# -ge 4 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
ckpt=$1 images=$2 labels=$3 masks=$4 out=${5:-infercam-coco}
export CAMKIT_PHOTOS="$images"  # stores may name photos there
mkdir -p "$out"

for method in cam infercam; do
    numbers=() && [ "$method" = cam ] || numbers=(--preset paper)
    camkit "$method" "${numbers[@]}" --ckpt "$ckpt" --images "$images" --labels "$labels" --classes coco --out "$out/$method.h5"
    camkit evaluate "$out/$method.h5" --gt "$masks" | tee "$out/$method.txt"
    camkit affinity-train "$out/$method.h5" --init "$ckpt" --out "$out/$method-affinity.safetensors"
    camkit refine walk "$out/$method.h5" --affinity affinitynet --ckpt "$out/$method-affinity.safetensors" \
        --out "$out/$method-walked.h5"
    camkit evaluate "$out/$method-walked.h5" --gt "$masks" | tee "$out/$method-walked.txt"
done
