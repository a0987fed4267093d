#!/usr/bin/env bash
# Trains the ICD network that `--ckpt toy-icd` names, as it lies in camkit/models/toy-icd.safetensors: 1,000 drawn scenes,
# 10 epochs from `--ckpt toy`, seed 0; about 10 minutes on two quiet cores. Then judges it on 100 scenes no training has seen.
#   bash examples/makers/toy-icd.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/../.."
source examples/setup.sh ""
camkit=.venv/bin/camkit
out=${1:-toy-icd}
mkdir -p "$out"

"$camkit" toy-world "$out/world" --train 1000 --val 0 --seed 7
"$camkit" superpixels --images "$out/world" --list train --out "$out/superpixels.h5"
"$camkit" icd-train --images "$out/world" --list train --superpixels "$out/superpixels.h5" --init toy --hidden 128 \
    --batch-size 8 --epochs 10 --crop 128 --freeze-norm --seed 0 --out "$out/toy-icd.safetensors"

"$camkit" toy-world "$out/fresh" --train 0 --val 100 --seed 1000
"$camkit" cam --ckpt "$out/toy-icd.safetensors" --images "$out/fresh" --out "$out/cams.h5"
"$camkit" icd-apply --ckpt "$out/toy-icd.safetensors" --images "$out/fresh" --out "$out/scores.h5"
"$camkit" evaluate "$out/cams.h5" --gt "$out/fresh"
"$camkit" evaluate "$out/scores.h5" --gt "$out/fresh"
