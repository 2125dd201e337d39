#!/usr/bin/env bash
# The whole project: projects/wsss_cam/run.sh COCO IMAGES OUT [further arguments of tools/refine.py]
# ITERS (of the classifier) and SEG_ITERS (of each segmentor) make it longer or shorter, SEED is that of all trainings,
# SEGMENTORS names those to train. Steps that are done are skipped.
set -euo pipefail
coco=$1 images=$2 out=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python}
iters=${ITERS:-2000} seg_iters=${SEG_ITERS:-300} seed=${SEED:-0} segmentors=${SEGMENTORS:-cams refined band true}
export PYTHONPATH="$root:${PYTHONPATH:-}"
mkdir -p "$out"
out=$(cd "$out" && pwd)
export TILES=$out/tiles CAMS=$out/cams LABELS=$out/tiles/train/labels

once() { # once NAME COMMAND...: a step that leaves a mark when it is done
    [[ -e $out/.done_$1 ]] && return
    echo "== $1"
    "${@:2}"
    touch "$out/.done_$1"
}
segmentor() { # segmentor NAME CONFIG
    [[ " $segmentors " == *" $1 "* ]] || return 0
    once "train_$1" "$python" "$root/tools/train.py" "$here/configs/$2.py" --work-dir "$out/train_$1" --cfg-options \
        randomness.seed="$seed" max_iters="$seg_iters" train_cfg.max_iters="$seg_iters" train_cfg.val_interval="$seg_iters" \
        param_scheduler.0.total_steps="$seg_iters" default_hooks.checkpoint.interval="$seg_iters"
}

once tiles "$python" "$here/make_tiles.py" "$coco" "$images" "$TILES"
once cams "$python" "$here/make_cams.py" "$TILES/train" "$CAMS" --iters "$iters" --seed "$seed"
once refine "$python" "$root/tools/refine.py" "$TILES/train/images" "$CAMS" --cam --out "$out/refined" \
    --cam-threshold 0.02 0.05 0.1 0.2 0.3 --gt "$TILES/train/labels" --ignore-band --pictures 20 "$@"
THRESHOLD=$("$python" -c "import json; print(json.load(open('$out/refined/summary.json'))['settings']['cam_threshold'])")
export THRESHOLD
segmentor cams unet_cams
LABELS=$out/refined/masks segmentor refined unet_labels
LABELS=$out/refined/pseudo_labels segmentor band unet_labels
segmentor true unet_labels
"$python" "$here/report.py" "$out"
