#!/usr/bin/env bash
# Usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]
# One process per GPU, or on CPUs alone. Several machines: set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail
tools=$(dirname "$0") config=$1 checkpoint=$2 processes=$3; shift 3
exec bash "$tools/dist_run.sh" "$processes" "$tools/test.py" "$config" "$checkpoint" "$@"
