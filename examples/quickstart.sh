#!/usr/bin/env bash
# From nothing to masks and a score: sets up .venv, then runs the pipe.
#   bash examples/quickstart.sh                        on a small world of drawn shapes, whose classifier it trains first
#   bash examples/quickstart.sh CHECKPOINT VOC_ROOT    on your own
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/setup.sh ""
camkit=.venv/bin/camkit
out=quickstart
mkdir -p "$out"

if [ $# -eq 2 ]; then
    checkpoint=$1 images=$2
else
    checkpoint=$out/shapes.safetensors images=$out/shapes
    [ -e "$checkpoint" ] || .venv/bin/python examples/shapes.py "$images" "$checkpoint"
fi

"$camkit" cam --ckpt "$checkpoint" --images "$images" --out "$out/cams.h5"
"$camkit" evaluate "$out/cams.h5" --gt "$images" --curve "$out/curve.png"
threshold=$("$camkit" evaluate "$out/cams.h5" --gt "$images" --json -q | .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["threshold"])')
"$camkit" mask "$out/cams.h5" --threshold "$threshold" --png "$out/masks"
"$camkit" info "$out/cams.h5"
echo "masks: $out/masks/   threshold curve: $out/curve.png"
