#!/usr/bin/env bash
# Usage: GPUS=8 GPUS_PER_NODE=8 tools/slurm_refine.sh PARTITION JOB_NAME IMAGES MASKS --out DIR [more]
# For clips: TOOL=refine_video.py. On CPUs alone: GPUS is the number of processes, and SRUN_GRES= (empty) requests no GPU.
set -euo pipefail
partition=$1 job=$2; shift 2
gres=${SRUN_GRES---gres=gpu:${GPUS_PER_NODE:-8}}
exec srun -p "$partition" --job-name="$job" ${gres:+"$gres"} --ntasks="${GPUS:-8}" \
    --ntasks-per-node="${GPUS_PER_NODE:-8}" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    python -u "$(dirname "$0")/${TOOL:=refine.py}" --launcher slurm "$@"
