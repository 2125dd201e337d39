#!/usr/bin/env bash
# Usage: tools/dist_refine.sh PROCESSES IMAGES MASKS --out DIR [arguments of tools/refine.py]
# For clips: TOOL=refine_video.py tools/dist_refine.sh PROCESSES FRAMES MASKS --out DIR [arguments of tools/refine_video.py]
# One process per GPU, or on CPUs alone. Several machines must share the disk: set NNODES, NODE_RANK, MASTER_ADDR, PORT.
set -euo pipefail
processes=$1; shift
exec python -m torch.distributed.run --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" --nproc-per-node="$processes" \
    "$(dirname "$0")/${TOOL:=refine.py}" --launcher pytorch "$@"
