#!/usr/bin/env bash
# From your own photos and tags to masks: sets up .venv with the ImageNet weights, then runs camkit masks.
#   bash examples/own-photos.sh PHOTOS TAGS [OUT] [OPTIONS of camkit masks]
# TAGS says which classes each photo shows: a CSV file with lines like `beach/img_001,dog,person` (the photo's path below PHOTOS without
# its suffix), a folder per class, or any other form that camkit's --labels takes. OUT gets masks/ and report.html.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,5s/^# *//p' "$0" >&2; exit 2; }
photos=$(realpath "$1") tags=$(realpath "$2")
export CAMKIT_PHOTOS="$photos"  # stores may name photos there
out=$(realpath -m "${3:-masks}")
shift $(($# < 3 ? $# : 3))
cd "$(dirname "$0")/.."
source examples/setup.sh weights

# The classifier learns from the tags, LPCAM says where it looks, a CRF follows the edges of the photos. Every step is a camkit
# command whose result stays in OUT: stopped, this goes on when it is run again.
.venv/bin/camkit masks "$photos" --labels "$tags" --out "$out" "$@"
echo "look at $out/report.html; the masks are in $out/masks"
