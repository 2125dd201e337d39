#!/usr/bin/env bash
# Usage: tools/dist_refine.sh PROCESSES IMAGES MASKS --out DIR [arguments of tools/refine.py]
# For clips: TOOL=refine_video.py tools/dist_refine.sh PROCESSES FRAMES MASKS --out DIR [arguments of tools/refine_video.py]
# One process per GPU, or on CPUs alone. Several machines must share the disk: set NNODES, NODE_RANK, MASTER_ADDR, PORT.
set -euo pipefail
tools=$(dirname "$0") processes=$1; shift
exec bash "$tools/dist_run.sh" "$processes" "$tools/${TOOL:=refine.py}" "$@"
