#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
# One process per GPU, or on CPUs alone. Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail
config=$1 processes=$2; shift 2
exec python -m torch.distributed.run --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" --nproc-per-node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
