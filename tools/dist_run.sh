#!/usr/bin/env bash
# Usage: tools/dist_run.sh PROCESSES SCRIPT [arguments of the script]; dist_train.sh, dist_test.sh and dist_refine.sh call it.
# On one machine the processes meet at a free port. For several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail
processes=$1 script=$2; shift 2
if [ "${NNODES:-1}" -eq 1 ]; then
    PORT=${PORT:-$(python -c 'import socket; place = socket.socket(); place.bind(("127.0.0.1", 0)); print(place.getsockname()[1])')}
fi
exec python -m torch.distributed.run --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" --nproc-per-node="$processes" \
    "$script" --launcher pytorch "$@"
