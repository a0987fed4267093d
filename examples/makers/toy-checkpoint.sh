#!/usr/bin/env bash
# Trains the classifier that `--ckpt toy` names, as it lies in camkit/models/toy.safetensors: 3,000 drawn scenes, 30
# epochs, seed 0; about 15 minutes on two quiet cores. Then judges it on 500 scenes that no training has seen.
#   bash examples/makers/toy-checkpoint.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/../.."
source examples/setup.sh ""
camkit=.venv/bin/camkit
out=${1:-toy-checkpoint}
mkdir -p "$out"

"$camkit" toy-world "$out/world" --train 3000 --val 300 --seed 0
"$camkit" classify-train --images "$out/world" --list train --val val --arch toy --epochs 30 --rate 3e-3 \
    --resize native --scale-range 0.6,1.4 --crop 128 --jitter 0.2 --ema 0.99 --seed 0 --out "$out/toy.safetensors"

"$camkit" toy-world "$out/fresh" --train 0 --val 500 --seed 1000
"$camkit" classify --ckpt "$out/toy.safetensors" --images "$out/fresh" --out "$out/scores.h5"
