#!/usr/bin/env bash
# Usage: tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
# One process per GPU, or on CPUs alone. Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail
tools=$(dirname "$0") config=$1 processes=$2; shift 2
exec bash "$tools/dist_run.sh" "$processes" "$tools/train.py" "$config" "$@"
