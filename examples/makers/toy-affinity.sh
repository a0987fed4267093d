#!/usr/bin/env bash
# Trains the AffinityNet that `--ckpt toy-affinity` names, as it lies in camkit/models/toy-affinity.safetensors, from the CAMs
# of 1,000 drawn scenes: 12 epochs from `--ckpt toy`, seed 0; about 10 minutes on two quiet cores. Then walks over the CAMs of
# 100 scenes no training has seen, as far as published and shorter.
#   bash examples/makers/toy-affinity.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/../.."
source examples/setup.sh ""
camkit=.venv/bin/camkit
out=${1:-toy-affinity}
mkdir -p "$out"

"$camkit" toy-world "$out/world" --train 1000 --val 0 --seed 7
"$camkit" cam --ckpt toy --images "$out/world" --list train --out "$out/cams.h5"
"$camkit" affinity-train "$out/cams.h5" --init toy --optimiser adamw --rate 5e-4 --weight-decay 0.01 --epochs 12 \
    --crop 128 --scale-range 0.7,1.3 --seed 0 --out "$out/toy-affinity.safetensors"

"$camkit" toy-world "$out/fresh" --train 0 --val 100 --seed 1000
"$camkit" cam --ckpt toy --images "$out/fresh" --out "$out/fresh-cams.h5"
"$camkit" evaluate "$out/fresh-cams.h5" --gt "$out/fresh"
for steps in 256 16; do
    "$camkit" refine walk "$out/fresh-cams.h5" --affinity affinitynet --ckpt "$out/toy-affinity.safetensors" \
        --steps "$steps" --out "$out/walked-$steps.h5"
    "$camkit" evaluate "$out/walked-$steps.h5" --gt "$out/fresh"
done
