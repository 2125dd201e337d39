#!/usr/bin/env bash
# Usage: GPUS=8 GPUS_PER_NODE=8 tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
set -euo pipefail
partition=$1 job=$2 config=$3; shift 3
exec srun -p "$partition" --job-name="$job" --gres="gpu:${GPUS_PER_NODE:-8}" --ntasks="${GPUS:-8}" \
    --ntasks-per-node="${GPUS_PER_NODE:-8}" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    python -u "$(dirname "$0")/train.py" "$config" --launcher slurm "$@"
