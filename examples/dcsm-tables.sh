#!/usr/bin/env bash
# DCSM's Tables 1 to 5, on any data set in VOC's layout.
#   bash examples/dcsm-tables.sh vgg16.pth VOC2012/ val OUT [OPTIONS of camkit dcsm, such as --limit 100 --resize 240]
#   bash examples/dcsm-tables.sh --quick [OUT]
# Prints mIoU of the maps at their best threshold, and of the masks after the CRF; OUT keeps stores and reports. Every line
# can be run again: what is there is kept. The paper's figures, in brackets, are of its own VGG16 after the CRF, whose classes
# the network predicts. Here too; with TAGS=given the data set's own tags are taken, which is easier, and no figure of the paper.
set -euo pipefail
some() { echo "$@"; }  # --quick takes the first
if [ "${1:-}" = --quick ]; then source "$(dirname "$0")/quick.sh" && set -- toy "$world" val "$out"; fi
[ $# -ge 4 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
ckpt=$1 voc=$2 list=$3 out=$4
export CAMKIT_PHOTOS="$voc"  # stores may name photos there
shift 4
mkdir -p "$out"

row() {  # NAME PAPER OPTIONS…
    local name=$1 paper=$2
    camkit dcsm -q --ckpt "$ckpt" --images "$voc" --list "$list" "${given[@]}" "${@:3}" --out "$out/$name.h5"
    camkit crf -q "$out/$name.h5" --preset dcsm --masks --out "$out/$name-crf.h5"
    camkit evaluate -q "$out/$name.h5" --gt "$voc" --list "$list" --json > "$out/$name.json"
    camkit evaluate -q "$out/$name-crf.h5" --gt "$voc" --list "$list" --json > "$out/$name-crf.json"
    printf '  %-28s %6s %6s   [%s]\n' "$name" "$(miou "$name")" "$(miou "$name-crf")" "$paper"
}

miou() {
    sed -n 's/^  "miou": //p' "$out/$1.json" | LC_ALL=C awk '{printf "%.1f", 100 * $1}'
}

given=("$@")
[ "${TAGS:-predicted}" = given ] || given+=(--labels predicted)
echo "classes of each image: ${TAGS:-predicted}"
printf '  %-28s %6s %6s\n' "" maps CRF

echo "What each step adds"
row input-plain 33.8 --backprop input
row input-guided - --layers input --candidates 0 --scales 1
row layers - --candidates 0 --scales 1
row layers-subtracted 42.4 --scales 1
row dcsm 44.1

echo "Table 1: alpha"
for alpha in $(some 1 2 4 5 6 8); do row "alpha-$alpha" - --alpha "$alpha"; done
for alpha in $(some 3 6 9); do row "input-plain-alpha-$alpha" - --backprop input --alpha "$alpha"; done

echo "Table 2: layers"
if camkit info --layers "$ckpt" | grep -q '^conv5_3 '; then
    block1=conv1_1,conv1_2 block2=conv2_1,conv2_2 block3=conv3_1,conv3_2,conv3_3
    block4=conv4_1,conv4_2,conv4_3 block5=conv5_1,conv5_2,conv5_3
    row block1 5.5 --layers $block1
    row block2 21.5 --layers $block2
    row block3 32.5 --layers $block3
    row block4 40.3 --layers $block4
    row block5 26.3 --layers $block5
    row blocks-1-2-3-4-5 41.3 --layers $block1,$block2,$block3,$block4,$block5
    row blocks-2-3-4-5 42.2 --layers $block2,$block3,$block4,$block5
    row blocks-4-5 42.5 --layers $block4,$block5
    row blocks-3-4 38.0 --layers $block3,$block4
else
    for layer in $(some $(camkit info --layers "$ckpt" | sed '/same at every/d; s/ .*//')); do
        row "$layer" - --layers "$layer"
    done
fi

echo "Table 3: sizes, as multiples of the longer side (the paper's 500)"
for pair in $(some 0.6:34.5 0.8:41.0 1:42.4 1.2:41.8 1.4:40.0 1.6:34.5 0.6,0.8,1:41.1 0.8,1:42.9 1,1.2:42.9 1,1.2,1.4:42.5); do
    row "sizes-${pair%:*}" "${pair#*:}" --scales "${pair%:*}"
done

echo "Table 4: candidates"
for pair in $(some 0:38.2 1:42.2 2:43.5 4:44.2 5:44.0 10:43.7); do
    row "candidates-${pair%:*}" "${pair#*:}" --candidates "${pair%:*}"
done

echo "Table 5: back-propagation"
row plain 41.2 --backprop plain
