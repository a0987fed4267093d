#!/usr/bin/env bash
# From nothing to masks, a score and a page to look at: sets up .venv, then runs the pipeline.
#   bash examples/quickstart.sh                        on scenes that camkit draws, with the classifier it brings along
#   bash examples/quickstart.sh CHECKPOINT VOC_ROOT    on your own
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/setup.sh ""
camkit=.venv/bin/camkit
out=quickstart

if [ $# -ne 2 ]; then
    exec "$camkit" demo "$out"
fi

mkdir -p "$out"
"$camkit" cam --ckpt "$1" --images "$2" --out "$out/cam.h5"
"$camkit" evaluate "$out/cam.h5" --gt "$2" --curve "$out/curve.png"
"$camkit" show "$out/cam.h5" --gt "$2" --html "$out/report.html"
echo "report: $out/report.html   threshold curve: $out/curve.png   maps: $out/cam.h5"
