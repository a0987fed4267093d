#!/usr/bin/env bash
# LPCAM's Table 2 on seeds of another method, from that method's own program (paper, seeds without and with LPCAM: AMN 62.1
# and 65.3, EDAM 52.8 and 54.9, pseudo masks AMN 72.2 and 72.7, EDAM 68.1 and 69.6).
#   bash examples/lpcam-seeds-voc.sh SEEDS/ resnet50_cls.pth VOC2012/ [OUT]
#   bash examples/lpcam-seeds-voc.sh --quick [OUT]
# SEEDS holds what the program wrote for the photos of train: a .npy dictionary each, in PSA's or IRN's form. The checkpoint is the
# classifier whose features LPCAM clusters; for both methods the paper takes a ResNet-50. AMN's second stage sees a photo's
# tags, which no map can be made without, so that its first stage's classifier is taken. Every line can be run again.
set -euo pipefail
if [ "${1:-}" = --quick ]; then
    source "$(dirname "$0")/quick.sh"
    camkit cam --ckpt toy --images "$world" --list train --out "$out/quick-cam.h5"
    camkit export "$out/quick-cam.h5" "$out/quick-seeds" --format irn --images "$world" --overwrite
    set -- "$out/quick-seeds" toy "$world" "$out"
fi
[ $# -ge 3 ] || { sed -n '2,5s/^# *//p' "$0" >&2; exit 2; }
seeds=$1 ckpt=$2 voc=$3 out=${4:-lpcam-seeds-voc}
export CAMKIT_PHOTOS="$voc"  # stores may name photos there
mkdir -p "$out"
init=${INIT:-$ckpt}
common=(--ckpt "$ckpt" --images "$voc" --list train)
classes=voc
[ ! -f "$voc/classes.txt" ] || classes=$voc/classes.txt

camkit import "$seeds" --images "$voc" --classes "$classes" --out "$out/seeds.h5"
camkit lpcam-cluster "${common[@]}" --maps "$out/seeds.h5" --out "$out/prototypes.h5"
camkit lpcam-apply "${common[@]}" --prototypes "$out/prototypes.h5" --out "$out/lpcam.h5"

for method in seeds lpcam; do
    camkit evaluate "$out/$method.h5" --gt "$voc" --list train | tee "$out/$method.txt"
    camkit irn-train "$out/$method.h5" --images "$voc" --init "$init" --foreground 0.45 --background 0.25 \
        --out "$out/$method-irn.safetensors"
    camkit refine walk "$out/$method.h5" --affinity irn --ckpt "$out/$method-irn.safetensors" --background 0.35 \
        --out "$out/$method-walked.h5"
    camkit evaluate "$out/$method-walked.h5" --gt "$voc" --list train | tee "$out/$method-walked.txt"
done
