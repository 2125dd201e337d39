#!/usr/bin/env bash
# The whole experiment: projects/sam2_refiner_reduced/run.sh DATA OUT. configs/segrefiner/README.md prepares DATA.
# SEEDS, BASE_ITERS and REFINER_ITERS make it longer or shorter, POOL_OPTIONS are further arguments of
# make_pools.py. Steps that are done are skipped, a killed training is resumed.
set -euo pipefail
data=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python}
base_iters=${BASE_ITERS:-18000} refiner_iters=${REFINER_ITERS:-2800}
export PYTHONPATH="$root:$here:${PYTHONPATH:-}"
mkdir -p "$out"
out=$(cd "$out" && pwd)
export POOLS=$out/pools BASE=$out/base/sam2.pth

once() { # once NAME COMMAND...: a step that leaves a mark when it is done
    [[ -e $out/.done_$1 ]] && return
    echo "== $1"
    "${@:2}"
    touch "$out/.done_$1"
}
train() { # train NAME CONFIG ITERS OPTIONS...
    once "train_$1" "$python" "$root/tools/train.py" "$here/configs/$2.py" --work-dir "$out/$1" --resume --cfg-options \
        train_cfg.max_iters="$3" param_scheduler.1.T_max="$3" default_hooks.checkpoint.interval="$3" "${@:4}"
}
score() { # score NAME MODEL OPTIONS...: of every mask, in OUT/scores/NAME.csv
    once "score_$1" "$python" "$root/tools/test.py" "$here/configs/refiner.py" "$out/$2/iter_$refiner_iters.pth" \
        --work-dir "$out/$2" --per-mask "$out/scores/$1.csv" --cfg-options test_dataloader.num_workers=0 "${@:3}"
}
variant() { # variant NAME OPTIONS...: trained and tested with every seed
    for ((seed = 0; seed < ${SEEDS:-2}; seed++)); do
        train "$1_$seed" refiner "$refiner_iters" train_dataloader.dataset.seed=$seed randomness.seed=$seed "${@:2}"
        score "$1_$seed" "$1_$seed" "${@:2}"
    done
}

once pools "$python" "$here/make_pools.py" "$data" "$POOLS" ${POOL_OPTIONS:-}
train base base "$base_iters" model.blind_iters=$((base_iters * 6 / 100))
once export "$python" "$here/coarse_sam2.py" "$out/base/iter_$base_iters.pth" "$BASE"
variant LA model.core.pr=None model.core.mr=None
variant LA+PR model.core.mr=None
variant LA+MR model.core.pr=None
variant PR+MR model.core.la=None
variant LA+PR+MR
variant MR model.core.la=None model.core.pr=None
for ((seed = 0; seed < ${SEEDS:-2}; seed++)); do # the whole refiner with smaller quadrants, and without any
    for scale in 0.5 0; do score "tile_scale=${scale}_$seed" "LA+PR+MR_$seed" model.tile_scale=$scale; done
done
"$python" "$here/report.py" "$out/scores"
